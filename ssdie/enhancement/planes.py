r"""Affine colour maps applied to YUV 4:2:0 planes, as videos are stored.

A map that is affine in RGB is affine in YUV too, so frames are never converted to RGB and back, and the identity
changes no value:

.. math:: \mathrm{rgb} = K\,(\mathrm{yuv} - o), \qquad \mathrm{yuv}' = K^{-1} A K\,(\mathrm{yuv} - o) + K^{-1} b + o

with :math:`A, b` from `ssdie.enhancement.correction.Correction`. Values outside RGB's range are clipped by the player.
"""

import functools

import numpy as np

from ssdie.enhancement.correction import Correction
from ssdie.photo.video_convert import Planes

LUMA_WEIGHTS = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 7: (0.212, 0.087), 4: (0.30, 0.11)}  # of red and blue; H.273
ROWS = 32  # rows of Y that are mapped at a time: the working memory stays in the cache


@functools.cache
def yuv_to_rgb_matrix(matrix: int, bits: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Give K (3, 3) and o (3,) of rgb = K (yuv - o), for limited range.

    Args:
        matrix: matrix coefficients, number of ITU-T H.273.
        bits: of the values.

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


@functools.cache
def _averaging(length: int, parts: int) -> np.ndarray:
    """Weights (parts, length) that average equal intervals exactly."""
    edges = np.linspace(0, length, parts + 1)
    place = np.arange(length)
    overlap = np.minimum(edges[1:, None], place + 1) - np.maximum(edges[:-1, None], place)
    return (np.maximum(overlap, 0) * parts / length).astype(np.float32)


def downsample_planes(planes: Planes, size: tuple[int, int], matrix: int, bits: int) -> np.ndarray:
    """Average a frame down by exact area weights, as RGB.

    Args:
        planes: Y (H, W), U and V (H/2, W/2).
        size: (h, w) of the result.
        matrix, bits: as for `yuv_to_rgb_matrix`.

    Returns:
        (h, w, 3) float32 in [0, 1].
    """
    small = [
        _averaging(plane.shape[0], size[0]) @ plane.astype(np.float32) @ _averaging(plane.shape[1], size[1]).T
        for plane in planes
    ]
    to_rgb, offset = yuv_to_rgb_matrix(matrix, bits)
    return np.clip((np.stack(small, -1) - offset) @ to_rgb.T, 0, 1).astype(np.float32)


def to_yuv_maps(correction: Correction, matrix: int, bits: int) -> np.ndarray:
    """Convert colour maps of RGB in [0, 1] to those of YUV values; (12, h, w) in the same order."""
    transform, constant = _map_transform(matrix, bits)
    maps = transform @ correction.maps.reshape(12, -1).astype(np.float32, copy=False)
    maps += constant[:, None]
    return maps.reshape(correction.maps.shape)


@functools.cache
def _map_transform(matrix: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """The change from RGB to YUV maps as one (12, 12) matrix and a constant (12,)."""
    to_rgb, offset = yuv_to_rgb_matrix(matrix, bits)
    to_yuv = np.linalg.inv(to_rgb)
    transform = np.zeros((12, 12))
    transform[:9, :9] = np.kron(to_yuv, to_rgb.T)
    transform[9:, :9] = -np.kron(np.eye(3), offset) @ transform[:9, :9]
    transform[9:, 9:] = to_yuv
    return transform.astype(np.float32), np.concatenate((np.zeros(9), offset)).astype(np.float32)


def apply_to_planes(planes: Planes, maps: np.ndarray, out: Planes, bits: int) -> None:
    """Map the colours of a frame by affine maps, which are interpolated bilinearly.

    Luma of each pixel depends on the chroma interpolated there; chroma on the mean luma of its 2 x 2 pixels.

    Args:
        planes: Y (H, W), U and V (H/2, W/2); H and W are even.
        maps: from `to_yuv_maps`.
        out: planes to write to.
        bits: 8 or 10.
    """
    height, width = planes[0].shape
    cells = maps.shape[1]
    fine = _interpolate_columns(maps[:1], width)  # the coefficient of Y in Y'; (h, 1 W)
    coarse = _interpolate_columns(maps[1:], width // 2)  # the others; (h, 11 W/2)
    weights, half_weights = _interpolation(height, cells), _interpolation(height // 2, cells)
    largest = np.float32((1 << bits) - 1)
    for top in range(0, height, ROWS):
        strip = slice(top, min(top + ROWS, height))
        half = slice(top // 2, strip.stop // 2)
        near = slice(max(half.start - 1, 0), min(half.stop + 1, height // 2))  # and a row of chroma on either side
        local = _interpolate_rows(half_weights, coarse, near).reshape(-1, 11, width // 2).transpose(1, 0, 2)
        u, v = planes[1][near].astype(np.float32), planes[2][near].astype(np.float32)
        share = local[0] * u  # U, V and the constant in Y'
        share += local[1] * v
        share += local[8]
        luma = planes[0][strip].astype(np.float32)
        mean = luma[0::2] + luma[1::2]
        mean = mean[:, 0::2] + mean[:, 1::2]
        mean *= np.float32(0.25)
        inner = slice(half.start - near.start, half.stop - near.start)
        u, v, local = u[inner], v[inner], local[:, inner]
        for first, constant, target in ((2, 9, out[1]), (5, 10, out[2])):  # Y, U and V in U'; in V'
            value = local[first] * mean
            value += local[first + 1] * u
            value += local[first + 2] * v
            value += local[constant]
            _store(value, target[half], largest)
        luma *= _interpolate_rows(weights, fine, strip)
        luma += _upsample(share, inner.start, inner.stop - inner.start)
        _store(luma, out[0][strip], largest)


def _positions(length: int, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells below and above each of `length` pixel centres, and the weight of the upper one; clamped at the border."""
    place = np.clip((np.arange(length) + 0.5) * cells / length - 0.5, 0, cells - 1)
    lower = place.astype(np.intp)
    return lower, np.minimum(lower + 1, cells - 1), (place - lower).astype(np.float32)


@functools.cache
def _interpolation(length: int, cells: int) -> np.ndarray:
    """Weights (length, cells) of bilinear interpolation."""
    lower, upper, weight = _positions(length, cells)
    weights = np.zeros((length, cells), np.float32)
    np.add.at(weights, (np.arange(length), lower), 1 - weight)
    np.add.at(weights, (np.arange(length), upper), weight)
    return weights


def _interpolate_rows(weights: np.ndarray, maps: np.ndarray, rows: slice) -> np.ndarray:
    """Interpolate (h, N) to some rows of the frame: a product of matrices, of the cells that these rows touch."""
    weights = weights[rows]
    used = np.flatnonzero(weights.any(0))
    cells = slice(used[0], used[-1] + 1)
    return weights[:, cells] @ maps[cells]


def _interpolate_columns(maps: np.ndarray, width: int) -> np.ndarray:
    """Interpolate (K, h, w) to (h, K width)."""
    left, right, share = _positions(width, maps.shape[2])
    maps = maps.transpose(1, 0, 2)
    result = maps[..., left]
    result += share * (maps[..., right] - result)
    return result.reshape(len(maps), -1)


def _upsample(chroma: np.ndarray, first: int, rows: int) -> np.ndarray:
    """Double some rows of (n, W/2) both ways by interpolation; samples lie left in a row and between two rows."""
    index = np.arange(first, first + rows)
    middle = chroma[index]
    wide = np.empty((2 * rows, 2 * chroma.shape[1]), np.float32)
    for side, part in ((-1, wide[0::2]), (1, wide[1::2])):
        row = chroma[np.clip(index + side, 0, len(chroma) - 1)]
        row -= middle
        row *= np.float32(0.25)
        row += middle
        part[:, 0::2] = row
        part[:, 1:-1:2] = row[:, :-1] + row[:, 1:]
        part[:, 1:-1:2] *= np.float32(0.5)
        part[:, -1] = row[:, -1]
    return wide


def _store(values: np.ndarray, target: np.ndarray, largest: np.float32) -> None:
    """Round, clip and write values."""
    values += np.float32(0.5)
    np.clip(values, 0, largest, out=values)
    np.copyto(target, values, casting="unsafe")
