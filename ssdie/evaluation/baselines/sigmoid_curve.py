"""Dust removal by a stretch, a sigmoid tone curve and a detail boost (Bartani et al., 2022)."""

import torch

from ssdie.ops.filters import guided_filter
from ssdie.ops.images import check_image

RADIUS, EPS = 16, 1e-3  # of the guided filter
BOOST = 5.0  # gain of the detail


def bartani(dusty: torch.Tensor) -> torch.Tensor:
    r"""Stretch each channel, apply a sigmoid tone curve, and boost the detail.

    .. math:: J = 5 U - 4\,\mathrm{guided}(U), \qquad U_c = \frac{1}{1 + 0.35\, e^{-(a n_c - b)}}

    The published program estimates an airlight and a transmission, but its recovery step inverts its transmission step
    exactly, so that they have no influence on the result; here :math:`U` is computed directly.

    Args:
        dusty: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: Bartani, Abdollahpouri, Ramezani, Akhlaghian Tab, "An adaptive optic-physic based dust removal method using
    optimized air-light and transfer function", Multimedia Tools and Applications 2022; follows the published program.

    Example:
        >>> flat = torch.full((1, 3, 8, 8), 0.5)
        >>> bool(bartani(flat).std() < 1e-5)  # stays flat
        True
    """
    target = tone_curve(dusty)
    planes = target.flatten(0, 1)[:, None]
    smooth = guided_filter(planes, planes, RADIUS, EPS).view_as(target)
    return (BOOST * target - (BOOST - 1) * smooth).clamp(0, 1)


def tone_curve(dusty: torch.Tensor) -> torch.Tensor:
    r"""Compute the target :math:`U` of `bartani`.

    .. math:: n_c = 0.3 + 0.5 \frac{I_c - \min I_c}{\max I_c - \min I_c}, \quad
              a = \operatorname{mean}\big(6.5 - 32 (\bar n - 0.5)^2\big), \quad b = \tfrac{5.1}{7} a

    Args:
        dusty: (N, 3, H, W) in [0, 1]; a constant channel has :math:`n_c = 0.3`.

    Returns:
        (N, 3, H, W) in (0, 1).
    """
    check_image(dusty, "dusty")
    low, high = dusty.amin((2, 3), keepdim=True), dusty.amax((2, 3), keepdim=True)
    stretched = 0.3 + 0.5 * (dusty - low) / (high - low).clamp_min(1e-9)
    steepness = (6.5 - 32 * (stretched.mean(1, keepdim=True) - 0.5) ** 2).mean((2, 3), keepdim=True)
    return 1 / (1 + 0.35 * torch.exp(-steepness * (stretched - 5.1 / 7)))
