"""FADE, the fog-aware density evaluator: perceived fog density from the statistics of blocks of 8 x 8 pixels."""

import functools

import numpy as np
from scipy.ndimage import correlate1d, gaussian_filter

from ssdie.evaluation import fade_constants
from ssdie.evaluation.batching import measure_each

BLOCK = 8  # side of a block; pixels
LEAST_SIDE = 16  # pixels: 10 of them are copied beyond the border
GREY = (0.298936, 0.587043, 0.114021)
CONTRAST_GREY = (0.299, 0.587, 0.114)
THRESHOLDS = {"grey": 0.2352502, "yb": 0.2287158, "rg": 0.0527667}  # tau, of the contrast energy
CONTRAST_SIGMA = 3.25  # of the filter of the contrast energy; pixels
CONTRAST_BORDER = 10  # pixels


@measure_each
def fade(enhanced):
    r"""Compute the perceived fog density.

    .. math:: D = \frac{D_f}{D_{ff} + 1}, \qquad
              d^2 = (\mu_0 - f)^\top \Big(\frac{\Sigma_0 + v\,1 1^\top}{2}\Big)^{-1} (\mu_0 - f)

    where :math:`f` are 12 features of a block, :math:`v` is their variance, and :math:`D_f, D_{ff}` are the means of
    :math:`d` over all blocks against the models :math:`(\mu_0, \Sigma_0)` of fog-free and of foggy photos.

    Args:
        enhanced: (N, 3, H, W) in [0, 1]; sides of at least 16 pixels; beyond a multiple of 8 pixels they are ignored.

    Returns:
        (N,), float64; at least 0, clear photos have 0.2 to 0.5, dense fog above 2; lower is better; NaN for images
        without texture. Colourful images count as fog-free: an orange cast lowers the score, removing it raises it.

    Raises:
        ValueError: a side is shorter than 16 pixels.

    Source: Choi, You, Bovik, "Referenceless prediction of perceptual fog density and perceptual image defogging", TIP
    2015, in the form of the release 1.0 of the Laboratory for Image and Video Engineering (LIVE), The University of
    Texas at Austin; constants and notice in `ssdie.evaluation.fade_constants`.

    Example:
        >>> import torch
        >>> fade(torch.full((1, 3, 16, 16), 0.5)).isnan().item()
        True
    """
    if min(enhanced.shape[:2]) < LEAST_SIDE:
        size = f"{enhanced.shape[1]} x {enhanced.shape[0]}"
        raise ValueError(f"image: expected sides of at least {LEAST_SIDE} pixels, got {size}. Enlarge it for FADE.")
    features = np.log1p(block_features(np.rint(255 * enhanced)))
    features = features[np.isfinite(features).all(axis=1)]
    if not len(features):
        return np.nan
    fog_free, foggy = (_distances(features, *model).mean() for model in _models())
    return fog_free / (foggy + 1)


@functools.cache
def _models() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Mean (12,) and covariance (12, 12) of fog-free and of foggy photos."""
    models = []
    for kind in ("FOG_FREE", "FOGGY"):
        mean, lower = (np.array(getattr(fade_constants, f"{n}_{kind}").split(), float) for n in ("MEAN", "COVARIANCE"))
        covariance = np.zeros((12, 12))
        covariance[np.tril_indices(12)] = lower
        models.append((mean, covariance + np.tril(covariance, -1).T))
    return tuple(models)


def _distances(features: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Distance d of each row; the Sherman-Morrison formula handles the rank-one term, so one inverse serves all."""
    gaps = mean - features
    half = features.var(axis=1, ddof=1) / 2
    inverse = np.linalg.inv(covariance / 2)
    sums = gaps @ inverse.sum(axis=1)
    squares = np.einsum("ni,ij,nj->n", gaps, inverse, gaps) - half * sums**2 / (1 + half * inverse.sum())
    return np.sqrt(np.maximum(squares, 0))


