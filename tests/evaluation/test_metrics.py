"""Metrics: formulas, limiting cases, direction, invariances."""

import math

import numpy as np
import pytest
import torch

from ssdie.evaluation.metrics import (
    METRICS,
    ciede2000,
    color_cast,
    dark_channel_mean,
    entropy,
    gradient_ratio,
    measure,
    psnr,
    saturated_fraction,
    ssim,
    visible_edges_gained,
)


def noise(seed: int, size: tuple[int, int] = (48, 64), count: int = 1) -> torch.Tensor:
    return torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(seed))


def flat(red: float, green: float, blue: float, size: tuple[int, int] = (16, 16)) -> torch.Tensor:
    colour = torch.tensor([red, green, blue], dtype=torch.float32)
    return colour.view(1, 3, 1, 1).expand(1, 3, *size).contiguous()


def stripes(low: float, high: float, size: int = 32, width: int = 8) -> torch.Tensor:
    """Grey vertical stripes."""
    row = torch.where(torch.arange(size) // width % 2 == 0, low, high)
    return row.expand(1, 3, size, size).contiguous()


def test_psnr_is_minus_ten_log_of_the_mean_square():
    clear, enhanced = noise(0, count=3), noise(1, count=3)
    expected = -10 * torch.log10((clear - enhanced).double().square().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(psnr(enhanced, clear), expected, rtol=1e-6, atol=0)
    assert psnr(clear, clear).isinf().all()


def test_ssim_of_flat_pictures_is_the_luminance_term():
    a, b, c1 = 0.3, 0.6, 0.01**2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert ssim(flat(a, a, a), flat(b, b, b)).item() == pytest.approx(expected, rel=1e-5)


def test_ssim_is_one_for_itself_symmetric_and_falls_with_noise():
    clear = stripes(0.3, 0.7)
    little, much = ((clear + s * (noise(2, (32, 32)) - 0.5)).clamp(0, 1) for s in (0.1, 0.4))
    assert ssim(clear, clear).item() == pytest.approx(1)
    assert ssim(little, clear).item() == pytest.approx(ssim(clear, little).item())
    assert 1 > ssim(little, clear) > ssim(much, clear)


def test_ssim_of_an_image_smaller_than_its_window_is_an_error():
    with pytest.raises(ValueError, match="at least 11 pixels, got 10 x 20"):
        ssim(torch.zeros(1, 3, 20, 10), torch.zeros(1, 3, 20, 10))


def test_ciede2000_of_white_and_black_is_100_and_of_equal_pictures_0():
    white, black = flat(1, 1, 1), flat(0, 0, 0)
    assert ciede2000(black, white).item() == pytest.approx(100, abs=0.1)
    assert ciede2000(noise(3), noise(3)).item() == 0


def test_ciede2000_weights_differences_of_saturated_colours_less():
    """From blue (0, 0, 1) to (0.1, 0, 1) is perceived as smaller than the same step from grey."""
    assert ciede2000(flat(0.1, 0, 1), flat(0, 0, 1)) < ciede2000(flat(0.6, 0.5, 0.5), flat(0.5, 0.5, 0.5))


def test_cast_is_the_distance_of_the_mean_colour_from_grey():
    red, cyan = flat(1, 0, 0), flat(0, 1, 1)  # a*, b* of sRGB red: 80.09, 67.20; of cyan: -48.09, -14.13
    assert color_cast(red).item() == pytest.approx(math.hypot(80.09, 67.20), abs=0.1)
    both = torch.cat((red, cyan), dim=3)
    expected = math.hypot((80.09 - 48.09) / 2, (67.20 - 14.13) / 2)
    assert color_cast(both).item() == pytest.approx(expected, abs=0.1)
    assert color_cast(flat(0.4, 0.4, 0.4)).item() < 0.01


def test_e_counts_visible_edges():
    """A step of 1.5 % is invisible, one of 40 % is visible: two pixels at each of three steps, in 32 rows."""
    faint, strong, shift = stripes(0.50, 0.5075), stripes(0.40, 0.60), stripes(0.39, 0.61)
    assert visible_edges_gained(strong, faint).item() == 3 * 2 * 32  # no edge before: counted as one
    assert visible_edges_gained(shift, strong).item() == 0
    assert visible_edges_gained(faint, strong).item() == -1


def test_e_and_r_depend_on_contrast_and_not_on_brightness():
    dusty = 0.3 + 0.5 * noise(4)
    assert visible_edges_gained(0.5 * dusty, dusty).item() == 0
    assert gradient_ratio(0.5 * dusty, dusty).item() == pytest.approx(0.5, rel=1e-5)


def test_r_is_the_geometric_mean_of_the_gains():
    dusty = stripes(0.45, 0.55)
    gain = torch.ones(1, 3, 32, 32)
    gain[..., 12:20] = 3.0  # around the middle one of three steps
    enhanced = (0.5 + gain * (dusty - 0.5)).clamp(0, 1)
    inner = enhanced[..., 14:18], dusty[..., 14:18]
    assert gradient_ratio(*inner).item() == pytest.approx(3, rel=1e-4)
    assert gradient_ratio(0.5 + 1.8 * (dusty - 0.5), dusty).item() == pytest.approx(1.8, rel=1e-4)


def test_r_is_nan_without_a_visible_edge_and_finite_if_the_dusty_image_is_flat():
    assert gradient_ratio(flat(0.5, 0.5, 0.5), stripes(0.4, 0.6, 16)).isnan().all()
    assert gradient_ratio(stripes(0.4, 0.6, 16), flat(0.5, 0.5, 0.5)).isfinite().all()


def test_saturated_counts_only_new_pixels():
    dusty = torch.linspace(0, 1, 11).expand(1, 3, 4, 11)  # one column is black and one white already
    enhanced = (1.5 * dusty - 0.25).clamp(0, 1)  # 0.1 becomes black, 0.9 becomes white
    assert saturated_fraction(enhanced, dusty).item() == pytest.approx(100 * 2 / 11)
    assert saturated_fraction(dusty, dusty).item() == 0


def test_saturated_is_measured_in_luma():
    assert saturated_fraction(flat(1, 0.5, 0), flat(0.5, 0.5, 0.5)).item() == 0  # a full channel is not white


def test_dark_channel_mean_grows_with_the_veil():
    scene = noise(5)
    hazy = 0.4 * scene + 0.6 * 0.9
    expected = 0.4 * dark_channel_mean(scene).item() + 0.54
    assert dark_channel_mean(hazy).item() == pytest.approx(expected, rel=1e-5)


def test_entropy_counts_bits():
    levels = torch.arange(256) / 255
    assert entropy(levels.expand(1, 3, 4, 256)).item() == pytest.approx(8)
    assert entropy(stripes(0.2, 0.8)).item() == pytest.approx(1)


@pytest.mark.parametrize("name", METRICS)
def test_images_of_a_batch_are_measured_separately(name):
    metric = METRICS[name]
    pictures = (0.2 + 0.6 * noise(6, (96, 100), 2), 0.3 + 0.4 * noise(7, (96, 100), 2))
    given = pictures if metric.needs else pictures[:1]
    together = metric.function(*given)
    single = torch.cat([metric.function(*(p[i : i + 1] for p in given)) for i in range(2)])
    assert together.shape == (2,) and together.dtype == torch.float64
    torch.testing.assert_close(together, single, equal_nan=True)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.needs == "clear"])
