r"""Synthetic dust: atmospheric scattering, then the camera with its noise and JPEG compression.

.. math:: I_c(x) = J_c(x)\, t_c(x) + A_c\, (1 - t_c(x)), \qquad t_c(x) = e^{-\beta_c d(x)}
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from ssdie.ops.color import LUMA, color_transfer, luminance
from ssdie.ops.filters import gaussian_blur
from ssdie.ops.images import check_image
from ssdie.synthesis.recipes import Dust, read_dust, sample_dust
from ssdie.utils.devices import constant_like

FAR = 0.8  # depth beyond which a surface counts as sky
DISTANT = (0.15, 0.5)  # visible_target: up to the first depth the target is the clear photo, from the second on a veil
SPREAD = 2.3  # sigma of the blur by multiple scattering, in pixels of a 256-pixel image
# quantisation tables of ITU-T T.81, annexes K.1 and K.2, row by row
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)
RGB_TO_YCC = (LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # JFIF 1.02


@dataclass
class DustyPair:
    """A synthetic pair: `dusty`, `clear`, `transmission` (N, 3, H, W), `airlight` (N, 3), `depth` (N, 1, H, W)."""

    dusty: torch.Tensor
    clear: torch.Tensor
    transmission: torch.Tensor
    airlight: torch.Tensor
    depth: torch.Tensor


def transmission_from_depth(depth: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    r"""Compute the transmission, the fraction of the scene's light that reaches the camera.

    .. math:: t_c(x) = e^{-\beta_c d(x)}

    Args:
        depth: distance d; (N, 1, H, W), 0 at the camera.
        beta: extinction coefficients; (N, 3) per unit of depth.

    Returns:
        (N, 3, H, W) in (0, 1].

    Source: method section 1.

    Example:
        >>> transmission_from_depth(torch.zeros(1, 1, 1, 1), torch.tensor([[1.0, 2.0, 3.0]])).flatten().tolist()
        [1.0, 1.0, 1.0]
    """
    return torch.exp(-beta[:, :, None, None] * depth)


def scatter(clear: torch.Tensor, transmission: torch.Tensor, airlight: torch.Tensor) -> torch.Tensor:
    r"""Attenuate the scene and add the dust veil.

    .. math:: I = J\, t + A\, (1 - t)

    Args:
        clear: J; (N, 3, H, W) in [0, 1].
        transmission: t; (N, 3, H, W) or (N, 1, H, W) in [0, 1].
        airlight: A; (N, 3), or (N, 3, H, W) if it varies over the image.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: method section 1.

    Example:
        >>> veil = scatter(torch.rand(1, 3, 1, 1), torch.zeros(1, 1, 1, 1), torch.tensor([[0.8, 0.6, 0.2]]))
        >>> [round(v, 2) for v in veil.flatten().tolist()]  # no light arrives: only the veil
        [0.8, 0.6, 0.2]
    """
    airlight = airlight[:, :, None, None] if airlight.ndim == 2 else airlight
    return clear * transmission + airlight * (1 - transmission)


def add_dust(
    clear: torch.Tensor,
    depth: torch.Tensor,
    dust: Dust | str | Path = "measured",
    generator: torch.Generator | int = 0,
) -> DustyPair:
    r"""Add dust to clear photos: scattering, then blur, white balance and exposure, noise and JPEG.

    .. math:: I = (J L)\, t + A\, (1 - t)

    with the tint :math:`L` of the light on the scene; the other symbols are those of the module.

    Args:
        clear: J; (N, 3, H, W) in [0, 1].
        depth: relative; (N, 1, H, W), 0 near, 1 far (sky).
        dust: parameters of the dust, the name of a recipe to draw them from, or a .json file that `write_dust` wrote.
        generator: random numbers on the CPU, or a seed; the sensor noise is drawn on the device of `clear`.

    Returns:
        The pair on the device of `clear`, the same for the same seed. Its airlight is the colour after white balance.

    Raises:
        TypeError, ValueError: `clear` or `depth` has another type, shape or range, or their sizes differ.

    Source: method section 2; Narasimhan and Nayar, "Vision and the atmosphere", IJCV 2002, for the tinted light and
    the blur by multiple scattering (here one Gaussian, weighted by 1 - t).

    Example:
        >>> clear, depth = torch.full((1, 3, 32, 32), 0.4), torch.ones(1, 1, 32, 32)
        >>> pair = add_dust(clear, depth, "reference", generator=1)
        >>> bool((pair.transmission <= 0.45).all())  # exp(-0.4 * 2) at most
        True
    """
    check_image(clear, "clear")
    check_image(depth, "depth", channels=1)
    if clear.shape[-2:] != depth.shape[-2:] or len(clear) != len(depth):
        got = f"clear {tuple(clear.shape)}, depth {tuple(depth.shape)}"
        raise ValueError(f"clear, depth: expected the same N, H and W, got {got}. Use ssdie.ops.images.resize.")
    if isinstance(generator, int):
        generator = torch.Generator().manual_seed(generator)
    if isinstance(dust, str | Path):
        saved = str(dust).endswith(".json")
        dust = read_dust(dust) if saved else sample_dust(len(clear), generator, str(dust))
    sigmas = (dust.blur * min(clear.shape[-2:]) / 256).tolist()  # read on the CPU, without synchronising with a GPU
    dust = dust.to(clear.device)
    near, sky, spread = (v.view(-1, 1, 1, 1) for v in (dust.near, dust.sky, dust.spread))
    clear = torch.lerp(luminance(clear), clear, dust.vividness.view(-1, 1, 1, 1))
    distance = depth + near + sky * _ramp(depth, FAR, 1)
    transmission = transmission_from_depth(distance * relative_density(dust.unevenness, clear.shape[-2:]), dust.beta)
    lit = (clear * dust.tint[:, :, None, None]).clamp(0, 1)
    soft = gaussian_blur(lit, SPREAD * min(clear.shape[-2:]) / 256)
    lit = torch.lerp(lit, soft, spread * (1 - transmission))
    dusty = scatter(lit, transmission, _uneven_airlight(dust, clear.shape[-2:])).clamp(0, 1)
    dusty = torch.cat([_blur(picture, sigma) for picture, sigma in zip(dusty.split(1), sigmas, strict=True)])
    matrix, shift = color_transfer(dusty, dust.color_statistics)
    airlight = (torch.einsum("nij,nj->ni", matrix, dust.airlight) + shift).clamp(0, 1)
    dusty = (torch.einsum("nij,njhw->nihw", matrix, dusty) + shift[:, :, None, None]).clamp(0, 1)
    noise = torch.Generator(clear.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    dusty = add_sensor_noise(dusty, dust.noise, noise)
    compressed = compress_jpeg(dusty, dust.quality.clamp(1, 100))
    dusty = torch.where(dust.quality.view(-1, 1, 1, 1) > 100, dusty, compressed)
    return DustyPair(dusty, clear.expand_as(dusty), transmission, airlight, depth)


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur (1, 3, H, W) if sigma, in pixels, is large enough to have an effect."""
    return gaussian_blur(image, sigma) if sigma > 0.2 else image


