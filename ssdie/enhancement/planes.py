r"""Affine colour maps applied to YUV 4:2:0 planes, as videos are stored.

A map that is affine in RGB is affine in YUV too, so frames are never converted to RGB and back, and the identity
changes no value:

.. math:: \mathrm{rgb} = K\,(\mathrm{yuv} - o), \qquad \mathrm{yuv}' = K^{-1} A K\,(\mathrm{yuv} - o) + K^{-1} b + o

with :math:`A, b` from `ssdie.enhancement.correction.Correction`. The player clips values outside the range of RGB.
"""

import functools

import numpy as np

from ssdie.enhancement.correction import Correction
from ssdie.photo.video_convert import Planes

LUMA_WEIGHTS = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 7: (0.212, 0.087), 4: (0.30, 0.11)}  # of red and blue; H.273
MAPPED, AVERAGED = 1 << 17, 1 << 14  # float32 values processed at a time, which fit into the caches of a core
Blocks = list[tuple[slice, slice, np.ndarray]]  # a banded matrix: rows, their nonzero columns, and the values


@functools.cache
def yuv_to_rgb_matrix(matrix: int, bits: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return K (3, 3) and o (3,) of rgb = K (yuv - o), for limited range.

    Args:
        matrix: code of the matrix coefficients in ITU-T H.273.
        bits: bit depth of the values.

    Source: ITU-T H.273, equations 20 to 38.

    Example:
        >>> K, o = yuv_to_rgb_matrix(1)
        >>> (K @ (np.array([235, 128, 128]) - o)).round(6).tolist()
        [1.0, 1.0, 1.0]
    """
    red, blue = LUMA_WEIGHTS.get(matrix, (0.299, 0.114))
    green = 1 - red - blue
    to_yuv = np.array(
        [
            (red, green, blue),
            (-red / (2 - 2 * blue), -green / (2 - 2 * blue), 0.5),
            (0.5, -green / (2 - 2 * red), -blue / (2 - 2 * red)),
        ]
    )
    scale = np.array((219.0, 224.0, 224.0)) * 2 ** (bits - 8)
    return np.linalg.inv(to_yuv * scale[:, None]), np.array((16.0, 128.0, 128.0)) * 2 ** (bits - 8)


def downsample_planes(planes: Planes, size: tuple[int, int], matrix: int, bits: int) -> np.ndarray:
    """Downsample a frame with exact area weights, and convert it to RGB.

    Args:
        planes: Y (H, W), U and V (H/2, W/2).
        size: (h, w) of the result.
        matrix, bits: as for `yuv_to_rgb_matrix`.

    Returns:
        (h, w, 3) float32 in [0, 1].
    """
    small = [_average_rows(_average_rows(plane, size[0]).T, size[1]).T for plane in planes]
    to_rgb, offset = yuv_to_rgb_matrix(matrix, bits)
    return np.clip((np.stack(small, -1) - offset) @ to_rgb.T, 0, 1).astype(np.float32)


def _average_rows(values: np.ndarray, parts: int) -> np.ndarray:
    """Average (n, N) over `parts` intervals of rows of equal height; returns (parts, N) float32."""
    result = np.empty((parts, values.shape[1]), np.float32)
    for rows, used, weights in _averaging(len(values), parts, max(1, AVERAGED * parts // values.size)):
        np.matmul(weights, values[used].astype(np.float32), out=result[rows])
    return result


@functools.cache
def _averaging(length: int, parts: int, size: int) -> Blocks:
    """Weights (parts, length) that average equal intervals exactly, in blocks of `size` rows."""
    edges = np.linspace(0, length, parts + 1)
    place = np.arange(length)
    overlap = np.minimum(edges[1:, None], place + 1) - np.maximum(edges[:-1, None], place)
    return _blocks(np.maximum(overlap, 0) * parts / length, size)


@functools.cache
def _interpolation(length: int, cells: int, size: int) -> Blocks:
    """Weights (length, cells) of linear interpolation, clamped at the border, in blocks of `size` rows."""
    place = np.clip((np.arange(length) + 0.5) * cells / length - 0.5, 0, cells - 1)
    return _blocks(np.maximum(1 - np.abs(place[:, None] - np.arange(cells)), 0), size)


def _blocks(weights: np.ndarray, size: int) -> Blocks:
    blocks = []
    for start in range(0, len(weights), size):
        rows = slice(start, min(start + size, len(weights)))
        used = np.flatnonzero(weights[rows].any(0))
        columns = slice(int(used[0]), int(used[-1]) + 1)
        blocks.append((rows, columns, weights[rows, columns].astype(np.float32)))
    return blocks


def to_yuv_maps(correction: Correction, matrix: int, bits: int) -> np.ndarray:
    """Convert affine maps for RGB in [0, 1] to maps for YUV values; (12, h, w) in the same order."""
    transform, constant = _map_transform(matrix, bits)
    maps = transform @ correction.maps.reshape(12, -1).astype(np.float32, copy=False)
    maps += constant[:, None]
    return maps.reshape(correction.maps.shape)


@functools.cache
def _map_transform(matrix: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """The conversion of RGB maps to YUV maps, as a (12, 12) matrix and a constant (12,)."""
    to_rgb, offset = yuv_to_rgb_matrix(matrix, bits)
    to_yuv = np.linalg.inv(to_rgb)
    transform = np.zeros((12, 12))
    transform[:9, :9] = np.kron(to_yuv, to_rgb.T)
    transform[9:, :9] = -np.kron(np.eye(3), offset) @ transform[:9, :9]
    transform[9:, 9:] = to_yuv
    return transform.astype(np.float32), np.concatenate((np.zeros(9), offset)).astype(np.float32)


def apply_to_planes(planes: Planes, maps: np.ndarray, out: Planes, bits: int) -> None:
    """Apply bilinearly interpolated affine maps to a frame.

    The luma of a pixel depends on the chroma interpolated there, chroma on the mean luma of its 2 x 2 pixels. Even and
    odd rows and columns of luma are computed separately, since NumPy is several times faster with contiguous arrays
    than with every second value or with parts of rows.

    Args:
        planes: Y (H, W), U and V (H/2, W/2); H and W are even.
        maps: from `to_yuv_maps`.
        out: planes to write to.
        bits: 8 or 10.
    """
    maps, largest = maps.astype(np.float32), np.float32((1 << bits) - 1)
    maps[[3, 6]] *= np.float32(0.25)  # of the sum of 2 x 2 pixels instead of their mean
    maps[9:] += np.float32(0.5)  # rounds to nearest, since the cast truncates
    added = _map_chroma(planes, maps[1:], out, largest)
    _map_luma(planes[0], maps[0], added, out[0], largest)


def _map_chroma(planes: Planes, maps: np.ndarray, out: Planes, largest: np.float32) -> np.ndarray:
    """Write U' and V'; give what U, V and the constant add to Y', (H/2 + 2, W/2) with the border rows repeated."""
    height, width = planes[1].shape
    maps = _interpolate_columns(maps, width)
    size = max(1, MAPPED // (11 * width))
    added, least, most = np.empty((height + 2, width), np.float32), *_limits(size, width, largest)
    memory = np.empty(11 * size * width, np.float32)
    for rows, cells, weights in _interpolation(height, maps.shape[1], size):
        count = len(weights)
        local = memory[: 11 * count * width].reshape(11, count, width)
        np.matmul(weights, maps[:, cells], out=local)
        even, odd = (_split_columns(planes[0][2 * rows.start + k : 2 * rows.stop : 2]) for k in (0, 1))
        local[2:8:3] *= (even[0] + even[1] + odd[0] + odd[1]).astype(np.float32)  # Y in U' and V'
        local[0:8:3] *= planes[1][rows].astype(np.float32)  # U in Y', U' and V'
        local[1:8:3] *= planes[2][rows].astype(np.float32)
        values = local[8:]
        values += local[0:8:3]
        values += local[1:8:3]
        values[1:] += local[2:8:3]
        added[rows.start + 1 : rows.stop + 1] = values[0]
        for target, value in zip(out[1:], _clip(values[1:], least, most), strict=True):
            np.copyto(target[rows], value, casting="unsafe")
    added[0], added[-1] = added[1], added[-2]
    return added


def _map_luma(luma: np.ndarray, gain: np.ndarray, added: np.ndarray, out: np.ndarray, largest: np.float32) -> None:
    """Write Y' = gain Y + added, both interpolated: `added` lies in even columns, and between two rows."""
    height, width = luma.shape[0] // 2, luma.shape[1] // 2
    gain = _interpolate_columns(gain[None], luma.shape[1])[0]
    gain = np.stack((gain[:, 0::2], gain[:, 1::2]))  # (2, h, W/2)
    added *= np.float32(0.125)
    size = max(1, MAPPED // (4 * width))
    least, most = _limits(size, width, largest)
    memory = np.empty((4, size * width), np.float32)
    for rows, cells, weights in _interpolation(2 * height, gain.shape[1], 2 * size):
        count, first = len(weights) // 2, rows.start // 2
        near = added[first : first + count + 2]
        middle = np.float32(3) * near[1:-1]
        values, pixels = memory[:, : count * width].reshape(2, 2, count, width)
        for k in (0, 1):
            np.matmul(weights[k::2], gain[:, cells], out=values)
            pixels[0], pixels[1] = _split_columns(luma[rows.start + k : rows.stop : 2])
            values *= pixels
            even, odd = pixels
            half = middle + near[2 * k : 2 * k + count]
            np.add(half, half, out=even)
            np.add(half.ravel()[:-1], half.ravel()[1:], out=odd.ravel()[:-1])
            odd[:, -1] = even[:, -1]
            values += pixels
            out[rows.start + k : rows.stop : 2] = _join_columns(_clip(values, least, most), luma.dtype)


def _split_columns(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Even and odd columns of integers, as integers of twice the size: a pair of pixels is one number."""
    bits = 8 * pixels.itemsize
    pairs = np.ascontiguousarray(pixels).view(f"<u{2 * pixels.itemsize}")
    return pairs & ((1 << bits) - 1), pairs >> bits


def _join_columns(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Reverse `_split_columns`, for positive floating-point numbers, which are truncated."""
    even, odd = values.astype(f"<u{2 * dtype.itemsize}")
    odd <<= 8 * dtype.itemsize
    odd |= even
    return odd.view(dtype)


def _limits(size: int, width: int, largest: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Arrays to clip with: NumPy is several times slower with numbers."""
    return np.zeros((size, width), np.float32), np.full((size, width), largest)


def _clip(values: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    count = values.shape[1]
    np.maximum(values, least[:count], out=values)
    return np.minimum(values, most[:count], out=values)


def _interpolate_columns(maps: np.ndarray, width: int) -> np.ndarray:
    """Interpolate (K, h, w) to (K, h, width)."""
    flat = maps.reshape(-1, maps.shape[2])
    result = np.empty((len(flat), width), np.float32)
    for columns, cells, weights in _interpolation(width, maps.shape[2], 64):
        result[:, columns] = flat[:, cells] @ weights.T
    return result.reshape(*maps.shape[:2], width)
