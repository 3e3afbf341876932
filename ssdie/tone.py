"""The last touch: levels and local contrast of an enhanced picture, chosen from the picture itself."""

import torch

from ssdie.priors import guided_filter

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def luminance(image: torch.Tensor) -> torch.Tensor:
    """Weighted sum of the channels, Y = 0.299 R + 0.587 G + 0.114 B: (N, 3, H, W) to (N, 1, H, W)."""
    return (image * image.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def stretch_levels(image: torch.Tensor, clipped: float = 0.001, most: float = 1.5) -> torch.Tensor:
    """Spread the values over [0, 1], all channels alike: (v - low) / (high - low).

    Args:
        image: (N, 3, H, W) in [0, 1].
        clipped: share of the pixels that may fall on black, and on white.
        most: largest gain of contrast.

    Returns:
        (N, 3, H, W) in [0, 1].

    Example:
        >>> flat = torch.full((1, 3, 4, 4), 0.5)
        >>> torch.equal(stretch_levels(flat), flat)  # nothing to spread
        True
    """
    darkest, brightest = image.amin(1).flatten(1).sort(1).values, image.amax(1).flatten(1).sort(1).values
    place = round(clipped * (darkest.shape[1] - 1))
    low, high = darkest[:, place], brightest[:, -1 - place]
    gain = (1 / (high - low).clamp_min(1e-3)).clamp(1, most)
    # where the gain is bounded, the middle of the range stays in its place
    middle = (low + high) / 2
    room = (1 - gain * (high - low)).clamp_min(0)
    target = gain * (high - low) / 2 + room * middle
    gain, middle, target = (v.view(-1, 1, 1, 1) for v in (gain, middle, target))
    return (gain * (image - middle) + torch.where(gain > 1, target, middle)).clamp(0, 1)


def boost_detail(image: torch.Tensor, boost: float = 0.75, radius: float = 0.04, eps: float = 0.01) -> torch.Tensor:
    """Add detail to the luminance, detail = Y - guided(Y): no halo at strong edges, which the guided filter keeps.

    Args:
        image: (N, 3, H, W) in [0, 1].
        boost: share of the detail that is added.
        radius: of the window, share of the short side; eps: of the guided filter.
    """
    luma = luminance(image)
    detail = luma - guided_filter(luma, luma, max(1, round(radius * min(image.shape[-2:]))), eps)
    return (image + boost * detail).clamp(0, 1)


def finish(image: torch.Tensor) -> torch.Tensor:
    """Apply `boost_detail`, then `stretch_levels`: (N, 3, H, W) in [0, 1] to the same."""
    return stretch_levels(boost_detail(image))