def test_full_reference_metrics_have_the_direction_in_the_table(name):
    clear = stripes(0.2, 0.8)
    near, far = (clear + 0.05 * noise(8, (32, 32))).clamp(0, 1), noise(8, (32, 32))
    metric = METRICS[name]
    gain = (metric.function(near, clear) - metric.function(far, clear)).item()
    assert gain > 0 if metric.direction == "higher" else gain < 0


def test_measure_computes_the_metrics_whose_inputs_are_given():
    enhanced, dusty, clear = (0.2 + 0.6 * noise(seed, (96, 96)) for seed in range(3))
    without_reference = [name for name, metric in METRICS.items() if not metric.needs]
    assert list(measure(enhanced)) == without_reference
    assert set(measure(enhanced, dusty)) == {name for name, metric in METRICS.items() if metric.needs != "clear"}
    assert list(measure(enhanced, dusty, clear)) == list(METRICS)
    assert "niqe" not in measure(enhanced[..., :95])
    values = measure(enhanced, dusty, clear)
    assert values["psnr"] == pytest.approx(psnr(enhanced, clear).item())
    assert all(isinstance(value, float) for value in values.values())
    assert {name for name, value in values.items() if not np.isfinite(value)} == {"smoke", "tint"}  # noise is not flat
    for name in ("light", "vivid"):  # computed together
        assert values[name] == METRICS[name].function(enhanced).item()


def test_the_dusty_image_itself_gains_nothing():
    dusty = noise(9)
    values = measure(dusty, dusty)
    assert (values["e"], values["saturated"]) == (0, 0) and values["r"] == pytest.approx(1)


def test_wrong_shapes_ranges_and_types_are_errors():
    with pytest.raises(ValueError, match="equal shapes"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
    with pytest.raises(ValueError, match="values from"):
        color_cast(torch.full((1, 3, 8, 8), 255.0))
    with pytest.raises(TypeError, match="uint8"):
        entropy(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
