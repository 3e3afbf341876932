"""Limiting cases of CVCGCBD, ROP, ROP+, airlight white correction and Bartani 2022."""

import numpy as np
import pytest
import torch

from ssdie.evaluation.baselines import airlight_white, bartani, cvcgcbd, rop, rop_plus
from ssdie.evaluation.baselines import chromatic_variance as green
from ssdie.evaluation.baselines import rank_one_prior as prior
from ssdie.evaluation.baselines import white_correction as white
from ssdie.evaluation.baselines.sigmoid_curve import tone_curve
from ssdie.ops.filters import gaussian_blur


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 0.9, (40, 48, 3))


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None].float()


def solid(*color: float, size: tuple[int, int] = (24, 32)) -> torch.Tensor:
    return torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, *size).contiguous()


# CVCGCBD ------------------------------------------------------------------------------------------------


def test_cvcgcbd_of_a_grey_image_is_grey_and_its_transmission_follows_the_intensity(noise):
    grey = noise[..., :1].repeat(3, axis=2)
    enhanced = cvcgcbd(tensor(grey))
    assert enhanced[:, 0].equal(enhanced[:, 1]) and enhanced[:, 0].equal(enhanced[:, 2])
    np.testing.assert_allclose(green.estimate_transmission(grey), np.maximum(1 - grey[..., 0], 0.1))


def test_cvcgcbd_replaces_a_constant_channel_by_green(noise):
    image = noise.copy()
    image[..., 2] = 0.3
    balanced = green.make_variances_consistent(image)
    np.testing.assert_allclose(balanced[..., 2], balanced[..., 1])


def test_cvcgcbd_normalises_mean_and_range_to_green(noise):
    normalised = green.normalise_to_green(noise * (1, 0.8, 0.5))
    np.testing.assert_allclose(normalised.mean(axis=(0, 1)), 0.8 * noise[..., 1].mean())
    np.testing.assert_allclose(np.diff(np.percentile(normalised, (1, 99), axis=(0, 1)), axis=0), 1)


def test_cvcgcbd_without_gamma_leaves_coloured_pixels_clear(noise):
    coloured = noise.copy()
    coloured[:, :24] = coloured[:, :24, :1]  # grey on the left
    transmission = green.estimate_transmission(coloured, gamma_max=1)
    np.testing.assert_allclose(transmission[:, :24], np.maximum(1 - coloured[:, :24, 0], 0.1))
    assert transmission[:, 24:].min() > 0.98


def test_cvcgcbd_leaves_a_constant_image_unchanged_and_needs_a_known_shift():
    assert cvcgcbd(solid(0.8, 0.6, 0.4)).equal(solid(0.8, 0.6, 0.4))
    with pytest.raises(ValueError, match='"subtract" or "add"'):
        cvcgcbd(solid(0.8, 0.6, 0.4), shift="none")


def test_cvcgcbd_finds_the_lag_of_a_shifted_chromaticity():
    chromaticity = np.random.default_rng(1).normal((0.36, 0.33, 0.31), 0.01, (50, 50, 3))
    lags = green.chromaticity_lags(chromaticity)
    assert lags[1] == 0 and lags[0] == pytest.approx(8, abs=2) and lags[2] == pytest.approx(-5, abs=2)


