"""The work that `ssdie.bench` measures; its child processes call these functions by name."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from ssdie.attention import CrossAttention, attend, attend_explicitly
from ssdie.augment import augment_copies
from ssdie.config import TrainConfig
from ssdie.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.enhance import RELEASED, enhance, load_model
from ssdie.features import FeatureNetwork
from ssdie.losses import make_pseudo_label
from ssdie.measure import Stopwatch
from ssdie.memory import kept_memory
from ssdie.networks import Generator, build_generator
from ssdie.published import (
    PublishedInputs,
    published_discriminator_step,
    published_generator_step,
)
from ssdie.scenes import render_scene
from ssdie.train import discriminator_term, disturb, generator_groups

Terms = dict[str, float]


def make_model() -> Generator:
    """The released network, or one of the same shape with random weights where there is none: as fast, not as good."""
    if RELEASED.is_file():
        return load_model()
    torch.manual_seed(0)
    return build_generator("msff", head="scattering").eval().to(memory_format=torch.channels_last)


def make_photo(height: int, width: int) -> np.ndarray:
    """A dusty photo with grain: (H, W, 3) uint8."""
    scene = render_scene(0, (192, 256))[0].permute(1, 2, 0).numpy()
    scene = (scene * (120, 90, 50) + (100, 80, 50)).astype(np.uint8)
    photo = scene[np.arange(height) * 192 // height][:, np.arange(width) * 256 // width]
    photo += np.random.default_rng(0).integers(0, 9, (height, width, 1), dtype=np.uint8)
    return photo


# A step of training ------------------------------------------------------------------------------------------------


def _set_up(
    name: str, batch: int, size: int, training: bool
) -> tuple[list[torch.Tensor], TrainConfig, list[torch.nn.Module]]:
    """Pictures, settings and networks of a semi-supervised step; not in `training`, no BatchNorm looks at the batch."""
    random = torch.Generator().manual_seed(0)
    pictures = [torch.rand(batch, 3, size, size, generator=random) * 0.6 + 0.2 for _ in range(4)]
    torch.manual_seed(0)
    networks = [build_generator(name), PatchDiscriminator(), DarkChannelNet()]
    config = TrainConfig("semi-supervised", Path("."), pseudo_label="retinex")
    return pictures, config, [network.train(training) for network in networks]


def make_fast_step(
    name: str, batch: int, size: int, precision: str = "float32", training: bool = False
) -> Callable[..., Terms]:
    """Give `ssdie.train`'s semi-supervised step without the optimisers: a function of a watch that gives the terms."""
    (dusty, clear, real, others), config, networks = _set_up(name, batch, size, training)
    features = FeatureNetwork("random")
    for network in (*networks, features):
        network.to(memory_format=torch.channels_last)
    generator, discriminator, judge = networks
    judge.requires_grad_(False)

    def step(watch=lambda part: nullcontext()) -> Terms:
        random, latent = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
        terms = {}
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            groups = generator_groups((*networks, features), (dusty, clear), real, config, random, latent)
            for part in ("supervised terms", "consistency and Retinex", "dark channel and adversarial"):
                with watch(part):
                    group, outputs = next(groups)
                    sum(getattr(config.weights, k) * v for k, v in group.items()).backward()
                    terms |= group
            groups.close()
            with watch("discriminator step"):
                terms["discriminator"] = discriminator_term(discriminator, others, outputs.detach(), config, random)
                terms["discriminator"].backward()
        generator.zero_grad(), discriminator.zero_grad()
        return {k: float(v.detach()) for k, v in terms.items()}

    return step


def make_published_step(name: str, batch: int, size: int, training: bool = False) -> Callable[..., Terms]:
    """Give the published step without the optimisers, on the same pictures and random numbers as `make_fast_step`."""
    (dusty, clear, real, others), config, networks = _set_up(name, batch, size, training)
    features = tuple(FeatureNetwork("random").requires_grad_(True) for _ in range(2))
    for module in networks[0].modules():
        if isinstance(module, CrossAttention):
            module.attend = attend_explicitly

    def step(watch=lambda part: nullcontext()) -> Terms:
        (random, latent), k = (torch.Generator().manual_seed(s) for s in (1, 2)), config.copies
        disturbed = disturb(real.repeat(k, 1, 1, 1), config.noise, latent).chunk(k)
        copies = augment_copies(real, k, random).chunk(k)
        with watch("discriminator step"):
            clear_copies = augment_copies(others, k, random).chunk(k)
        label = make_pseudo_label(real, config.pseudo_label)
        inputs = PublishedInputs(dusty, clear, real, label, disturbed, copies, clear_copies)
        terms = published_generator_step((*networks, features), inputs, config.weights, watch)
        terms |= published_discriminator_step(networks, inputs, watch)
        for network in (*networks, *features):
            network.zero_grad()
        return {k: float(v.detach()) for k, v in terms.items()}

    return step


# Children ----------------------------------------------------------------------------------------------------------


def nothing() -> None:
    """Only be imported: the memory that is everybody's."""


def only_load() -> None:
    """Load the network: the memory before a photo comes."""
    make_model()


def time_photo(height: int, width: int, repeats: int) -> dict:
    """Enhance a photo several times; seconds of each, after one small photo."""
    model, photo = make_model(), make_photo(height, width)
    enhance(photo[:64, :64], model)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        enhance(photo, model)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds}


def time_step(kind: str, name: str, batch: int, size: int, repeats: int) -> dict:
    """Run a step several times, after one with a single picture that does not count.

    Args:
        kind: "published", or the precision of our step.
        name: of the generator.
        batch, size: of the pictures.
        repeats: of the step.

    Returns:
        "seconds" of each, "terms", and "parts" with their mean seconds.
    """

    def make(number: int) -> Callable[..., Terms]:
        if kind == "published":
            return make_published_step(name, number, size)
        return make_fast_step(name, number, size, kind)

    make(1)()
    step, watch, seconds = make(batch), Stopwatch(), []
    with kept_memory() if kind == "bfloat16" else nullcontext():  # as `ssdie.train` does
        for _ in range(repeats):
            started = time.perf_counter()
            terms = step(watch)
            seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "terms": terms, "parts": {k: v / repeats for k, v in watch.parts.items()}}


def run_attention(kind: str, side: int) -> None:
    """Attend over side x side positions, forward and backward: "fused", or "explicit" with the whole matrix."""
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 1, side**2, c, generator=random).requires_grad_() for c in (16, 16, 128))
    attention(kind, query, key, value).square().mean().backward()


def attention(kind: str, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Give softmax(Q K^T) V, "fused" as in the networks or "explicit" as in the formula."""
    return (attend if kind == "fused" else attend_explicitly)(query, key, value)
