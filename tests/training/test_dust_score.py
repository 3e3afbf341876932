"""Training of the dust classifier: targets, examples, decreasing loss."""

import pytest
import torch

from ssdie.cli import main
from ssdie.networks.dust_classifier import SIDE, DustClassifier, average_to, load_dust_classifier
from ssdie.networks.weights import read_header
from ssdie.ops.affine import downsample
from ssdie.synthesis.dust import DustyPair
from ssdie.training import dust_score
from ssdie.training.dust_score import DustScoreConfig, dust_target, make_examples, train_dust_classifier, vary_colors


@pytest.fixture
def few_photos(monkeypatch):
    """Replace the enhanced photos, which need the released generator, by a single photo."""
    monkeypatch.setattr(dust_score, "enhance_photos", lambda photos, weights: photos[:1])


def target_of(transmission: float) -> float:
    one = torch.ones(1, 3, 2, 2)
    return dust_target(DustyPair(one, one, transmission * one, one[:, :, 0, 0], one[:, :1])).item()


def test_the_target_rises_as_the_transmission_falls():
    assert target_of(1.0) == 0 and target_of(0.3) == 1
    targets = [target_of(t) for t in (0.95, 0.8, 0.6, 0.5, 0.4)]
    assert targets == sorted(targets) and 0.1 < targets[1] < 0.2 and targets[3] > 0.9


def test_examples_have_the_targets_of_their_kind(generator):
    batch = [torch.rand(n, channels, 32, 32, generator=generator) for n, channels in ((8, 4), (4, 3), (2, 3), (1, 4))]
    photos, targets, groups = make_examples(*batch, generator)
    assert photos.shape == (len(targets), 3, 32, 32) and photos.min() >= 0 and photos.max() <= 1
    of = dict(zip(groups, targets.split(list(groups.values())), strict=True))
    assert (of["clear"] == 0).all() and (of["real"] == 1).all() and (of["enhanced"] < 0.1).all()
    assert ((of["thin"] >= 0) & (of["thin"] <= 1)).all() and of["thick"].mean() > of["thin"].mean()


def test_color_variation_keeps_black_pixels_black(generator):
    photos = torch.rand(4, 3, 8, 8, generator=generator)
    photos[..., 0, 0] = 0
    varied = vary_colors(photos, generator)
    assert (varied[..., 0, 0] == 0).all() and (varied - photos).abs().mean() > 0.02
    assert torch.allclose(vary_colors(photos, generator, amount=0.0), photos, atol=1e-5)


@pytest.mark.parametrize("size", [(128, 96), (70, 33), (64, 64)])
def test_photos_of_any_size_are_averaged_exactly(size, generator):
    photo = torch.rand(1, 3, *size, generator=generator)
    small = average_to(photo, SIDE)
    assert small.shape == (1, 3, SIDE, SIDE) and torch.allclose(small.mean(), photo.mean(), atol=1e-5)
    square = torch.rand(1, 3, 128, 128, generator=generator)
    assert torch.allclose(average_to(square, SIDE), downsample(square, SIDE), atol=1e-6)


def test_the_same_seed_gives_the_same_weights_and_the_loss_falls(tmp_path, photo_folder, few_photos):
    config = {"data": photo_folder, "steps": 16, "batch": 8, "size": 32, "report_every": 4}
    reports = [list(train_dust_classifier(DustScoreConfig(tmp_path / name, **config))) for name in "ab"]
    assert reports[0] == reports[1] and reports[0][-1]["step"] == 16
    assert reports[0][-1]["loss"] < 0.9 * reports[0][0]["loss"]
    first, second = (load_dust_classifier(tmp_path / name / "dust.safetensors") for name in "ab")
    assert all(torch.equal(x, y) for x, y in zip(first.parameters(), second.parameters(), strict=True))
    assert read_header(tmp_path / "a" / "dust.safetensors")["photos"] == {"clear": 4, "dusty": 3}


def test_the_command_writes_weights_of_the_dust_classifier(tmp_path, photo_folder, few_photos, capsys):
    assert main(["train-dust-score", str(tmp_path), "--data", str(photo_folder), "--steps", "1"]) == 0
    assert "step 1, loss" in capsys.readouterr().out
    network = load_dust_classifier(tmp_path / "dust.safetensors")
    assert 10_000 <= sum(p.numel() for p in network.parameters()) <= 40_000
    with pytest.raises(ValueError, match="expected weights that `ssdie train-dust-score` wrote"):
        load_dust_classifier(dust_score.__file__.replace("training/dust_score.py", "weights/msff.safetensors"))
    assert isinstance(network, DustClassifier) and not network.training
