"""The last touch: veil and levels of an enhanced picture, chosen from the picture itself."""

import torch

from ssdie.ops.priors import estimate_airlight


def balance_veil(image: torch.Tensor, share: float = 0.5, voters: float = 0.4) -> torch.Tensor:
    """Take part of the dust's colour that is left out of the veil: v_c (mean A / A_c)^share, A the remaining airlight.

    Dust is warm. Where the remaining airlight is not, it is that of a sky, and the picture stays as it is.

    Args:
        image: (N, 3, H, W) in [0, 1].
        share: 0 nothing, 1 the veil becomes neutral.
        voters: share of the pixels that A is read from, those with the brightest dark channel.

    Returns:
        (N, 3, H, W) in [0, 1]; a channel changes by a factor between 0.7 and 1.5.

    Example:
        >>> veil = torch.tensor([0.8, 0.6, 0.5]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
        >>> [round(v, 2) for v in balance_veil(veil, share=1.0)[0, :, 0, 0].tolist()]
        [0.63, 0.63, 0.63]
    """
    airlight = estimate_airlight(image, share=voters)
    warm = airlight[:, :1] > airlight[:, 2:]
    gain = (airlight.mean(1, keepdim=True) / airlight.clamp_min(0.05)) ** (share * warm)
    return (image * gain.clamp(0.7, 1.5)[:, :, None, None]).clamp(0, 1)


def stretch_levels(image: torch.Tensor, clipped: float = 0.0, most: float = 1.5) -> torch.Tensor:
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
    darkest, brightest = image.amin(1).flatten(1), image.amax(1).flatten(1)
    place = round(clipped * (darkest.shape[1] - 1))
    low = darkest.kthvalue(place + 1, dim=1).values
    high = brightest.kthvalue(brightest.shape[1] - place, dim=1).values
    gain = (1 / (high - low).clamp_min(1e-3)).clamp(1, most)
    # where the gain is bounded, the middle of the range stays in its place
    middle = (low + high) / 2
    room = (1 - gain * (high - low)).clamp_min(0)
    target = gain * (high - low) / 2 + room * middle
    gain, middle, target = (v.view(-1, 1, 1, 1) for v in (gain, middle, target))
    return (gain * (image - middle) + torch.where(gain > 1, target, middle)).clamp(0, 1)


def postprocess(image: torch.Tensor) -> torch.Tensor:
    """Balance the veil, stretch the levels: (N, 3, H, W) in [0, 1] to the same."""
    return stretch_levels(balance_veil(image))
