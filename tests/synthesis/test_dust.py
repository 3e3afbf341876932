import json
import math

import pytest
import torch

from ssdie.ops.color import luminance, measure_color_statistics
from ssdie.synthesis.dust import (
    DustyPair,
    add_dust,
    relative_density,
    scatter,
    transmission_from_depth,
    visible_target,
)
from ssdie.synthesis.recipes import RECIPES, lighten, read_dust, sample_dust, sample_unevenness, write_dust


@pytest.fixture
def depth(picture):
    return torch.linspace(1, 0, 40).view(1, 1, 40, 1).expand(2, 1, 40, 56).contiguous()


def test_transmission_is_beers_law_by_channel(depth):
    beta = torch.tensor([[0.5, 1.0, 2.0], [0.1, 0.2, 0.3]])
    t = transmission_from_depth(depth, beta)
    assert torch.allclose(-t[0, 2, 0].log(), torch.tensor(2.0)) and torch.equal(t[:, :, -1], torch.ones(2, 3, 56))
    assert torch.allclose(t[:, 1], t[:, 0] ** 2, atol=1e-6)


def test_scattering_mixes_scene_and_veil(picture):
    airlight = torch.tensor([[0.8, 0.6, 0.2], [0.5, 0.5, 0.5]])
    assert torch.equal(scatter(picture, torch.ones(2, 1, 1, 1), airlight), picture)
    half = scatter(picture, torch.full((2, 3, 40, 56), 0.5), airlight)
    assert torch.allclose(half, (picture + airlight[:, :, None, None]) / 2)


def test_reference_recipe_has_its_ranges_and_frequencies(generator):
    dust = sample_dust(4000, generator, "reference")
    grey = (dust.airlight[:, 0] == dust.airlight[:, 2]) & (dust.airlight[:, 0] == dust.airlight[:, 1])
    assert abs(grey.float().mean().item() - 0.3) < 0.03
    low, high = dust.airlight[~grey].amin(0), dust.airlight[~grey].amax(0)
    for got, expected in ((low, (0.7, 0.3, 0.0)), (high, (1.0, 0.5, 0.1))):
        assert torch.allclose(got, torch.tensor(expected), atol=0.01)
    assert dust.airlight[grey].min() >= 0.7 and dust.airlight[grey].max() <= 0.8
    assert 0.4 <= dust.beta.min() < 0.41 and 0.99 < dust.beta.max() <= 1.0
    assert torch.equal(dust.beta[:, 0], dust.beta[:, 2])


def test_reference_recipe_equals_the_formula_of_the_paper(picture, depth, generator):
    dust = sample_dust(2, generator, "reference")
    pair = add_dust(picture, depth, dust)
    t = torch.exp(-dust.beta[:, :1, None, None] * (depth + 1))
    expected = picture * t + dust.airlight[:, :, None, None] * (1 - t)
    assert torch.allclose(pair.dusty, expected, atol=1e-6)
    assert torch.equal(pair.clear, picture) and pair.transmission.max() < 0.671


def test_extinction_increases_from_red_to_blue_and_spans_haze_to_storm(generator):
    for recipe, haze, storm in (("measured", 1.5, 30), ("scattering", 0.35, 2.6)):
        dust = sample_dust(3000, generator, recipe)
        assert (dust.beta.diff(dim=1) >= 0).all()
        assert dust.beta[:, 1].min() < haze < storm < dust.beta[:, 1].max()
        mean = dust.airlight.mean(0)
        assert mean[0] > mean[1] > mean[2]  # dust is orange on average


def test_single_scattering_is_sharp_and_storms_are_not(generator):
    plain, full = (sample_dust(200, generator, recipe) for recipe in ("scattering", "measured"))
    assert not plain.blur.any() and not plain.spread.any() and not plain.color_statistics.any()
    assert full.blur.max() > 0.5 and full.spread.min() >= 0.2 and full.color_statistics.any(1).all()


def test_the_measured_recipe_imposes_the_colour_statistics_of_a_real_photo(picture, depth, generator):
    dust = sample_dust(2, generator)
    dust.noise[:], dust.quality[:] = 0, 101
    inner = (0.35, 0.3, 0.25, 0.04, 0.02, 0.03, 0.01, 0.01, 0.02)  # dark and of low contrast: no value is clamped
    dust.color_statistics[:] = torch.tensor(inner)
    pair = add_dust(picture, depth, dust)
    assert torch.allclose(measure_color_statistics(pair.dusty), torch.tensor(inner), atol=2e-3)


def test_a_given_density_is_used(generator):
    for recipe in RECIPES:
        dust = sample_dust(5, generator, recipe, density=1.7)
        assert torch.allclose(dust.beta[:, 1], torch.tensor(1.7))
        assert not dust.color_statistics.any()  # which would change the contrast given by the density


def test_more_dust_means_less_contrast(picture, depth):
    contrast = []
    for density in (0.3, 1.5, 6.0):
        dust = sample_dust(2, torch.Generator().manual_seed(3), density=density)
        contrast.append(add_dust(picture, depth, dust, 0).dusty.std((2, 3)).mean().item())
    assert contrast[0] > contrast[1] > contrast[2]


