import numpy as np
import pytest
import torch
from PIL import Image

from ssdie.ops import depth_maps
from ssdie.ops.images import read_image, write_image


@pytest.fixture
def ramp():
    return torch.linspace(0, 1, 60).expand(1, 40, 60).contiguous()


@pytest.mark.parametrize("suffix, tolerance", [(".png", 1e-5), (".npy", 1e-7)])
def test_written_depth_is_read_back(tmp_path, ramp, suffix, tolerance):
    depth_maps.write_depth(tmp_path / f"a{suffix}", ramp)
    assert (depth_maps.read_depth(tmp_path / f"a{suffix}") - ramp).abs().max() <= tolerance
    assert len(list(tmp_path.iterdir())) == 1


def test_eight_bit_png_and_integer_npy_are_scaled(tmp_path):
    values = np.array([[0, 51, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", values)
    for name in ("a.png", "a.npy"):
        assert depth_maps.read_depth(tmp_path / name).flatten().tolist() == pytest.approx([0, 0.2, 1])


@pytest.mark.parametrize("values", [np.full((4, 4), 7.0), np.full((4, 4), np.nan), np.zeros((2, 4, 4))])
def test_invalid_npy_raises(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ValueError, match="expected"):
        depth_maps.read_depth(tmp_path / "a.npy")


def test_colored_depth_raises(tmp_path, ramp):
    write_image(tmp_path / "a.png", depth_maps.encode_jet(ramp[None]))
    with pytest.raises(ValueError, match="got colours"):
        depth_maps.read_depth(tmp_path / "a.png")


def test_jet_round_trip_through_png(tmp_path, picture, ramp):
    clear, depth = picture[0], ramp[..., :56]
    depth_maps.write_side_by_side(tmp_path / "a.png", clear, depth)
    assert read_image(tmp_path / "a.png").shape == (3, 40, 112)
    clear_read, depth_read = depth_maps.read_side_by_side(tmp_path / "a.png")
    assert (clear_read - clear).abs().max() <= 0.5 / 255 + 1e-6
    error = (depth_read - depth).abs()
    assert error.max() <= 2.51 / 255 and error.mean() < 0.4 / 255  # half a step, plus two among the five equal blues


def test_jet_decoding_tolerates_noise(ramp):
    noise = 0.01 * torch.randn(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    decoded = depth_maps.decode_depth((depth_maps.encode_jet(ramp[None]) + noise).clamp(0, 1))
    assert (decoded[0] - ramp).abs().mean() < 0.01


def test_packed_decoding_equals_the_published_formula_without_overflow():
    rgb = torch.tensor([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 0, 0]]]).permute(2, 0, 1)[None] / 255
    s = torch.tensor([255 * 65536, 255 * 256, 255, 128 * 65536]).double()
    expected = 1 - (s - s.min()) / (s.max() - s.min())
    assert depth_maps.decode_depth(rgb, "packed").flatten().tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_packed_decoding_fails_on_jet_colors(ramp):
    coded = depth_maps.encode_jet(ramp[None])
    packed, jet = (depth_maps.decode_depth(coded, decoding)[0] for decoding in ("packed", "jet"))
    assert (jet - ramp).abs().max() < 0.01 < 0.1 < (packed - ramp).abs().mean()
    assert packed[0, 0, 0] > 0.4  # dark red codes depth 0


def test_packed_decoding_of_a_constant_image_is_finite():
    assert torch.isfinite(depth_maps.decode_depth(torch.full((1, 3, 4, 4), 0.5), "packed")).all()


def test_unknown_decoding_and_odd_width_raise(tmp_path):
    with pytest.raises(ValueError, match="jet"):
        depth_maps.decode_depth(torch.zeros(1, 3, 2, 2), "hsv")
    write_image(tmp_path / "odd.png", torch.zeros(3, 4, 7))
    with pytest.raises(ValueError, match="two halves"):
        depth_maps.read_side_by_side(tmp_path / "odd.png")
