"""Depth: files, the published colour code, the conditional GAN, the command."""

import argparse

import numpy as np
import pytest
import torch
from PIL import Image

from ssdie.data.sample import draw_embedded, embedded_names, render_scene
from ssdie.networks.generators import UNetGenerator
from ssdie.networks.weights import read_header, save_weights
from ssdie.ops.images import read_image, write_image
from ssdie.synthesis import depth as depth_gan
from ssdie.synthesis import depth as depths
from ssdie.synthesis.depth import ramp_depth


@pytest.fixture
def ramp():
    return torch.linspace(0, 1, 60).expand(1, 40, 60).contiguous()


@pytest.mark.parametrize("suffix, tolerance", [(".png", 1e-5), (".npy", 1e-7)])
def test_written_depth_is_read_back(tmp_path, ramp, suffix, tolerance):
    depths.write_depth(tmp_path / f"a{suffix}", ramp)
    assert (depths.read_depth(tmp_path / f"a{suffix}") - ramp).abs().max() <= tolerance
    assert len(list(tmp_path.iterdir())) == 1


def test_eight_bit_png_and_integer_npy_are_scaled(tmp_path):
    values = np.array([[0, 51, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", values)
    for name in ("a.png", "a.npy"):
        assert depths.read_depth(tmp_path / name).flatten().tolist() == pytest.approx([0, 0.2, 1])


@pytest.mark.parametrize("values", [np.full((4, 4), 7.0), np.full((4, 4), np.nan), np.zeros((2, 4, 4))])
def test_bad_npy_is_refused(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ValueError, match="wanted is"):
        depths.read_depth(tmp_path / "a.npy")


def test_coloured_depth_is_refused(tmp_path, ramp):
    write_image(tmp_path / "a.png", depths.encode_jet(ramp[None]))
    with pytest.raises(ValueError, match="coloured"):
        depths.read_depth(tmp_path / "a.png")


def test_jet_round_trip_through_png(tmp_path):
    clear, depth = render_scene(4, (64, 64))
    depths.write_side_by_side(tmp_path / "a.png", clear, depth)
    assert read_image(tmp_path / "a.png").shape == (3, 64, 128)
    clear_back, depth_back = depths.read_side_by_side(tmp_path / "a.png")
    assert (clear_back - clear).abs().max() <= 0.5 / 255 + 1e-6
    error = (depth_back - depth).abs()
    assert error.max() <= 2.51 / 255 and error.mean() < 0.4 / 255  # half a step; in the five equal blues two more


def test_jet_tolerates_disturbed_colours(ramp):
    noise = 0.01 * torch.randn(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    back = depths.decode_depth((depths.encode_jet(ramp[None]) + noise).clamp(0, 1))
    assert (back[0] - ramp).abs().mean() < 0.01


def test_packed_is_the_published_formula_without_overflow():
    rgb = torch.tensor([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 0, 0]]]).permute(2, 0, 1)[None] / 255
    s = torch.tensor([255 * 65536, 255 * 256, 255, 128 * 65536]).double()
    wanted = 1 - (s - s.min()) / (s.max() - s.min())
    assert depths.decode_depth(rgb, "packed").flatten().tolist() == pytest.approx(wanted.tolist(), abs=1e-6)


def test_packed_fails_on_jet_where_jet_does_not(ramp):
    coded = depths.encode_jet(ramp[None])
    packed, jet = (depths.decode_depth(coded, decoding)[0] for decoding in ("packed", "jet"))
    assert (jet - ramp).abs().max() < 0.01 < 0.1 < (packed - ramp).abs().mean()
    assert packed[0, 0, 0] > 0.4  # dark red is the nearest, and comes out half way


def test_flat_packed_picture_has_no_division_by_zero():
    assert torch.isfinite(depths.decode_depth(torch.full((1, 3, 4, 4), 0.5), "packed")).all()


def test_unknown_decoding_and_odd_width_are_refused(tmp_path):
    with pytest.raises(ValueError, match="jet"):
        depths.decode_depth(torch.zeros(1, 3, 2, 2), "hsv")
    write_image(tmp_path / "odd.png", torch.zeros(3, 4, 7))
    with pytest.raises(ValueError, match="two halves"):
        depths.read_side_by_side(tmp_path / "odd.png")


def train(seed, steps):
    torch.manual_seed(seed)
    model = UNetGenerator(3, 1, width=4, levels=5)
    pairs = [(name, *render_scene(name, (48, 72))) for name in range(4)]
    reports = list(depths.train_depth(model, pairs, steps, 4, 32, seed, learning_rate=4e-3, report_every=10))
    return model, reports


def test_training_learns_and_ends_in_evaluation_mode():
    model, reports = train(seed=3, steps=25)
    assert [r["step"] for r in reports] == [10, 20, 25]
    assert set(reports[0]) == {"step", "l1", "adversarial", "discriminator"}
    assert reports[-1]["l1"] < 0.8 * reports[0]["l1"]
    assert not model.training


def test_training_is_seeded():
    first, again, other = (train(seed, steps=2) for seed in (3, 3, 4))
    assert first[1] == again[1] != other[1]
    assert all(torch.equal(a, b) for a, b in zip(first[0].parameters(), again[0].parameters(), strict=True))


def test_discriminator_step_leaves_the_generator_alone(monkeypatch):
    seen = []
    forward = depth_gan.PatchDiscriminator.forward

    def watched(self, pair):
        seen.append(pair.requires_grad)
        return forward(self, pair)

    monkeypatch.setattr(depth_gan.PatchDiscriminator, "forward", watched)
    train(seed=0, steps=1)
    assert seen == [False, False, True]  # true pair, detached estimate, estimate to learn from


def test_model_is_saved_and_estimates_any_size_the_same_twice(tmp_path):
    model = UNetGenerator(3, 1, width=4, levels=4).eval()
    depths.save_depth_model(tmp_path / "d.safetensors", model, steps=7)
    loaded = depths.load_depth_model(tmp_path / "d.safetensors")
    clear = torch.rand(2, 3, 37, 53, generator=torch.Generator().manual_seed(0))
    estimate = depths.estimate_depth(clear, model)
    assert estimate.shape == (2, 1, 37, 53) and estimate.min() >= 0 and estimate.max() <= 1
    assert torch.equal(estimate, depths.estimate_depth(clear, loaded))
    assert torch.equal(estimate, depths.estimate_depth(clear, tmp_path / "d.safetensors"))
    assert torch.equal(estimate, depths.estimate_depth(clear, loaded.train()))  # no noise, no dropout
    assert read_header(tmp_path / "d.safetensors")["steps"] == 7


def test_a_model_sees_photos_at_the_size_it_was_trained_on(tmp_path):
    seen, model = [], UNetGenerator(3, 1, 4, 5)
    pairs = [(torch.rand(3, 40, 50), torch.rand(1, 40, 50))]
    assert len(list(depths.train_depth(model, pairs, steps=1, batch=1, size=32))) == 1
    depths.save_depth_model(tmp_path / "depth.safetensors", model)
    loaded = depths.load_depth_model(tmp_path / "depth.safetensors")
    loaded.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    assert depths.estimate_depth(torch.rand(1, 3, 100, 150), loaded).shape == (1, 1, 100, 150) and seen == [(32, 48)]


def test_the_released_model_is_whole_and_better_than_a_ramp():
    assert depths.DEPTH_MODEL.stat().st_size <= 8_000_000
    model, errors = depths.load_depth_model(), []
    for name in embedded_names(6, "val"):
        clear, depth = draw_embedded(name)
        guesses = depths.estimate_depth(clear[None], model), ramp_depth(clear[None])
        errors.append([(guess - depth).abs().mean().item() for guess in guesses])
    ours, ramp = np.mean(errors, axis=0)
    assert ours < 0.75 * ramp


def test_other_weights_are_no_depth_model(tmp_path):
    model = UNetGenerator(3, 3, width=4, levels=2)
    about = {"generator": "unet", "options": {"width": 4, "levels": 2}}
    save_weights(tmp_path / "w.safetensors", model, about)
    with pytest.raises(ValueError, match="no depth model"):
        depths.load_depth_model(tmp_path / "w.safetensors")


def test_depth_from_folder_file_and_function(tmp_path, ramp):
    depths.write_depth(tmp_path / "photo.png", ramp)
    clear = torch.rand(1, 3, 40, 60)
    for source in (tmp_path, tmp_path / "photo.png", lambda _: ramp[None]):
        assert (depths.estimate_depth(clear, source, ["photo.jpg"]) - ramp).abs().max() < 1e-4
    assert depths.estimate_depth(torch.rand(1, 3, 20, 30), tmp_path / "photo.png").shape == (1, 1, 20, 30)
    with pytest.raises(FileNotFoundError, match="other.png"):
        depths.estimate_depth(clear, tmp_path, ["other.jpg"])
    with pytest.raises(ValueError, match="names"):
        depths.estimate_depth(clear, tmp_path)
    with pytest.raises(ValueError, match="your function"):
        depths.estimate_depth(clear, lambda c: c)


def test_command_writes_depth_and_lists_failures(tmp_path, capsys):
    model, photos = tmp_path / "d.safetensors", tmp_path / "photos"
    depths.save_depth_model(model, UNetGenerator(3, 1, width=4, levels=4))
    write_image(photos / "a.JPG", torch.rand(3, 30, 40))
    (photos / "broken.png").write_text("no picture")
    parser = argparse.ArgumentParser()
    depths.add_arguments(parser)
    status = depths.run(parser.parse_args([str(photos), "-o", str(tmp_path / "out"), "--model", str(model)]))
    assert status == 1 and "broken.png" in capsys.readouterr().err
    assert depths.read_depth(tmp_path / "out" / "a.png").shape == (1, 30, 40)
    assert depths.run(parser.parse_args([str(photos), "-o", "x", "--model", str(tmp_path / "none")])) == 1
