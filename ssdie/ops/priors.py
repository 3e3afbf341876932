"""Priors of dusty photos made by hand: dark channel, Retinex, guided filter, airlight; batched, differentiable."""

import torch
import torch.nn.functional as F

from ssdie.ops.filters import gaussian_blur
from ssdie.ops.images import check_image

DARK_CHANNELS = ("joint", "each")


def dark_channel(image: torch.Tensor, window: int = 15) -> torch.Tensor:
    """Darkest value around each pixel: D(x) = min over y in window(x), c in {R, G, B} of I_c(y).

    Args:
        image: (N, 3, H, W) in [0, 1].
        window: side of the square window; odd, pixels; cut off at the border.

    Returns:
        (N, 1, H, W) in [0, 1].

    Source: He, Sun, Tang, "Single image haze removal using dark channel prior", TPAMI 2011, equation 5.

    Example:
        >>> picture = torch.ones(1, 3, 9, 9)
        >>> picture[0, 1, 4, 4] = 0
        >>> int((dark_channel(picture, window=3) == 0).sum())
        9
    """
    check_image(image)
    if window % 2 == 0 or window < 1:
        raise ValueError(f"window is {window}; wanted is an odd number of pixels; use {window + 1}.")
    darkest = -image.amin(dim=1, keepdim=True)
    for kernel in ((window, 1), (1, window)):  # the minimum over a square is separable
        darkest = F.max_pool2d(darkest, kernel, stride=1, padding=(kernel[0] // 2, kernel[1] // 2))
    return -darkest


def block_dark_channel(image: torch.Tensor, block: int = 16, kind: str = "joint") -> torch.Tensor:
    """Darkest value of each block, held constant over the block: what dc-Net looks at.

    Args:
        image: (N, 3, H, W) in [0, 1]; sides need not be multiples of `block` (the last blocks are smaller).
        block: side of a block; pixels.
        kind: "joint", the paper's: darkest over the channels too; "each": every channel by itself. An orange cast has
            a dark blue channel, so the joint one takes it for clear; each channel by itself gives it away.

    Returns:
        (N, 1, H, W), or (N, 3, H, W) for "each", in [0, 1]; the gradient reaches the darkest pixel of each block alone.

    Raises:
        ValueError: no such kind.

    Source: method section 4; the released code fills only 256 x 256 of a larger picture, this fills any size.

    Example:
        >>> picture = torch.ones(1, 3, 4, 6)
        >>> picture[0, 2, 0, 0] = 0.25
        >>> block_dark_channel(picture, block=2)[0, 0, :3, :3].tolist()
        [[0.25, 0.25, 1.0], [0.25, 0.25, 1.0], [1.0, 1.0, 1.0]]
    """
    check_image(image)
    if kind not in DARK_CHANNELS:
        raise ValueError(f"dark channel is {kind!r}; wanted is one of {', '.join(DARK_CHANNELS)}.")
    height, width = image.shape[-2:]
    image = image.amin(dim=1, keepdim=True) if kind == "joint" else image
    blocks = -F.max_pool2d(-image, block, ceil_mode=True)
    held = blocks.repeat_interleave(block, dim=2).repeat_interleave(block, dim=3)
    return held[..., :height, :width]


def single_scale_retinex(image: torch.Tensor, sigma: float = 25.0, stretch: str = "channel") -> torch.Tensor:
    """Reflectance estimate: R = log(v + 0.01) - log(gauss_sigma(v) + 0.01), stretched to [0, 1].

    Args:
        image: (N, 3, H, W) in [0, 1].
        sigma: of the surround; pixels.
        stretch: "channel", the paper's form: each channel by its own minimum and maximum (removes any cast, and turns
            flat skies lavender); "joint": all channels by the same 1 % and 99 % quantiles after the mean of each
            channel is taken out by a gray-world shift, which one outlying pixel cannot move.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: Jobson, Rahman, Woodell, "Properties and performance of a center/surround Retinex", TIP 1997, equation 1;
    method section 4.

    Example:
        >>> single_scale_retinex(torch.full((1, 3, 8, 8), 0.3)).unique().numel()  # no detail: flat
        1
    """
    check_image(image)
    reflectance = torch.log(image + 0.01) - torch.log(gaussian_blur(image, sigma) + 0.01)
    if stretch == "channel":
        low, high = reflectance.amin((2, 3), keepdim=True), reflectance.amax((2, 3), keepdim=True)
    elif stretch == "joint":
        reflectance = reflectance - reflectance.mean((2, 3), keepdim=True)
        low, high = (q.view(-1, 1, 1, 1) for q in _quantiles(reflectance.flatten(1), (0.01, 0.99)))
    else:
        raise ValueError(f'stretch is {stretch!r}; wanted is "channel" or "joint".')
    return ((reflectance - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)


def _quantiles(rows: torch.Tensor, levels: tuple[float, ...]) -> list[torch.Tensor]:
    """Quantiles of each row by sorting: `torch.quantile` refuses rows of over 16 million values."""
    ordered = rows.sort(dim=1).values
    return [ordered[:, round(level * (rows.shape[1] - 1))] for level in levels]


def estimate_airlight(image: torch.Tensor, window: int = 15, share: float = 0.001) -> torch.Tensor:
    """Colour of the dust veil: the mean of the pixels whose dark channel is among the brightest `share`.

    Args:
        image: (N, 3, H, W) in [0, 1].
        window: of the dark channel; odd, pixels.
        share: of the pixels that vote; (0, 1].

    Returns:
        (N, 3) RGB in [0, 1].

    Source: He, Sun, Tang 2011, section 4.4; the mean of the voters replaces the brightest one, which may be a lamp.

    Example:
        >>> veil = torch.tensor([0.8, 0.6, 0.3]).view(1, 3, 1, 1).expand(1, 3, 20, 20)
        >>> [round(v, 3) for v in estimate_airlight(veil)[0].tolist()]
        [0.8, 0.6, 0.3]
    """
    dark = dark_channel(image, window).flatten(1)
    count = max(1, round(share * dark.shape[1]))
    voters = dark.topk(count, dim=1).indices[:, None].expand(-1, 3, -1)
    return image.flatten(2).gather(2, voters).mean(2)


def estimate_transmission(
    image: torch.Tensor, airlight: torch.Tensor, window: int = 15, omega: float = 0.95
) -> torch.Tensor:
    """Transmission by the dark channel prior: t = 1 - omega D(I / A).

    Args:
        image: (N, 3, H, W) in [0, 1].
        airlight: (N, 3) in (0, 1].
        window: odd, pixels.
        omega: share of the veil that is taken off; [0, 1].

    Returns:
        (N, 1, H, W) in [1 - omega, 1].

    Source: He, Sun, Tang 2011, equation 12.

    Example:
        >>> A = torch.tensor([[0.9, 0.7, 0.4]])
        >>> round(estimate_transmission(A.view(1, 3, 1, 1).expand(1, 3, 8, 8), A).mean().item(), 3)
        0.05
    """
    ratio = (image / airlight.clamp_min(1e-3)[:, :, None, None]).clamp(0, 1)
    return 1 - omega * dark_channel(ratio, window)
