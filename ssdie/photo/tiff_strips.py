"""Pixels as TIFF files store them: inverted, multiplied by alpha, cut into strips and tiles, encoded."""

import io
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from ssdie.photo.color import as_depth, as_float
from ssdie.utils.dependencies import require


def negative(pixels: np.ndarray) -> np.ndarray:
    """Invert uint8, uint16 or float in [0, 1]."""
    return (np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1) - pixels


def multiply_alpha(pixels: np.ndarray, alpha: np.ndarray, power: int) -> np.ndarray:
    """Multiply colours by alpha to a power, 1 or -1, as "associated alpha" stores them; where alpha is 0 they stay.

    Example:
        >>> multiply_alpha(np.array([[40, 40]], np.uint8), np.array([[51, 0]], np.uint8), -1).tolist()
        [[200, 40]]
    """
    share = as_float(alpha).astype(np.float64)
    share = np.where(share > 0, share, 1) ** power
    return as_depth(as_float(pixels) * (share if pixels.ndim == 2 else share[..., None]), pixels.dtype)


def cut(pixels: np.ndarray, tile: tuple[int, int] | None, rows: int, planar: bool) -> Iterator[np.ndarray]:
    """Cut pixels into tiles or strips, plane by plane if the channels are stored separately."""
    if planar:
        for n in range(pixels.shape[2]):
            yield from cut(np.ascontiguousarray(pixels[..., n]), tile, rows, False)
        return
    wide, high = tile or (pixels.shape[1], rows)
    for top in range(0, pixels.shape[0], high):
        for left in range(0, pixels.shape[1], wide):
            part = pixels[top : top + high, left : left + wide]
            if tile:
                missing = [(0, high - part.shape[0]), (0, wide - part.shape[1])] + [(0, 0)] * (part.ndim - 2)
                part = np.pad(part, missing, mode="edge")
            yield part


def find_codec(compression: int):
    """Return the encoder of a compression from imagecodecs, or None if that is not installed."""
    try:
        codecs = require("imagecodecs", "formats")
    except ModuleNotFoundError:
        return None
    return {5: codecs.lzw_encode, 32773: codecs.packbits_encode, 50000: codecs.zstd_encode}[compression]


def encode(part: np.ndarray, compression: int, predictor: int, order: str) -> bytes:
    """Encode a strip or tile.

    Args:
        part: (h, w) or (h, w, C).
        compression: number of TIFF, of `ssdie.photo.tiff.LOSSLESS`, or 7 for JPEG.
        predictor: 2 stores differences between neighbours.
        order: byte order of struct.
    """
    if compression == 7:
        encoded = io.BytesIO()
        Image.fromarray(part).save(encoded, "JPEG", quality=95, subsampling=0)
        return encoded.getvalue()
    if predictor == 2:
        part = part.copy()
        part[:, 1:] -= part[:, :-1].copy()
    content = part.astype(part.dtype.newbyteorder(order), copy=False).tobytes()
    if compression == 1:
        return content
    if compression in (8, 32946):
        return zlib.compress(content)
    if compression == 32773:  # PackBits encodes each row separately
        pack, step = find_codec(compression), len(content) // len(part)
        return b"".join(pack(content[n : n + step]) for n in range(0, len(content), step))
    return bytes(find_codec(compression)(content))
