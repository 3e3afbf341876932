"""Corrections: fitted at the working size, carried to every pixel, and trained through."""

import pytest
import torch
import torch.nn.functional as F

from ssdie import enhance
from ssdie.networks.generators import build_generator
from ssdie.ops.affine import enhance_batch, fit_correction


@pytest.fixture(scope="module")
def scenes():
    """Two smooth pictures with grain: (2, 3, 64, 64) in [0.2, 0.8]."""
    random = torch.Generator().manual_seed(3)
    coarse = F.interpolate(torch.rand(2, 3, 5, 5, generator=random), size=(64, 64), mode="bicubic")
    return (coarse + 0.05 * torch.randn(2, 3, 64, 64, generator=random)).clamp(0, 1) * 0.6 + 0.2


# Fitting -----------------------------------------------------------------------------------------------------------


def test_an_affine_change_of_colour_is_found_where_the_picture_varies(scenes):
    turn = torch.tensor([[1.2, 0.1, 0.0], [0.0, 0.9, -0.1], [0.2, 0.0, 1.4]])
    changed = torch.einsum("kc,nchw->nkhw", turn, scenes) + 0.05
    slope, offset = fit_correction(scenes, changed - scenes)
    again = (slope * scenes[:, None]).sum(2) + offset
    assert (slope - turn[..., None, None]).abs().mean() < 0.05
    assert (again - changed).abs().max() < 0.03


def test_a_flat_picture_is_shifted_and_keeps_its_slope():
    flat = torch.full((1, 3, 12, 12), 0.4)
    slope, offset = fit_correction(flat, torch.full_like(flat, 0.1))
    assert torch.allclose(slope, torch.eye(3)[..., None, None].expand_as(slope), atol=1e-4)
    assert torch.allclose(offset, torch.full_like(offset, 0.1), atol=1e-4)


def test_a_blot_is_kept_where_the_photo_has_structure_and_spread_where_it_has_none():
    """The same dark blot in the change: of a tree, it is the tree's; of flat dust, it is nobody's."""
    blot = torch.zeros(1, 3, 64, 64)
    blot[..., 24:40, 24:40] = -0.3
    grain = 0.15 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(4))
    depths = []
    for dusty in (torch.full((1, 3, 64, 64), 0.5), (0.5 + grain + blot).expand(1, 3, -1, -1)):
        slope, offset = fit_correction(dusty, blot)
        change = (slope * dusty[:, None]).sum(2) + offset - dusty
        depths.append((change[..., 28:36, 28:36].mean() - change[..., :8, :8].mean()).item())
    assert depths[0] > -0.12  # flat
    assert depths[1] < -0.2  # textured


# Training through it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("postprocess", [False, True])
def test_a_batch_is_enhanced_as_photos_are(scenes, postprocess):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_generator("msff", width=8, head="scattering").eval()
        torch.nn.init.normal_(network.output.weight, std=1.5)  # one that does something
    symmetric = lambda x: (network(x) + network(x.flip(3)).flip(3)) / 2  # noqa: E731
    with torch.no_grad():
        given, fit_residual = enhance_batch(scenes, symmetric, working_size=32, postprocess=postprocess)
        wanted = enhance(scenes, network, working_size=32, postprocess=postprocess)
    assert (given - wanted).abs().mean() < 0.004  # the network of a photo may compute in bfloat16
    assert (wanted - scenes).abs().mean() > 0.02 and fit_residual > 0


def test_crops_no_larger_than_the_working_size_are_what_the_network_gives(scenes):
    halve = lambda x: x / 2  # noqa: E731
    for size in (0, 64, 100):
        given, fit_residual = enhance_batch(scenes, halve, working_size=size)
        assert torch.equal(given, scenes / 2) and fit_residual == 0


def test_a_grid_that_the_fit_hides_is_told_by_what_does_not_fit(scenes):
    grid = 0.1 * ((torch.arange(32) % 4 == 0).float() - 0.25)
    plain, hidden = (enhance_batch(scenes, lambda s, g=g: 0.8 * s + 0.1 + g, 32, postprocess=False) for g in (0, grid))
    assert (plain[0] - hidden[0]).abs().mean() < 0.01
    assert plain[1] < 0.005 and hidden[1] > 0.03


def test_the_gradient_is_that_of_finite_differences(scenes):
    start = scenes.double()[:1, :, :16, :16]
    gain = torch.tensor([1.1, 0.9, 1.2], dtype=torch.double).view(1, 3, 1, 1).requires_grad_()

    def loss(gain):
        return enhance_batch(start, lambda x: gain * x - 0.05, working_size=8, postprocess=False)[0].square().mean()

    assert torch.autograd.gradcheck(loss, gain)


def test_detail_that_the_network_never_saw_is_part_of_the_loss(scenes):
    """Stripes of one pixel vanish when the crop is shrunk; the slope that they are carried by still moves the loss."""
    stripes = (scenes + 0.1 * (torch.arange(64) % 2 - 0.5)).clamp(0, 1)
    assert torch.allclose(F.avg_pool2d(stripes, 2), F.avg_pool2d(scenes, 2), atol=0.03)
    pictures = (enhance_batch(x, lambda s: 2 * s - 0.5, 32, postprocess=False)[0] for x in (scenes, stripes))
    plain, striped = (picture.diff(dim=3) for picture in pictures)
    assert striped.abs().mean() > plain.abs().mean() + 0.05
