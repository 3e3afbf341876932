r"""Affine colour maps: fitted to the change that the network makes, and applied to the pixels of the full-size photo.

At the working size, the enhanced image is fitted in windows, as in the guided filter of He et al.:

.. math:: J_c(x) \approx \sum_k a_{ck}(x)\, I_k(x) + b_c(x), \qquad c, k \in \{R, G, B\}

The maps a and b are smooth, so they can be interpolated to full size, where the photo keeps its own edges and detail.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from ssdie.ops import tone
from ssdie.ops.color import luminance
from ssdie.ops.filters import apply_affine, box_filter, fit_affine
from ssdie.photo.files import fitted_size

RADIUS, EPS = 5, 2e-4  # affine fit: window radius, in pixels of the working size; ridge weight
WIDE_RADIUS = 14  # radius of the wide window, used where the narrow one has little structure
STRUCTURE = 5e-4  # luminance variance in the narrow window at which both windows get equal weight
TRUST_RADIUS = 3  # radius of the box filter that smooths these weights; pixels of the working size
STRIP = 16  # rows of the photo that are mapped at a time


def downsample(image: torch.Tensor, long_side: int) -> torch.Tensor:
    """Downsample by averaging with exact area weights, as `ssdie.enhancement.correction.downsample` does.

    Args:
        image: (N, C, H, W) float.
        long_side: largest longer side of the result, pixels; nothing is enlarged.

    Returns:
        (N, C, h, w) of the same dtype.

    Example:
        >>> downsample(torch.arange(6.0).view(1, 1, 1, 6), 3).flatten().tolist()
        [0.5, 2.5, 4.5]
    """
    height, width = fitted_size(image.shape[-2:], long_side)
    rows, columns = _area_weights(image, 2, height), _area_weights(image, 3, width)
    return rows @ image @ columns.T


def _area_weights(image: torch.Tensor, dim: int, parts: int) -> torch.Tensor:
    """Build the matrix (parts, length) that averages one side over `parts` intervals of equal length."""
    length = image.shape[dim]
    pixel = torch.arange(length, device=image.device, dtype=torch.float64)
    start = torch.arange(parts, device=image.device, dtype=torch.float64)[:, None] * (length / parts)
    overlap = torch.minimum(pixel + 1, start + length / parts) - torch.maximum(pixel, start)
    return (overlap.clamp_min(0) * (parts / length)).to(image.dtype)


def fit_correction(dusty: torch.Tensor, change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit the change of a batch by affine colour maps in windows; differentiable in the change.

    The change is fitted instead of the result, so that in flat regions the ridge shrinks the maps towards the identity.
    Structure in the change where the photo is flat is an artefact of the network, such as a dark blot in opaque dust.
    A window no larger than the artefact would reproduce it. The fits of a narrow and a wide window are therefore
    blended: the smaller the luminance variance in the narrow window, the larger the weight of the wide one.

    Args:
        dusty: photos at the working size; (N, 3, h, w) in [0, 1].
        change: enhanced - dusty; (N, 3, h, w).

    Returns:
        Slope (N, 3, 3, h, w) and offset (N, 3, h, w) of enhanced = slope . dusty + offset.

    Example:
        >>> dusty = torch.rand(1, 3, 16, 16)
        >>> slope, offset = fit_correction(dusty, torch.zeros_like(dusty))  # no change: the identity
        >>> torch.equal(slope[0, :, :, 0, 0], torch.eye(3)), offset.abs().max().item()
        (True, 0.0)
    """
    luma = luminance(dusty)
    variance = box_filter(luma * luma, RADIUS) - box_filter(luma, RADIUS) ** 2
    trust = box_filter(variance / (variance + STRUCTURE), TRUST_RADIUS)  # weight of the narrow window; (N, 1, h, w)
    parts = []
    for radius in (WIDE_RADIUS, RADIUS):
        slope, offset = fit_affine(dusty, change, radius, EPS)
        parts.append(box_filter(torch.cat((slope.flatten(1, 2), offset), 1), radius))  # (N, 12, h, w)
    maps = torch.lerp(*parts, trust)
    return maps[:, :9].unflatten(1, (3, 3)) + torch.eye(3, device=dusty.device)[..., None, None], maps[:, 9:]


def enhance_batch(
    dusty: torch.Tensor, enhancer: Callable[[torch.Tensor], torch.Tensor], working_size: int, postprocess: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Enhance square crops by the steps that full photos go through, differentiably, for losses at the crops' size.

    Args:
        dusty: (N, 3, S, S) in [0, 1].
        enhancer: function from (N, 3, s, s) to (N, 3, s, s).
        working_size: s, side of the enhancer's input; pixels; 0 or at least S: apply the enhancer to the crop.
        postprocess: apply `ssdie.ops.tone.postprocess` to the enhancer's output.

    Returns:
        The enhanced crops (N, 3, S, S) in [0, 1], and the residual of the fit (scalar): the mean absolute difference,
        at the working size, between the enhancer's output and its affine fit. The fit smooths away patterns such as a
        grid, so that no other loss penalises them; a loss on the residual does.

    Source: training through the fit follows Wu, Zheng, Zhang, Huang, "Fast end-to-end trainable guided filter", CVPR
    2018.
    """
    if not 0 < working_size < dusty.shape[-1]:
        return enhancer(dusty), dusty.new_zeros(())
    small = F.interpolate(dusty, size=(working_size, working_size), mode="area")
    enhanced = enhancer(small)
    enhanced = (tone.postprocess(enhanced) if postprocess else enhanced).contiguous()
    small = small.contiguous()
    slope, offset = fit_correction(small, enhanced - small)
    fit_residual = (apply_affine(small, slope, offset) - enhanced).abs().mean()
    maps = torch.cat((slope.flatten(1, 2), offset), 1)  # (N, 12, s, s)
    maps = F.interpolate(maps, size=dusty.shape[-2:], mode="bilinear")
    return apply_affine(dusty, maps[:, :9].unflatten(1, (3, 3)), maps[:, 9:]).clamp(0, 1), fit_residual


def apply_correction(image: torch.Tensor, slope: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Apply affine colour maps, interpolated bilinearly to the size of the image, one strip of rows at a time.

    Args:
        image: (N, 3, H, W) in [0, 1].
        slope: a, by output and input channel; (N, 3, 3, h, w), any size.
        offset: b; (N, 3, h, w).

    Returns:
        (N, 3, H, W) in [0, 1].
    """
    height, width = image.shape[-2:]
    maps = torch.cat((slope.flatten(1, 2), offset), 1)  # (N, 12, h, w)
    rows = maps.shape[2]
    maps = F.interpolate(maps, size=(rows, width), mode="bilinear")  # (N, 12, h, W)
    position = ((torch.arange(height, device=image.device) + 0.5) * rows / height - 0.5).clamp(0, rows - 1)
    lower = position.floor().long()
    upper, weight = (lower + 1).clamp(max=rows - 1), (position - lower).view(-1, 1)
    output = torch.empty_like(image)
    for top in range(0, height, STRIP):
        strip = slice(top, top + STRIP)
        local = torch.lerp(maps[:, :, lower[strip]], maps[:, :, upper[strip]], weight[strip])  # (N, 12, STRIP, W)
        mapped = apply_affine(image[:, :, strip], local[:, :9].unflatten(1, (3, 3)), local[:, 9:])
        output[:, :, strip] = mapped.clamp(0, 1)
    return output
