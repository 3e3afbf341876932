"""Properties of all baselines and of the classical ones: range, grey stays grey, casts shrink, haze is removed."""

import pytest
import torch

from ssdie.data.sample import read_pair
from ssdie.evaluation.baselines import (
    BASELINES,
    clahe_lab,
    dark_channel_prior,
    gray_world,
    gray_world_dcp,
    lab_color_balance,
    msrcr,
)
from ssdie.evaluation.baselines.classic import _surround
from ssdie.evaluation.metrics import color_cast, dark_channel_mean, psnr
from ssdie.ops.filters import gaussian_blur

VEIL = torch.tensor([[0.85, 0.6, 0.3]])


@pytest.fixture(scope="module")
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Clear (2, 3, 96, 128) and depth (2, 1, 96, 128)."""
    pairs = [read_pair(name, (96, 128)) for name in ("scene_100000", "scene_100001")]
    return tuple(torch.stack(part) for part in zip(*pairs, strict=True))


@pytest.fixture(scope="module")
def dusty(scene) -> torch.Tensor:
    clear, depth = scene
    t = torch.exp(-1.2 * depth)
    return clear * t + VEIL[:, :, None, None] * (1 - t)


@pytest.mark.parametrize("name", BASELINES)
def test_images_of_a_batch_do_not_influence_each_other(name, dusty):
    before = dusty.clone()
    enhanced = BASELINES[name](dusty)
    assert enhanced.shape == dusty.shape and enhanced.dtype == dusty.dtype
    assert enhanced.isfinite().all() and enhanced.min() >= 0 and enhanced.max() <= 1
    single = torch.cat([BASELINES[name](picture[None]) for picture in dusty])
    torch.testing.assert_close(enhanced, single, atol=1e-5, rtol=0)
    assert torch.equal(dusty, before)
    assert (enhanced - dusty).abs().max() > 0.02


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("size", [(17, 31), (64, 9), (33, 33)])
def test_any_size_is_accepted(name, size):
    picture = torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(0))
    assert BASELINES[name](picture).shape == picture.shape


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_grey_images_stay_finite_and_grey(name, level):
    enhanced = BASELINES[name](torch.full((1, 3, 32, 32), level))
    assert enhanced.isfinite().all()
    assert (enhanced.amax(dim=1) - enhanced.amin(dim=1)).max() < 5e-3


@pytest.mark.parametrize("name", BASELINES)
def test_a_grey_image_stays_grey(name, dusty):
    enhanced = BASELINES[name](dusty.mean(dim=1, keepdim=True).expand_as(dusty))
    assert (enhanced.amax(dim=1) - enhanced.amin(dim=1)).max() < 5e-3


@pytest.mark.parametrize("name", ["gray_world", "gray_world_dcp", "msrcr", "lab_colour_balance", "rop", "cvcgcbd"])
def test_a_cast_shrinks(name, dusty):
    assert (color_cast(BASELINES[name](dusty)) < 0.8 * color_cast(dusty)).all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_missing_batch_axis_is_an_error(name):
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        BASELINES[name](torch.zeros(3, 8, 8))


def test_gray_world_makes_the_means_equal_and_keeps_the_brightness():
    picture = 0.2 + 0.2 * torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    picture = picture * torch.tensor([1.2, 1.0, 0.6]).view(1, 3, 1, 1)
    means = gray_world(picture).mean(dim=(2, 3))
    torch.testing.assert_close(means, picture.mean().expand(1, 3))


def test_gray_world_removes_a_coloured_light(scene):
    """The result does not depend on the colour of the light."""
    clear = 0.5 * scene[0]
    light = torch.tensor([1.3, 1.0, 0.5]).view(1, 3, 1, 1)
    lit = clear * light
    brightness = lit.mean(dim=(1, 2, 3), keepdim=True) / clear.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(gray_world(lit), gray_world(clear) * brightness, atol=1e-5, rtol=0)


def test_clahe_raises_contrast_and_keeps_the_colour(dusty):
    enhanced = clahe_lab(dusty)
    assert (enhanced.mean(dim=1).std(dim=(1, 2)) > dusty.mean(dim=1).std(dim=(1, 2))).all()
    torch.testing.assert_close(color_cast(enhanced), color_cast(dusty), rtol=0.1, atol=0.5)


def test_dark_channel_prior_removes_grey_haze(scene):
    clear, depth = scene
    t = torch.exp(-2.0 * depth)
    hazy = clear * t + 0.9 * (1 - t)
    enhanced = dark_channel_prior(hazy)
    assert (psnr(enhanced, clear) > psnr(hazy, clear) + 2).all()  # dB
    assert (dark_channel_mean(enhanced) < 0.6 * dark_channel_mean(hazy)).all()


def test_dark_channel_prior_inverts_the_model_where_its_prior_holds():
    """Black and white checks under an even veil: the dark channel of I / A is 1 - t everywhere."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    checks = ((x // 4 + y // 4) % 2).float().expand(1, 3, 64, 64).clone()
    checks[..., :16] = 1.0  # full brightness, from which the airlight is estimated
    t = 0.5
    hazy = checks * t + 1.0 * (1 - t)
    enhanced = dark_channel_prior(hazy, window=9, omega=1.0, radius=4)
    torch.testing.assert_close(enhanced[..., 32:60], checks[..., 32:60], atol=0.05, rtol=0)


def test_gray_world_dcp_is_gray_world_followed_by_the_dark_channel_prior(dusty):
    assert torch.equal(gray_world_dcp(dusty), dark_channel_prior(gray_world(dusty)))


@pytest.mark.parametrize("sigma", [15.0, 80.0, 250.0])
def test_the_surround_on_a_small_copy_approximates_the_gaussian(sigma, scene):
    light = 255 * scene[0] + 1
    error = (_surround(light, sigma) / gaussian_blur(light, sigma) - 1).abs()
    assert error.mean() < 0.01 and error.max() < 0.06


def test_msrcr_equalises_detail_in_bright_and_dark_areas():
    """A pattern of 10 % contrast gets the same amplitude in an area that is eight times darker."""
    pattern = 1 + 0.1 * torch.sign(torch.sin(torch.arange(256) * 0.8))
    light = torch.where(torch.arange(256) < 128, 0.8, 0.1)
    enhanced = msrcr((pattern * light).expand(1, 3, 64, 256), scales=(15.0,))[0, 0, 32]
    bright, dark = enhanced[20:90].std(), enhanced[166:236].std()
    assert 0.7 < dark / bright < 1.4


def test_msrcr_saturates_the_clipped_fraction(dusty):
    enhanced = msrcr(dusty, clip=0.05)
    for extreme in (0.0, 1.0):
        fraction = (enhanced == extreme).float().mean(dim=(2, 3))
        assert ((fraction > 0.04) & (fraction < 0.07)).all()


def test_lab_colour_balance_centres_the_colour_and_stretches_the_lightness(dusty):
    enhanced = lab_color_balance(dusty)
    assert (color_cast(enhanced) < 3).all()
    luma = enhanced.mean(dim=1).flatten(1)
    assert (luma.amin(dim=1) < 0.1).all() and (luma.amax(dim=1) > 0.9).all()
