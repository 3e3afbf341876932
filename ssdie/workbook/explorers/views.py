"""Functions of the enhancement explorer, without widgets: previews, metrics, zoomed and divided views."""

import torch

from ssdie.enhancement.correction import apply_correction, downsample
from ssdie.enhancement.photo import WORKING_SIZE, as_model
from ssdie.enhancement.runtime import Model
from ssdie.evaluation.metrics import METRICS
from ssdie.networks.generators import Generator
from ssdie.ops.images import fit_long_side, to_display
from ssdie.workbook.explorers.files import enhance_full_size

PREVIEW = 512  # longer side of the images shown, pixels
SHOWN_METRICS = ("cast", "dark_channel", "e", "r", "saturated")  # fast enough to follow a slider


def preview(
    dusty: torch.Tensor, method: str, model: Model | Generator | None, working_size: int = WORKING_SIZE
) -> torch.Tensor:
    """Enhance a photo at the size at which it is displayed.

    Args:
        dusty: (3, H, W) in [0, 1].
        method: one of `ssdie.workbook.explorers.files.METHODS`.
        model: network of "ssdie"; None takes the released weights.
        working_size: longer side of the network's input, pixels; used by "ssdie" only.

    Returns:
        (3, h, w) in [0, 1] with a longer side of at most `PREVIEW`. For "ssdie" it approximates the reduced result at
        full size, since the correction is computed from the whole photo; baselines are applied to the reduced photo.

    Raises:
        ValueError: unknown method.
    """
    small = fit_long_side(dusty[None], PREVIEW)[0]
    if method != "ssdie":
        return enhance_full_size(small, method, model, working_size)
    correction = as_model(model).correct(downsample(to_display(dusty), working_size))
    return torch.from_numpy(apply_correction(to_display(small), correction)).permute(2, 0, 1).contiguous()


def measure_shown(enhanced: torch.Tensor, dusty: torch.Tensor) -> dict[str, float]:
    """Compute `SHOWN_METRICS` of an enhanced photo; both images (3, H, W) in [0, 1]."""
    pairs = ((enhanced[None], dusty[None]) if METRICS[name].needs else (enhanced[None],) for name in SHOWN_METRICS)
    return {name: METRICS[name].function(*pair).item() for name, pair in zip(SHOWN_METRICS, pairs, strict=True)}


def crop(picture: torch.Tensor, zoom: float, across: float, down: float) -> torch.Tensor:
    """Crop a region whose sides are 1 / zoom of those of the image, shifted to lie inside it.

    Args:
        picture: (C, H, W).
        zoom: at least 1.
        across, down: centre of the region as fractions of width and height; [0, 1].

    Returns:
        (C, H / zoom, W / zoom), rounded.

    Example:
        >>> crop(torch.arange(8.0).view(1, 1, 8), 4, 0.5, 0.5).flatten().tolist()
        [3.0, 4.0]
    """
    height, width = picture.shape[-2:]
    high, wide = max(1, round(height / zoom)), max(1, round(width / zoom))
    top = min(max(round(down * height - high / 2), 0), height - high)
    left = min(max(round(across * width - wide / 2), 0), width - wide)
    return picture[:, top : top + high, left : left + wide]


def split_view(dusty: torch.Tensor, enhanced: torch.Tensor, divider: float = 0.5) -> torch.Tensor:
    """Compose the dusty photo left of a white divider and the enhanced one right of it.

    Args:
        dusty, enhanced: (3, H, W) in [0, 1].
        divider: position as a fraction of the width; [0, 1].

    Example:
        >>> split_view(torch.zeros(3, 1, 4), torch.full((3, 1, 4), 0.5), 0.5)[0, 0].tolist()
        [0.0, 0.0, 1.0, 0.5]
    """
    width = dusty.shape[-1]
    place = min(max(round(divider * width), 0), width)
    picture = torch.cat((dusty[..., :place], enhanced[..., place:]), dim=-1).clone()
    picture[..., place : place + max(1, width // 300)] = 1.0
    return picture
