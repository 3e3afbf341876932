r"""Affine colour maps that represent the network's change, applied to a photo's own pixels in NumPy.

.. math:: J_c(x) = \sum_k a_{ck}(x)\, I_k(x) + b_c(x), \qquad c, k \in \{R, G, B\}

The maps :math:`a, b` are fitted at the working size (`ssdie.ops.affine.fit_correction`). They vary smoothly and are
interpolated bilinearly, so that the photo keeps its own edges and detail. Time and memory are linear in the pixels.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ssdie.photo.files import fitted_size


@dataclass(frozen=True)
class Correction:
    """Affine colour maps at the working size.

    Args:
        maps: (12, h, w) float32: 9 coefficients a[c, k] in the order c, k, then 3 offsets b[c]; colours in [0, 1].
        dust_score: 0 for no dust, 1 for dense dust; None if the model has no dust classifier.
    """

    maps: np.ndarray
    dust_score: float | None = None

    @classmethod
    def identity(cls, height: int, width: int) -> "Correction":
        """Return maps that change nothing."""
        return cls(np.tile(IDENTITY[:, None, None], (1, height, width)))

    def scaled(self, strength: float) -> "Correction":
        """Blend with the identity: 0 changes nothing, 1 is the full change.

        Since the fit is linear in the change, the result is that of fitting the scaled change.

        Example:
            >>> full = Correction(np.full((12, 2, 2), 0.5, np.float32))
            >>> full.scaled(0.0).maps[:, 0, 0].tolist()
            [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
        """
        if strength == 1:
            return self
        identity = IDENTITY[:, None, None]
        return Correction(identity + np.float32(strength) * (self.maps - identity), self.dust_score)


IDENTITY = np.concatenate((np.eye(3, dtype=np.float32).ravel(), np.zeros(3, np.float32)))


def full_scale(dtype: np.dtype) -> float:
    """Return the value of white: 1 for floats, 255 or 65535 for integers."""
    return 1.0 if np.dtype(dtype).kind == "f" else float(np.iinfo(dtype).max)


def downsample(pixels: np.ndarray, long_side: int) -> np.ndarray:
    """Downsample an image by averaging with exact area weights.

    Args:
        pixels: (H, W, 3), uint8, uint16 or float in [0, 1].
        long_side: largest longer side of the result, pixels; nothing is enlarged.

    Returns:
        (h, w, 3) float32 in [0, 1].

    Example:
        >>> downsample(np.full((30, 40, 3), 255, np.uint8), 8)[0, 0].tolist()
        [1.0, 1.0, 1.0]
    """
    height, width = fitted_size(pixels.shape[:2], long_side)
    small = _average_rows(_average_rows(pixels, height).transpose(1, 0, 2), width).transpose(1, 0, 2)
    return np.clip(small / np.float32(full_scale(pixels.dtype)), 0, 1, dtype=np.float32)


def _average_rows(pixels: np.ndarray, parts: int) -> np.ndarray:
    """Average (H, W, C) over `parts` intervals of equal height; rows on a border are weighted by their overlap."""
    length = len(pixels)
    if parts == length:
        return pixels.astype(np.float32)
    exact = np.uint32 if pixels.dtype.kind == "u" else np.float32
    output = np.empty((parts, *pixels.shape[1:]), np.float32)
    for part in range(parts):
        start, stop = part * length / parts, (part + 1) * length / parts
        first, last = int(start), min(length, int(np.ceil(stop - 1e-9)))
        total = np.add.reduce(pixels[first:last], axis=0, dtype=exact).astype(np.float32)
        total -= np.float32(start - first) * pixels[first]
        total -= np.float32(last - stop) * pixels[last - 1]
        output[part] = total
    output /= np.float32(length / parts)
    return output


def apply_correction(
    pixels: np.ndarray, correction: Correction, out: np.ndarray | None = None, threads: int = 1
) -> np.ndarray:
    """Apply to each pixel the affine map at its position.

    Args:
        pixels: (H, W, 3), uint8, uint16 or float in [0, 1].
        correction: maps of any size, interpolated to (H, W).
        out: array to write to, like `pixels`; may be `pixels` itself; None allocates one.
        threads: number of threads; each processes a part of the rows.

    Returns:
        (H, W, 3) of the same dtype, clipped to its range; integers are rounded to nearest.
    """
    out = np.empty(pixels.shape, pixels.dtype) if out is None else out
    maps = correction.maps.astype(np.float32)
    maps[9:] *= full_scale(pixels.dtype)
    if pixels.dtype.kind == "u":
        maps[9:] += 0.5  # rounds to nearest, since the cast truncates
    columns = _positions(pixels.shape[1], maps.shape[2])
    rows = _positions(pixels.shape[0], maps.shape[1])
    strips = list(itertools.pairwise(np.linspace(0, len(pixels), threads + 1).astype(int)))
    if len(strips) == 1:
        _apply_rows(pixels, out, maps, rows, columns, strips[0])
    else:
        with ThreadPoolExecutor(len(strips)) as pool:
            list(pool.map(lambda strip: _apply_rows(pixels, out, maps, rows, columns, strip), strips))
    return out


def _positions(length: int, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper neighbouring cell of each of `length` pixel centres, and the weight of the upper one."""
    place = np.clip((np.arange(length) + 0.5) * cells / length - 0.5, 0, cells - 1)
    lower = place.astype(np.intp)
    return lower, np.minimum(lower + 1, cells - 1), (place - lower).astype(np.float32)


def _apply_rows(
    pixels: np.ndarray,
    out: np.ndarray,
    maps: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    strip: tuple[int, int],
) -> None:
    """Apply the maps row by row: the maps of one row fit into the CPU cache, and all rows use the same buffers."""
    width, integer = pixels.shape[1], pixels.dtype.kind == "u"
    lower, upper, weight = rows
    left, right, across = columns
    largest = full_scale(pixels.dtype) + (0.5 if integer else 0.0)
    local = np.empty((12, width), np.float32)
    coefficients, offsets = local[:9].reshape(3, 3, width), local[9:]
    color, mapped = np.empty((3, width), np.float32), np.empty((3, width), np.float32)
    cell = -1
    for y in range(*strip):
        if lower[y] != cell:
            cell = lower[y]
            lines = maps[:, (cell, upper[y])]  # (12, 2, w)
            lines = lines[..., left] + across * (lines[..., right] - lines[..., left])  # (12, 2, W)
            first = np.ascontiguousarray(lines[:, 0])
            step = lines[:, 1] - first
        np.multiply(step, weight[y], out=local)
        local += first
        np.copyto(color, pixels[y].T, casting="unsafe")
        coefficients *= color
        np.add(coefficients[:, 0], coefficients[:, 1], out=mapped)
        mapped += coefficients[:, 2]
        mapped += offsets
        np.clip(mapped, 0, largest, out=mapped)
        for channel in range(3):
            np.copyto(out[y, :, channel], mapped[channel], casting="unsafe")