@pytest.mark.parametrize("recipe", RECIPES)
def test_dust_is_determined_by_the_seed(picture, depth, recipe):
    first, again, other = (add_dust(picture, depth, recipe, seed) for seed in (5, 5, 6))
    assert torch.equal(first.dusty, again.dusty)
    assert not torch.allclose(first.dusty, other.dusty, atol=0.01)
    assert first.dusty.min() >= 0 and first.dusty.max() <= 1


def test_without_noise_and_compression_the_true_parameters_invert_the_model(picture, depth, generator):
    dust = sample_dust(2, generator, density=1.0)
    dust.noise[:], dust.spread[:], dust.quality[:], dust.glow[:], dust.tint[:] = 0, 0, 101, 0, 1
    pair = add_dust(picture, depth, dust)
    airlight = pair.airlight[:, :, None, None]
    recovered = (pair.dusty - airlight * (1 - pair.transmission)) / pair.transmission
    assert torch.allclose(recovered, pair.clear, atol=1e-4)


def test_parameters_can_be_selected_and_mixed(generator):
    measured, reference = sample_dust(4, generator), sample_dust(4, generator, "reference")
    mask = torch.tensor([True, False, True, False])
    mixed = measured.where(mask, reference)
    assert torch.equal(mixed.beta[mask], measured.beta[mask]) and torch.equal(mixed.beta[~mask], reference.beta[~mask])
    assert torch.equal(mixed[1:2].airlight, reference.airlight[1:2])


def test_the_visible_target_is_the_clear_photo_where_transmission_is_high_or_depth_low(picture, depth):
    airlight = torch.tensor([[0.64, 0.4, 0.2]]).expand(2, 3)
    seen, lost = (
        visible_target(DustyPair(picture, picture, torch.full_like(picture, t), airlight, depth)) for t in (0.5, 0.001)
    )
    assert torch.equal(seen, picture)
    far = lost[:, :, 0]
    assert (far == far[:, :1, :1]).all()  # far: uniform, and equal in all channels
    weight = ((depth - 0.15) / 0.35).clamp(0, 1)
    behind = (weight * luminance(picture)).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    assert torch.allclose(far[:, 0, 0], (0.8 + behind) / 2)  # mean of the whitened airlight and the hidden luminance
    assert torch.equal(lost[:, :, -1], picture[:, :, -1])  # near: the photo


def test_uneven_dust_changes_the_optical_depth_by_its_relative_density(picture, depth, generator):
    dust = sample_dust(2, generator)
    even = add_dust(picture, depth, dust).transmission
    dust.unevenness[:] = math.log(2)
    assert torch.allclose(add_dust(picture, depth, dust).transmission, even**2, atol=1e-5)
    assert relative_density(torch.full((1, 6, 6), 9.0), (5, 7)).unique().tolist() == [6.0]


def test_a_third_of_uneven_dust_is_plumes_and_the_rest_varies_with_height_only(generator):
    drawn = sample_unevenness(3000, generator, fraction=0.5)
    uneven = drawn[drawn.abs().amax((1, 2)) > 0]
    assert abs(len(uneven) / 3000 - 0.5) < 0.04 and uneven.mean((1, 2)).abs().max() < 1e-5
    plumes = uneven.std(2).amax(1) > 1e-4
    assert abs(plumes.float().mean().item() - 1 / 3) < 0.05
    layers = uneven[~plumes][:, :, 0]
    below = layers[:, -1] > layers[:, 0]
    assert 0.6 < below.float().mean() < 0.9  # layers are denser at the ground; gradients have either direction


def test_undusted_pairs_equal_the_photo_and_haze_has_low_density(picture, depth, generator):
    dust = sample_dust(2, generator)
    clean = lighten(dust, generator, undusted=1.0, hazed=0.0)
    clean.quality[:] = 101
    assert torch.allclose(add_dust(picture, depth, clean).dusty, picture, atol=1e-6)
    drawn = lighten(sample_dust(2000, generator), generator, undusted=0.25, hazed=0.5)
    green = drawn.beta[:, 1]
    assert abs((green == 0).float().mean() - 0.25) < 0.04
    assert abs(((green > 0) & (green < 0.61)).float().mean() - 0.5) < 0.04
    state = generator.get_state()
    assert lighten(dust, generator, 0.0, 0.0) is dust and torch.equal(generator.get_state(), state)


def test_parameters_of_older_files_without_unevenness_are_uniform(tmp_path, generator):
    write_dust(tmp_path / "dust.json", sample_dust(2, generator))
    content = json.loads((tmp_path / "dust.json").read_text())
    del content["dust"]["unevenness"]
    (tmp_path / "dust.json").write_text(json.dumps(content))
    assert read_dust(tmp_path / "dust.json").unevenness.abs().max() == 0


def test_inputs_of_different_size_are_refused(picture, depth):
    with pytest.raises(ValueError, match="expected the same N, H and W"):
        add_dust(picture, depth[..., 1:])
    with pytest.raises(ValueError, match="measured, scattering, reference"):
        add_dust(picture, depth, "fog")
