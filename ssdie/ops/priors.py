"""Hand-crafted priors of dusty photos: dark channel, Retinex, airlight, transmission; batched and differentiable."""

import torch
import torch.nn.functional as F

from ssdie.ops.filters import gaussian_blur
from ssdie.ops.images import check_image

DARK_CHANNELS = ("joint", "each")


def dark_channel(image: torch.Tensor, window: int = 15) -> torch.Tensor:
    r"""Compute the dark channel: the smallest value of any colour channel in the window W(x) around each pixel x.

    .. math::
        D(x) = \min_{y \in W(x)} \; \min_{c \in \{R, G, B\}} I_c(y)

    Args:
        image: (N, 3, H, W) in [0, 1].
        window: side of the square window; odd, pixels; cropped at the border.

    Returns:
        (N, 1, H, W) in [0, 1].

    Raises:
        ValueError: `window` is not an odd positive number.

    Source: He, Sun, Tang, "Single image haze removal using dark channel prior", TPAMI 2011, equation 5.

    Example:
        >>> picture = torch.ones(1, 3, 9, 9)
        >>> picture[0, 1, 4, 4] = 0
        >>> int((dark_channel(picture, window=3) == 0).sum())
        9
    """
    check_image(image)
    if window % 2 == 0 or window < 1:
        raise ValueError(f"window: expected an odd positive number, got {window}. Use {max(1, window + 1)}.")
    darkest = -image.amin(dim=1, keepdim=True)
    for kernel in ((window, 1), (1, window)):  # the minimum over a square is separable
        darkest = F.max_pool2d(darkest, kernel, stride=1, padding=(kernel[0] // 2, kernel[1] // 2))
    return -darkest


def block_dark_channel(image: torch.Tensor, block: int = 16, kind: str = "joint") -> torch.Tensor:
    """Compute the dark channel of non-overlapping blocks, constant over each block: the input of the dc-Net.

    Args:
        image: (N, 3, H, W) in [0, 1]; sides need not be multiples of `block` (the last blocks are smaller).
        block: side of a block; pixels.
        kind: "joint" (the paper's): minimum over the block and the channels; "each": minimum over the block for each
            channel separately. Under an orange cast the blue channel is dark, so that the joint dark channel is as low
            as that of a clear photo; separate channels reveal the cast.

    Returns:
        (N, 1, H, W), or (N, 3, H, W) for "each", in [0, 1]; only the darkest pixel of each block gets a gradient.

    Raises:
        ValueError: `kind` is unknown.

    Source: method section 4. The released code fills only 256 x 256 pixels of a larger image; this function has no
    such limit.

    Example:
        >>> picture = torch.ones(1, 3, 4, 6)
        >>> picture[0, 2, 0, 0] = 0.25
        >>> block_dark_channel(picture, block=2)[0, 0, :3, :3].tolist()
        [[0.25, 0.25, 1.0], [0.25, 0.25, 1.0], [1.0, 1.0, 1.0]]
    """
    check_image(image)
    if kind not in DARK_CHANNELS:
        raise ValueError(f"kind: expected one of {', '.join(DARK_CHANNELS)}, got {kind!r}.")
    height, width = image.shape[-2:]
    image = image.amin(dim=1, keepdim=True) if kind == "joint" else image
    blocks = -F.max_pool2d(-image, block, ceil_mode=True)
    expanded = blocks.repeat_interleave(block, dim=2).repeat_interleave(block, dim=3)
    return expanded[..., :height, :width]


def single_scale_retinex(image: torch.Tensor, sigma: float = 25.0, stretch: str = "channel") -> torch.Tensor:
    r"""Estimate the reflectance by single-scale Retinex, and stretch it to [0, 1].

    .. math::
        R = \log(I + 0.01) - \log(G_\sigma * I + 0.01)

    Args:
        image: (N, 3, H, W) in [0, 1].
        sigma: standard deviation of the Gaussian surround; pixels.
        stretch: "channel" (the paper's): stretch each channel between its own minimum and maximum, which removes any
            cast, but turns flat skies lavender; "joint": subtract the mean of each channel (gray world), then stretch
            all channels between the same 1 % and 99 % quantiles, which are robust to outliers.

    Returns:
        (N, 3, H, W) in [0, 1].

    Raises:
        ValueError: `stretch` is unknown.

    Source: Jobson, Rahman, Woodell, "Properties and performance of a center/surround Retinex", TIP 1997, equation 1;
    method section 4.

    Example:
        >>> single_scale_retinex(torch.full((1, 3, 8, 8), 0.3)).unique().numel()  # constant images stay constant
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
        raise ValueError(f'stretch: expected "channel" or "joint", got {stretch!r}.')
    return ((reflectance - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)


def _quantiles(rows: torch.Tensor, levels: tuple[float, ...]) -> list[torch.Tensor]:
    """Compute quantiles of each row by sorting; `torch.quantile` rejects rows of more than 16 million values."""
    ordered = rows.sort(dim=1).values
    return [ordered[:, round(level * (rows.shape[1] - 1))] for level in levels]


def estimate_airlight(image: torch.Tensor, window: int = 15, fraction: float = 0.001) -> torch.Tensor:
    """Estimate the airlight as the mean colour of the pixels with the brightest dark channel.

    Args:
        image: (N, 3, H, W) in [0, 1].
        window: side of the window of the dark channel; odd, pixels.
        fraction: part of the pixels that is averaged; (0, 1].

    Returns:
        (N, 3) RGB in [0, 1].

    Source: He, Sun, Tang 2011, section 4.4; they take the brightest of these pixels, which may be a lamp, instead of
    the mean.

    Example:
        >>> veil = torch.tensor([0.8, 0.6, 0.3]).view(1, 3, 1, 1).expand(1, 3, 20, 20)
        >>> [round(v, 3) for v in estimate_airlight(veil)[0].tolist()]
        [0.8, 0.6, 0.3]
    """
    dark = dark_channel(image, window).flatten(1)
    parts = 10**6  # integer arithmetic, because ONNX cannot round a size
    count = torch.sym_max(1, (dark.shape[1] * round(parts * fraction) + parts // 2) // parts)
    threshold = dark.topk(count, dim=1).values[:, -1:]
    selected = (dark >= threshold).to(image.dtype)[:, None]  # includes every pixel equal to the threshold
    return (image.flatten(2) * selected).sum(2) / selected.sum(2)


def estimate_transmission(
    image: torch.Tensor, airlight: torch.Tensor, window: int = 15, omega: float = 0.95
) -> torch.Tensor:
    r"""Estimate the transmission by the dark channel prior.

    .. math::
        t = 1 - \omega \, D(I / A)

    Args:
        image: (N, 3, H, W) in [0, 1].
        airlight: A; (N, 3) in (0, 1].
        window: side of the window of the dark channel; odd, pixels.
        omega: fraction of the veil to remove; [0, 1].

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
