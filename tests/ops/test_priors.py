import numpy as np
import pytest
import torch
from scipy import ndimage

from ssdie.ops import priors
from ssdie.ops.filters import gaussian_blur, guided_filter


def test_dark_channel_equals_scipy_minimum_filter(picture):
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
    blocks = priors.block_dark_channel(fast, 16)
    (blocks * weight).sum().backward()
    (looped * weight).sum().backward()
    assert torch.equal(blocks, looped)
    assert torch.allclose(fast.grad, slow.grad, rtol=1e-5)


def test_separate_dark_channels_detect_a_colour_cast_that_the_joint_one_does_not(picture):
    orange = picture * torch.tensor([1.0, 0.6, 0.0]).view(1, 3, 1, 1)
    joint, each = (priors.block_dark_channel(orange, kind=kind) for kind in ("joint", "each"))
    assert not joint.any()  # as for a clear photo
    for c in range(3):
        assert torch.equal(each[:, c : c + 1], priors.block_dark_channel(orange[:, c : c + 1].expand(-1, 3, -1, -1)))
    with pytest.raises(ValueError, match="joint, each"):
        priors.block_dark_channel(picture, kind="blue")


def test_even_window_raises(picture):
    with pytest.raises(ValueError, match="Use 9"):
        priors.dark_channel(picture, 8)


def test_retinex_equals_its_formula(picture):
    expected = torch.log(picture + 0.01) - torch.log(gaussian_blur(picture, 25.0) + 0.01)
    low, high = expected.amin((2, 3), keepdim=True), expected.amax((2, 3), keepdim=True)
    retinex = priors.single_scale_retinex(picture, 25.0)
    assert torch.allclose(retinex, (expected - low) / (high - low), atol=1e-6)
    assert torch.equal(retinex.amin((2, 3)), torch.zeros(2, 3))
    assert torch.equal(retinex.amax((2, 3)), torch.ones(2, 3))


def test_one_outlier_does_not_move_the_joint_stretch(picture):
    outlier = picture.clone()
    outlier[:, 0, 3, 3] = 1.0
    one, two = (priors.single_scale_retinex(image, 5.0, "joint") for image in (picture, outlier))
    assert (one - two).abs()[:, :, 20:].max() < 0.05


def test_retinex_removes_a_multiplicative_cast(picture):
    bright = 0.2 + 0.6 * picture
    tinted = bright * torch.tensor([1.0, 0.7, 0.5]).view(1, 3, 1, 1)
    plain, cast = priors.single_scale_retinex(bright), priors.single_scale_retinex(tinted)
    assert (plain - cast).abs().mean() < 0.01


def test_airlight_and_transmission_of_a_known_veil_are_recovered(picture):
    airlight = torch.tensor([[0.9, 0.7, 0.4]]).expand(2, 3)
    dark = picture * torch.tensor([1.0, 1.0, 0.0]).view(1, 3, 1, 1)  # dark channel 0
    t = torch.full((2, 1, 40, 56), 0.6)
    t[..., :12, :] = 0.0  # an opaque sky
    dusty = dark * t + airlight[:, :, None, None] * (1 - t)
    found = priors.estimate_airlight(dusty)
    assert torch.allclose(found, airlight, atol=1e-4)
    estimated = priors.estimate_transmission(dusty, found, omega=1.0)
    assert torch.allclose(estimated[..., 30:, :], t[..., 30:, :], atol=1e-3)


def test_priors_and_filters_are_differentiable(picture):
    image = picture.clone().requires_grad_()
    total = priors.block_dark_channel(image).sum() + priors.single_scale_retinex(image).sum()
    total += guided_filter(image, image, 2, 1e-3).sum() + priors.dark_channel(image, 3).sum()
    total.backward()
    assert torch.isfinite(image.grad).all() and image.grad.abs().sum() > 0
