"""Loss terms for visible faults: dark blots in even dust, a coloured veil, colours that are weak or of a wrong hue.

They are not part of the paper's objective; their default weight in `ssdie.losses.LossWeights` is 0. The measures of
`ssdie.evaluation.appearance` describe the same faults.
"""

import math

import torch

from ssdie.ops.color import luminance
from ssdie.ops.filters import box_filter

FLAT_DEVIATION = 0.015  # largest local standard deviation of the luminance in a flat area
FLAT_RANGE = 0.06  # largest distance of the luminance from the mean of the flat area
LEAST_FLAT = 0.02  # fraction of an image that has to be flat; otherwise the image has no even area
REACH = 0.08  # luminance below the mean of the even area that is not penalised
BRIGHT = 0.94  # value below which highlights are not penalised
NEUTRAL = 0.02  # norm of the opponent colours in the veil that is not penalised
LEAST_SLOPE = 0.2  # colour strength below which the loss grows linearly
RIDGE = 1e-4  # variance of opponent colours that counts as grey


def opponent_colors(image: torch.Tensor) -> torch.Tensor:
    r"""Opponent colours, which are 0 for grey.

    .. math:: (R - G,\ \tfrac{1}{2}(R + G) - B)

    Args:
        image: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 2, H, W) in [-1, 1].

    Source: Hasler and Suesstrunk, "Measuring colourfulness in natural images", SPIE 2003, equation 1.

    Example:
        >>> opponent_colors(torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1)).flatten().tolist()
        [0.5, 0.5]
    """
    red, green, blue = image.float().unbind(1)
    return torch.stack((red - green, (red + green) / 2 - blue), 1)


