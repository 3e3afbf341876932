"""Depth: files, the published colour code, the conditional GAN, the command."""

import numpy as np
import pytest
import torch

from ssdie.cli import main
from ssdie.data.sample import list_sample, read_pair
from ssdie.networks.generators import UNetGenerator
from ssdie.networks.weights import read_header, save_weights
from ssdie.ops.depth_maps import read_depth, write_depth
from ssdie.ops.images import write_image
from ssdie.synthesis import depth as depth_gan
from ssdie.synthesis import depth as depths
from ssdie.synthesis.depth import ramp_depth


@pytest.fixture
def ramp():
    return torch.linspace(0, 1, 60).expand(1, 40, 60).contiguous()


def train(seed, steps):
    torch.manual_seed(seed)
    model = UNetGenerator(3, 1, width=4, levels=5)
    pairs = [(n, *read_pair(f"scene_{n:06d}", (48, 72))) for n in range(4)]
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


def test_discriminator_step_has_no_gradient_for_the_generator(monkeypatch):
    seen = []
    forward = depth_gan.PatchDiscriminator.forward

    def watched(self, pair):
        seen.append(pair.requires_grad)
        return forward(self, pair)

    monkeypatch.setattr(depth_gan.PatchDiscriminator, "forward", watched)
    train(seed=0, steps=1)
    assert seen == [False, False, True]  # true pair, detached estimate, estimate of the generator's step


def test_a_saved_model_estimates_any_size_deterministically(tmp_path):
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


def test_photos_are_resized_to_the_training_size_of_the_model(tmp_path):
    seen, model = [], UNetGenerator(3, 1, 4, 5)
    pairs = [(torch.rand(3, 40, 50), torch.rand(1, 40, 50))]
    assert len(list(depths.train_depth(model, pairs, steps=1, batch=1, size=32))) == 1
    depths.save_depth_model(tmp_path / "depth.safetensors", model)
    loaded = depths.load_depth_model(tmp_path / "depth.safetensors")
    loaded.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    assert depths.estimate_depth(torch.rand(1, 3, 100, 150), loaded).shape == (1, 1, 100, 150) and seen == [(32, 48)]


def test_the_released_model_has_a_smaller_error_than_a_ramp():
    assert depths.DEPTH_MODEL.stat().st_size <= 8_000_000
    model, errors = depths.load_depth_model(), []
    for picture in [picture for picture in list_sample("val") if picture.depth == "exact"][:5]:
        clear, depth = read_pair(picture.name)
        guesses = depths.estimate_depth(clear[None], model), ramp_depth(clear[None])
        errors.append([(guess - depth).abs().mean().item() for guess in guesses])
    ours, ramp = np.mean(errors, axis=0)
    assert ours < 0.75 * ramp


def test_weights_of_another_network_are_refused(tmp_path):
    model = UNetGenerator(3, 3, width=4, levels=2)
    about = {"generator": "unet", "options": {"width": 4, "levels": 2}}
    save_weights(tmp_path / "w.safetensors", model, about)
    with pytest.raises(ValueError, match="expected a depth model"):
        depths.load_depth_model(tmp_path / "w.safetensors")


def test_depth_from_folder_file_and_function(tmp_path, ramp):
    write_depth(tmp_path / "photo.png", ramp)
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
    assert main(["depth", str(photos), "-o", str(tmp_path / "out"), "--model", str(model)]) == 1
    assert "broken.png" in capsys.readouterr().err
    assert read_depth(tmp_path / "out" / "a.png").shape == (1, 30, 40)
    assert main(["depth", str(photos), "-o", "x", "--model", str(tmp_path / "none")]) == 2
