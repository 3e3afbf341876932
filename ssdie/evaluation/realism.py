"""Realism of synthetic dust: how well a linear classifier separates synthetic from real dusty photos."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kurtosis
from skimage.color import rgb2lab
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from ssdie.data.photos import find_photos
from ssdie.ops.color import luminance
from ssdie.ops.filters import box_filter
from ssdie.ops.images import check_image, fit_short_side, to_display
from ssdie.ops.priors import dark_channel
from ssdie.synthesis.dust import add_dust
from ssdie.synthesis.recipes import RECIPES
from ssdie.utils.devices import derive_seed

SHORT_SIDE = 256  # size at which both kinds are measured; pixels
LEVELS = (0.05, 0.5, 0.95)  # quantiles that describe a distribution


def describe(photo: torch.Tensor) -> np.ndarray:
    """Compute 25 features of a photo: colour, contrast, dark channel, gradients.

    Args:
        photo: (1, 3, H, W) in [0, 1].

    Returns:
        (25,): quantiles 5, 50, 95 % of L, a*, b* (9) and of chroma (3); standard deviation of the luminance, mean and
        maximum of its local standard deviation in 15 x 15 (3); quantiles of the dark channel (3) and its mean in the
        upper and lower third (2); mean, quantiles and kurtosis of the luminance's gradient (5).
    """
    check_image(photo)
    lab = rgb2lab(to_display(photo)).reshape(-1, 3)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    luma = luminance(photo)
    local = (box_filter(luma**2, 7) - box_filter(luma, 7) ** 2).clamp_min(0).sqrt()
    dark = dark_channel(photo)[0, 0]
    third = max(1, dark.shape[0] // 3)
    gradient = torch.cat((luma.diff(dim=2).flatten(), luma.diff(dim=3).flatten())).numpy()
    return np.concatenate(
        (
            np.quantile(lab, LEVELS, axis=0).ravel(),
            np.quantile(chroma, LEVELS),
            [luma.std().item(), local.mean().item(), local.max().item()],
            np.quantile(dark, LEVELS),
            [dark[:third].mean().item(), dark[-third:].mean().item()],
            [np.abs(gradient).mean(), *np.quantile(np.abs(gradient), LEVELS), np.log1p(kurtosis(gradient))],
        )
    )


def realism_auc(synthetic: Iterable[torch.Tensor], real: Iterable[torch.Tensor], seed: int = 0) -> dict[str, float]:
    """Compute the area under the ROC curve of a logistic regression that separates synthetic from real photos.

    Args:
        synthetic, real: photos (1, 3, H, W) in [0, 1]; at least 10 of each.
        seed: of the cross-validation's folds.

    Returns:
        "auc", the mean over 5 folds repeated 5 times, 0.5 if both kinds have the same features and 1 if they are
        separable; "low" and "high", its 2.5 and 97.5 % quantiles over the folds.

    Raises:
        ValueError: there are fewer than 10 photos of a kind.
    """
    features = [np.stack([describe(photo) for photo in photos]) for photos in (synthetic, real)]
    labels = np.repeat((0, 1), [len(f) for f in features])
    if min(len(f) for f in features) < 10:
        raise ValueError(f"photos: expected at least 10 of each kind, got {[len(f) for f in features]}. Give more.")
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=5, random_state=seed)
    scores = cross_val_score(classifier, np.concatenate(features), labels, cv=folds, scoring="roc_auc")
    low, high = np.quantile(scores, (0.025, 0.975))
    return {"auc": float(scores.mean()), "low": float(low), "high": float(high)}


def compare_recipes(root: str | Path | None = None, count: int = 230, seed: int = 0) -> dict[str, dict[str, float]]:
    """Measure how well real dusty photos and clear photos with the dust of each recipe can be separated.

    Args:
        root: of the photos, as for `ssdie.data.photos.find_photos`; the train split.
        count: largest number of photos of each kind.
        seed: of the dust and the folds.

    Returns:
        The result of `realism_auc` for each recipe.
    """
    sources = find_photos(root, "train")
    real = [fit_short_side(p.read()[None], SHORT_SIDE) for p in tqdm(sources.dusty[:count], "real", unit="photo")]
    indices = np.linspace(0, len(sources.clear) - 1, min(count, len(sources.clear))).astype(int)
    picked = [sources.clear[i] for i in indices]
    clear = [fit_short_side(p.read()[None], SHORT_SIDE) for p in tqdm(picked, "clear", unit="photo")]
    results = {}
    for recipe in RECIPES:
        pairs = (add_dust(c[:, :3], c[:, 3:], recipe, derive_seed(seed, i)) for i, c in enumerate(clear))
        results[recipe] = realism_auc([pair.dusty for pair in pairs], real, seed)
    return results
