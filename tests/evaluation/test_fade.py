"""FADE: values from the published equations, features of simple blocks, undefined cases."""

import numpy as np
import pytest
import torch
from calibration import images

from ssdie.evaluation.fade import _models, block_features, contrast_energy, fade


def tensor(levels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(levels / 255).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize(
    "name, expected", [("waves", 0.5080), ("waves in light fog", 1.0430), ("waves in fog", 2.3519)]
)
def test_fade_of_formula_images_is_the_published_value(name, expected):
    assert fade(tensor(images()[name][0])).item() == pytest.approx(expected, abs=5e-5)


def test_blocks_without_both_signs_are_left_out():
    features = block_features(images()["waves"][0])
    assert features.shape == (384, 12) and (~np.isfinite(features).all(axis=1)).sum() == 40


def test_features_of_a_block_of_one_pure_colour():
    features = block_features(np.full((16, 16, 3), (255.0, 0.0, 0.0)))[0]
    assert features[9:] == pytest.approx([0, 1, 0.3 * np.hypot(255, 127.5)])


def test_pixels_beyond_whole_blocks_are_ignored():
    waves = images()["waves"][0]
    assert fade(tensor(waves[:64, :64])).equal(fade(tensor(waves[:69, :71])))


def test_fade_is_nan_without_texture_and_an_error_for_small_images():
    assert fade(torch.full((1, 3, 32, 32), 0.5)).isnan().all()
    with pytest.raises(ValueError, match="at least 16 pixels, got 40 x 15"):
        fade(torch.rand(1, 3, 15, 40))


def test_contrast_energy_is_zero_for_a_constant_plane_and_rotates_with_it():
    assert not contrast_energy(np.zeros((20, 24)), 0.2).any()
    plane = np.random.default_rng(0).uniform(0, 255, (24, 32))
    np.testing.assert_allclose(contrast_energy(plane.T, 0.2), contrast_energy(plane, 0.2).T)


def test_the_constants_are_two_gaussian_models():
    for mean, covariance in _models():
        assert mean.shape == (12,) and np.linalg.eigvalsh(covariance).min() > 0
        np.testing.assert_array_equal(covariance, covariance.T)
