"""The three training stages: resuming, terms, networks that are trained or frozen, settings."""

import math

import pytest
import torch
from training_runs import PLAIN, same_weights

from ssdie.losses import LossWeights
from ssdie.networks.discriminators import DarkChannelNet
from ssdie.networks.generators import MSFF
from ssdie.networks.weights import load_weights, read_header
from ssdie.training.checkpoint import load_checkpoint, load_matching_checkpoint, save_checkpoint
from ssdie.training.config import TrainConfig
from ssdie.training.log import read_log
from ssdie.training.objective import perturb, supervised_terms
from ssdie.training.stages import make_pairs, train

SMALL = {"options": {"width": 8}, "batch": 2, "size": 32, "report_every": 2, "features": "random", "weights": PLAIN}
SMALL |= {"copies": 2, "precision": "fp32"}  # the same on every CPU


def config(stage, run, photo_folder, dark_channel_net=None, **changes):
    return TrainConfig(stage, run, photo_folder, dark_channel_net=dark_channel_net, **SMALL | changes)


@pytest.mark.parametrize("stage", ["supervised", "dark-channel", "semi-supervised"])
def test_interrupted_run_has_the_weights_of_an_uninterrupted_run(tmp_path, photo_folder, dark_channel_net, stage):
    settings = {"steps": 5, "generator": "unet", "options": {"width": 4, "levels": 5}, "save_every": 2}
    straight = list(train(config(stage, tmp_path / "a", photo_folder, dark_channel_net, **settings)))
    broken = train(config(stage, tmp_path / "b", photo_folder, dark_channel_net, **settings))
    next(broken), next(broken)  # steps 1 to 4 are done; the checkpoint is of step 2
    broken.close()
    resumed = list(train(config(stage, tmp_path / "b", photo_folder, dark_channel_net, **settings)))
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert resumed[-1] == straight[-1]
    logs = [read_log(tmp_path / run / "log.csv") for run in "ab"]
    assert logs[0] == logs[1] and [row["step"] for row in logs[0]] == [2, 4, 5]


def test_supervised_training_reduces_the_loss(tmp_path, photo_folder):
    settings = {"steps": 40, "options": {"width": 8, "head": "scattering"}, "learning_rate": 1e-2, "report_every": 10}
    reports = list(train(config("supervised", tmp_path, photo_folder, **settings)))
    assert reports[-1]["reconstruction"] < 0.9 * reports[0]["reconstruction"]


def test_all_terms_are_logged_and_the_averaged_generator_is_saved(tmp_path, photo_folder, dark_channel_net):
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


def test_term_with_weight_zero_leaves_other_terms_unchanged(tmp_path, photo_folder, dark_channel_net):
    def report(name, **weights):
        settings = {"steps": 1, "weights": LossWeights(perceptual=0, style=0, **weights)}
        (only,) = train(config("semi-supervised", tmp_path / name, photo_folder, dark_channel_net, **settings))
        return only

    full = report("full")
    for term in ("consistency", "dark_channel", "retinex", "adversarial"):
        without = report(term, **{term: 0})
        assert term in full and term not in without
        assert torch.isfinite(torch.tensor(list(without.values()))).all()
        assert without["reconstruction"] == full["reconstruction"]
        assert without["generator_gradient"] != full["generator_gradient"]


def test_discriminator_step_adds_no_gradient_to_generator_and_frozen_networks(
    tmp_path, photo_folder, dark_channel_net, monkeypatch
):
    from ssdie.training import stages as module

    built = {}
    monkeypatch.setattr(module, "load_dark_channel_net", lambda c: built.setdefault("dc-Net", DarkChannelNet()))
    monkeypatch.setattr(
        module, "make_generator", lambda c, make=module.make_generator: built.setdefault("generator", make(c))
    )
    for _ in train(config("semi-supervised", tmp_path, photo_folder, dark_channel_net, steps=1)):
        assert all(p.grad is None for p in built["generator"].parameters())  # cleared after its own step
    assert all(p.grad is None for p in built["dc-Net"].parameters())


