"""Measures of contrast and veil: visible edges, gradients, saturated pixels, dark channel, entropy."""

import numpy as np
import torch
from scipy.ndimage import sobel, uniform_filter
from skimage.measure import shannon_entropy

from ssdie.evaluation.batching import measure_each
from ssdie.ops import priors
from ssdie.ops.color import LUMA

VISIBLE = 0.05  # smallest visible local contrast (CIE)
LEVEL = 1 / 255  # one 8-bit step


def _luma_gradient(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luma, and the magnitude of its Sobel gradient scaled to the step between the two sides of a pixel."""
    luma = image @ LUMA
    return luma, np.hypot(sobel(luma, axis=0, mode="nearest"), sobel(luma, axis=1, mode="nearest")) / 4


def _visible_edges(luma: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Pixels whose gradient is at least 5 % of the mean luma in the 7 x 7 window around them."""
    return gradient >= VISIBLE * np.maximum(uniform_filter(luma, 7, mode="nearest"), LEVEL)


@measure_each
def visible_edges_gained(enhanced, dusty):
    r"""Compute the rate of new visible edges.

    .. math:: e = \frac{n_r - n_0}{n_0}

    where :math:`n_0, n_r` are the numbers of pixels with a local contrast of at least 5 % in the dusty and in the
    enhanced image.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].
        dusty: as `enhanced`.

    Returns:
        (N,), float64; at least -1, 0 for the dusty image itself; higher is better, unless pixels saturate or noise
        becomes visible. A dusty image without visible edges counts as having one.

    Source: Hautiere, Tarel, Aubert, Dumont, "Blind contrast enhancement assessment by gradient ratioing at visible
    edges", Image Analysis and Stereology 2008. Local contrast is the Sobel step over the mean luma around it (Weber),
    where the paper segments each window by Kohler's method.

    Example:
        >>> ramp = torch.linspace(0.2, 0.8, 32).expand(1, 3, 32, 32)
        >>> visible_edges_gained(ramp, ramp).item()
        0.0
    """
    before = _visible_edges(*_luma_gradient(dusty)).sum()
    return (_visible_edges(*_luma_gradient(enhanced)).sum() - before) / max(1, before)


@measure_each
def gradient_ratio(enhanced, dusty):
    r"""Compute the geometric mean of the gain in gradient over the visible edges of the enhanced image.

    .. math:: r = \exp \operatorname{mean}\Big(\log \frac{g_r}{g_0}\Big)

    where :math:`g_0, g_r` are the gradient magnitudes of a pixel in the dusty and in the enhanced image.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].
        dusty: as `enhanced`.

    Returns:
        (N,), float64; above 0, 1 for the dusty image itself; higher is better, unless pixels saturate; NaN where the
        enhanced image has no visible edge.

    Source: Hautiere et al. 2008; a gradient :math:`g_0` below a tenth of an 8-bit step counts as a tenth.

    Example:
        >>> step = torch.cat((torch.full((1, 3, 9, 9), 0.4), torch.full((1, 3, 9, 9), 0.5)), dim=3)
        >>> round(gradient_ratio(2 * step - 0.45, step).item(), 3)
        2.0
    """
    luma, gradient = _luma_gradient(enhanced)
    visible = _visible_edges(luma, gradient)
    if not visible.any():
        return np.nan
    before = _luma_gradient(dusty)[1]
    return np.exp(np.log(gradient[visible] / np.maximum(before[visible], LEVEL / 10)).mean())


@measure_each
def saturated_fraction(enhanced, dusty):
    """Compute the fraction of pixels that became black or white, in 8-bit luma.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].
        dusty: as `enhanced`.

    Returns:
        (N,), float64; %, 0 to 100, 0 for the dusty image itself; lower is better.

    Source: Hautiere et al. 2008.

    Example:
        >>> dusty = torch.linspace(0.1, 0.9, 10).expand(1, 3, 4, 10)
        >>> saturated_fraction((2 * dusty - 0.5).clamp(0, 1), dusty).item()
        40.0
    """
    extreme = [np.abs(image @ LUMA - 0.5) > 0.5 - LEVEL / 2 for image in (enhanced, dusty)]
    return 100 * (extreme[0] & ~extreme[1]).mean()


def dark_channel_mean(enhanced: torch.Tensor) -> torch.Tensor:
    """Compute the mean of the dark channel in windows of 15 x 15 pixels, a measure of the remaining veil.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].

    Returns:
        (N,), float64; [0, 1]; lower is better, down to about 0.05; a colour cast lowers it too.

    Source: He, Sun, Tang, TPAMI 2011, equation 5.

    Example:
        >>> dark_channel_mean(torch.full((1, 3, 8, 8), 0.25)).item()
        0.25
    """
    return priors.dark_channel(enhanced).double().mean(dim=(1, 2, 3)).cpu()


@measure_each
def entropy(enhanced):
    r"""Compute the Shannon entropy of the 8-bit luma.

    .. math:: H = -\sum_{v=0}^{255} p_v \log_2 p_v

    where :math:`p_v` is the fraction of pixels with the level v.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].

    Returns:
        (N,), float64; bits, 0 to 8; higher is better (noise raises it too).

    Example:
        >>> entropy(torch.full((1, 3, 8, 8), 0.5)).item()
        0.0
    """
    return abs(shannon_entropy(np.rint(enhanced @ LUMA * 255)))
