"""Linear and edge-preserving filters: box, Gaussian, guided filter and local affine fit; batched, differentiable."""

import math

import torch
import torch.nn.functional as F


def box_filter(image: torch.Tensor, radius: int) -> torch.Tensor:
    """Average (N, C, H, W) over a square window of side 2 radius + 1 pixels, cropped at the border.

    Example:
        >>> box_filter(torch.tensor([0.0, 3.0, 6.0]).view(1, 1, 1, 3), 1).flatten().tolist()
        [1.5, 3.0, 4.5]
    """
    for dim in (2, 3):
        place = torch.arange(image.shape[dim], device=image.device, dtype=image.dtype)
        inside = (place + radius).clamp(max=image.shape[dim] - 1) - (place - radius).clamp(min=0) + 1
        image = _window_sum(image, dim, radius) / inside.view(-1, *(1,) * (3 - dim))
    return image


def _window_sum(image: torch.Tensor, dim: int, radius: int) -> torch.Tensor:
    """Sum 2 radius + 1 neighbours along `dim`, with zeros beyond the border.

    Sums of 1, 2, 4, 8 ... values are built by doubling; those of the binary digits of the window's side are added.
    """
    length, width = image.shape[dim], 2 * radius + 1
    border = (radius, radius) if dim == 3 else (0, 0, radius, radius)
    power, span, total, start = F.pad(image, border), 1, None, 0
    while True:
        if width & span:
            part = power.narrow(dim, start, length)
            total, start = part if total is None else total + part, start + span
        if 2 * span > width:
            return total
        pairs = power.shape[dim] - span
        power, span = power.narrow(dim, 0, pairs) + power.narrow(dim, span, pairs), 2 * span


def gaussian_blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Convolve with a Gaussian; the image is mirrored at its borders, repeatedly if the kernel exceeds it.

    Args:
        image: (N, C, H, W), any range.
        sigma: standard deviation; pixels; 0 returns the image unchanged.

    Example:
        >>> gaussian_blur(torch.full((1, 1, 5, 5), 0.25), sigma=30.0).mean().item()
        0.25
    """
    if sigma <= 0:
        return image
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = (weights / weights.sum()).to(image.dtype)
    channels = image.shape[1]
    for dim in (2, 3):
        positions = torch.arange(-radius, image.shape[dim] + radius, device=image.device)
        index = mirror_index(positions, image.shape[dim])
        shape = [channels, 1, 1, 1]
        shape[dim] = len(weights)
        image = F.conv2d(image.index_select(dim, index), weights.view(shape[1:]).expand(shape), groups=channels)
    return image


def mirror_index(positions: torch.Tensor, length: int) -> torch.Tensor:
    """Mirror integer positions into 0 to length - 1, repeatedly if needed; the border pixel occurs twice.

    Example:
        >>> mirror_index(torch.arange(-2, 6), 3).tolist()
        [1, 0, 0, 1, 2, 2, 1, 0]
    """
    index = positions % (2 * length)
    return torch.minimum(index, 2 * length - 1 - index)


def guided_filter(guide: torch.Tensor, source: torch.Tensor, radius: int, eps: float) -> torch.Tensor:
    r"""Smooth a source, but not across the edges of a guide.

    .. math::
        q = \bar a \cdot I + \bar b

    I is the guide, a and b fit the source in the window around each pixel (`fit_affine`), and the bar is the mean over
    all windows that contain the pixel.

    Args:
        guide: (N, 1, H, W) or (N, 3, H, W) in [0, 1].
        source: (N, C, H, W), any range.
        radius: of the square window; pixels.
        eps: ridge weight; variations of the guide well below sqrt(eps) are smoothed.

    Returns:
        (N, C, H, W).

    Source: He, Sun, Tang, "Guided image filtering", TPAMI 2013, equations 11 to 19.

    Example:
        >>> ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
        >>> torch.allclose(guided_filter(ramp, 3 * ramp - 1, 4, 1e-6), 3 * ramp - 1, atol=1e-2)
        True
    """
    slope, offset = fit_affine(guide, source, radius, eps)
    return apply_affine(guide, box_filter(slope.flatten(1, 2), radius).view_as(slope), box_filter(offset, radius))


def fit_affine(guide: torch.Tensor, source: torch.Tensor, radius: int, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Fit the source by an affine function of the guide in the window W around each pixel, with a ridge on a.

    .. math::
        \min_{a, b} \sum_{x \in W} (a \cdot I(x) + b - p(x))^2 + \epsilon \lVert a \rVert^2

    I is the guide, p the source.

    Args:
        guide: (N, G, H, W); G is 1 or 3.
        source: (N, C, H, W).
        radius: of the square window; pixels.
        eps: ridge weight on a.

    Returns:
        a (N, C, G, H, W) and b (N, C, H, W).

    Source: He, Sun, Tang 2013, equations 14 and 15; the 3 x 3 systems are inverted by cofactors.
    """
    batch, depth, height, width = guide.shape
    classes = source.shape[1]
    mean_guide, mean_source = box_filter(guide, radius), box_filter(source, radius)
    products = (source[:, :, None] * guide[:, None]).flatten(1, 2)
    covariance = box_filter(products, radius).view(batch, classes, depth, height, width)
    covariance = covariance - mean_source[:, :, None] * mean_guide[:, None]
    if depth == 1:
        variance = box_filter(guide * guide, radius) - mean_guide**2
        slope = covariance / (variance[:, None] + eps)
    else:
        rows, columns = torch.triu_indices(depth, depth, device=guide.device)
        upper = box_filter(guide[:, rows] * guide[:, columns], radius) - mean_guide[:, rows] * mean_guide[:, columns]
        inverse = _inverse3(upper, eps)  # (N, G, G, H, W)
        slope = (covariance[:, :, :, None] * inverse[:, None]).sum(2)  # not einsum, which autocast rounds to bfloat16
    return slope, mean_source - (slope * mean_guide[:, None]).sum(2)


def apply_affine(guide: torch.Tensor, slope: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    r"""Apply an affine map at each pixel.

    .. math:: q_c(x) = \sum_g a_{cg}(x)\, I_g(x) + b_c(x)

    Args:
        guide: I; (N, G, H, W).
        slope: a; (N, C, G, H, W).
        offset: b; (N, C, H, W).

    Returns:
        q; (N, C, H, W).
    """
    return (slope * guide[:, None]).sum(2) + offset


def _inverse3(upper: torch.Tensor, eps: float) -> torch.Tensor:
    """Invert symmetric matrices, given as upper triangles (N, 6, H, W), by cofactors; eps is added to the diagonal."""
    a, b, c, d, e, f = upper.unbind(1)
    a, d, f = a + eps, d + eps, f + eps
    cofactors = (d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b)
    determinant = a * cofactors[0] + b * cofactors[1] + c * cofactors[2]
    p, q, r, s, t, u = (x / determinant for x in cofactors)
    rows = (torch.stack((p, q, r), 1), torch.stack((q, s, t), 1), torch.stack((r, t, u), 1))
    return torch.stack(rows, 1)
