"""Loss terms on visible defects: formulas, limiting cases, direction of the gradients."""

import math

import pytest
import torch

from ssdie.ops.color import luminance
from ssdie.training import appearance

VEIL = 0.6


@pytest.fixture
def dusty() -> torch.Tensor:
    """A uniform yellow veil above noise: (1, 3, 96, 96)."""
    image = torch.tensor([0.7, 0.6, 0.35]).view(1, 3, 1, 1).repeat(1, 1, 96, 96)
    noise = torch.rand(1, 3, 32, 96, generator=torch.Generator().manual_seed(1))
    return torch.cat((image[:, :, :64], noise), 2)


def gradient(term, image, *others):
    image = image.clone().requires_grad_()
    term(image, *others).backward()
    assert image.grad.isfinite().all()
    return image.grad


def test_opponent_colors_are_zero_for_grey_and_measure_the_channels(picture):
    red, green, blue = picture.unbind(1)
    expected = torch.stack((red - green, 0.5 * red + 0.5 * green - blue), 1)
    assert torch.allclose(appearance.opponent_colors(picture), expected)
    assert appearance.opponent_colors(luminance(picture).expand(-1, 3, -1, -1)).abs().max() < 1e-6


def test_the_even_area_is_the_veil_without_regions_of_other_brightness(dusty):
    dusty[..., 10:30, 10:40] = 0.9  # flat, but brighter
    area = appearance.even_area(dusty)
    assert area[..., 40:56, :].mean() == 1 and area[..., 70:, :].mean() == 0 and area[..., 14:26, 14:36].mean() == 0
    assert appearance.even_area(torch.rand(2, 3, 64, 64)).sum() == 0


def test_order_loss_is_the_depth_of_blots_below_the_bound(dusty):
    grey = torch.full_like(dusty, VEIL)
    blot = grey.clone()
    blot[..., 20:40, 20:40] = 0.2
    assert appearance.order_loss(grey, dusty) == 0
    area = appearance.even_area(dusty)[..., 22:38, 22:38].sum() / appearance.even_area(dusty).sum()
    value = appearance.order_loss(blot, dusty).item()
    assert value > 0.25 * area  # at least the depth of the inner part: mean - 0.08 - 0.2
    assert value < 0.4 * (20 / 16) ** 2 * area
    step = gradient(appearance.order_loss, blot, dusty)
    assert (step[..., 24:36, 24:36] < 0).all()  # descent lightens the blot
    assert step[..., 50:, :].abs().max() == 0  # and does not darken the rest


def test_order_loss_allows_a_pair_to_be_as_dark_as_its_target(dusty):
    blot = torch.full_like(dusty, VEIL)
    blot[..., 20:40, 20:40] = 0.2
    assert appearance.order_loss(blot, dusty, blot) == 0
    assert appearance.order_loss(0.5 * blot, dusty, blot) > 0
    assert appearance.order_loss(blot, dusty, torch.ones_like(blot)) == appearance.order_loss(blot, dusty)


def test_order_and_veil_color_losses_are_zero_without_an_even_area(picture):
    for term in (appearance.order_loss, appearance.veil_color_loss):
        assert gradient(term, 0.1 * picture, torch.rand(2, 3, 40, 56)).abs().max() == 0


def test_veil_color_loss_is_the_length_of_the_opponent_colours_beyond_a_tolerance(dusty):
    area = appearance.even_area(dusty)
    length = math.hypot(0.1, 0.3)  # opponent colours of the veil
    assert appearance.veil_color_loss(dusty, dusty).item() == pytest.approx(length - 0.02, abs=1e-4)
    step = gradient(appearance.veil_color_loss, dusty, dusty) * area
    assert (step[:, 0] >= 0).all() and (step[:, 2] <= 0).all() and step[:, 2].min() < 0  # less red, more blue
    pale = torch.full_like(dusty, 0.5)
    pale[:, 2] -= 0.015
    assert appearance.veil_color_loss(pale, dusty) == 0


def test_color_statistics_loss_compares_mean_and_cholesky_factor(picture):
    colors = appearance.opponent_colors(picture).flatten(2)
    centred = colors - colors.mean(2, keepdim=True)
    covariance = centred @ centred.transpose(1, 2) / colors.shape[2] + 1e-4 * torch.eye(2)
    factor = torch.linalg.cholesky(covariance)
    grey = luminance(picture).expand(-1, 3, -1, -1)
    expected = colors.mean(2).abs().sum(1) + (factor - 0.01 * torch.eye(2)).abs().sum((1, 2))
    assert torch.isclose(appearance.color_statistics_loss(picture, grey), expected.mean(), atol=1e-4)
    assert gradient(appearance.color_statistics_loss, grey, picture).abs().max() > 0


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_color_strength_loss_is_the_logarithm_of_the_chroma_ratio(picture, strength):
    grey = luminance(picture)
    scaled = grey + strength * (picture - grey)
    value = appearance.color_strength_loss(scaled, picture).item()
    assert value == pytest.approx(abs(math.log(strength)), abs=0.01)


def test_color_strength_loss_does_not_reward_the_wrong_hue(picture):
    grey = luminance(picture)
    halved = grey + 0.5 * (picture - grey)
    other = grey - (picture - grey)  # as strong as the target, in the complementary colours
    plain = appearance.color_strength_loss(grey.expand_as(picture), picture)
    assert appearance.color_strength_loss(halved, picture) < plain < appearance.color_strength_loss(other, picture)
    assert appearance.color_strength_loss(grey.expand_as(picture), grey.expand_as(picture)).abs() < 1e-5
    step = gradient(appearance.color_strength_loss, halved, picture)
    assert (step * (picture - grey)).sum() < 0  # descent adds the target's colours


def test_kept_color_loss_ignores_colours_between_scene_and_veil(generator):
    luma = torch.rand(1, 1, 32, 32, generator=generator)
    veiled = 0.2 + 0.5 * luma * torch.tensor([1.0, 0.8, 0.5]).view(1, 3, 1, 1)  # only the colour of the dust
    assert appearance.kept_color_loss(luma.expand_as(veiled), veiled, least=1.0).item() < 1e-3
    lantern = veiled.clone()
    lantern[:, 0, 8:14, 8:14] += 0.3
    values = [
        appearance.kept_color_loss(luma + strength * (lantern - veiled), lantern).item() for strength in (0, 1, 2)
    ]
    assert values[0] > values[1] > 0.2 and values[2] == 0
    step = gradient(appearance.kept_color_loss, luma.expand_as(veiled), lantern)
    assert step[:, 0, 8:14, 8:14].mean() < 0  # descent makes the lantern red again
