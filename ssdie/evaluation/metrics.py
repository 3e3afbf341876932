"""The table of all metrics: what each measures, its range and direction, what it responds to and what it ignores."""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
import torch

from ssdie.evaluation.appearance import chroma, color_cast, crushed, light, measure_appearance, smoke, tint, vivid
from ssdie.evaluation.contrast import (
    dark_channel_mean,
    entropy,
    gradient_ratio,
    saturated_fraction,
    visible_edges_gained,
)
from ssdie.evaluation.fade import LEAST_SIDE, fade
from ssdie.evaluation.niqe import PATCH, niqe
from ssdie.evaluation.similarity import SSIM_WINDOW, ciede2000, psnr, ssim


class Metric(NamedTuple):
    """A row of the table of metrics."""

    title: str
    unit: str
    direction: str  # which values are better: "higher", "lower" or "" (neither)
    needs: str  # beside the enhanced image: "clear", "dusty" or nothing
    function: Callable[..., torch.Tensor]  # tensors (N, 3, H, W) in [0, 1] to (N,)
    range: str  # smallest and largest value
    responds: str  # faults or properties that move it
    ignores: str  # faults that leave it unchanged, or even improve it
    least_side: int = 1  # of the image; pixels


METRICS = {
    "psnr": Metric(
        "PSNR", "dB", "higher", "clear", psnr, "0 to infinity",
        "any difference to the reference image, most of all brightness and cast", "where in the image it is",
    ),
    "ssim": Metric(
        "SSIM", "", "higher", "clear", ssim, "-1 to 1",
        "lost or invented structure, noise, blur", "small shifts of brightness and colour", SSIM_WINDOW,
    ),
    "ciede2000": Metric(
        "CIEDE2000", "", "lower", "clear", ciede2000, "0 to about 100",
        "visible differences of colour and lightness", "structure: blur and fine noise hardly count",
    ),
    "niqe": Metric(
        "NIQE", "", "lower", "", niqe, "0 to infinity",
        "noise, blur, lost local contrast", "all colour; dark blots; detail that was invented", PATCH,
    ),
    "fade": Metric(
        "FADE", "", "lower", "", fade, "0 to infinity",
        "fog: low contrast, pale colours, bright shadows", "a cast lowers it, removing the cast raises it", LEAST_SIDE,
    ),
    "entropy": Metric(
        "entropy", "bits", "higher", "", entropy, "0 to 8",
        "a narrow histogram of luma", "colour; noise and over-enhancement raise it",
    ),
    "e": Metric(
        "e", "", "higher", "dusty", visible_edges_gained, "-1 to infinity",
        "edges that become visible", "colour; amplified noise and halos count as gain",
    ),
    "r": Metric(
        "r", "", "higher", "dusty", gradient_ratio, "0 to infinity",
        "gain in gradient at visible edges", "colour; over-enhancement counts as gain",
    ),
    "saturated": Metric(
        "saturated", "%", "lower", "dusty", saturated_fraction, "0 to 100",
        "pixels that became black or white", "single clipped channels; pixels clipped before",
    ),
    "dark_channel": Metric(
        "dark channel", "", "lower", "", dark_channel_mean, "0 to 1",
        "remaining grey veil", "an orange cast lowers it; so does a dark image",
    ),
    "cast": Metric(
        "cast", "", "lower", "", color_cast, "0 to about 130",
        "the mean colour of the image", "detail; casts of opposite colour cancel; missing colour",
    ),
    "smoke": Metric(
        "smoke", "%", "lower", "dusty", smoke, "0 to 80",
        "even dust that becomes a dark blot", "colour; everything outside the even part of the veil",
    ),
    "tint": Metric(
        "tint", "", "lower", "dusty", tint, "0 to about 130",
        "remaining or invented colour in the even part of the veil", "lightness; a blue sky counts as tint",
    ),
    "light": Metric(
        "light", "L*", "", "", light, "0 to 100",
        "brightness", "everything else; read it as a description",
    ),
    "crushed": Metric(
        "crushed", "%", "lower", "", crushed, "0 to 100",
        "shadows without detail", "blown highlights; scenes that are dark by nature count",
    ),
    "chroma": Metric(
        "chroma", "", "higher", "", chroma, "0 to about 110",
        "dull colours", "a uniform cast; colour noise and blotches raise it",
    ),
    "vivid": Metric(
        "vivid", "", "higher", "", vivid, "0 to about 130",
        "objects that lost their colour", "a uniform cast; oversaturation raises it",
    ),
}  # fmt: skip


def measure(
    enhanced: torch.Tensor, dusty: torch.Tensor | None = None, clear: torch.Tensor | None = None
) -> dict[str, float]:
    """Compute every metric whose inputs are given; the mean over the batch.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].
        dusty: the image before, as `enhanced`; needed by e, r, saturated, smoke and tint.
        clear: reference image, as `enhanced`; needed by psnr, ssim and ciede2000.

    Returns:
        Values by the names of `METRICS`, in that order, without those for which the image is too small (niqe below 96
        pixels, fade below 16, ssim below 11). The model that NIQE used is `ssdie.evaluation.niqe.load_pristine().name`.

    Example:
        >>> grey = torch.full((1, 3, 15, 15), 0.5)
        >>> list(measure(grey, clear=grey))
        ['psnr', 'ssim', 'ciede2000', 'entropy', 'dark_channel', 'cast', 'light', 'crushed', 'chroma', 'vivid']
    """
    inputs = {"": (), "dusty": (dusty,), "clear": (clear,)}
    shared = measure_appearance(enhanced, dusty)
    values = {}
    for name, metric in METRICS.items():
        others = inputs[metric.needs]
        if name in shared:  # one conversion to Lab serves all
            values[name] = shared[name].mean().item()
        elif min(enhanced.shape[-2:]) >= metric.least_side and all(other is not None for other in others):
            values[name] = metric.function(enhanced, *others).mean().item()
    return values


def metric_table() -> pd.DataFrame:
    """Describe all metrics: columns metric, better, range, compares with, responds to, ignores.

    Example:
        >>> metric_table().iloc[0, :4].tolist()
        ['PSNR dB', 'higher', '0 to infinity', 'reference image']
    """
    inputs = {"clear": "reference image", "dusty": "dusty image", "": "nothing"}
    rows = [
        {
            "metric": f"{metric.title} {metric.unit}".strip(),
            "better": metric.direction or "neither",
            "range": metric.range,
            "compares with": inputs[metric.needs],
            "responds to": metric.responds,
            "ignores": metric.ignores,
        }
        for metric in METRICS.values()
    ]
    return pd.DataFrame(rows)
