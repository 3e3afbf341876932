"""Affine colour maps: the fit at the working size, and gradients through it."""

import pytest
import torch
import torch.nn.functional as F

from ssdie import enhance
from ssdie.networks.generators import build_generator
from ssdie.ops.affine import enhance_batch, fit_correction


@pytest.fixture(scope="module")
def scenes():
    """Two smooth images with noise: (2, 3, 64, 64) in [0.2, 0.8]."""
    random = torch.Generator().manual_seed(3)
    coarse = F.interpolate(torch.rand(2, 3, 5, 5, generator=random), size=(64, 64), mode="bicubic")
    return (coarse + 0.05 * torch.randn(2, 3, 64, 64, generator=random)).clamp(0, 1) * 0.6 + 0.2


# Fitting -----------------------------------------------------------------------------------------------------------


def test_fit_recovers_an_affine_color_change(scenes):
    matrix = torch.tensor([[1.2, 0.1, 0.0], [0.0, 0.9, -0.1], [0.2, 0.0, 1.4]])
    changed = torch.einsum("kc,nchw->nkhw", matrix, scenes) + 0.05
    fitted, offset = fit_correction(scenes, changed - scenes)
    mapped = (fitted * scenes[:, None]).sum(2) + offset
    assert (fitted - matrix[..., None, None]).abs().mean() < 0.05
    assert (mapped - changed).abs().max() < 0.03


def test_fit_of_a_flat_image_is_the_identity_matrix_with_an_offset():
    flat = torch.full((1, 3, 12, 12), 0.4)
    matrix, offset = fit_correction(flat, torch.full_like(flat, 0.1))
    assert torch.allclose(matrix, torch.eye(3)[..., None, None].expand_as(matrix), atol=1e-4)
    assert torch.allclose(offset, torch.full_like(offset, 0.1), atol=1e-4)


def test_dark_spot_in_the_change_is_kept_on_texture_and_spread_on_flat_regions():
    blot = torch.zeros(1, 3, 64, 64)
    blot[..., 24:40, 24:40] = -0.3
    grain = 0.15 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(4))
    depths = []
    for dusty in (torch.full((1, 3, 64, 64), 0.5), (0.5 + grain + blot).expand(1, 3, -1, -1)):
        matrix, offset = fit_correction(dusty, blot)
        change = (matrix * dusty[:, None]).sum(2) + offset - dusty
        depths.append((change[..., 28:36, 28:36].mean() - change[..., :8, :8].mean()).item())
    assert depths[0] > -0.12  # flat
    assert depths[1] < -0.2  # textured


# Training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("postprocess", [False, True])
def test_enhance_batch_equals_enhance(scenes, postprocess):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_generator("msff", width=8, head="scattering").eval()
        torch.nn.init.normal_(network.output.weight, std=1.5)  # large enough to change the photo
    with torch.no_grad():
        got, fit_residual = enhance_batch(scenes, network, working_size=32, postprocess=postprocess)
        expected = enhance(scenes, network, working_size=32, postprocess=postprocess)
    assert (got - expected).abs().mean() < 0.004  # enhance may compute in bfloat16
    assert (expected - scenes).abs().mean() > 0.02 and fit_residual > 0


def test_crops_up_to_the_working_size_get_the_output_of_the_network(scenes):
    halve = lambda x: x / 2  # noqa: E731
    for size in (0, 64, 100):
        got, fit_residual = enhance_batch(scenes, halve, working_size=size)
        assert torch.equal(got, scenes / 2) and fit_residual == 0


def test_residual_contains_a_grid_that_the_fit_removes(scenes):
    grid = 0.1 * ((torch.arange(32) % 4 == 0).float() - 0.25)
    plain, hidden = (enhance_batch(scenes, lambda s, g=g: 0.8 * s + 0.1 + g, 32, postprocess=False) for g in (0, grid))
    assert (plain[0] - hidden[0]).abs().mean() < 0.01
    assert plain[1] < 0.005 and hidden[1] > 0.03


def test_gradient_equals_finite_differences(scenes):
    start = scenes.double()[:1, :, :16, :16]
    gain = torch.tensor([1.1, 0.9, 1.2], dtype=torch.double).view(1, 3, 1, 1).requires_grad_()

    def loss(gain):
        return enhance_batch(start, lambda x: gain * x - 0.05, working_size=8, postprocess=False)[0].square().mean()

    assert torch.autograd.gradcheck(loss, gain)


def test_detail_below_the_working_size_is_scaled_by_the_fitted_matrix(scenes):
    """Stripes of one pixel vanish at the working size; the fitted matrix still scales them at full size."""
    stripes = (scenes + 0.1 * (torch.arange(64) % 2 - 0.5)).clamp(0, 1)
    assert torch.allclose(F.avg_pool2d(stripes, 2), F.avg_pool2d(scenes, 2), atol=0.03)
    pictures = (enhance_batch(x, lambda s: 2 * s - 0.5, 32, postprocess=False)[0] for x in (scenes, stripes))
    plain, striped = (picture.diff(dim=3) for picture in pictures)
    assert striped.abs().mean() > plain.abs().mean() + 0.05
