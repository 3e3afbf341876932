"""The published training step has the same losses as ours, and its loops equal the vectorised functions."""

import copy
import functools
from unittest.mock import Mock

import pytest
import torch

from ssdie.bench import steps, tasks
from ssdie.bench.measure import Stopwatch
from ssdie.bench.steps import loop_dark_channel
from ssdie.networks.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.networks.vgg import FeatureNetwork
from ssdie.ops.priors import block_dark_channel
from ssdie.training.config import TrainConfig


def test_loops_equal_the_block_dark_channel_and_its_gradient():
    for size in ((64, 64), (32, 48), (20, 37)):
        image = torch.rand(2, 3, *size, requires_grad=True)
        weight = torch.rand(2, 1, *size)
        gradients = []
        for function in (loop_dark_channel, block_dark_channel):
            dark = function(image)
            (gradient,) = torch.autograd.grad((dark * weight).sum(), image)
            gradients.append((dark, gradient))
        assert torch.equal(gradients[0][0], gradients[1][0])
        assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-5)


make_features = functools.cache(lambda: FeatureNetwork("random"))


@pytest.fixture
def small_networks(monkeypatch):
    small = {"unet": {"width": 8, "levels": 5}, "msff": {"width": 8}}
    build = steps.build_generator
    monkeypatch.setattr(steps, "build_generator", lambda name: build(name, **small[name]))
    monkeypatch.setattr(steps, "TrainConfig", functools.partial(TrainConfig, copies=2))
    monkeypatch.setattr(steps, "PatchDiscriminator", lambda: PatchDiscriminator(width=8))
    monkeypatch.setattr(steps, "DarkChannelNet", lambda: DarkChannelNet(width=8))
    features = copy.deepcopy(make_features())  # the steps change it
    monkeypatch.setattr(steps, "FeatureNetwork", Mock(return_value=features, STYLE=FeatureNetwork.STYLE))


def test_both_steps_have_the_same_terms(small_networks):
    published_parts, fast_parts = Stopwatch(), Stopwatch()
    published = tasks.make_published_step("unet", 1, 32)(published_parts)
    assert tasks.make_fast_step("unet", 1, 32)(fast_parts) == pytest.approx(published, rel=1e-3)
    assert {"features", "dark channel", "backward", "discriminator step"} <= set(published_parts.parts)
    assert list(fast_parts.parts) == ["generator step", "discriminator step", "updates"]
    assert tasks.make_fast_step("unet", 1, 32, "bfloat16")() == pytest.approx(published, rel=0.1)


@pytest.mark.parametrize("make", [tasks.make_published_step, tasks.make_fast_step])
def test_steps_change_weights_in_training_mode_only(make, small_networks):
    step = make("msff", 2, 32)
    before = step()
    assert step() == before
    whole = step(mode="batchnorm")
    assert whole != pytest.approx(before, rel=1e-4)
    step(mode="training")
    after = step()
    assert all(after[name] != value for name, value in before.items())
