"""Corrections: what the network changes, fitted by affine maps of colour, and carried to a photo's own pixels.

Enhanced = a . dusty + b in windows at the size the network works at (the guided filter of He et al.). These maps
are smooth, so they are interpolated, and the photo's own edges and detail pass through them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import torch
import torch.nn.functional as F

from ssdie.ops import tone
from ssdie.ops.color import luminance
from ssdie.ops.filters import apply_affine, box_filter, fit_affine
from ssdie.photo.files import fitted_size

RADIUS, EPS = 5, 2e-4  # of the affine fit: window in working pixels, ridge weight
WIDE_RADIUS = 14  # of the window where the narrow one has no structure
STRUCTURE, TRUST_RADIUS = 5e-4, 3  # variance of luminance at which both windows count alike; smoothing of the share
STRIP = 16  # rows of the photo that are mapped at a time


@dataclass
class Correction:
    """Affine maps of colour at the working size: enhanced = slope . dusty + offset; (3, 3, h, w) and (3, h, w)."""

    slope: torch.Tensor
    offset: torch.Tensor


def full_scale(dtype: torch.dtype) -> float:
    """Value of white: 1 for floats, 255 or 65535 for whole numbers."""
    return 1.0 if dtype.is_floating_point else float(torch.iinfo(dtype).max)


def downsample(pixels: torch.Tensor, long_side: int) -> torch.Tensor:
    """Average (H, W, 3) of any kind down to a longer side of at most `long_side`: (1, 3, h, w) float in [0, 1]."""
    height, width = fitted_size(pixels.shape[:2], long_side)
    small = pixels
    if (height, width) != tuple(pixels.shape[:2]):
        if pixels.device.type == "cpu":
            known = pixels.float() if pixels.dtype in (torch.float16, torch.bfloat16) else pixels  # to OpenCV
            small = torch.from_numpy(cv2.resize(known.numpy(), (width, height), interpolation=cv2.INTER_AREA))
        else:
            small = F.interpolate(pixels.permute(2, 0, 1)[None].float(), size=(height, width), mode="area")[0]
            small = small.permute(1, 2, 0)
    return (small.permute(2, 0, 1)[None].float() / full_scale(pixels.dtype)).clamp(0, 1)


def fit_correction(dusty: torch.Tensor, change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit a change of a batch by affine maps of colour in windows; differentiable in the change.

    The change is fitted, not the result: where the photo is flat the ridge leads to "as it is", not to "no detail".
    What stands out in the change there, and not in the photo, is invented (dark smoke in opaque dust), and a window as
    small as the blot would keep it: so the less structure the photo has in the window, the more a wider one counts.

    Args:
        dusty: at the working size; (N, 3, h, w) in [0, 1].
        change: enhanced - dusty; (N, 3, h, w).

    Returns:
        Slope (N, 3, 3, h, w) and offset (N, 3, h, w) of enhanced = slope . dusty + offset.

    Example:
        >>> dusty = torch.rand(1, 3, 16, 16)
        >>> slope, offset = fit_correction(dusty, torch.zeros_like(dusty))  # nothing changes
        >>> torch.equal(slope[0, :, :, 0, 0], torch.eye(3)), offset.abs().max().item()
        (True, 0.0)
    """
    luma = luminance(dusty)
    variance = box_filter(luma * luma, RADIUS) - box_filter(luma, RADIUS) ** 2
    trust = box_filter(variance / (variance + STRUCTURE), TRUST_RADIUS)  # in the narrow window; (N, 1, h, w)
    parts = []
    for radius in (WIDE_RADIUS, RADIUS):
        slope, offset = fit_affine(dusty, change, radius, EPS)
        parts.append(box_filter(torch.cat((slope.flatten(1, 2), offset), 1), radius))  # (N, 12, h, w)
    maps = torch.lerp(*parts, trust)
    return maps[:, :9].unflatten(1, (3, 3)) + torch.eye(3, device=dusty.device)[..., None, None], maps[:, 9:]


def enhance_batch(
    dusty: torch.Tensor, enhancer: Callable[[torch.Tensor], torch.Tensor], working_size: int, postprocess: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Enhance square crops as photos are enhanced, differentiably: what training at the crops' own size looks at.

    Args:
        dusty: (N, 3, S, S) in [0, 1].
        enhancer: gives (N, 3, s, s) for (N, 3, s, s).
        working_size: s, side of what the enhancer sees; pixels; 0, or S and more: the crop itself, no more is done.
        postprocess: add the last touch (`ssdie.ops.tone.postprocess`).

    Returns:
        (N, 3, S, S) in [0, 1]; and the mean absolute difference, at the working size, of what the enhancer gave and
        what the fit made of it: a grid that the fit takes away can grow in an enhancer unless this is kept small.

    Source: the network is trained through its guided filter as in Wu, Zheng, Zhang, Huang, "Fast end-to-end trainable
    guided filter", CVPR 2018.
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


@torch.inference_mode()
def apply_correction(pixels: torch.Tensor, correction: Correction) -> torch.Tensor:
    """Map every pixel by the affine map at its place, interpolated bilinearly, a strip of rows at a time.

    Args:
        pixels: (H, W, 3), uint8, uint16 or float.
        correction: at any smaller size.

    Returns:
        (H, W, 3) of the same type and device, clamped to its range.
    """
    height, width, _ = pixels.shape
    white = full_scale(pixels.dtype)
    maps = torch.cat((correction.slope.flatten(0, 1), correction.offset * white)).to(pixels.device)  # (12, h, w)
    rows = maps.shape[1]
    maps = F.interpolate(maps.transpose(0, 1), size=width, mode="linear")  # (h, 12, W)
    place = ((torch.arange(height, device=pixels.device) + 0.5) * rows / height - 0.5).clamp(0, rows - 1)
    above = place.floor().long()
    below, share = (above + 1).clamp(max=rows - 1), (place - above).view(-1, 1, 1)
    output = torch.empty_like(pixels, memory_format=torch.contiguous_format)
    for top in range(0, height, STRIP):
        strip = slice(top, top + STRIP)
        local = torch.lerp(maps[above[strip]], maps[below[strip]], share[strip])  # (STRIP, 12, W)
        colour = pixels[strip].transpose(1, 2).to(local.dtype)  # (STRIP, 3, W)
        mapped = local[:, 9:]
        for channel in range(3):
            mapped = torch.addcmul(mapped, local[:, channel:9:3], colour[:, channel : channel + 1])
        mapped = mapped.clamp_(0, white)
        output[strip] = (mapped if pixels.is_floating_point() else mapped.round_()).transpose(1, 2).to(pixels.dtype)
    return output
