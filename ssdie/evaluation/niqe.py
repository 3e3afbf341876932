"""NIQE, the natural image quality evaluator: the distance of an image's statistics from those of good photos."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import gamma
from tqdm import tqdm

from ssdie.ops.images import check_image, read_image, resize
from ssdie.photo.files import list_images
from ssdie.utils.paths import WEIGHTS, atomic, data_root

PATCH = 96  # pixels at full scale; 48 at half scale
OWN_MODEL = WEIGHTS / "niqe_pristine_ssdie.npz"
SHAPES = np.arange(0.2, 10.0, 0.001)  # grid of AGGD shapes
SHAPE_RATIOS = gamma(2 / SHAPES) ** 2 / (gamma(1 / SHAPES) * gamma(3 / SHAPES))  # rises with the shape
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (down, right), pixels


class Pristine(NamedTuple):
    """Gaussian model of the features of patches of good photos."""

    mean: np.ndarray  # (36,)
    covariance: np.ndarray  # (36, 36)
    patch: int  # side, pixels
    name: str  # "mittal2013" or "ssdie": scores under different models cannot be compared


def niqe(image: torch.Tensor, pristine: Pristine | None = None, rounded: bool = False) -> torch.Tensor:
    r"""Compute the distance of the feature statistics of an image from those of a pristine model.

    .. math:: \mathrm{NIQE} = \sqrt{(\mu_1 - \mu_2)^\top \Big(\frac{\Sigma_1 + \Sigma_2}{2}\Big)^{+} (\mu_1 - \mu_2)}

    where :math:`\mu_1, \Sigma_1` are mean and covariance of the features of the image's patches, :math:`\mu_2,
    \Sigma_2` those of the model, and + is the pseudo-inverse.

    Args:
        image: (N, 3, H, W) in [0, 1]; sides of at least 96 pixels; beyond a multiple of 96 pixels they are ignored.
        pristine: the model to compare with; `load_pristine()` by default.
        rounded: round luma to whole grey levels first, as the published program does.

    Returns:
        (N,), float64; at least 0, good photos 2 to 5; lower is better; ignores colour; NaN where no patch has any
        texture.

    Raises:
        ValueError: a side is shorter than 96 pixels.

    Source: Mittal, Soundararajan, Bovik, "Making a completely blind image quality analyzer", SPL 2013,
    equation 10, on BT.601 studio-range luma. With rounding, scores of photos equal those of the published program to
    0.01; the tables of this project do not round, which differs by up to 0.2, most for smooth skies.

    Example:
        >>> grain = 0.5 + 0.1 * torch.randn(1, 1, 192, 192, generator=torch.Generator().manual_seed(0))
        >>> noisy = grain.clamp(0, 1).expand(1, 3, 192, 192)
        >>> bool(niqe(noisy) > 10)  # white noise is not natural
        True
    """
    check_image(image)
    pristine = pristine or load_pristine()
    scores = []
    for picture in image:
        features, _ = patch_features(picture[None], pristine.patch, rounded)
        features = features[np.isfinite(features).all(axis=1)]
        if len(features) == 0:
            scores.append(np.nan)
            continue
        gap = features.mean(axis=0) - pristine.mean
        covariance = np.cov(features, rowvar=False) if len(features) > 1 else 0 * pristine.covariance
        scores.append(np.sqrt(max(0.0, gap @ np.linalg.pinv((covariance + pristine.covariance) / 2) @ gap)))
    return torch.tensor(scores, dtype=torch.float64)


def load_pristine(name: str | None = None) -> Pristine:
    """Load the pristine model by name.

    Args:
        name: "mittal2013", the one published with NIQE (`models/niqe_pristine.npz` under SSDIE_DATA);
            "ssdie", the project's own, which ships with it; by default the published one if it is available.

    Raises:
        FileNotFoundError: the published model is requested by name, but not available.
        ValueError: there is no model of that name.

    Example:
        >>> load_pristine("ssdie").mean.shape
        (36,)
    """
    if name not in (None, "mittal2013", "ssdie"):
        raise ValueError(f'name: expected "mittal2013" or "ssdie", got {name!r}.')
    root = data_root()
    published = root / "models" / "niqe_pristine.npz" if root else None
    if name != "ssdie" and published and published.is_file():
        with np.load(published) as stored:
            return Pristine(stored["mu_pris_param"].ravel(), stored["cov_pris_param"], PATCH, "mittal2013")
    if name == "mittal2013":
        raise FileNotFoundError(
            "models/niqe_pristine.npz: expected in SSDIE_DATA, not found. Set SSDIE_DATA, or use 'ssdie'."
        )
    return read_pristine(OWN_MODEL)


def read_pristine(path: str | Path) -> Pristine:
    """Read a pristine model that `fit_pristine` wrote."""
    with np.load(path) as stored:
        return Pristine(stored["mean"], stored["covariance"], int(stored["patch"]), "ssdie")


def fit_pristine(
    *folders: str | Path, out: str | Path | None = None, patch: int = PATCH, sharpness: float = 0.75
) -> Pristine:
    """Fit the pristine model: mean and covariance of the features of the sharp patches of good photos.

    The model that ships was fitted on the 1,073 clear photos of the research data (data/README.md) by
    `python -m ssdie.evaluation.niqe $SSDIE_DATA/clear/train $SSDIE_DATA/clear/val`.

    Args:
        *folders: with good photos; photos with a side shorter than `patch` are left out.
        out: .npz file to write the model to.
        patch: side of a patch; even, pixels.
        sharpness: a patch is kept if its mean deviation exceeds this fraction of the largest one of its photo.

    Raises:
        ValueError: fewer than 37 patches are kept, too few for a covariance of 36 features.

    Source: Mittal et al. 2013, section II.B (threshold 0.75).
    """
    kept = []
    for path in tqdm([path for folder in folders for path in list_images(folder)], desc="pristine photos"):
        photo = read_image(path)[None]
        if min(photo.shape[-2:]) < patch:
            continue
        features, deviation = patch_features(photo, patch)
        sharp = (deviation > sharpness * deviation.max()) & np.isfinite(features).all(axis=1)
        kept.append(features[sharp])
    count = sum(map(len, kept))
    if count < 37:
        raise ValueError(f"folders: expected at least 37 sharp patches, got {count}. Give more photos.")
    features = np.concatenate(kept)
    pristine = Pristine(features.mean(axis=0), np.cov(features, rowvar=False), patch, "ssdie")
    if out is not None:
        with atomic(out) as temporary:
            np.savez(temporary, mean=pristine.mean, covariance=pristine.covariance, patch=patch, count=count)
    return pristine


def patch_features(photo: torch.Tensor, patch: int = PATCH, rounded: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Compute the statistics of the normalised luma of each patch, at full and at half size.

    Args:
        photo: (1, 3, H, W) in [0, 1].
        patch: side; even, pixels.
        rounded: round luma to whole grey levels first.

    Returns:
        features (patches, 36), NaN where flat; mean local deviation (patches,), grey levels.

    Source: Mittal et al. 2013, section II.A and II.C: 18 features at each of two scales.
    """
    height, width = photo.shape[-2:]
    if min(height, width) < patch:
        raise ValueError(
            f"image: expected sides of at least {patch} pixels, got {width} x {height}. Enlarge it for NIQE."
        )
    rows, columns = height // patch, width // patch
    luma = _studio_luma(photo[..., : rows * patch, : columns * patch].double())
    luma = (255 * luma).round() / 255 if rounded else luma
    half = resize(luma, (rows * patch // 2, columns * patch // 2))
    normalised, deviation = normalise_contrast(255 * luma[0, 0].numpy())
    fine = _features(_blocks(normalised, patch))
    coarse = _features(_blocks(normalise_contrast(255 * half[0, 0].numpy())[0], patch // 2))
    return np.concatenate((fine, coarse), axis=1), _blocks(deviation, patch).mean(axis=(1, 2))


def _studio_luma(photo: torch.Tensor) -> torch.Tensor:
    """BT.601 luma (16 + 65.481 R + 128.553 G + 24.966 B) / 255 of (N, 3, H, W)."""
    weights = photo.new_tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)
    return ((photo * weights).sum(dim=1, keepdim=True) + 16) / 255


def normalise_contrast(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Normalise the local contrast of luma.

    .. math:: \hat I = \frac{I - \mu}{\sigma + 1}

    with mean and standard deviation in a Gaussian window of 7 x 7 pixels.

    Args:
        luma: (H, W); grey levels, 0 to 255.

    Source: Mittal et al. 2013, equations 1 to 3; the window has a standard deviation of 7/6, the border is repeated.
    """
    blur = functools.partial(gaussian_filter, sigma=7 / 6, radius=3, mode="nearest")
    mean = blur(luma)
    deviation = np.sqrt(np.abs(blur(luma * luma) - mean * mean))
    return (luma - mean) / (deviation + 1), deviation


def fit_aggd(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Fit an asymmetric generalised Gaussian distribution (AGGD) to each row by matching moments.

    .. math:: p(x) \propto e^{-(|x| / b)^a}, \qquad b = b_l \text{ for } x < 0,\; b_r \text{ for } x > 0

    Args:
        samples: (rows, values).

    Returns:
        shape a in [0.2, 10], scales :math:`b_l` and :math:`b_r`; each (rows,); NaN for a row of zeros.

    Source: Lasmar, Stitou, Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", ICIP
    2009; the shape is interpolated between the entries of a table.

    Example:
        >>> shape, left, right = fit_aggd(np.random.default_rng(0).normal(size=(1, 100_000)))
        >>> round(shape[0], 1), round(left[0], 1)  # a normal distribution: 2 and sqrt(2)
        (np.float64(2.0), np.float64(1.4))
    """
    squares = samples * samples
    negative, positive = samples < 0, samples > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.sqrt((squares * negative).sum(axis=1) / negative.sum(axis=1))
        right = np.sqrt((squares * positive).sum(axis=1) / positive.sum(axis=1))
        skew = left / right
        ratio = np.abs(samples).mean(axis=1) ** 2 / squares.mean(axis=1)
        ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = np.interp(ratio, SHAPE_RATIOS, SHAPES)
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale


def _blocks(plane: np.ndarray, side: int) -> np.ndarray:
    """Cut (H, W), multiples of `side`, into (blocks, side, side)."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    return plane.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)


def _features(blocks: np.ndarray) -> np.ndarray:
    """18 features of a block: shape, scale; shape, mean, two scales of the products with each neighbour."""
    shape, left, right = fit_aggd(blocks.reshape(len(blocks), -1))
    columns = [shape, (left + right) / 2]
    for offset in NEIGHBOURS:
        products = blocks * np.roll(blocks, offset, axis=(1, 2))
        shape, left, right = fit_aggd(products.reshape(len(blocks), -1))
        columns += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return np.stack(columns, axis=1)


if __name__ == "__main__":
    import sys

    fit_pristine(*sys.argv[1:], out=OWN_MODEL)
