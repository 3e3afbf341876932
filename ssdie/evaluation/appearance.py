"""Measures of appearance in CIE Lab: cast, dark smoke, remaining tint, lightness, crushed shadows, colourfulness.

Measures of edges and naturalness (e, r, NIQE) do not respond to dark blots in a veil or to missing colour; these do.
All but `color_cast` are computed on a copy whose longer side is at most 320 pixels: blots are large, and shrinking
suppresses noise.
"""

import torch
import torch.nn.functional as F

from ssdie.evaluation.batching import check_shapes
from ssdie.ops.images import check_image
from ssdie.photo.files import fitted_size
from ssdie.utils.devices import constant_like

LONG_SIDE = 320  # of the copy that is measured; pixels
XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)  # D65
FLAT_DEVIATION = 1.5  # largest local standard deviation of L* in a flat area
FLAT_RANGE = 6.0  # largest distance of L* from the median of the flat area
LEAST_FLAT = 0.02  # fraction of an image that has to be flat; otherwise smoke and tint are NaN
SMOKE_DEPTH = 20.0  # L* below the 80th percentile of the even area, from which a pixel is smoke
CRUSHED = 8.0  # L* below which shadows are black


def rgb_to_lab(image: torch.Tensor) -> torch.Tensor:
    """Convert sRGB (N, 3, H, W) in [0, 1] to CIE L*a*b* with white D65, in the precision of the image.

    Example:
        >>> rgb_to_lab(torch.ones(1, 3, 1, 1)).flatten().round(decimals=1).abs().tolist()
        [100.0, 0.0, 0.0]
    """
    linear = torch.where(image > 0.04045, ((image + 0.055) / 1.055) ** 2.4, image / 12.92)
    matrix = constant_like(XYZ, image) / constant_like(WHITE, image)[:, None]
    ratio = torch.einsum("ij,njhw->nihw", matrix, linear)
    x, y, z = torch.where(ratio > 0.008856, ratio.clamp_min(0.008856) ** (1 / 3), 7.787 * ratio + 16 / 116).unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=1)


def color_cast(enhanced: torch.Tensor) -> torch.Tensor:
    r"""Compute the distance of the mean colour from grey in CIE Lab.

    .. math:: \sqrt{\operatorname{mean}(a^*)^2 + \operatorname{mean}(b^*)^2}

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.

    Returns:
        (N,), float64; 0 to about 130; lower is better, though few scenes are grey on average: below 6 is clean.

    Example:
        >>> orange = torch.tensor([0.9, 0.5, 0.1]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        >>> bool(color_cast(0 * orange + 0.5) < 0.1), bool(color_cast(orange) > 60)
        (True, True)
    """
    check_image(enhanced)
    return _distance(rgb_to_lab(enhanced.double())[:, 1:].mean(dim=(2, 3))).cpu()


def smoke(enhanced: torch.Tensor, dusty: torch.Tensor) -> torch.Tensor:
    r"""Compute the fraction of the even dust veil that becomes a dark blot.

    .. math:: 100\,\operatorname{mean}_{x \in M}\big[\bar L(x) < P_{80}(\bar L(M)) - 20\big]

    where :math:`\bar L` is L* of the enhanced image, averaged over 9 x 9 pixels, and :math:`M` the even part of the
    dusty image: pixels with a local standard deviation of L* below 1.5 (in 15 x 15 pixels) whose L* lies within 6 of
    the median of these pixels.

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.
        dusty: as `enhanced`.

    Returns:
        (N,), float64; %, 0 to 80; lower is better; NaN where less than 2 % of the dusty image is flat.

    Example:
        >>> dusty = torch.full((1, 3, 40, 100), 0.6)
        >>> blot = dusty.clone()
        >>> blot[..., 50:60] = 0.1
        >>> smoke(dusty, dusty).item(), smoke(blot, dusty).item()
        (0.0, 12.0)
    """
    check_shapes(enhanced, dusty)
    return _smoke(_lab(enhanced), _even_veil(_lab(dusty)))


def tint(enhanced: torch.Tensor, dusty: torch.Tensor) -> torch.Tensor:
    r"""Compute the mean chroma in the even part of the veil: remaining colour of the dust, or an invented colour.

    .. math:: \operatorname{mean}_{x \in M} \sqrt{a^*(x)^2 + b^*(x)^2}

    with the area :math:`M` of `smoke`.

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.
        dusty: as `enhanced`.

    Returns:
        (N,), float64; 0 to about 130; lower is better; NaN where less than 2 % of the dusty image is flat.

    Example:
        >>> grey = torch.full((1, 3, 16, 16), 0.5)
        >>> bool(tint(grey, grey) < 0.1)
        True
    """
    check_shapes(enhanced, dusty)
    return _tint(_lab(enhanced), _even_veil(_lab(dusty)))


def light(enhanced: torch.Tensor) -> torch.Tensor:
    """Compute the mean lightness L*.

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.

    Returns:
        (N,), float64; 0 to 100; neither higher nor lower is better: clear photos have 35 to 60.

    Example:
        >>> light(torch.ones(1, 3, 4, 4)).round(decimals=3).item()
        100.0
    """
    return _light(_lab(enhanced))


def crushed(enhanced: torch.Tensor) -> torch.Tensor:
    """Compute the fraction of pixels with L* below 8: shadows without detail.

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.

    Returns:
        (N,), float64; %, 0 to 100; lower is better.

    Example:
        >>> crushed(torch.cat((torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 12)), dim=3)).item()
        25.0
    """
    return _crushed(_lab(enhanced))


