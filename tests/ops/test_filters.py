import numpy as np
import pytest
import torch
from scipy import ndimage

from ssdie.ops import filters


def test_gaussian_blur_equals_scipy(picture):
    expected = ndimage.gaussian_filter(picture[0, 0].numpy(), 3.0, mode="reflect", truncate=3.0)
    assert np.allclose(filters.gaussian_blur(picture, 3.0)[0, 0].numpy(), expected, atol=1e-5)


def test_gaussian_blur_wider_than_the_image_approaches_the_mean(picture):
    blurred = filters.gaussian_blur(picture, 200.0)
    assert torch.allclose(blurred, picture.mean((2, 3), keepdim=True).expand_as(picture), atol=0.01)


def test_box_filter_averages_the_window_inside_the_image():
    image = torch.arange(12.0).view(1, 1, 3, 4)
    assert filters.box_filter(image, 1)[0, 0, 0, 0] == image[0, 0, :2, :2].mean()
    assert torch.allclose(filters.box_filter(image, 9), image.mean().expand(1, 1, 3, 4))


@pytest.mark.parametrize("channels", [1, 3])
def test_guided_filter_reproduces_affine_maps_of_the_guide(picture, channels):
    guide = picture[:, :channels]
    source = 0.5 * guide.mean(1, keepdim=True) + 0.1
    assert torch.allclose(filters.guided_filter(guide, source, 4, 1e-8), source, atol=1e-3)


def test_guided_filter_ignores_autocast(picture):
    with torch.autocast("cpu", torch.bfloat16):
        rounded = filters.guided_filter(picture, picture, 2, 1e-4)
    assert torch.equal(rounded, filters.guided_filter(picture, picture, 2, 1e-4))


def test_guided_filter_with_a_flat_guide_is_a_box_filter(picture):
    flat = torch.full((2, 3, 40, 56), 0.5)
    twice = filters.box_filter(filters.box_filter(picture, 3), 3)
    assert torch.allclose(filters.guided_filter(flat, picture, 3, 1e-3), twice, atol=1e-4)


def test_affine_fit_solves_the_normal_equations(picture):
    target = torch.rand_like(picture)
    matrix, offset = filters.fit_affine(picture, target, 50, 1e-2)  # the window covers the whole image
    pixels = picture[0].flatten(1).double().numpy()
    covariance = np.cov(pixels, bias=True) + 1e-2 * np.eye(3)
    cross = (target[0].flatten(1).double().numpy() - target[0].flatten(1).double().numpy().mean(1, keepdims=True)) @ (
        pixels - pixels.mean(1, keepdims=True)
    ).T
    expected = (cross / pixels.shape[1]) @ np.linalg.inv(covariance)
    assert np.allclose(matrix[0, :, :, 20, 28].numpy(), expected, atol=1e-3)
