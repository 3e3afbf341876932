"""CVCGCBD: chromatic variance consistency and gamma-correction-based dehazing (Jeon, Park, Eom, 2022)."""

import cv2
import numpy as np

from ssdie.evaluation.batching import enhance_each

TINY = 1.1920929e-7  # single-precision epsilon
WINDOW = 15  # of the dark channel; pixels
LEAST_TRANSMISSION = 0.1
SHIFTS = {"subtract": -1, "add": 1}


@enhance_each
def cvcgcbd(dusty, gamma_max: float = 2.0, shift: str = "subtract"):
    """Equalise the variances of the channels, remove the veil, and align the chromaticities.

    Args:
        dusty: (N, 3, H, W) in [0, 1].
        gamma_max: largest exponent; 1 to 2.
        shift: of the last colour correction: "subtract" aligns the chromaticity of red and blue with that of green,
            the aim stated in the paper; "add" reproduces the published program. They differ by a few grey levels.

    Returns:
        (N, 3, H, W) in [0, 1], whole 8-bit levels; images without variation in green stay unchanged.

    Source: Jeon, Park, Eom, "Sand-dust image enhancement using chromatic variance consistency and gamma
    correction-based dehazing", Sensors 2022, 22(23):9048; follows the published program where the paper could not be
    read. Chromaticities outside [0, 1] are left out of the histograms; in the program they wrap around.

    Example:
        >>> import torch
        >>> grey = torch.linspace(0.3, 0.6, 20).expand(1, 3, 20, 20)
        >>> enhanced = cvcgcbd(grey)
        >>> bool((enhanced[:, 0] == enhanced[:, 2]).all()), bool(enhanced.std() > grey.std())
        (True, True)
    """
    if shift not in SHIFTS:
        raise ValueError(f'shift: expected "subtract" or "add", got {shift!r}. Choose one of them.')
    balanced = normalise_to_green(make_variances_consistent(dusty))
    if balanced is None:
        return dusty
    low, high = np.percentile(balanced, (0.5, 99.5))
    stretched = np.clip((balanced - low) / (high - low), 0, 1)
    darkest, brightest = stretched.min(axis=(0, 1)), stretched.max(axis=(0, 1))
    if (brightest == darkest).any():
        return dusty
    transmission = estimate_transmission((stretched - darkest) / (brightest - darkest), gamma_max)[..., None]
    airlight = estimate_airlight(stretched)
    recovered = normalise_to_green(np.clip((stretched - airlight) / transmission + airlight, 0, 1))
    if recovered is None:
        return dusty
    recovered = recovered + SHIFTS[shift] * chromaticity_lags(recovered) / 255
    return np.floor(255 * np.clip(recovered, 0, 1)) / 255


def make_variances_consistent(image: np.ndarray) -> np.ndarray:
    r"""Scale the difference of each channel to green and restore the brightness of each pixel (not clipped).

    .. math:: X_c = a_c I_c + (1 - a_c) I_G, \quad a_c = \frac{\min(\sigma_c, \sigma_G)}{\sigma_c + \sigma_G}, \quad
              I'_c = X_c \min\Big(\frac{\operatorname{mean}_k I_k}{\operatorname{mean}_k X_k + \epsilon}, 2\Big)

    Args:
        image: (H, W, 3) in [0, 1].
    """
    spread = image.std(axis=(0, 1))
    weight = np.minimum(spread, spread[1]) / np.maximum(spread + spread[1], np.finfo(float).tiny)
    mixed = weight * image + (1 - weight) * image[..., 1:2]
    gain = image.mean(axis=2, keepdims=True) / (mixed.mean(axis=2, keepdims=True) + TINY)
    return mixed * np.minimum(gain, 2)


def normalise_to_green(image: np.ndarray) -> np.ndarray | None:
    r"""Normalise every channel to the mean of green and a range of 1 from its 1st to its 99th percentile, unclipped.

    .. math:: \mathrm{GMP}(Y)_c = \frac{Y_c - \bar Y_c}{P_{99}(Y_c) - P_1(Y_c)} + \bar Y_G

    Args:
        image: (H, W, 3).

    Returns:
        (H, W, 3); None where a channel has no range.
    """
    low, high = np.percentile(image, (1, 99), axis=(0, 1))
    if ((high - low) < 1e-9).any():
        return None
    mean = image.mean(axis=(0, 1))
    return (image - mean) / (high - low) + mean[1]


def estimate_airlight(image: np.ndarray) -> np.ndarray:
    """Median colour (3,) of the pixels in the brightest percent of the dark channel, by a histogram of 200 bins."""
    dark = cv2.erode(image.min(axis=2), np.ones((WINDOW, WINDOW)))
    counts, edges = np.histogram(dark, 200, (dark.min(), dark.max()))
    first = np.argmax(counts.cumsum() > 0.99 * dark.size)
    return np.median(image[dark >= (edges[first] if dark.max() > dark.min() else dark.min())], axis=0)


def estimate_transmission(normalised: np.ndarray, gamma_max: float = 2.0) -> np.ndarray:
    r"""Estimate the transmission from the saturations of an image N and of its gamma-corrected version V.

    .. math:: t = 1 - \bar N \frac{\bar V \min_c N - \bar N \min_c V}{\bar N \bar V - \bar N \min_c V}, \qquad V = N^g

    where a bar is the mean over the channels and :math:`g`, from 1 to `gamma_max`, grows with the mean of the image.
    Both differences are at least single-precision epsilon and :math:`t` is at least 0.1, as in the published program.

    Args:
        normalised: (H, W, 3) in [0, 1], each channel from 0 to 1.
        gamma_max: largest exponent; at least 1.

    Returns:
        (H, W) in [0.1, 1].
    """
    intensity = normalised.mean(axis=2)
    factor = (gamma_max - 1) / (np.e - 1)
    corrected = normalised ** (factor * np.exp(intensity.mean()) + 1 - factor)
    lowest, target, target_lowest = normalised.min(axis=2), corrected.mean(axis=2), corrected.min(axis=2)
    above = np.maximum(target * lowest - intensity * target_lowest, TINY)
    below = np.maximum(intensity * target - intensity * target_lowest, TINY)
    return np.clip(1 - intensity * above / below, LEAST_TRANSMISSION, 1)


def chromaticity_lags(image: np.ndarray) -> np.ndarray:
    """Lag of each channel's chromaticity histogram behind green's, by cross-correlation: (3,), 8-bit levels."""
    chromaticity = np.floor(255 * image / (image.sum(axis=2, keepdims=True) + TINY))
    histograms = []
    for channel in np.moveaxis(chromaticity, -1, 0):
        inside = channel[(channel >= 0) & (channel < 255)]
        histograms.append(np.bincount(inside.astype(int), minlength=256).astype(float))
    return np.array([np.correlate(h, histograms[1], "full").argmax() - 255 for h in histograms]) * (1, 0, 1)
