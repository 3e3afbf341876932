"""The last touch: veil, local contrast and levels of an enhanced picture, chosen from the picture itself."""

import torch

from ssdie.priors import estimate_airlight, guided_filter

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def luminance(image: torch.Tensor) -> torch.Tensor:
    """Weighted sum of the channels, Y = 0.299 R + 0.587 G + 0.114 B: (N, 3, H, W) to (N, 1, H, W)."""
    return (image * image.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


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


def missing_detail(image: torch.Tensor, natural: float = 0.05, width: float = 0.6) -> torch.Tensor:
    """Say how much detail is missing: 0 where gradients are those of clear photos, 1 where they are far weaker.

    Args:
        image: (N, 3, H, W) in [0, 1].
        natural: mean difference of neighbouring pixels' luminance; of clear photos with a long side of 128 pixels.
        width: natural / found - 1 from which on all is missing.

    Returns:
        (N,) in [0, 1].

    Example:
        >>> missing_detail(torch.full((1, 3, 8, 8), 0.5)).item()
        1.0
    """
    luma = luminance(image)
    differences = torch.cat((luma.diff(dim=2).flatten(1), luma.diff(dim=3).flatten(1)), 1)
    found = differences.abs().mean(1).nan_to_num()  # nan: a single pixel has no neighbours
    return ((natural / found.clamp_min(1e-6) - 1) / width).clamp(0, 1)


def boost_detail(
    image: torch.Tensor, boost: float | torch.Tensor = 1.0, radius: float = 0.04, eps: float = 0.004
) -> torch.Tensor:
    """Add detail to the luminance, detail = Y - guided(Y): no halo at strong edges, which the guided filter keeps.

    Args:
        image: (N, 3, H, W) in [0, 1].
        boost: share of the detail that is added; for each picture, if it is (N,).
        radius: of the window, share of the short side; eps: of the guided filter.
    """
    luma = luminance(image)
    detail = luma - guided_filter(luma, luma, max(1, round(radius * min(image.shape[-2:]))), eps)
    boost = luma.new_ones(len(luma)) * boost
    return (image + boost.view(-1, 1, 1, 1) * detail).clamp(0, 1)


def finish(image: torch.Tensor) -> torch.Tensor:
    """Balance the veil, boost what detail is missing, stretch the levels: (N, 3, H, W) in [0, 1] to the same."""
    image = balance_veil(image)
    return stretch_levels(boost_detail(image, 1.4 * missing_detail(image)))
