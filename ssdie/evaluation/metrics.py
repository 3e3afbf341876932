"""How good is an enhanced photo? Against its clear twin, against the dusty photo, or by itself."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import sobel, uniform_filter
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.measure import shannon_entropy
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ssdie.evaluation.niqe import PATCH, niqe
from ssdie.ops import priors
from ssdie.ops.color import LUMA
from ssdie.ops.images import check_image, to_display

VISIBLE = 0.05  # least local contrast of an edge that is seen (CIE)
LEVEL = 1 / 255  # one 8-bit step


def _per_picture(metric: Callable[..., float]) -> Callable[..., torch.Tensor]:
    """Let a metric of float64 arrays (H, W, 3) take tensors (N, 3, H, W) and give (N,)."""

    @functools.wraps(metric)
    def measure_batch(*images: torch.Tensor) -> torch.Tensor:
        for image in images:
            check_image(image)
            if image.shape != images[0].shape:
                shapes = " and ".join(str(tuple(i.shape)) for i in images)
                raise ValueError(f"the pictures have shapes {shapes}; wanted are equal ones; resize one.")
        rows = zip(*images, strict=True)
        values = [float(metric(*(to_display(picture).astype(np.float64) for picture in row))) for row in rows]
        return torch.tensor(values, dtype=torch.float64)

    return measure_batch


@_per_picture
def psnr(enhanced, clear):
    """Peak signal-to-noise ratio: -10 log10 mean((J - J')^2), over all pixels and channels of each picture.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].
        clear: as `enhanced`.

    Returns:
        (N,), float64; dB, unbounded (infinite for equal pictures); higher is better.

    Source: scikit-image.

    Example:
        >>> round(psnr(torch.full((1, 3, 8, 8), 0.6), torch.full((1, 3, 8, 8), 0.5)).item(), 3)
        20.0
    """
    return peak_signal_noise_ratio(clear, enhanced, data_range=1) if (clear != enhanced).any() else np.inf


@_per_picture
def ssim(enhanced, clear):
    """Structural similarity: mean of (2 m m' + c1)(2 s + c2) / ((m^2 + m'^2 + c1)(v + v' + c2)).

    Args:
        enhanced: (N, 3, H, W) in [0, 1]; each side at least 11 pixels.
        clear: as `enhanced`.

    Returns:
        (N,), float64; [-1, 1]; higher is better.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", TIP 2004, equation 13; by
    scikit-image; Gaussian window of 11 pixels, sigma 1.5; mean over R, G and B (luma gives about 0.03 more).

    Example:
        >>> ssim(torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 0.5)).item()
        1.0
    """
    if min(clear.shape[:2]) < 11:
        raise ValueError(f"image is {clear.shape[1]} x {clear.shape[0]} pixels; SSIM needs sides of 11.")
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(clear, enhanced, data_range=1, channel_axis=2, **window)


@_per_picture
def ciede2000(enhanced, clear):
    """Mean CIEDE2000 colour difference over the picture.

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.
        clear: as `enhanced`.

    Returns:
        (N,), float64; 0 to about 100, 1 is just noticeable; lower is better.

    Source: Sharma, Wu, Dalal, Color Research and Application 2005; by scikit-image.

    Example:
        >>> white, black = torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
        >>> round(ciede2000(black, white).item(), 1), ciede2000(white, white).item()
        (100.0, 0.0)
    """
    return deltaE_ciede2000(rgb2lab(clear), rgb2lab(enhanced)).mean()


@_per_picture
def color_cast(enhanced):
    """Distance of the mean colour from grey: sqrt(mean(a*)^2 + mean(b*)^2) in CIE Lab.

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.

    Returns:
        (N,), float64; 0 to about 130; lower is better, though a scene is rarely grey: below 6 is clean.

    Example:
        >>> orange = torch.tensor([0.9, 0.5, 0.1]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        >>> bool(colour_cast(0 * orange + 0.5) < 0.1), bool(colour_cast(orange) > 60)
        (True, True)
    """
    return np.hypot(*rgb2lab(enhanced)[..., 1:].mean(axis=(0, 1)))


def _luma_gradient(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luma and the length of its Sobel gradient: the step between the two sides of a pixel."""
    luma = picture @ LUMA
    return luma, np.hypot(sobel(luma, axis=0, mode="nearest"), sobel(luma, axis=1, mode="nearest")) / 4


def _visible_edges(luma: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Pixels whose gradient is at least 5 % of the mean luma of the 7 x 7 pixels around."""
    return gradient >= VISIBLE * np.maximum(uniform_filter(luma, 7, mode="nearest"), LEVEL)


@_per_picture
def visible_edges_gained(enhanced, dusty):
    """Share of new visible edges: e = (n_r - n_0) / n_0, n the number of pixels of local contrast above 5 %.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].
        dusty: as `enhanced`.

    Returns:
        (N,), float64; at least -1, 0 for the dusty photo itself; higher is better, unless pixels saturate or
        noise is made visible. A dusty photo without any visible edge counts as having one.

    Source: Hautiere, Tarel, Aubert, Dumont, "Blind contrast enhancement assessment by gradient ratioing at
    visible edges", Image Analysis and Stereology 2008. Local contrast is the Sobel step over the mean luma
    around it (Weber), where the paper segments each window by Kohler's method.

    Example:
        >>> ramp = torch.linspace(0.2, 0.8, 32).expand(1, 3, 32, 32)
        >>> visible_edges_gained(ramp, ramp).item()
        0.0
    """
    before = _visible_edges(*_luma_gradient(dusty)).sum()
    return (_visible_edges(*_luma_gradient(enhanced)).sum() - before) / max(1, before)


@_per_picture
def gradient_ratio(enhanced, dusty):
    """Gain of gradient: r = exp(mean of log(g_r / g_0)) over the visible edges of the enhanced photo.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].
        dusty: as `enhanced`.

    Returns:
        (N,), float64; above 0, 1 for the dusty photo itself; higher is better, unless pixels saturate; not a
        number where the enhanced photo has no visible edge.

    Source: Hautiere et al. 2008; a gradient g_0 below a tenth of an 8-bit step counts as a tenth.

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


@_per_picture
def saturated_share(enhanced, dusty):
    """Share of pixels that became black or white: 100 n_s / (H W), in 8-bit luma.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].
        dusty: as `enhanced`.

    Returns:
        (N,), float64; %, 0 to 100, 0 for the dusty photo itself; lower is better.

    Source: Hautiere et al. 2008.

    Example:
        >>> dusty = torch.linspace(0.1, 0.9, 10).expand(1, 3, 4, 10)
        >>> saturated_share((2 * dusty - 0.5).clamp(0, 1), dusty).item()
        40.0
    """
    extreme = [np.abs(picture @ LUMA - 0.5) > 0.5 - LEVEL / 2 for picture in (enhanced, dusty)]
    return 100 * (extreme[0] & ~extreme[1]).mean()


def dark_channel_mean(enhanced: torch.Tensor) -> torch.Tensor:
    """Mean of the dark channel, the darkest value within 15 x 15 pixels: what is left of the veil.

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


@_per_picture
def entropy(enhanced):
    """Shannon entropy of the 8-bit luma: -sum p log2 p.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].

    Returns:
        (N,), float64; bits, 0 to 8; higher is better (noise raises it too).

    Example:
        >>> entropy(torch.full((1, 3, 8, 8), 0.5)).item()
        0.0
    """
    return abs(shannon_entropy(np.rint(enhanced @ LUMA * 255)))


class Metric(NamedTuple):
    """A row of the table of metrics."""

    title: str
    unit: str
    direction: str  # "higher" or "lower" is better
    needs: str  # beside the enhanced picture: "clear", "dusty" or nothing
    function: Callable[..., torch.Tensor]


METRICS = {
    "psnr": Metric("PSNR", "dB", "higher", "clear", psnr),
    "ssim": Metric("SSIM", "", "higher", "clear", ssim),
    "ciede2000": Metric("CIEDE2000", "", "lower", "clear", ciede2000),
    "niqe": Metric("NIQE", "", "lower", "", niqe),
    "cast": Metric("cast", "", "lower", "", color_cast),
    "e": Metric("e", "", "higher", "dusty", visible_edges_gained),
    "r": Metric("r", "", "higher", "dusty", gradient_ratio),
    "saturated": Metric("saturated", "%", "lower", "dusty", saturated_share),
    "dark_channel": Metric("dark channel", "", "lower", "", dark_channel_mean),
    "entropy": Metric("entropy", "bits", "higher", "", entropy),
}


def measure(
    enhanced: torch.Tensor, dusty: torch.Tensor | None = None, clear: torch.Tensor | None = None
) -> dict[str, float]:
    """Measure everything that can be measured; the mean over the batch.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].
        dusty: the photo before, as `enhanced`; e, r and saturated need it.
        clear: the scene without dust, as `enhanced`; psnr, ssim and ciede2000 need it.

    Returns:
        Values by the names of `METRICS`, in that order; niqe is left out where a side is shorter than 96
        pixels. Which pristine model NIQE took is `ssdie.evaluation.niqe.load_pristine().name`.

    Example:
        >>> grey = torch.full((1, 3, 16, 16), 0.5)
        >>> list(measure(grey, clear=grey))
        ['psnr', 'ssim', 'ciede2000', 'cast', 'dark_channel', 'entropy']
    """
    beside = {"": (), "dusty": (dusty,), "clear": (clear,)}
    values = {}
    for name, metric in METRICS.items():
        others = beside[metric.needs]
        too_small = name == "niqe" and min(enhanced.shape[-2:]) < PATCH
        if not too_small and all(other is not None for other in others):
            values[name] = metric.function(enhanced, *others).mean().item()
    return values
