import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from ssdie.losses import LossWeights
from ssdie.networks.discriminators import DarkChannelNet
from ssdie.networks.generators import MSFF
from ssdie.networks.weights import load_weights, read_header
from ssdie.training.checkpoint import load_checkpoint
from ssdie.training.config import TrainConfig
from ssdie.training.log import read_log
from ssdie.training.objective import perturb, supervised_terms
from ssdie.training.stages import make_pairs, train

PLAIN = LossWeights(perceptual=0, style=0)  # without the feature network, which takes long to build
SMALL = {"options": {"width": 8}, "batch": 2, "size": 32, "report_every": 2, "features": "random", "weights": PLAIN}
SMALL["precision"] = "fp32"  # the same on every CPU


@pytest.fixture(scope="module")
def dark_channel_net(tmp_path_factory, photo_folder):
    run = tmp_path_factory.mktemp("judge")
    list(train(TrainConfig("dark-channel", run, photo_folder, steps=1, batch=2, size=32, precision="fp32")))
    return run / "checkpoint.pt"


def config(stage, run, photo_folder, dark_channel_net=None, **changes):
    return TrainConfig(stage, run, photo_folder, dark_channel_net=dark_channel_net, **SMALL | changes)


def final_weights(run):
    checkpoint = load_checkpoint(run / "checkpoint.pt")
    parts = [*checkpoint["networks"].values(), checkpoint["averaged"]]
    return [v for part in parts for v in part.values()]


@pytest.mark.parametrize("stage", ["supervised", "dark-channel", "semi-supervised"])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path, photo_folder, dark_channel_net, stage):
    settings = {"steps": 5, "generator": "unet", "options": {"width": 4, "levels": 5}, "save_every": 2}
    straight = list(train(config(stage, tmp_path / "a", photo_folder, dark_channel_net, **settings)))
    broken = train(config(stage, tmp_path / "b", photo_folder, dark_channel_net, **settings))
    next(broken), next(broken)  # steps 1 to 4 are done, the checkpoint is that of step 2
    broken.close()
    resumed = list(train(config(stage, tmp_path / "b", photo_folder, dark_channel_net, **settings)))
    assert all(torch.equal(x, y) for x, y in zip(*map(final_weights, (tmp_path / "a", tmp_path / "b")), strict=True))
    assert resumed[-1] == straight[-1]
    logs = [read_log(tmp_path / run / "log.csv") for run in "ab"]
    assert logs[0] == logs[1] and [row["step"] for row in logs[0]] == [2, 4, 5]


