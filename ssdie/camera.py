"""What camera and file add to light: sensor noise and JPEG, on batches, on the device, one setting for each picture."""

import math

import torch
import torch.nn.functional as F

from ssdie.devices import constant

# Quantisation tables of ITU-T T.81, annex K.1 and K.2, in the order of rows.
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
RGB_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # JFIF 1.02


def add_sensor_noise(
    image: torch.Tensor, sigma: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Add noise whose variance is half constant, half in proportion to the light: n ~ N(0, sigma^2 (0.5 + v)).

    Args:
        image: (N, C, H, W) in [0, 1].
        sigma: (N,) standard deviation at v = 0.5; share of full scale.
        generator: on the device of `image`.

    Returns:
        (N, C, H, W), clamped to [0, 1].

    Source: Foi et al., "Practical Poissonian-Gaussian noise modeling", TIP 2008, equation 2, with a = b = sigma^2.
    """
    noise = torch.empty_like(image).normal_(generator=generator)
    return (image + sigma.view(-1, 1, 1, 1) * (0.5 + image).clamp_min(0).sqrt() * noise).clamp(0, 1)


def compress_jpeg(image: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Pass through baseline JPEG, 4:2:0, without writing a file.

    Args:
        image: (N, 3, H, W) RGB in [0, 1]; any size.
        quality: (N,) from 1 to 100, on libjpeg's scale.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: ITU-T T.81, annexes A.3 and K; libjpeg's scale of quality.

    Example:
        >>> grey = torch.full((1, 3, 20, 33), 128 / 255)  # 128 is the zero of the transform: nothing is lost
        >>> torch.allclose(compress_jpeg(grey, torch.tensor([10.0])), grey, atol=1e-5)
        True
    """
    height, width = image.shape[-2:]
    padded = F.pad(image, (0, -width % 16, 0, -height % 16), mode="replicate")
    matrix = torch.tensor(RGB_TO_YCC)
    into, back = (constant(m.tolist(), padded) for m in (matrix, torch.linalg.inv(matrix)))
    levels = torch.round(padded * 255)
    luma, chroma = torch.einsum("kc,nchw->nkhw", into, levels).split((1, 2), dim=1)
    luma = _quantise(luma - 128, LUMA_TABLE, quality) + 128
    chroma = _quantise(F.avg_pool2d(chroma, 2), CHROMA_TABLE, quality)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ck,nkhw->nchw", back, torch.cat((luma, chroma), 1))
    return (rgb[..., :height, :width] / 255).clamp(0, 1)


def _quantise(plane: torch.Tensor, table: tuple, quality: torch.Tensor) -> torch.Tensor:
    """Round the 8 x 8 cosine coefficients of (N, C, H, W) to multiples of the scaled table."""
    index = torch.arange(8, dtype=plane.dtype, device=plane.device)
    basis = torch.cos((2 * index + 1) * index[:, None] * math.pi / 16) / 2  # (frequency, place)
    basis[0] /= math.sqrt(2)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    steps = torch.floor((constant(table, plane) * scale + 50) / 100).clamp(1, 255)[:, None, None, None]
    batch, channels, height, width = plane.shape
    blocks = plane.view(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)  # (N, C, rows, columns, 8, 8)
    blocks = basis.T @ (torch.round(basis @ blocks @ basis.T / steps) * steps) @ basis
    return blocks.transpose(3, 4).reshape(batch, channels, height, width)
