"""Colour maps on YUV planes: the fast computation agrees with the equations, evaluated directly in double precision."""

import numpy as np
import pytest

from ssdie.enhancement.correction import Correction
from ssdie.enhancement.planes import apply_to_planes, downsample_planes, to_yuv_maps, yuv_to_rgb_matrix


def interpolate(values: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation along an axis, clamped at the border."""
    positions = np.clip(positions, 0, values.shape[axis] - 1)
    lower = positions.astype(int)
    upper = np.minimum(lower + 1, values.shape[axis] - 1)
    weight = (positions - lower).reshape([-1 if k == axis else 1 for k in range(values.ndim)])
    return values.take(lower, axis) * (1 - weight) + values.take(upper, axis) * weight


def enlarge(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    for axis, length in ((1, size[0]), (2, size[1])):
        maps = interpolate(maps, (np.arange(length) + 0.5) * maps.shape[axis] / length - 0.5, axis)
    return maps


def map_directly(planes, maps, bits):
    """Y', U' and V' as defined, in double precision, before rounding."""
    luma, u, v = (plane.astype(float) for plane in planes)
    fine, coarse = enlarge(maps[:1].astype(float), luma.shape)[0], enlarge(maps.astype(float), u.shape)
    mean = luma.reshape(u.shape[0], 2, u.shape[1], 2).mean((1, 3))
    added = coarse[1] * u + coarse[2] * v + coarse[9]
    added = interpolate(added, (np.arange(luma.shape[0]) + 0.5) / 2 - 0.5, 0)  # chroma lies between two rows
    added = interpolate(added, np.arange(luma.shape[1]) / 2, 1)  # and in every second column
    mapped = [fine * luma + added]
    mapped += [coarse[k] * mean + coarse[k + 1] * u + coarse[k + 2] * v + coarse[c] for k, c in ((3, 10), (6, 11))]
    return [np.clip(values, 0, (1 << bits) - 1) for values in mapped]


VIEWS = {
    "whole": lambda plane, step: plane,
    "transposed": lambda plane, step: plane.T,
    "mirrored": lambda plane, step: plane[::-1, ::-1],
    "cropped": lambda plane, step: plane[4 // step : -2 // step, 2 // step : -6 // step],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "size, cells, bits",
    [((98, 130), (9, 12), 8), ((98, 130), (9, 12), 10), ((60, 40), (48, 32), 8), ((400, 14), (8, 1), 8)],
)
def test_mapped_and_averaged_planes_agree_with_the_equations(size, cells, bits, view, monkeypatch):
    rng = np.random.default_rng(0)
    dtype = np.dtype("u1" if bits == 8 else "<u2")
    planes = []
    for step in (1, 2, 2):
        values = rng.integers(0, 1 << bits, (size[0] // step, size[1] // step)).astype(dtype)
        planes.append(VIEWS[view](values, step))
    cells = tuple(min(pair) for pair in zip(cells, planes[1].shape, strict=True))
    maps = Correction.identity(*cells).maps + rng.normal(0, 0.1, (12, *cells)).astype(np.float32)
    maps = to_yuv_maps(Correction(maps), 1, bits)
    expected = map_directly(planes, maps, bits)
    to_rgb, offset = yuv_to_rgb_matrix(1, bits)
    for strip in (1 << 17, 1 << 10):  # in one strip, and in many
        monkeypatch.setattr("ssdie.enhancement.planes.MAPPED", strip)
        monkeypatch.setattr("ssdie.enhancement.planes.AVERAGED", strip)
        out = [np.empty(plane.shape, dtype) for plane in planes]
        apply_to_planes(planes, maps, out, bits)
        for got, values in zip(out, expected, strict=True):
            assert np.abs(got - values).max() < 0.501
        small = downsample_planes(planes, (3, 4), 1, bits)
        for row, column in ((0, 0), (1, 2), (2, 3)):
            means = [average(plane, row, 3, column, 4) for plane in planes]
            assert small[row, column] == pytest.approx(np.clip(to_rgb @ (means - offset), 0, 1), abs=1e-5)


def average(plane: np.ndarray, row: int, rows: int, column: int, columns: int) -> float:
    """Mean over one of `rows` x `columns` equal parts of a plane; pixels on a border count in part."""
    weights = []
    for part, parts, length in ((row, rows, plane.shape[0]), (column, columns, plane.shape[1])):
        start, stop = part * length / parts, (part + 1) * length / parts
        pixel = np.arange(length)
        weights.append(np.clip(np.minimum(stop, pixel + 1) - np.maximum(start, pixel), 0, None) / (stop - start))
    return float(weights[0] @ plane.astype(float) @ weights[1])