def test_sigkill_at_any_moment_loses_nothing(tmp_path, photo_folder):
    command = [sys.executable, "-m", "ssdie", "train", "supervised", "--data", str(photo_folder), "--steps", "30"]
    command += ["--batch", "2", "--size", "32", "--options", '{"width": 8}', "--save-every", "1", "--report-every", "1"]
    command += ["--weights.perceptual", "0", "--weights.style", "0", "--run"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    subprocess.run([*command, str(tmp_path / "a")], check=True, **quiet)
    killed = subprocess.Popen([*command, str(tmp_path / "b")], **quiet)
    checkpoint = tmp_path / "b" / "checkpoint.pt"
    while not checkpoint.exists():
        time.sleep(0.01)
        assert killed.poll() is None
    time.sleep(0.15)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert load_checkpoint(checkpoint)["step"] < 30
    subprocess.run([*command, str(tmp_path / "b")], check=True, **quiet)
    assert all(torch.equal(x, y) for x, y in zip(*map(final_weights, (tmp_path / "a", tmp_path / "b")), strict=True))


def test_supervised_training_learns(tmp_path, photo_folder):
    settings = {"steps": 60, "options": {"width": 8, "head": "scattering"}, "learning_rate": 1e-2, "report_every": 15}
    reports = list(train(config("supervised", tmp_path, photo_folder, **settings)))
    assert reports[-1]["reconstruction"] < 0.9 * reports[0]["reconstruction"]


def test_every_term_is_logged_and_the_averaged_generator_is_written(tmp_path, photo_folder, dark_channel_net):
    reports = list(
        train(config("semi-supervised", tmp_path, photo_folder, dark_channel_net, steps=2, weights=LossWeights()))
    )
    supervised = ["reconstruction", "perceptual", "style"]
    unsupervised = ["retinex", "consistency", "dark_channel", "adversarial"]
    others = ["generator_gradient", "discriminator", "discriminator_gradient", "learning_rate"]
    assert list(reports[0]) == ["step", *supervised, *unsupervised, *others]
    assert read_log(tmp_path / "log.csv") == reports
    assert list(tmp_path.glob("events.out.tfevents*"))
    assert load_weights(tmp_path / "generator.safetensors")(torch.rand(1, 3, 20, 20)).shape == (1, 3, 20, 20)
    header = read_header(tmp_path / "generator.safetensors")
    assert header["generator"] == "msff" and header["photos"] == {"clear": 4, "dusty": 3}


@pytest.mark.parametrize("term", ["consistency", "dark_channel", "retinex", "adversarial"])
def test_a_term_without_weight_changes_nothing_but_itself(tmp_path, photo_folder, dark_channel_net, term):
    weights = LossWeights(perceptual=0, style=0, **{term: 0})
    reports = list(train(config("semi-supervised", tmp_path, photo_folder, dark_channel_net, steps=1, weights=weights)))
    assert torch.isfinite(torch.tensor(list(reports[0].values()))).all()
    other = list(train(config("semi-supervised", tmp_path / "full", photo_folder, dark_channel_net, steps=1)))
    assert reports[0]["reconstruction"] == other[0]["reconstruction"]
    assert reports[0]["generator_gradient"] != other[0]["generator_gradient"]


def test_the_discriminator_step_leaves_the_generator_alone_and_frozen_networks_gather_no_gradient(
    tmp_path, photo_folder, dark_channel_net, monkeypatch
):
    from ssdie.training import stages as module

    seen = {}
    monkeypatch.setattr(module, "load_dark_channel_net", lambda c: seen.setdefault("judge", DarkChannelNet()))
    monkeypatch.setattr(module, "make_generator", lambda c, make=module.make_generator: seen.setdefault("g", make(c)))
    before = None
    for _ in train(config("semi-supervised", tmp_path, photo_folder, dark_channel_net, steps=1)):
        before = [p.grad for p in seen["g"].parameters()]
    assert all(g is None for g in before)  # cleared after its own step, and not filled by the discriminator's
    assert all(p.grad is None for p in seen["judge"].parameters())


def test_the_teacher_is_the_averaged_generator(tmp_path, photo_folder, dark_channel_net, monkeypatch):
    seen = []
    monkeypatch.setattr("ssdie.losses.postprocess", lambda image: seen.append(image) or image)
    settings = {"pseudo_label": "teacher", "steps": 3, "report_every": 1, "frozen_norm": True, "learning_rate": 0.01}
    settings |= {"weights": LossWeights(perceptual=0, style=0, consistency=0, dark_channel=0, adversarial=0)}
    first, second = (list(train(config("semi-supervised", tmp_path / n, photo_folder, dark_channel_net, ema=e, **settings)))
                     for n, e in (("kept", 1.0), ("followed", 0.0)))  # fmt: skip
    assert first[0]["retinex"] < 1e-5  # before the first update, teacher and generator are one
    assert second[2]["retinex"] < 1e-5 < first[2]["retinex"]
    assert len(seen) == 6 and not seen[0].requires_grad  # with the last touch


@pytest.mark.parametrize("stage", ["supervised", "semi-supervised"])
def test_the_terms_look_at_the_crop_and_the_generator_at_the_working_size(
    tmp_path, photo_folder, dark_channel_net, monkeypatch, stage
):
    from ssdie.training import objective as module

    seen, compared = set(), set()
    transform, loss = MSFF.transform, module.reconstruction_loss
    monkeypatch.setattr(MSFF, "transform", lambda s, x, g=None: seen.add(x.shape[-1]) or transform(s, x, g))
    monkeypatch.setattr(module, "reconstruction_loss", lambda a, b: compared.add(a.shape[-1]) or loss(a, b))
    settings = {"size": 64, "working_size": 32, "steps": 1, "pseudo_label": "teacher"}
    settings["weights"] = LossWeights(perceptual=0, style=0, fit=1)
    reports = list(train(config(stage, tmp_path, photo_folder, dark_channel_net, **settings)))
    assert seen == {32} and compared == {64}
    assert reports[0]["generator_gradient"] > 0 and reports[0]["fit"] > 0


def test_the_judge_looks_at_the_dark_channel_it_was_trained_on(tmp_path, photo_folder, dark_channel_net):
    list(train(config("dark-channel", tmp_path / "judge", photo_folder, steps=1, dark_channel="each")))
    own = tmp_path / "judge" / "checkpoint.pt"
    reports = list(train(config("semi-supervised", tmp_path / "a", photo_folder, own, steps=1, dark_channel="each")))
    assert reports[0]["dark_channel"] > 0
    with pytest.raises(ValueError, match="checkpoint.pt"):
        list(
            train(
                config("semi-supervised", tmp_path / "b", photo_folder, dark_channel_net, steps=1, dark_channel="each")
            )
        )


def test_three_groups_give_the_gradient_of_the_sum(photo_folder):
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 3, 3)
    pictures = [torch.rand(1, 3, 8, 8) for _ in range(3)]
    sum(network(p).square().mean() for p in pictures).backward()
    together = network.weight.grad.clone()
    network.zero_grad()
    for p in pictures:
        network(p).square().mean().backward()
    assert torch.allclose(network.weight.grad, together, atol=1e-7)