@torch.no_grad()
def even_area(dusty: torch.Tensor) -> torch.Tensor:
    """Find the even part of a dusty image: flat areas with about the mean luminance of all flat areas.

    Args:
        dusty: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 1, H, W), 0 or 1; all 0 in images of which less than 2 % is flat.

    Example:
        >>> even_area(torch.full((1, 3, 32, 32), 0.6)).mean().item()
        1.0
    """
    luma = luminance(dusty.float())
    radius = max(1, round(min(dusty.shape[-2:]) * 6 / 256))
    variance = box_filter(luma * luma, radius) - box_filter(luma, radius) ** 2
    flat = (variance.clamp_min(0).sqrt() < FLAT_DEVIATION).float()
    flat = flat * (flat.mean((2, 3), keepdim=True) >= LEAST_FLAT)
    return flat * ((luma - masked_mean(luma, flat)).abs() < FLAT_RANGE)


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of (N, 1, H, W) over the mask of each image, (N, 1, 1, 1); 0 where the mask is empty."""
    return (values * mask).sum((1, 2, 3), keepdim=True) / mask.sum((1, 2, 3), keepdim=True).clamp_min(1)


def order_loss(enhanced: torch.Tensor, dusty: torch.Tensor, target: torch.Tensor | None = None) -> torch.Tensor:
    r"""Penalise dark blots where the dusty image is even.

    .. math:: \operatorname{mean}_{x \in M} \max\big(0,\ \mu - 0.08 - \bar Y(x)\big), \qquad
        \mu = \operatorname{mean}_{x \in M} \bar Y(x)

    with the luminance :math:`\bar Y` of the output, averaged in a small window, and the even area :math:`M` of the
    dusty image (`even_area`). No gradient flows through :math:`\mu`; otherwise the loss could be lowered by darkening
    the rest of the veil.

    Args:
        enhanced, dusty: (N, 3, H, W) in [0, 1].
        target: clear image of a pair; where its luminance is below the bound :math:`\mu - 0.08`, it is the bound.

    Example:
        >>> dusty = torch.full((1, 3, 32, 32), 0.6)
        >>> blot = dusty.clone()
        >>> blot[..., 12:20, 12:20] = 0.1
        >>> order_loss(dusty, dusty).item(), order_loss(blot, dusty).item() > 0.01, order_loss(blot, dusty, blot).item()
        (0.0, True, 0.0)
    """
    mask = even_area(dusty)
    radius = max(1, round(min(dusty.shape[-2:]) * 3 / 256))
    smooth = box_filter(luminance(enhanced.float()), radius)
    bound = masked_mean(smooth, mask).detach() - REACH
    if target is not None:
        bound = torch.minimum(bound, box_filter(luminance(target.float()), radius))
    return masked_mean((bound - smooth).clamp_min(0), mask).mean()


def veil_color_loss(enhanced: torch.Tensor, dusty: torch.Tensor) -> torch.Tensor:
    r"""Penalise colour in the veil, which should be neutral.

    .. math:: \operatorname{mean}_{x \in M} \max\big(0,\ |o(x)| - 0.02\big)

    with the opponent colours :math:`o` of the output and the even area :math:`M` of the dusty image (`even_area`).

    Args:
        enhanced, dusty: (N, 3, H, W) in [0, 1].

    Example:
        >>> grey = torch.full((1, 3, 32, 32), 0.6)
        >>> green = grey * torch.tensor([0.8, 1.0, 0.8]).view(1, 3, 1, 1)
        >>> veil_color_loss(grey, grey).item(), veil_color_loss(green, grey).item() > 0.1
        (0.0, True)
    """
    length = (opponent_colors(enhanced).square().sum(1, keepdim=True) + 1e-6).sqrt()
    return masked_mean((length - NEUTRAL).clamp_min(0), even_area(dusty)).mean()


def highlight_loss(enhanced: torch.Tensor, dusty: torch.Tensor) -> torch.Tensor:
    r"""Penalise values that are nearly clipped, where those of the dusty image are not.

    .. math:: \operatorname{mean}\big( [I < 0.94]\, \max(0,\ \hat J - 0.94) \big)

    Args:
        enhanced, dusty: (N, 3, H, W) in [0, 1].

    Example:
        >>> grey = torch.full((1, 3, 32, 32), 0.6)
        >>> highlight_loss(grey, grey).item(), highlight_loss(grey + 0.4, grey).item() > 0.05
        (0.0, True)
    """
    return ((enhanced.float() - BRIGHT).clamp_min(0) * (dusty < BRIGHT)).mean()


def color_statistics_loss(enhanced: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    r"""L1 distance between the means and between the covariances of the opponent colours.

    .. math:: |\mu - \mu'|_1 + |F - F'|_1, \qquad F F^T = \operatorname{cov}(o) + 10^{-4}\, 1

    The covariances are compared by their lower Cholesky factors F, so that both parts have the unit of a colour.

    Args:
        enhanced, target: (N, 3, H, W) in [0, 1].

    Example:
        >>> image = torch.rand(1, 3, 8, 8)
        >>> color_statistics_loss(image, image).item()
        0.0
    """
    one, other = _color_statistics(enhanced), _color_statistics(target)
    return (one - other).abs().sum(1).mean()


def _color_statistics(image: torch.Tensor) -> torch.Tensor:
    """Mean of the two opponent colours, then the Cholesky factor of their covariance: (N, 5)."""
    colors = opponent_colors(image).flatten(2)
    mean = colors.mean(2)
    first, second = (colors - mean[..., None]).unbind(1)
    width = ((first * first).mean(1) + RIDGE).sqrt()
    shear = (first * second).mean(1) / width
    rest = ((second * second).mean(1) - shear * shear + RIDGE).clamp_min(RIDGE / 2).sqrt()
    return torch.cat((mean, torch.stack((width, shear, rest), 1)), 1)


def color_strength_loss(enhanced: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    r"""Penalise colours that are weaker or stronger than those of the target, or of another hue.

    .. math:: |\log s|, \qquad
        s = \frac{\sum_x |u|\,|v| \cos\theta + \epsilon n}{\sum_x |v|^2 + \epsilon n}

    with the opponent colours u of the output and v of the target, both minus their mean over the n pixels of the
    image, and the angle :math:`\theta` between their hues: s is the ratio of chroma, weighted by the agreement of hue
    and by the chroma of the target. Below s = 0.2 the tangent replaces the logarithm.

    Args:
        enhanced, target: (N, 3, H, W) in [0, 1].

    Source: the slope of the linear regression of u on v, with a ridge of 1e-4 for grey targets.

    Example:
        >>> target = torch.rand(1, 3, 8, 8)
        >>> grey = target.mean(1, keepdim=True)
        >>> halved = (target + grey) / 2
        >>> color_strength_loss(target, target).item() < 1e-6
        True
        >>> abs(color_strength_loss(halved, target).item() - math.log(2)) < 0.01
        True
    """
    u, v = (colors - colors.mean((2, 3), keepdim=True) for colors in map(opponent_colors, (enhanced, target)))
    return _log_slope(u, v).abs().mean()


def kept_color_loss(enhanced: torch.Tensor, dusty: torch.Tensor, least: float = 1.5) -> torch.Tensor:
    r"""Penalise an output whose colours are weaker than `least` times those that are left in the dusty input.

    .. math:: \max(0, \log l - \log s), \qquad
        s = \frac{\sum_x u \cdot r + \epsilon n}{\sum_x |r|^2 + \epsilon n}

    with the opponent colours u of the output and the residual r of a linear regression of the input's opponent colours
    on its luminance. The veil shifts all colours along a line towards the colour of the dust, which the regression
    removes; r holds the colours of the scene.

    Args:
        enhanced, dusty: (N, 3, H, W) in [0, 1].
        least: l, smallest ratio of colour strength without penalty; 1 is the strength of the input.

    Example:
        >>> image = torch.rand(1, 3, 8, 8)
        >>> kept_color_loss(image, image, least=1.0).item() < 1e-5
        True
    """
    with torch.no_grad():
        luma, colors = luminance(dusty.float()), opponent_colors(dusty)
        luma, colors = (values - values.mean((2, 3), keepdim=True) for values in (luma, colors))
        slope = (luma * colors).sum((2, 3), keepdim=True) / (luma * luma).sum((2, 3), keepdim=True).clamp_min(1e-6)
        residual = colors - slope * luma
    return (math.log(least) - _log_slope(opponent_colors(enhanced), residual)).clamp_min(0).mean()


def _log_slope(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Logarithm of the slope s of a regression of u on v, both (N, 2, H, W), through the origin: (N,).

    Below `LEAST_SLOPE` the tangent continues the logarithm, since the slope may be negative; the gradient is bounded.
    """
    ridge = RIDGE * u[0, 0].numel()
    slope = ((u * v).sum((1, 2, 3)) + ridge) / (v.square().sum((1, 2, 3)) + ridge)
    tangent = math.log(LEAST_SLOPE) + slope / LEAST_SLOPE - 1
    return torch.where(slope > LEAST_SLOPE, slope.clamp_min(LEAST_SLOPE).log(), tangent)
