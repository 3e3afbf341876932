"""Smoke, tint, light, crushed, chroma and vivid: identical images, increasing defects, undefined cases."""

import pytest
import torch

from ssdie.evaluation.appearance import (
    LONG_SIDE,
    _area_weights,
    chroma,
    crushed,
    light,
    measure_appearance,
    smoke,
    tint,
    vivid,
)


@pytest.fixture(scope="module")
def veil() -> torch.Tensor:
    """Uniform orange dust above textured ground: (1, 3, 90, 120)."""
    image = torch.full((1, 3, 90, 120), 0.6) * torch.tensor([1.0, 0.9, 0.75]).view(1, 3, 1, 1)
    texture = torch.rand((1, 3, 30, 120), generator=torch.Generator().manual_seed(0))
    image[..., 60:, :] = 0.3 + 0.4 * texture
    return image


def darken(image: torch.Tensor, width: int) -> torch.Tensor:
    """Darken a blot `width` pixels wide in the veil."""
    blot = image.clone()
    blot[..., 10:40, 20 : 20 + width] *= 0.3
    return blot


def increasing(values: list[torch.Tensor]) -> bool:
    return all(a.item() < b.item() for a, b in zip(values, values[1:], strict=False))


def test_the_dusty_image_itself_has_no_smoke(veil):
    assert smoke(veil, veil).item() == 0


def test_smoke_grows_with_the_blot_and_its_depth(veil):
    assert increasing([smoke(darken(veil, width), veil) for width in (0, 15, 30, 60)])
    assert smoke(veil * 0.9, veil).item() == 0  # uniformly darker: no blot


def test_tint_grows_with_the_colour_of_the_veil(veil):
    grey = veil.mean(dim=1, keepdim=True)
    assert increasing([tint(grey + amount * (veil - grey), veil) for amount in (0.0, 0.5, 1.0)])
    assert tint(grey.expand_as(veil), veil).item() < 0.1


def test_smoke_and_tint_ignore_the_textured_part(veil):
    changed = veil.clone()
    changed[..., 75:, :] *= 0.2
    assert smoke(changed, veil).item() == 0
    assert tint(changed, veil).item() == pytest.approx(tint(veil, veil).item())


def test_smoke_and_tint_are_nan_without_a_uniform_veil():
    noise = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    assert smoke(noise, noise).isnan().all() and tint(noise, noise).isnan().all()


def test_crushed_and_light_change_with_exposure(veil):
    exposures = [veil * gain for gain in (1.0, 0.3, 0.1)]
    assert increasing([crushed(image) for image in exposures])
    assert increasing([light(image) for image in exposures[::-1]])


def test_chroma_and_vivid_grow_with_saturation_and_ignore_a_constant_colour(veil):
    grey = veil.mean(dim=1, keepdim=True)
    for measure in (chroma, vivid):
        assert increasing([measure((grey + gain * (veil - grey)).clamp(0, 1)) for gain in (0.0, 0.5, 1.0)])
        assert measure(torch.tensor([0.8, 0.5, 0.2]).view(1, 3, 1, 1).expand(1, 3, 20, 20)).item() < 1e-3


def test_area_weights_average_over_intervals():
    weights = _area_weights(5, 2, torch.zeros(1))
    torch.testing.assert_close(weights, torch.tensor([[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]]))


def test_large_images_are_measured_on_a_small_copy(veil):
    large = veil.repeat_interleave(4, 2).repeat_interleave(4, 3)  # 480 pixels wide
    assert large.shape[-1] > LONG_SIDE
    for name, value in measure_appearance(large, large).items():
        assert value.item() == pytest.approx(measure_appearance(veil, veil)[name].item(), rel=0.1, abs=0.5), name


def test_measure_appearance_equals_the_single_measures(veil):
    together = measure_appearance(darken(veil, 20), veil)
    assert together["smoke"].equal(smoke(darken(veil, 20), veil)) and together["vivid"].equal(vivid(darken(veil, 20)))