def chroma(enhanced: torch.Tensor) -> torch.Tensor:
    r"""Compute the mean distance of the colours from the mean colour; a uniform cast therefore does not count.

    .. math:: \operatorname{mean} \sqrt{(a^* - \bar a^*)^2 + (b^* - \bar b^*)^2}

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.

    Returns:
        (N,), float64; 0 to about 110; higher is better, up to the values of clear photos (7 to 22).

    Example:
        >>> orange = torch.tensor([0.9, 0.5, 0.1]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        >>> chroma(orange).round(decimals=4).item()
        0.0
    """
    return _chroma(_lab(enhanced))


def vivid(enhanced: torch.Tensor) -> torch.Tensor:
    """Compute the 98th percentile of the distances that `chroma` averages: colourfulness of the most colourful objects.

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.

    Returns:
        (N,), float64; 0 to about 130; higher is better, up to the values of clear photos (20 to 50).

    Example:
        >>> picture = torch.full((1, 3, 10, 10), 0.5)
        >>> picture[0, 0, 0, :4] = 1.0  # 4 % of the pixels are red
        >>> bool(vivid(picture) > 10 * chroma(picture))
        True
    """
    return _vivid(_lab(enhanced))


def measure_appearance(enhanced: torch.Tensor, dusty: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Compute all measures of this module but `color_cast` from one conversion to Lab.

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.
        dusty: as `enhanced`; without it smoke and tint are left out.

    Example:
        >>> list(measure_appearance(torch.zeros(1, 3, 4, 4)))
        ['light', 'crushed', 'chroma', 'vivid']
    """
    after = _lab(enhanced)
    values = {"light": _light(after), "crushed": _crushed(after), "chroma": _chroma(after), "vivid": _vivid(after)}
    if dusty is not None:
        check_shapes(enhanced, dusty)
        mask = _even_veil(_lab(dusty))
        values |= {"smoke": _smoke(after, mask), "tint": _tint(after, mask)}
    return values


# The measures, from Lab (N, 3, h, w) and the even part of the veil (N, h w) ------------------------------


def _smoke(lab: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    smooth = _blur(lab[:, :1], 4).flatten(1)
    low = smooth < _quantile(smooth.where(mask, torch.nan), 0.8)[:, None] - SMOKE_DEPTH
    return 100 * _masked_mean(low, mask)


def _tint(lab: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return _masked_mean(_distance(lab[:, 1:]).flatten(1), mask)


def _light(lab: torch.Tensor) -> torch.Tensor:
    return lab[:, 0].double().mean(dim=(1, 2)).cpu()


def _crushed(lab: torch.Tensor) -> torch.Tensor:
    return 100 * (lab[:, 0] < CRUSHED).double().mean(dim=(1, 2)).cpu()


def _chroma(lab: torch.Tensor) -> torch.Tensor:
    return _colorfulness(lab).double().mean(dim=1).cpu()


def _vivid(lab: torch.Tensor) -> torch.Tensor:
    return _quantile(_colorfulness(lab), 0.98).double().cpu()


def _colorfulness(lab: torch.Tensor) -> torch.Tensor:
    """Distance of each pixel's a*, b* from their mean: (N, pixels)."""
    return _distance(lab[:, 1:] - lab[:, 1:].mean(dim=(2, 3), keepdim=True)).flatten(1)


def _even_veil(lab: torch.Tensor) -> torch.Tensor:
    """Find the flat part of a dusty image that is about as light as its median: bool (N, h w)."""
    lightness = lab[:, :1]
    variance = _blur(lightness * lightness, 7) - _blur(lightness, 7) ** 2
    flat = (variance.clamp_min(0).sqrt() < FLAT_DEVIATION).flatten(1)
    flat &= flat.double().mean(dim=1, keepdim=True) > LEAST_FLAT
    lightness = lightness.flatten(1)
    median = _quantile(lightness.where(flat, torch.nan), 0.5)[:, None]
    return flat & ((lightness - median).abs() < FLAT_RANGE)


# Helpers ------------------------------------------------------------------------------------------------


def _lab(image: torch.Tensor) -> torch.Tensor:
    """Lab of a copy with a longer side of at most `LONG_SIDE`, each pixel the mean of the area that it covers."""
    check_image(image)
    height, width = fitted_size(image.shape[-2:], LONG_SIDE)
    rows, columns = (_area_weights(*n, image) for n in ((image.shape[-2], height), (image.shape[-1], width)))
    return rgb_to_lab((rows @ image.float() @ columns.T).clamp(0, 1))


def _area_weights(size: int, new_size: int, like: torch.Tensor) -> torch.Tensor:
    """Matrix (new_size, size) that averages over intervals of size / new_size pixels."""
    edges = torch.arange(new_size + 1, device=like.device, dtype=torch.float64) * (size / new_size)
    pixels = torch.arange(size, device=like.device, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return (overlap.clamp_min(0) * (new_size / size)).float()


def _blur(image: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean over a square window; the border is mirrored, or repeated in images smaller than the window."""
    mode = "reflect" if min(image.shape[-2:]) > radius else "replicate"
    return F.avg_pool2d(F.pad(image, (radius,) * 4, mode=mode), 2 * radius + 1, stride=1)


def _distance(ab: torch.Tensor) -> torch.Tensor:
    """Length of (N, 2, ...) vectors."""
    return torch.hypot(ab[:, 0], ab[:, 1])


def _quantile(rows: torch.Tensor, level: float) -> torch.Tensor:
    """Quantile of the values of each row that are not NaN, linearly interpolated: (N, n) to (N,)."""
    return torch.stack([row.nanquantile(level) for row in rows])


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of each row over its mask; NaN where the mask is empty."""
    return ((values * mask).sum(dim=1, dtype=torch.float64) / mask.sum(dim=1)).cpu()