def test_teacher_is_the_averaged_generator(tmp_path, photo_folder, dark_channel_net, monkeypatch):
    labels = []
    monkeypatch.setattr("ssdie.losses.postprocess", lambda image: labels.append(image) or image)
    settings = {"pseudo_label": "teacher", "steps": 3, "report_every": 1, "frozen_norm": True, "learning_rate": 0.01}
    settings |= {"weights": LossWeights(perceptual=0, style=0, consistency=0, dark_channel=0, adversarial=0)}
    fixed, latest = (
        list(train(config("semi-supervised", tmp_path / str(ema), photo_folder, dark_channel_net, ema=ema, **settings)))
        for ema in (1.0, 0.0)
    )
    assert fixed[0]["retinex"] < 1e-5  # before the first update, teacher and generator are equal
    assert latest[2]["retinex"] < 1e-5 < fixed[2]["retinex"]
    assert len(labels) == 6 and not labels[0].requires_grad  # the pseudo-label includes post-processing


@pytest.mark.parametrize("stage", ["supervised", "semi-supervised"])
def test_generator_receives_the_working_size_and_losses_the_crop(
    tmp_path, photo_folder, dark_channel_net, monkeypatch, stage
):
    from ssdie.training import objective as module

    received, compared = set(), set()
    transform, loss = MSFF.transform, module.reconstruction_loss
    monkeypatch.setattr(MSFF, "transform", lambda s, x, g=None: received.add(x.shape[-1]) or transform(s, x, g))
    monkeypatch.setattr(module, "reconstruction_loss", lambda a, b: compared.add(a.shape[-1]) or loss(a, b))
    settings = {"size": 64, "working_size": 32, "steps": 1, "pseudo_label": "teacher"}
    settings["weights"] = LossWeights(perceptual=0, style=0, fit=1)
    reports = list(train(config(stage, tmp_path, photo_folder, dark_channel_net, **settings)))
    assert received == {32} and compared == {64}
    assert reports[0]["generator_gradient"] > 0 and reports[0]["fit"] > 0


def test_dark_channel_net_requires_the_dark_channel_of_its_training(tmp_path, photo_folder, dark_channel_net):
    list(train(config("dark-channel", tmp_path / "dark-channel", photo_folder, steps=1, dark_channel="each")))
    own = tmp_path / "dark-channel" / "checkpoint.pt"
    reports = list(train(config("semi-supervised", tmp_path / "a", photo_folder, own, steps=1, dark_channel="each")))
    assert reports[0]["dark_channel"] > 0
    with pytest.raises(ValueError, match="checkpoint.pt"):
        list(
            train(
                config("semi-supervised", tmp_path / "b", photo_folder, dark_channel_net, steps=1, dark_channel="each")
            )
        )


def test_features_are_computed_once_per_image_and_without_gradient_for_the_target(picture):
    calls = []

    class Features(torch.nn.Module):
        def forward(self, image):
            calls.append(torch.is_grad_enabled())
            names = ("relu1_1", "relu2_1", "relu2_2", "relu3_1", "relu4_1", "relu5_1", "relu5_2")
            return dict.fromkeys(names, image)

    terms = supervised_terms(picture.requires_grad_(), picture.detach(), Features(), LossWeights())
    assert calls == [False, True] and set(terms) == {"reconstruction", "perceptual", "style"}


def test_mixed_recipe_alternates_between_three_recipes(photo_folder, tmp_path):
    batch = torch.rand(9, 4, 16, 16)
    settings = {r: config("supervised", tmp_path, photo_folder, recipe=r) for r in ("mixed", "measured", "reference")}
    pairs = {r: make_pairs(batch, c, torch.Generator().manual_seed(0)) for r, c in settings.items()}
    clear = [torch.equal(target, photo) for target, photo in zip(pairs["mixed"][1], batch[:, :3], strict=True)]
    assert clear[2::3] == [True] * 3 and not all(clear)  # only with the reference recipe the target is the photo itself
    assert torch.equal(pairs["reference"][1], batch[:, :3])


