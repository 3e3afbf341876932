import numpy as np
import pytest
import torch
from scipy import ndimage

from ssdie.ops import priors


def test_dark_channel_is_scipys_minimum_filter(picture):
    expected = ndimage.minimum_filter(picture[0].amin(0).numpy(), size=7, mode="nearest")
    assert np.array_equal(priors.dark_channel(picture, 7)[0, 0].numpy(), expected)


@pytest.mark.parametrize("size", [(32, 48), (33, 50), (5, 7)])
def test_block_dark_channel_equals_loops_in_value_and_gradient(size, generator):
    fast = torch.rand(2, 3, *size, generator=generator, requires_grad=True)
    slow = fast.detach().clone().requires_grad_()
    looped = torch.empty(2, 1, *size)
    for n in range(2):
        for top in range(0, size[0], 16):
            for left in range(0, size[1], 16):
                looped[n, 0, top : top + 16, left : left + 16] = slow[n, :, top : top + 16, left : left + 16].min()
    weight = torch.rand(2, 1, *size, generator=generator)
    held = priors.block_dark_channel(fast, 16)
    (held * weight).sum().backward()
    (looped * weight).sum().backward()
    assert torch.equal(held, looped)
    assert torch.allclose(fast.grad, slow.grad, rtol=1e-5)


def test_the_dark_channel_of_each_colour_sees_a_cast_that_the_joint_one_does_not(picture):
    orange = picture * torch.tensor([1.0, 0.6, 0.0]).view(1, 3, 1, 1)
    joint, each = (priors.block_dark_channel(orange, kind=kind) for kind in ("joint", "each"))
    assert not joint.any()  # as dark as can be: "clear"
    for c in range(3):
        assert torch.equal(each[:, c : c + 1], priors.block_dark_channel(orange[:, c : c + 1].expand(-1, 3, -1, -1)))
    with pytest.raises(ValueError, match="joint, each"):
        priors.block_dark_channel(picture, kind="blue")


def test_even_windows_are_refused(picture):
    with pytest.raises(ValueError, match="use 9"):
        priors.dark_channel(picture, 8)


def test_gaussian_blur_is_scipys(picture):
    expected = ndimage.gaussian_filter(picture[0, 0].numpy(), 3.0, mode="reflect", truncate=3.0)
    assert np.allclose(priors.gaussian_blur(picture, 3.0)[0, 0].numpy(), expected, atol=1e-5)


def test_gaussian_blur_wider_than_the_picture_goes_to_the_mean(picture):
    blurred = priors.gaussian_blur(picture, 200.0)
    assert torch.allclose(blurred, picture.mean((2, 3), keepdim=True).expand_as(picture), atol=0.01)


def test_box_filter_is_the_mean_inside_the_picture():
    image = torch.arange(12.0).view(1, 1, 3, 4)
    assert priors.box_filter(image, 1)[0, 0, 0, 0] == image[0, 0, :2, :2].mean()
    assert torch.allclose(priors.box_filter(image, 9), image.mean().expand(1, 1, 3, 4))


def test_retinex_formula_and_stretch(picture):
    by_hand = torch.log(picture + 0.01) - torch.log(priors.gaussian_blur(picture, 25.0) + 0.01)
    low, high = by_hand.amin((2, 3), keepdim=True), by_hand.amax((2, 3), keepdim=True)
    retinex = priors.single_scale_retinex(picture, 25.0)
    assert torch.allclose(retinex, (by_hand - low) / (high - low), atol=1e-6)
    assert torch.equal(retinex.amin((2, 3)), torch.zeros(2, 3))
    assert torch.equal(retinex.amax((2, 3)), torch.ones(2, 3))


def test_joint_stretch_is_not_moved_by_one_pixel(picture):
    spoilt = picture.clone()
    spoilt[:, 0, 3, 3] = 1.0
    shift = {s: [priors.single_scale_retinex(p, 5.0, s) for p in (picture, spoilt)] for s in ("channel", "joint")}
    moved = {s: (a - b).abs()[:, :, 20:].max().item() for s, (a, b) in shift.items()}
    assert moved["joint"] < 0.05


def test_retinex_takes_a_multiplicative_cast_away(picture):
    bright = 0.2 + 0.6 * picture
    tinted = bright * torch.tensor([1.0, 0.7, 0.5]).view(1, 3, 1, 1)
    plain, cast = priors.single_scale_retinex(bright), priors.single_scale_retinex(tinted)
    assert (plain - cast).abs().mean() < 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_guided_filter_reproduces_affine_maps_of_the_guide(picture, channels):
    guide = picture[:, :channels]
    source = 0.5 * guide.mean(1, keepdim=True) + 0.1
    assert torch.allclose(priors.guided_filter(guide, source, 4, 1e-8), source, atol=1e-3)


def test_guided_filter_keeps_its_precision_under_autocast(picture):
    with torch.autocast("cpu", torch.bfloat16):
        rounded = priors.guided_filter(picture, picture, 2, 1e-4)
    assert torch.equal(rounded, priors.guided_filter(picture, picture, 2, 1e-4))


def test_guided_filter_with_a_flat_guide_is_a_box_filter(picture):
    flat = torch.full((2, 3, 40, 56), 0.5)
    twice = priors.box_filter(priors.box_filter(picture, 3), 3)
    assert torch.allclose(priors.guided_filter(flat, picture, 3, 1e-3), twice, atol=1e-4)


def test_affine_fit_solves_the_normal_equations(picture):
    target = torch.rand_like(picture)
    slope, offset = priors.fit_affine(picture, target, 50, 1e-2)  # one window: the whole picture
    pixels = picture[0].flatten(1).double().numpy()
    covariance = np.cov(pixels, bias=True) + 1e-2 * np.eye(3)
    cross = (target[0].flatten(1).double().numpy() - target[0].flatten(1).double().numpy().mean(1, keepdims=True)) @ (
        pixels - pixels.mean(1, keepdims=True)
    ).T
    expected = (cross / pixels.shape[1]) @ np.linalg.inv(covariance)
    assert np.allclose(slope[0, :, :, 20, 28].numpy(), expected, atol=1e-3)


def test_airlight_and_transmission_are_recovered_from_a_known_veil(picture):
    airlight = torch.tensor([[0.9, 0.7, 0.4]]).expand(2, 3)
    dark = picture * torch.tensor([1.0, 1.0, 0.0]).view(1, 3, 1, 1)  # its dark channel is exactly 0
    t = torch.full((2, 1, 40, 56), 0.6)
    t[..., :12, :] = 0.0  # an opaque sky
    dusty = dark * t + airlight[:, :, None, None] * (1 - t)
    found = priors.estimate_airlight(dusty)
    assert torch.allclose(found, airlight, atol=1e-4)
    estimated = priors.estimate_transmission(dusty, found, omega=1.0)
    assert torch.allclose(estimated[..., 30:, :], t[..., 30:, :], atol=1e-3)


def test_priors_carry_gradients(picture):
    image = picture.clone().requires_grad_()
    total = priors.block_dark_channel(image).sum() + priors.single_scale_retinex(image).sum()
    total += priors.guided_filter(image, image, 2, 1e-3).sum() + priors.dark_channel(image, 3).sum()
    total.backward()
    assert torch.isfinite(image.grad).all() and image.grad.abs().sum() > 0
