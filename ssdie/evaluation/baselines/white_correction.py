"""Airlight white correction, local light filter and aerial perspective prior (Peng et al., 2019)."""

import cv2
import numpy as np
import torch
from scipy.ndimage import minimum_filter1d
from skimage.color import hsv2rgb, rgb2hsv

from ssdie.evaluation.batching import enhance_each
from ssdie.ops.filters import guided_filter

HUE_RUNS = 5  # fewer runs of frequent hues mean a colour cast
LEAST_TRANSMISSION = 0.1
EPS = 0.01 / 255**2  # of the guided filter, for values in [0, 1]


@enhance_each
def airlight_white(dusty):
    r"""Remove a colour cast by desaturation, then the haze by the aerial perspective prior.

    .. math:: t = \max\Big(0.1,\; 1 - \mathrm{guided}\big(\min_{p \times p} m\,(1 - S)\big)\Big), \qquad
              J_c = \frac{I_c - A_c}{t} + A_c \text{ where } I_c < A_c

    with the darkest channel :math:`m` and the saturation :math:`S`.

    Args:
        dusty: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 3, H, W) in [0, 1], whole 8-bit levels; constant and white images stay unchanged.

    Source: Peng, Lu, Cheng, Zheng, Huang, "Image haze removal using airlight white correction, local light filter, and
    aerial perspective prior", TCSVT 2019; follows the mathematics of the published program.

    Example:
        >>> import torch
        >>> shades = torch.linspace(0.3, 0.9, 32).expand(1, 3, 32, 32)
        >>> orange = shades * torch.tensor([1.0, 0.8, 0.5]).view(1, 3, 1, 1)
        >>> enhanced = airlight_white(orange)
        >>> bool((enhanced.amax(1) - enhanced.amin(1)).max() < 0.03)  # grey again
        True
    """
    levels = np.rint(255 * dusty)
    if levels.min() == levels.max() or (levels.reshape(-1, 3) == levels[0, 0]).all():
        return dusty
    image = white_correct(levels)
    airlight = estimate_airlight(image)
    if airlight is not None:
        transmission = estimate_transmission(image)[..., None]
        recovered = np.rint((image - airlight) / transmission + airlight)
        image = np.where(image < airlight, recovered, image)
    black = _mean_of_lowest(np.clip(image.min(axis=2), 0, 255), 0.05, reached=True)
    black = np.rint(black)
    if black >= 255:
        return dusty
    return np.clip(np.rint(255 * (image - black) / (255 - black)), 0, 255) / 255


def white_correct(levels: np.ndarray) -> np.ndarray:
    """Subtract the saturation of the least saturated 1 % of the pixels from all pixels, if there is a colour cast.

    There is a cast if the bins of a 360-bin hue histogram that hold more than 1/360 of the pixels form fewer than 5
    runs of consecutive bins.

    Args:
        levels: (H, W, 3), 0 to 255.

    Returns:
        (H, W, 3), whole levels, 0 to 255.
    """
    hsv = rgb2hsv(levels / 255)
    hues = np.minimum(np.rint(360 * hsv[..., 0]), 359).astype(int)
    frequent = np.bincount(hues.ravel(), minlength=360) > hues.size / 360
    runs = int(frequent[0]) + int((frequent[1:] & ~frequent[:-1]).sum())
    if runs >= HUE_RUNS:
        return levels
    hsv[..., 1] = np.maximum(0, hsv[..., 1] - _mean_of_lowest(np.rint(255 * hsv[..., 1]), 0.01) / 255)
    return np.rint(255 * hsv2rgb(hsv))


def estimate_airlight(image: np.ndarray) -> np.ndarray | None:
    """Mean colour of the pixels whose darkest channel lies in the brightest broad mode; narrow modes are lamps.

    Args:
        image: (H, W, 3), 0 to 255.

    Returns:
        (3,), whole levels; None where no mode is 5 levels wide.
    """
    darkest = image.min(axis=2)
    histogram = minimum_filter1d(np.bincount(darkest.ravel().astype(int), minlength=256), 5, mode="nearest")
    if not histogram.any():
        return None
    above = histogram[::-1].cumsum()[::-1] / histogram.sum()
    level = np.flatnonzero(above[:255] > 0.01)[-1]
    return np.rint(image[darkest >= level].mean(axis=0))


def estimate_transmission(image: np.ndarray) -> np.ndarray:
    """Estimate the transmission (H, W) in [0.1, 1] of an image (H, W, 3), 0 to 255, by the aerial perspective prior."""
    darkest, brightest = image.min(axis=2), image.max(axis=2)
    haze = darkest * (1 - (brightest - darkest) / np.maximum(brightest, 1))
    side = _odd(np.sqrt(0.005 * darkest.size))
    haze = cv2.erode(haze, np.ones((side, side)))
    guide, source = (torch.from_numpy(plane / 255)[None, None] for plane in (darkest, haze))
    refined = guided_filter(guide, source, _odd(np.sqrt(0.1 * darkest.size)) // 2, EPS)[0, 0].numpy()
    return np.clip(1 - refined, LEAST_TRANSMISSION, 1)


def _odd(side: float) -> int:
    """Round to a whole number; an even one becomes the next odd one."""
    return round(side) // 2 * 2 + 1


def _mean_of_lowest(levels: np.ndarray, fraction: float, reached: bool = False) -> float:
    """Mean of the lowest levels: of the first histogram bins that hold more than `fraction` of the pixels.

    With `reached` the bins have to hold at least that fraction.
    """
    counts = np.bincount(levels.ravel().astype(int), minlength=256)
    total = counts.cumsum()
    last = np.argmax(total >= fraction * levels.size if reached else total > fraction * levels.size)
    return float((counts[: last + 1] * np.arange(last + 1)).sum() / total[last])