def test_undusted_pairs_have_the_photo_as_target_and_full_chroma_keeps_its_colours(photo_folder, tmp_path):
    batch = torch.nn.functional.interpolate(torch.rand(6, 4, 2, 2), size=(16, 16), mode="bilinear")
    random = torch.Generator().manual_seed(0)
    settings = {"undusted": 1.0, "uneven": 1.0, "target": "visible", "recipe": "mixed"}
    dusty, target = make_pairs(batch, config("supervised", tmp_path, photo_folder, **settings), random)
    assert torch.equal(target, batch[:, :3]) and (dusty - target).abs().mean() < 0.1  # the compression remains
    dulled, full = (
        make_pairs(batch, config("supervised", tmp_path, photo_folder, full_chroma=chroma), random.manual_seed(0))
        for chroma in (False, True)
    )
    assert torch.equal(dulled[0], full[0]) and not torch.equal(dulled[1], batch[:, :3])
    assert torch.equal(full[1], batch[:, :3])


def test_terms_of_order_and_colour_train_with_fewer_real_photos_and_without_dc_net(tmp_path, photo_folder):
    colour = {"color_statistics": 1, "color_strength": 1, "veil_color": 1, "kept_color": 1, "highlights": 1}
    none = dict.fromkeys(("perceptual", "style", "consistency", "dark_channel", "adversarial", "retinex"), 0)
    settings = {"steps": 1, "real_batch": 1, "weights": LossWeights(order=1, **colour, **none)}
    (report,) = train(config("semi-supervised", tmp_path, photo_folder, **settings))
    assert {"order", *colour} < set(report) and report["generator_gradient"] > 0
    assert all(math.isfinite(value) for value in report.values())


def test_perturbation_has_its_sigma_and_stays_in_range(generator):
    grey = torch.full((4, 3, 50, 50), 0.5)
    noisy = perturb(grey, 0.1, generator)
    assert abs(noisy.std().item() - 0.05) < 0.002  # sigma is in units of [-1, 1]
    assert perturb(torch.ones(1, 3, 9, 9), 5.0, generator).max() <= 1


def test_changed_and_invalid_settings_are_refused(tmp_path, photo_folder):
    list(train(config("supervised", tmp_path, photo_folder, steps=1)))
    with pytest.raises(ValueError, match="learning_rate was 0.0001 and is 0.5"):
        list(train(config("supervised", tmp_path, photo_folder, steps=1, learning_rate=0.5)))
    with pytest.raises(ValueError, match="stage 2"):
        list(train(config("semi-supervised", tmp_path / "none", photo_folder, steps=1)))
    with pytest.raises(ValueError, match="supervised, dark-channel, semi-supervised"):
        config("warm-up", tmp_path, photo_folder)
    with pytest.raises(ValueError, match="uneven: expected a fraction from 0 to 1, got 2"):
        config("supervised", tmp_path, photo_folder, uneven=2)
    with pytest.raises(ValueError, match="at most 1 together"):
        config("supervised", tmp_path, photo_folder, undusted=0.6, hazed=0.6)


def test_a_checkpoint_without_the_newer_settings_resumes_with_their_defaults(tmp_path, photo_folder):
    settings = config("supervised", tmp_path, photo_folder, steps=1)
    list(train(settings))
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    del state["config"]["uneven"], state["config"]["weights"]["order"]
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    assert load_matching_checkpoint(tmp_path / "checkpoint.pt", settings, "fp32")["step"] == 1
    with pytest.raises(ValueError, match="uneven was 0.0 and is 0.5"):
        changed = config("supervised", tmp_path, photo_folder, steps=1, uneven=0.5)
        load_matching_checkpoint(tmp_path / "checkpoint.pt", changed, "fp32")


def test_learning_rate_rises_and_falls():
    constant = TrainConfig("supervised", "run", steps=1000)
    assert constant.learning_rate_at(0) == pytest.approx(1e-6) and constant.learning_rate_at(999) == 1e-4
    cosine = TrainConfig("supervised", "run", steps=1000, schedule="cosine")
    assert cosine.learning_rate_at(999) == pytest.approx(1e-4 / 20, rel=1e-2)
    assert cosine.learning_rate_at(99) == pytest.approx(1e-4, rel=0.05)