def block_features(image: np.ndarray) -> np.ndarray:
    """Compute the 12 features of each block of 8 x 8 pixels, before the logarithm.

    Args:
        image: (H, W, 3), whole numbers from 0 to 255.

    Returns:
        (blocks, 12), row by row: variance of the normalised luma; variances of its non-negative and of its non-positive
        products with the neighbour above; local deviation, absolute and relative; contrast energy of grey, yellow-blue,
        red-green; entropy of grey; darkest channel; HSV saturation; colourfulness. NaN where one is undefined.

    Source: Choi et al. 2015, section II.
    """
    height, width = (side // BLOCK * BLOCK for side in image.shape[:2])
    image = image[:height, :width]
    red, green, blue = np.moveaxis(image, -1, 0)
    grey = np.floor(image @ GREY + 0.5)
    blur = functools.partial(gaussian_filter, sigma=7 / 6, radius=3, mode="nearest")
    mean = blur(grey)
    deviation = np.sqrt(np.abs(blur(grey * grey) - mean * mean))
    normalised = (grey - mean) / (deviation + 1)
    products = _blocks(normalised * np.roll(normalised, 1, axis=0))
    rg, yb = red - green, (red + green) / 2 - blue
    darkest, brightest = image.min(axis=2), image.max(axis=2)
    saturation = (brightest - darkest) / np.maximum(brightest, 1)
    spread = np.sqrt(_blocks(rg).var(axis=1, ddof=1) + _blocks(yb).var(axis=1, ddof=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = _blocks(deviation / mean).mean(axis=1)
    columns = [
        _blocks(normalised).var(axis=1, ddof=1),
        _variance(products, products >= 0),
        _variance(products, products <= 0),
        _blocks(deviation).mean(axis=1),
        relative,
        _blocks(contrast_energy(image @ CONTRAST_GREY, THRESHOLDS["grey"])).mean(axis=1),
        _blocks(contrast_energy(yb, THRESHOLDS["yb"])).mean(axis=1),
        _blocks(contrast_energy(rg, THRESHOLDS["rg"])).mean(axis=1),
        _entropy(_blocks(grey)),
        _blocks(darkest).mean(axis=1) / 255,
        _blocks(saturation).mean(axis=1),
        spread + 0.3 * np.hypot(_blocks(rg).mean(axis=1), _blocks(yb).mean(axis=1)),
    ]
    return np.stack(columns, axis=1)


def contrast_energy(plane: np.ndarray, threshold: float) -> np.ndarray:
    r"""Contrast energy, the normalised response of second-derivative filters along rows and columns.

    .. math:: Z = \sqrt{(x * k)^2 + (x * k^\top)^2}, \qquad
              \mathrm{CE} = \Big[\frac{a Z}{Z + 0.1 a} - \tau\Big]_+, \qquad a = \max Z

    Args:
        plane: (H, W), grey levels.
        threshold: :math:`\tau`.

    Source: Choi et al. 2015, equation 7. The filter has 20 taps, centred a quarter of a pixel beside the middle; beyond
    each border the outer 10 pixels are repeated in the same order.
    """
    offsets = np.arange(1 - CONTRAST_BORDER, CONTRAST_BORDER + 1) - 0.25
    gaussian = np.exp(-(offsets**2) / (2 * CONTRAST_SIGMA**2))
    kernel = (offsets**2 / CONTRAST_SIGMA**4 - 1 / CONTRAST_SIGMA**2) * gaussian / gaussian.sum()
    kernel -= kernel.mean()
    kernel /= (offsets**2 * kernel / 2).sum()
    responses = []
    for axis in (0, 1):
        size, border = plane.shape[axis], CONTRAST_BORDER
        places = np.r_[:border, :size, size - border : size]
        filtered = correlate1d(plane.take(places, axis), kernel, axis, mode="constant", origin=-1)
        responses.append(filtered.take(np.arange(border, border + size), axis))
    response = np.hypot(*responses)
    largest = response.max()
    if largest == 0:
        return response
    excess = largest * response / (response + 0.1 * largest) - threshold
    return np.where(excess > 1e-7, excess, 0)


def _blocks(plane: np.ndarray) -> np.ndarray:
    """Cut (H, W) into (blocks, 64), row by row."""
    rows, columns = (side // BLOCK for side in plane.shape)
    return plane.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(rows * columns, -1)


def _variance(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Unbiased variance of each row over its mask: 0 for one value, NaN for none."""
    count = mask.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (values * mask).sum(axis=1) / count
    squares = ((values - mean[:, None]) ** 2 * mask).sum(axis=1)
    return squares / np.maximum(count - 1, 1)


def _entropy(levels: np.ndarray) -> np.ndarray:
    """Shannon entropy of the grey levels of each row, bits."""
    keys, counts = np.unique(levels.astype(np.int64) + 256 * np.arange(len(levels))[:, None], return_counts=True)
    fraction = counts / levels.shape[1]
    return np.bincount(keys // 256, -fraction * np.log2(fraction), len(levels))