def _uneven_airlight(dust: Dust, size: tuple[int, int]) -> torch.Tensor:
    """Airlight (N, 3, H, W) whose brightness changes linearly over the image."""
    down, right = (torch.linspace(-1, 1, n, device=dust.glow.device) for n in size)
    glow = 1 + dust.glow[:, 0, None, None] * right + dust.glow[:, 1, None, None] * down[:, None]
    return (dust.airlight[:, :, None, None] * glow[:, None]).clamp(0, 1)


def relative_density(unevenness: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Interpolate the density of uneven dust to the size of the images.

    Args:
        unevenness: logarithm of the relative density on a coarse grid; (N, h, w).
        size: height and width; pixels.

    Returns:
        (N, 1, H, W) between 1/6 and 6; 1 where the dust has its average density.

    Example:
        >>> relative_density(torch.zeros(1, 6, 6), (8, 8)).unique().tolist()
        [1.0]
    """
    field = F.interpolate(unevenness[:, None], size=tuple(size), mode="bicubic", align_corners=True)
    return field.exp().clamp(1 / 6, 6)


def visible_target(pair: DustyPair, low: float = 0.02, high: float = 0.12) -> torch.Tensor:
    r"""Make a training target that can be recovered: the clear photo, but a neutral veil where the dust is opaque.

    .. math:: (1 - h)\, J + h\, n, \qquad h = \big(1 - r(\max_c t_c;\ \text{low}, \text{high})\big)\, r(d;\ 0.15, 0.5),
        \qquad n = \tfrac{1}{2} \Big(\sqrt{\max_c A_c} + \frac{\sum_x h Y}{\sum_x h}\Big)

    with the linear ramp r, 0 up to its first bound and 1 from the second, and the luminance Y of the clear photo: the
    grey veil n lies halfway between the brightness of the airlight and the mean luminance of the hidden parts.

    Clear photos have blue skies where dusty ones have opaque dust. Trained towards the clear photo, the network would
    learn to invent blue skies. Near surfaces keep the clear photo as target, however dense the dust; otherwise the
    network would mistake a uniform road for fog.

    Args:
        pair: synthetic pair.
        low, high: transmission of the most transparent channel below which nothing and above which everything is
            visible.

    Returns:
        (N, 3, H, W) in [0, 1].

    Example:
        >>> one = torch.ones(1, 3, 1, 1)
        >>> pair = DustyPair(one, 0.5 * one, 0 * one, torch.tensor([[0.81, 0.5, 0.1]]), one[:, :1])
        >>> [round(v, 2) for v in visible_target(pair).flatten().tolist()]  # opaque: neutral, halfway from 0.9 to 0.5
        [0.7, 0.7, 0.7]
    """
    hidden = (1 - _ramp(pair.transmission.amax(1, keepdim=True), low, high)) * _ramp(pair.depth, *DISTANT)
    area = hidden.sum((1, 2, 3), keepdim=True).clamp_min(1e-6)
    luma = (hidden * luminance(pair.clear)).sum((1, 2, 3), keepdim=True) / area
    neutral = (pair.airlight.amax(1).sqrt()[:, None, None, None] + luma) / 2
    return torch.lerp(pair.clear, neutral.expand_as(pair.clear), hidden)


def _ramp(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Linear ramp: 0 up to `low`, 1 from `high`."""
    return ((x - low) / (high - low)).clamp(0, 1)


# The camera ---------------------------------------------------------------------------------------------------------


def add_sensor_noise(
    image: torch.Tensor, sigma: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    r"""Add Gaussian noise whose variance grows with the signal.

    .. math:: n \sim \mathcal{N}(0,\ \sigma^2\, (0.5 + v))

    Args:
        image: (N, C, H, W) in [0, 1].
        sigma: (N,) standard deviation at v = 0.5, as a fraction of full scale.
        generator: on the device of `image`.

    Returns:
        (N, C, H, W), clamped to [0, 1].

    Source: Foi et al., "Practical Poissonian-Gaussian noise modeling", TIP 2008, equation 2, with a = b = sigma^2.
    """
    noise = torch.empty_like(image).normal_(generator=generator)
    return (image + sigma.view(-1, 1, 1, 1) * (0.5 + image).clamp_min(0).sqrt() * noise).clamp(0, 1)


def compress_jpeg(image: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Simulate baseline JPEG compression with 4:2:0 chroma subsampling.

    Args:
        image: (N, 3, H, W) RGB in [0, 1]; any size.
        quality: (N,) 1 to 100, on libjpeg's scale.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: ITU-T T.81, annexes A.3 and K; libjpeg's quality scale.

    Example:
        >>> grey = torch.full((1, 3, 20, 33), 128 / 255)  # 128 is the zero of the transform: no loss
        >>> torch.allclose(compress_jpeg(grey, torch.tensor([10.0])), grey, atol=1e-5)
        True
    """
    height, width = image.shape[-2:]
    padded = F.pad(image, (0, -width % 16, 0, -height % 16), mode="replicate")
    matrix = torch.tensor(RGB_TO_YCC)
    forward, inverse = (constant_like(m.tolist(), padded) for m in (matrix, torch.linalg.inv(matrix)))
    levels = torch.round(padded * 255)
    luma, chroma = torch.einsum("kc,nchw->nkhw", forward, levels).split((1, 2), dim=1)
    luma = _quantise(luma - 128, LUMA_TABLE, quality) + 128
    chroma = _quantise(F.avg_pool2d(chroma, 2), CHROMA_TABLE, quality)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ck,nkhw->nchw", inverse, torch.cat((luma, chroma), 1))
    return (rgb[..., :height, :width] / 255).clamp(0, 1)


def _quantise(plane: torch.Tensor, table: tuple, quality: torch.Tensor) -> torch.Tensor:
    """Round the 8 x 8 cosine coefficients of (N, C, H, W) to multiples of the scaled table."""
    index = torch.arange(8, dtype=plane.dtype, device=plane.device)
    basis = torch.cos((2 * index + 1) * index[:, None] * math.pi / 16) / 2  # (frequency, position)
    basis[0] /= math.sqrt(2)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    steps = torch.floor((constant_like(table, plane) * scale + 50) / 100).clamp(1, 255)[:, None, None, None]
    batch, channels, height, width = plane.shape
    blocks = plane.view(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)  # (N, C, rows, columns, 8, 8)
    blocks = basis.T @ (torch.round(basis @ blocks @ basis.T / steps) * steps) @ basis
    return blocks.transpose(3, 4).reshape(batch, channels, height, width)