# ROP and ROP+ -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [rop, rop_plus])
@pytest.mark.parametrize("color", [(0.5, 0.5, 0.5), (0.8, 0.6, 0.4)])
def test_rop_leaves_a_constant_image_unchanged(method, color):
    torch.testing.assert_close(method(solid(*color), stretch=False), solid(*color), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", [rop, rop_plus])
def test_rop_without_removal_is_the_identity(method, noise):
    torch.testing.assert_close(method(tensor(noise), omega=1e-7, stretch=False), tensor(noise), atol=1e-5, rtol=0)


def test_rop_projects_orthogonally_on_one_direction(noise):
    image = tensor(noise)[0].double()
    spectrum = image.mean((1, 2)) / image.mean((1, 2)).sum()
    scattering = prior.project(image, spectrum) * spectrum[:, None, None]
    assert torch.einsum("chw,c->hw", image - scattering, spectrum).abs().max() < 1e-12
    assert torch.linalg.matrix_rank(scattering.flatten(1)) == 1
    along = torch.rand(20, 24, dtype=torch.float64) * spectrum[:, None, None]
    torch.testing.assert_close(prior.project(along, spectrum) * spectrum[:, None, None], along)


def test_the_consistent_region_excludes_a_minority_of_other_colour():
    image = solid(0.8, 0.6, 0.4, size=(10, 10))[0]
    mixed = image.clone()
    mixed[:, 0] = torch.tensor([0.1, 0.1, 0.9]).view(3, 1)  # 10 % of the pixels
    torch.testing.assert_close(prior.consistent_spectrum(mixed), torch.tensor([0.8, 0.6, 0.4]) / 1.8)
    mixed[:, :3] = torch.tensor([0.1, 0.1, 0.9]).view(3, 1, 1)  # 30 %: no pixel is close to the mean
    torch.testing.assert_close(prior.consistent_spectrum(mixed), mixed.mean((1, 2)) / mixed.mean((1, 2)).sum())


def test_refinement_without_weights_keeps_the_coefficient_and_with_a_large_one_flattens_it(noise, monkeypatch):
    monkeypatch.setattr(prior, "TOLERANCE", 0)
    image = tensor(noise)[0]
    spectrum = prior.consistent_spectrum(image)
    rough = prior.project(image, spectrum)
    limit = 1 / spectrum.max()
    kept = prior.refine(image, rough, spectrum, texture=0, smooth=0, rounds=300)
    torch.testing.assert_close(kept, rough.clamp(max=limit), atol=1e-2, rtol=0)
    flat = prior.refine(image, rough, spectrum, texture=0, smooth=100, rounds=300)
    torch.testing.assert_close(flat, rough.mean().expand_as(rough), atol=0.01, rtol=0)


def test_large_images_get_fewer_iterations(monkeypatch, noise):
    image = tensor(noise)[0]
    spectrum = prior.consistent_spectrum(image)
    arguments = image, prior.project(image, spectrum), spectrum
    one = prior.refine(*arguments, rounds=1)
    monkeypatch.setattr(prior, "PIXEL_ROUNDS", 1)
    assert prior.refine(*arguments).equal(one)


def test_the_stretch_removes_a_cast_and_keeps_grey(noise):
    tinted = tensor(noise)[0] * torch.tensor([1.0, 0.8, 0.5]).view(3, 1, 1)
    torch.testing.assert_close(
        prior.stretch_and_brighten(tinted, 99), prior.stretch_and_brighten(tensor(noise)[0], 99), atol=0.01, rtol=0
    )
    grey = prior.stretch_and_brighten(tensor(noise)[0, :1].expand(3, -1, -1), 95)
    assert grey[0].equal(grey[2])


# Airlight white correction ------------------------------------------------------------------------------


def test_white_correction_makes_one_hue_of_one_saturation_grey():
    shades = np.linspace(60, 250, 64)[None, :, None].repeat(32, axis=0)
    corrected = white.white_correct(np.rint(shades * (1, 0.8, 0.5)))
    np.testing.assert_allclose(corrected, np.rint(shades).repeat(3, axis=2), atol=4)


def test_images_with_black_everywhere_and_many_hues_stay_unchanged():
    """The dark channel is 0, so the transmission is 1 and the black level 0."""
    image = np.random.default_rng(2).integers(20, 200, (40, 48, 3)).astype(float)
    image[::2, ::2, 2] = 0
    assert white.white_correct(image) is image and (white.estimate_transmission(image) == 1).all()
    torch.testing.assert_close(airlight_white(tensor(image / 255)), tensor(image / 255), atol=1e-6, rtol=0)


def test_airlight_ignores_a_narrow_mode_of_lamps():
    levels = np.random.default_rng(5).integers(90, 140, (50, 50)).astype(float)
    levels[:5, :12] = 254  # 2.4 % of the pixels, but one level
    airlight = white.estimate_airlight(levels[..., None].repeat(3, axis=2))
    assert airlight.max() < 180
    assert white.estimate_airlight(np.full((20, 20, 3), 120.0)) is None


@pytest.mark.parametrize("color", [(0.6, 0.4, 0.2), (1.0, 1.0, 1.0)])
def test_constant_images_stay_unchanged(color):
    assert airlight_white(solid(*color)).equal(solid(*color))


# Bartani ------------------------------------------------------------------------------------------------


def test_the_tone_curve_ignores_gain_and_offset_of_each_channel(noise):
    image = tensor(noise)
    gain, offset = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.8, 0.5, 0.3), (0.1, 0.2, 0.05)))
    torch.testing.assert_close(tone_curve(gain * image + offset), tone_curve(image), atol=1e-5, rtol=0)


def test_the_tone_curve_at_the_extremes_of_a_channel():
    image = torch.cat((torch.zeros(1, 3, 8, 3), torch.ones(1, 3, 8, 5)), dim=3)
    a = (3 * (6.5 - 32 * 0.2**2) + 5 * (6.5 - 32 * 0.3**2)) / 8
    low, high = tone_curve(image)[0, 0, 0, [0, 7]].tolist()
    assert low == pytest.approx(1 / (1 + 0.35 * np.exp(a * (5.1 / 7 - 0.3))), abs=1e-5)
    assert high == pytest.approx(1 / (1 + 0.35 * np.exp(a * (5.1 / 7 - 0.8))), abs=1e-5)


def test_the_detail_boost_does_not_change_large_constant_areas():
    image = gaussian_blur(torch.rand((1, 3, 100, 100), generator=torch.Generator().manual_seed(0)), 2)
    image[..., 10:91, 10:91] = 0.5
    torch.testing.assert_close(
        bartani(image)[..., 48:52, 48:52], tone_curve(image)[..., 48:52, 48:52], atol=1e-4, rtol=0
    )
