"""Post-processing of enhanced photos: colour balance of the remaining veil, range and contrast."""

import torch

from ssdie.ops.priors import estimate_airlight


def balance_veil(image: torch.Tensor, strength: float = 0.85, fraction: float = 0.4) -> torch.Tensor:
    r"""Reduce the colour cast of the remaining veil.

    .. math::
        v_c \left( \bar A / A_c \right)^s

    with the airlight :math:`A` of the image (`ssdie.ops.priors.estimate_airlight`), its mean :math:`\bar A` over the
    channels, and the strength :math:`s`. Only a warm airlight (more red than blue) is corrected: dust is warm, while a
    cool airlight is sky.

    Args:
        image: v; (N, 3, H, W) in [0, 1].
        strength: s; 0 changes nothing, 1 makes the veil neutral.
        fraction: part of the pixels, those with the brightest dark channel, over which A is averaged; (0, 1].

    Returns:
        (N, 3, H, W) in [0, 1]; the gain of each channel is limited to [0.7, 1.5].

    Example:
        >>> veil = torch.tensor([0.8, 0.6, 0.5]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
        >>> [round(v, 2) for v in balance_veil(veil, strength=1.0)[0, :, 0, 0].tolist()]
        [0.63, 0.63, 0.63]
    """
    airlight = estimate_airlight(image, fraction=fraction)
    warm = airlight[:, :1] > airlight[:, 2:]
    gain = (airlight.mean(1, keepdim=True) / airlight.clamp_min(0.05)) ** (strength * warm)
    return (image * gain.clamp(0.7, 1.5)[:, :, None, None]).clamp(0, 1)


def stretch_levels(image: torch.Tensor, most: float = 1.5) -> torch.Tensor:
    r"""Stretch the range of values of each image to [0, 1], with the same map for all channels.

    .. math::
        (v - v_{\min}) / (v_{\max} - v_{\min})

    Args:
        image: (N, 3, H, W) in [0, 1].
        most: largest gain. Where it is reached, the result spans less than [0, 1].

    Returns:
        (N, 3, H, W) in [0, 1].

    Example:
        >>> flat = torch.full((1, 3, 4, 4), 0.5)
        >>> torch.equal(stretch_levels(flat), flat)  # a constant image is unchanged
        True
    """
    low, high = image.amin((1, 2, 3)), image.amax((1, 2, 3))
    gain = (1 / (high - low).clamp_min(1e-3)).clamp(1.0, most)
    # Where the gain is limited, the middle of the range keeps its position relative to black and white.
    middle = (low + high) / 2
    room = (1 - gain * (high - low)).clamp_min(0)
    target = gain * (high - low) / 2 + room * middle
    gain, middle, target = (v.view(-1, 1, 1, 1) for v in (gain, middle, target))
    return (gain * (image - middle) + torch.where(gain > 1, target, middle)).clamp(0, 1)


def compress_highlights(image: torch.Tensor, knee: float) -> torch.Tensor:
    r"""Compress the values above a knee k of channels that exceed 1, so that their largest value becomes 1.

    .. math::
        k + (1 - k) \frac{u}{1 + (1 - 1 / M)\, u}, \qquad u = \frac{v - k}{1 - k} > 0, \quad M = \max(1, \max_x u)

    The slope is 1 at the knee. Channels with values up to 1 stay as they are.

    Args:
        image: (N, C, H, W).
        knee: k, in (0, 1]; 1 changes nothing.

    Returns:
        (N, C, H, W), at most 1 if k < 1.

    Source: the extended operator of Reinhard et al., "Photographic tone reproduction for digital images", SIGGRAPH
    2002, maps a largest luminance to 1 in a similar way.

    Example:
        >>> bright = torch.tensor([0.5, 0.8, 1.0, 1.2]).view(1, 1, 1, 4)
        >>> [round(v, 2) for v in compress_highlights(bright, 0.8).flatten().tolist()]
        [0.5, 0.8, 0.93, 1.0]
        >>> torch.equal(compress_highlights(bright / 1.2, 0.8), bright / 1.2)
        True
    """
    if knee == 1:
        return image
    over = (image - knee).clamp_min(0) / (1 - knee)
    most = over.amax((2, 3), keepdim=True).clamp_min(1)
    return torch.where(image > knee, knee + (1 - knee) * over / (1 + (1 - 1 / most) * over), image)


def raise_contrast(image: torch.Tensor, amount: float = 0.42, pivot: float = 0.4) -> torch.Tensor:
    r"""Raise the contrast of the midtones by a tone curve that maps 0, the pivot and 1 to themselves.

    .. math::
        v + 2 a\, v\, (1 - v)\, (v - p)

    Networks trained on pixel errors give less contrast than the target has where they are uncertain.

    Args:
        image: v; (N, C, H, W) in [0, 1].
        amount: a; 0 changes nothing. Up to 0.5 the curve is monotonic, whatever the pivot.
        pivot: p, in [0, 1]; darker values become darker, brighter ones brighter.

    Returns:
        (N, C, H, W) in [0, 1].

    Example:
        >>> values = torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0]).view(1, 1, 1, 5)
        >>> [round(v, 3) for v in raise_contrast(values, 0.5, 0.5).flatten().tolist()]
        [0.0, 0.152, 0.5, 0.848, 1.0]
    """
    return image + 2 * amount * image * (1 - image) * (image - pivot)


def postprocess(image: torch.Tensor) -> torch.Tensor:
    """Apply `balance_veil`, `stretch_levels`, then `raise_contrast`: (N, 3, H, W) in [0, 1] to the same."""
    return raise_contrast(stretch_levels(balance_veil(image)))