def test_features_of_the_target_have_no_gradient_and_each_side_is_evaluated_once(picture):
    calls = []

    class Features(torch.nn.Module):
        def forward(self, image):
            calls.append(torch.is_grad_enabled())
            names = ("relu1_1", "relu2_1", "relu2_2", "relu3_1", "relu4_1", "relu5_1", "relu5_2")
            return dict.fromkeys(names, image)

    terms = supervised_terms(picture.requires_grad_(), picture.detach(), Features(), LossWeights())
    assert calls == [False, True] and set(terms) == {"reconstruction", "perceptual", "style"}


def test_mixed_recipe_takes_the_three_in_turn(photo_folder, tmp_path):
    batch = torch.rand(9, 4, 16, 16)
    settings = {r: config("supervised", tmp_path, photo_folder, recipe=r) for r in ("mixed", "measured", "reference")}
    pairs = {r: make_pairs(batch, c, torch.Generator().manual_seed(0)) for r, c in settings.items()}
    clear = [torch.equal(given, wanted) for given, wanted in zip(pairs["mixed"][1], batch[:, :3], strict=True)]
    assert clear[2::3] == [True] * 3 and not all(clear)  # of the reference alone the target is the photo itself
    assert torch.equal(pairs["reference"][1], batch[:, :3])


def test_disturbance_has_its_sigma_and_stays_in_range(generator):
    grey = torch.full((4, 3, 50, 50), 0.5)
    noisy = perturb(grey, 0.1, generator)
    assert abs(noisy.std().item() - 0.05) < 0.002  # sigma counts in [-1, 1]
    assert perturb(torch.ones(1, 3, 9, 9), 5.0, generator).max() <= 1


def test_other_settings_and_missing_parts_are_refused(tmp_path, photo_folder):
    list(train(config("supervised", tmp_path, photo_folder, steps=1)))
    with pytest.raises(ValueError, match="learning_rate was 0.0001 and is 0.5"):
        list(train(config("supervised", tmp_path, photo_folder, steps=1, learning_rate=0.5)))
    with pytest.raises(ValueError, match="stage 2"):
        list(train(config("semi-supervised", tmp_path / "none", photo_folder, steps=1)))
    with pytest.raises(ValueError, match="supervised, dark-channel, semi-supervised"):
        config("warm-up", tmp_path, photo_folder)


def test_the_learning_rate_rises_and_falls():
    steady = TrainConfig("supervised", "run", steps=1000)
    assert steady.learning_rate_at(0) == pytest.approx(1e-6) and steady.learning_rate_at(999) == 1e-4
    cosine = TrainConfig("supervised", "run", steps=1000, schedule="cosine")
    assert cosine.learning_rate_at(999) == pytest.approx(1e-4 / 20, rel=1e-2)
    assert cosine.learning_rate_at(99) == pytest.approx(1e-4, rel=0.05)
