r"""ROP and ROP+: scene recovery by the rank-one prior (Liu, Liu, Sun, Zeng, 2021 and 2023).

The scattering map is assumed to have the same colour direction :math:`s` in the whole image, :math:`u(x) = C(x)\, s`:

.. math:: J_c = \frac{I_c - \omega u_c A_c}{\max(1 - \omega u_c, \xi)}

**Licence and patent.** This is an independent implementation of the published equations. The authors allow use of their
code *and algorithm* for non-commercial purposes only, and name the Chinese patent ZL 202011281893.3 for commercial use.
The licence of this project covers the text of this file; it grants no right under that patent.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from ssdie.ops.images import check_image

OMEGA = 0.8  # fraction of the scattering that is removed
XI = 1e-3  # smallest divisor
CONSISTENT = 0.99  # cosine of pixels that belong to the consistent region
REGION_ROUNDS = 20  # most updates of the consistent region

# Refinement of ROP+. The paper gives its weights only in the supplement. Texture weight, decay and penalty are those of
# the published program; the smoothness weight is the best of 0.1, 0.5, 2 on synthetic pairs (15.8, 15.7, 15.1 dB).
TEXTURE_WEIGHT, SMOOTH_WEIGHT, EDGE_DECAY, PENALTY = 5.0, 0.1, 30.0, 10.0
ROUNDS, TOLERANCE = 30, 5e-4  # most iterations; relative change at which they stop
PIXEL_ROUNDS = 40e6  # most iterations times pixels: keeps a photo below 10 s on one CPU core


def rop(dusty: torch.Tensor, omega: float = OMEGA, stretch: bool = True) -> torch.Tensor:
    r"""Remove scattering whose colour is the mean colour of the image.

    The coefficient :math:`C` is the orthogonal projection of each pixel on :math:`s`, smoothed by resampling.

    Args:
        dusty: (N, 3, H, W) in [0, 1].
        omega: fraction of the scattering that is removed; (0, 1].
        stretch: end with the channel stretch and the brightening of the authors' program, as for their published
            pictures and scores; without these steps the colour cast stays.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: Liu, Liu, Sun, Zeng, "Rank-one prior: toward real-time scene recovery", CVPR 2021. The resampling factor is
    that of the published program. Patented; see the module's notes.

    Example:
        >>> orange = torch.tensor([0.8, 0.6, 0.4]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
        >>> torch.allclose(rop(orange, stretch=False), orange, atol=1e-5)  # a veil alone stays as it is
        True
    """
    check_image(dusty, "dusty")
    return _enhance(dusty, False, omega, stretch)


def rop_plus(dusty: torch.Tensor, omega: float = OMEGA, stretch: bool = True) -> torch.Tensor:
    """Remove scattering whose colour is that of a consistent region, with an edge-preserving coefficient.

    Args:
        dusty: (N, 3, H, W) in [0, 1].
        omega: fraction of the scattering that is removed; (0, 1].
        stretch: as for `rop`.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: Liu, Liu, Sun, Zeng, "Rank-one prior: real-time scene recovery", TPAMI 2023. The iterations stop at a
    relative change of 5e-4, after 30, or when iterations times pixels exceed 40 million, which keeps a photo below 10 s
    on one CPU core. Patented; see the module's notes.

    Example:
        >>> orange = torch.tensor([0.8, 0.6, 0.4]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
        >>> torch.allclose(rop_plus(orange, stretch=False), orange, atol=1e-5)
        True
    """
    check_image(dusty, "dusty")
    return _enhance(dusty, True, omega, stretch)


def _enhance(dusty: torch.Tensor, plus: bool, omega: float, stretch: bool) -> torch.Tensor:
    """Apply ROP or ROP+ to each image of a batch; black images stay as they are."""
    enhanced = dusty.clone()
    for index, image in enumerate(dusty):
        if not image.any():
            continue
        spectrum = consistent_spectrum(image) if plus else image.mean((1, 2)) / image.mean((1, 2)).sum()
        rough = project(image, spectrum)
        coefficient = refine(image, rough, spectrum) if plus else _resample(rough)
        scattering = coefficient * spectrum[:, None, None]
        airlight = _brightest_mean(image, rough)[:, None, None]
        result = (image - omega * scattering * airlight) / (1 - omega * scattering).clamp_min(XI)
        enhanced[index] = stretch_and_brighten(result, 95 if plus else 99) if stretch else result.clamp(0, 1)
    return enhanced


def consistent_spectrum(image: torch.Tensor) -> torch.Tensor:
    """Find the colour direction of the largest consistent region, starting from the whole image.

    Args:
        image: (3, H, W) in [0, 1], not black.

    Returns:
        (3,), sums to 1: the mean colour of the pixels whose cosine with it exceeds 0.99.
    """
    pixels = image.flatten(1)
    norms = pixels.norm(dim=0).clamp_min(1e-12)
    spectrum = pixels.mean(1) / pixels.mean(1).sum()
    for _ in range(REGION_ROUNDS):
        inside = (spectrum @ pixels) / (norms * spectrum.norm()) > CONSISTENT
        if not inside.any():
            break
        previous, spectrum = spectrum, pixels[:, inside].mean(1)
        spectrum = spectrum / spectrum.sum()
        if torch.equal(previous, spectrum):
            break
    return spectrum


def project(image: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
    r"""Coefficient of the orthogonal projection of each pixel on the spectrum.

    .. math:: C_0 = \frac{\langle I, s \rangle}{\langle s, s \rangle}

    The paper prints :math:`\langle I, s \rangle`, which minimises the stated objective only if :math:`s` has unit norm.

    Args:
        image: (3, H, W); spectrum: (3,).

    Returns:
        (H, W).
    """
    return torch.einsum("chw,c->hw", image, spectrum) / spectrum.square().sum()


def refine(
    image: torch.Tensor,
    rough: torch.Tensor,
    spectrum: torch.Tensor,
    texture: float = TEXTURE_WEIGHT,
    smooth: float = SMOOTH_WEIGHT,
    rounds: int = ROUNDS,
) -> torch.Tensor:
    r"""Refine the coefficient by the alternating direction method of multipliers (ADMM), with periodic borders.

    .. math:: \min_C \|C - C_0\|^2 + \lambda_1 \sum_c \|W_c \nabla (s_c C - I_c)\|_1 + \lambda_2 \|\nabla C\|_1,
              \qquad W_c = e^{-\gamma |\nabla I_c|_1}

    Args:
        image: (3, H, W) in [0, 1].
        rough: (H, W), :math:`C_0`.
        spectrum: (3,), :math:`s`.
        texture: weight :math:`\lambda_1` of the gradients of the image.
        smooth: weight :math:`\lambda_2` of the total variation.
        rounds: most iterations; fewer for large images and once the coefficient hardly changes.

    Returns:
        (H, W), clipped so that the scattering map lies in [0, 1].
    """
    height, width = rough.shape
    limit = 1 / spectrum.max().item()
    rounds = max(1, min(rounds, int(PIXEL_ROUNDS / rough.numel())))
    # The total variation is a fourth channel of spectrum 1 and gradient 0.
    colors = [*spectrum.tolist(), 1.0]
    gradients = [*_gradient(image), torch.zeros_like(_gradient(rough))]
    thresholds = [texture / PENALTY * torch.exp(-EDGE_DECAY * g.abs().sum(0)) for g in gradients[:3]]
    thresholds.append(smooth / PENALTY)
    laplacian = _eigenvalues(height, rough)[:, None] + _eigenvalues(width, rough)[None, : width // 2 + 1]
    divisor = 2 + PENALTY * sum(color**2 for color in colors) * laplacian
    shifted = [g.clone() for g in gradients]  # gradient plus scaled multiplier
    coefficient = rough.clamp(0, limit)
    change = _gradient(coefficient)
    for _ in range(rounds):
        source = torch.zeros_like(change)
        for color, threshold, shift in zip(colors, thresholds, shifted, strict=True):
            shift += _shrink(color * change - shift, threshold)
            source.add_(shift, alpha=color)
        right = 2 * rough + PENALTY * _divergence(source)
        previous = coefficient
        coefficient = torch.fft.irfft2(torch.fft.rfft2(right) / divisor, s=(height, width)).clamp_(0, limit)
        if (coefficient - previous).norm() <= TOLERANCE * previous.norm():
            break
        change = _gradient(coefficient)
        for color, gradient, shift in zip(colors, gradients, shifted, strict=True):
            shift.add_(gradient).sub_(change, alpha=color)
    return coefficient


def _gradient(plane: torch.Tensor) -> torch.Tensor:
    """Periodic forward differences: (..., H, W) to (..., 2, H, W)."""
    return torch.stack((plane.roll(-1, -2) - plane, plane.roll(-1, -1) - plane), dim=-3)


def _divergence(field: torch.Tensor) -> torch.Tensor:
    """Adjoint of `_gradient`: (2, H, W) to (H, W)."""
    return field[0].roll(1, -2) - field[0] + field[1].roll(1, -1) - field[1]


def _shrink(field: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    """Shorten each difference vector (2, H, W) by the threshold, at most to zero; changes `field`."""
    length = torch.hypot(field[0], field[1]).clamp_min_(1e-12)
    return field.mul_(length.reciprocal_().mul_(-threshold).add_(1).clamp_min_(0))


def _eigenvalues(size: int, like: torch.Tensor) -> torch.Tensor:
    """Eigenvalues of the periodic second difference."""
    return 4 * torch.sin(torch.arange(size, device=like.device, dtype=like.dtype) * (math.pi / size)) ** 2


def _resample(plane: torch.Tensor) -> torch.Tensor:
    """Smooth (H, W) by shrinking and enlarging it; bilinear."""
    side = min(plane.shape)
    factor = 0.02 if side < 800 else 0.01 if side < 1500 else 0.005
    small = [math.ceil(factor * size) for size in plane.shape]
    shrunk = F.interpolate(plane[None, None], small, mode="bilinear", antialias=True)
    return F.interpolate(shrunk, plane.shape, mode="bilinear", align_corners=False)[0, 0]


def _brightest_mean(image: torch.Tensor, coefficient: torch.Tensor) -> torch.Tensor:
    """Mean colour of the 0.1 % of the pixels with the largest scattering; at least one."""
    count = max(1, coefficient.numel() // 1000)
    return image.flatten(1)[:, coefficient.flatten().topk(count).indices].mean(1)


def stretch_and_brighten(image: torch.Tensor, high: float) -> torch.Tensor:
    """Stretch each channel from its 1st to its `high` percentile, and brighten the luma by a gamma of 5/6, in 8 bit.

    Args:
        image: (3, H, W), any range.
        high: percentile that becomes white; channels without range are clipped to [0, 1].

    Returns:
        (3, H, W) in [0, 1].
    """
    array = image.double().numpy(force=True)
    black, white = np.percentile(array, (1, high), axis=(1, 2), keepdims=True, method="hazen")
    flat = white - black < 1e-6
    levels = np.rint(255 * np.clip(np.where(flat, array, (array - black) / np.where(flat, 1, white - black)), 0, 1))
    luma = np.rint(16 + np.einsum("c,chw->hw", (65.481, 128.553, 24.966), levels / 255))  # BT.601, studio range
    brighter = np.rint(256 * ((luma + 0.5) / 256) ** (5 / 6) - 0.5)
    lifted = levels + 255 / 219 * (brighter - luma)  # equal shifts of R, G, B leave the chroma unchanged
    return torch.from_numpy(np.rint(np.clip(lifted, 0, 255)) / 255).to(image)
