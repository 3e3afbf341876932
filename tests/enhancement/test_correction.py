"""Affine colour maps in NumPy: exact downsampling, interpolation without seams, agreement with the torch version."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssdie.enhancement.correction import Correction, apply_correction, downsample, full_scale
from ssdie.ops import affine

DTYPES = (np.uint8, np.uint16, np.float32)


def random_correction(height: int, width: int) -> Correction:
    random = np.random.default_rng(height * 1000 + width)
    maps = np.concatenate((np.eye(3).reshape(9, 1, 1), np.zeros((3, 1, 1)))) + np.zeros((12, height, width))
    maps[:9] += 0.3 * random.standard_normal((9, height, width))
    maps[9:] += 0.1 * random.standard_normal((3, height, width))
    return Correction(maps.astype(np.float32))


def random_pixels(height: int, width: int, dtype) -> np.ndarray:
    pixels = np.random.default_rng(2).random((height, width, 3))
    return pixels.astype(dtype) if dtype == np.float32 else np.rint(pixels * full_scale(dtype)).astype(dtype)


def reference(pixels: np.ndarray, correction: Correction) -> np.ndarray:
    """Maps enlarged by PyTorch's bilinear interpolation and applied in double precision."""
    white = full_scale(pixels.dtype)
    maps = torch.from_numpy(correction.maps).double()[None]
    maps = F.interpolate(maps, size=pixels.shape[:2], mode="bilinear", align_corners=False)[0].numpy()
    matrix, offset = maps[:9].reshape(3, 3, *pixels.shape[:2]), maps[9:]
    mapped = np.einsum("kchw,hwc->hwk", matrix, pixels / white) + offset.transpose(1, 2, 0)
    return mapped.clip(0, 1) * white


@pytest.mark.quick
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "size, maps", [((50, 70), (10, 14)), ((33, 17), (33, 17)), ((1, 40), (1, 8)), ((129, 3), (9, 2))]
)
def test_maps_are_interpolated_bilinearly(dtype, size, maps):
    pixels, correction = random_pixels(*size, dtype), random_correction(*maps)
    enhanced = apply_correction(pixels, correction)
    assert enhanced.dtype == dtype and enhanced.shape == pixels.shape
    difference = np.abs(enhanced.astype(float) - reference(pixels, correction)).max()
    assert difference < {np.uint8: 0.501, np.uint16: 0.55, np.float32: 1e-5}[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_identity_and_strength_zero_change_no_value(dtype):
    pixels = random_pixels(41, 53, dtype)
    assert np.array_equal(apply_correction(pixels, Correction.identity(7, 9)), pixels)
    assert np.array_equal(apply_correction(pixels, random_correction(7, 9).scaled(0.0)), pixels)


def test_the_number_of_threads_changes_no_value_and_the_output_may_overwrite_the_input():
    pixels, correction = random_pixels(97, 60, np.uint8), random_correction(12, 9)
    enhanced = apply_correction(pixels, correction)
    assert np.array_equal(apply_correction(pixels, correction, threads=3), enhanced)
    assert apply_correction(pixels, correction, out=pixels) is pixels and np.array_equal(pixels, enhanced)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size, long_side", [((60, 100), 50), ((61, 100), 37), ((1, 9), 4), ((8, 8), 500)])
def test_downsampling_averages_exact_areas(dtype, size, long_side):
    pixels = random_pixels(*size, dtype)
    small = downsample(pixels, long_side)
    assert small.dtype == np.float32 and max(small.shape[:2]) == min(long_side, max(size))
    scaled = torch.from_numpy(pixels / full_scale(dtype)).permute(2, 0, 1)[None]
    other = affine.downsample(scaled, long_side)[0].permute(1, 2, 0).numpy()
    assert np.abs(small - other).max() < 1e-5
    assert abs(small.mean(dtype=float) - scaled.mean().item()) < 1e-5  # all cells have the same area


def test_torch_and_numpy_apply_the_same_maps():
    pixels, correction = random_pixels(70, 90, np.float32), random_correction(12, 16)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    maps = torch.from_numpy(correction.maps)[None]
    enhanced = affine.apply_correction(image, maps[:, :9].unflatten(1, (3, 3)), maps[:, 9:])
    assert np.abs(enhanced[0].permute(1, 2, 0).numpy() - apply_correction(pixels, correction)).max() < 1e-5
