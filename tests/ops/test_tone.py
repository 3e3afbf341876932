import pytest
import torch

from ssdie.ops import tone


def test_balance_veil_keeps_grey_and_reduces_a_warm_cast_by_its_strength(picture):
    grey = picture.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(tone.balance_veil(grey), grey, atol=1e-5)
    veil = torch.tensor([0.8, 0.7, 0.6]).view(1, 3, 1, 1).expand(1, 3, 20, 20)
    spread = [torch.log(p.amax() / p.amin()).item() for p in (veil, tone.balance_veil(veil, 0.5))]
    assert abs(spread[1] - spread[0] / 2) < 1e-3
    assert torch.equal(tone.balance_veil(veil.flip(1)), veil.flip(1))  # bluish airlight is taken for sky


def test_stretch_levels_fills_the_range_and_limits_the_gain(picture):
    dull = 0.4 + 0.2 * picture
    stretched = tone.stretch_levels(dull, most=100.0)
    assert torch.allclose(stretched.amin((1, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(stretched.amax((1, 2, 3)), torch.ones(2), atol=1e-5)
    bounded = tone.stretch_levels(dull, most=1.5)
    deviation, expected = (p - p.mean((1, 2, 3), keepdim=True) for p in (bounded, 1.5 * dull))
    assert torch.allclose(deviation, expected, atol=1e-4)


def test_postprocessing_keeps_grey(picture):
    grey = picture.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    output = tone.postprocess(grey)
    assert torch.allclose(output[:, 0], output[:, 2], atol=1e-5) and output.min() >= 0 and output.max() <= 1


@pytest.mark.parametrize("pivot", [0.0, 0.4, 1.0])
def test_contrast_is_raised_at_the_pivot_by_a_monotonic_curve(pivot):
    values = torch.linspace(0, 1, 101, dtype=torch.float64, requires_grad=True)
    result = tone.raise_contrast(values.view(1, 1, 1, -1), 0.5, pivot).flatten()
    (slope,) = torch.autograd.grad(result.sum(), values)
    assert (slope >= 0).all() and result.min() == 0 and result.max() == 1
    at = round(100 * pivot)
    assert abs(result[at].item() - pivot) < 1e-12 and abs(slope[at].item() - (1 + pivot * (1 - pivot))) < 1e-12
    assert torch.equal(tone.raise_contrast(values, 0.0, pivot), values)


@pytest.mark.parametrize("knee", [0.5, 0.9])
def test_compressed_highlights_increase_from_the_knee_with_slope_1_to_the_value_1(knee):
    values = torch.linspace(-1, 2, 301, dtype=torch.float64, requires_grad=True)
    result = tone.compress_highlights(values.view(1, 1, 1, -1), knee).flatten()
    (slope,) = torch.autograd.grad(result.sum() - result[-1], values)  # the largest value stays 1
    assert torch.equal(result[values <= knee], values[values <= knee])
    assert (result.diff() > 0).all() and abs(result[-1].item() - 1) < 1e-12
    first = (values > knee).nonzero()[0]
    assert abs(slope[first].item() - 1) < 0.03 / (1 - knee) and (slope[:-1] > 0).all()


def test_only_channels_that_exceed_1_are_compressed():
    image = torch.rand(2, 3, 8, 8)
    image[0, 1] *= 1.5
    result = tone.compress_highlights(image, 0.8)
    changed = (result != image).flatten(2).any(2)
    assert changed.tolist() == [[False, True, False], [False] * 3]
    assert torch.equal(tone.compress_highlights(image, 1.0), image)
