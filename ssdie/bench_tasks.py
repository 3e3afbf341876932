"""The work that `ssdie.bench` measures; its child processes call these functions by name."""

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import convert_outputs_to_fp32
from PIL import Image

from ssdie.attention import CrossAttention, attend, attend_explicitly
from ssdie.augment import augment_copies
from ssdie.average import MovingAverage
from ssdie.config import TrainConfig
from ssdie.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.enhance import RELEASED, enhance, load_model
from ssdie.features import FeatureNetwork
from ssdie.files import SAVE, enhance_photo
from ssdie.losses import make_pseudo_label
from ssdie.measure import Stopwatch
from ssdie.memory import kept_memory
from ssdie.networks import Generator, build_generator
from ssdie.objective import add_up, discriminator_term, disturb, generator_groups
from ssdie.published import (
    PublishedInputs,
    published_discriminator_step,
    published_generator_step,
)
from ssdie.scenes import render_scene

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


MODES = ("evaluation", "batchnorm", "training")


def _set_up(name: str, batch: int, size: int) -> tuple[list[torch.Tensor], TrainConfig, list[torch.nn.Module]]:
    """Pictures, settings and networks of a semi-supervised step."""
    random = torch.Generator().manual_seed(0)
    pictures = [torch.rand(batch, 3, size, size, generator=random) * 0.6 + 0.2 for _ in range(4)]
    torch.manual_seed(0)
    networks = [build_generator(name), PatchDiscriminator(), DarkChannelNet().eval()]
    return pictures, TrainConfig("semi-supervised", Path("."), pseudo_label="retinex"), networks


def _set_mode(networks: list[torch.nn.Module], mode: str) -> None:
    """Let nothing look at the batch and nothing be random; or BatchNorm look at it; or train."""
    for network in networks[:2]:
        network.train(mode == "training")
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train(mode != "evaluation")


def make_fast_step(
    name: str, batch: int, size: int, precision: str = "float32", apart: bool = False
) -> Callable[..., Terms]:
    """Give the semi-supervised step of `ssdie.train`: a function of a watch and one of `MODES` that gives the terms.

    It updates weights and averages when it trains. As accelerate does, autocast is on in the networks alone. `apart` as
    in `ssdie.config.TrainConfig`.
    """
    (dusty, clear, real, others), config, networks = _set_up(name, batch, size)
    config.apart = apart
    features = FeatureNetwork("random")
    for network in (*networks, features):
        network.to(memory_format=torch.channels_last)
        if precision == "bfloat16":
            autocast = torch.autocast("cpu", torch.bfloat16)
            network.forward = convert_outputs_to_fp32(autocast(network.forward))
    generator, discriminator, judge = networks
    judge.requires_grad_(False)
    averaged = MovingAverage(build_generator(name).to(memory_format=torch.channels_last), config.ema)
    settings = {"lr": config.learning_rate, "betas": config.betas, "fused": True}
    optimizers = [torch.optim.Adam(network.parameters(), **settings) for network in networks[:2]]

    def update(place: int) -> None:
        torch.nn.utils.clip_grad_norm_(networks[place].parameters(), config.clip)
        optimizers[place].step()

    def step(watch=lambda part: nullcontext(), mode: str = "evaluation") -> Terms:
        _set_mode(networks, mode)
        random, latent = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
        terms, judged = {}, []
        groups = generator_groups((*networks, features), (dusty, clear), real, config, random, latent)
        with watch("generator step"):
            for group, logits in groups:
                sum(getattr(config.weights, k) * v for k, v in group.items()).backward()
                terms, judged = add_up(terms, group), judged + logits
        with watch("discriminator step"):
            terms["discriminator"] = discriminator_term(discriminator, others, judged, config, random)
            terms["discriminator"].backward()
        with watch("updates"):
            if mode == "training":
                update(0), update(1)
                averaged.update_parameters(generator)
            generator.zero_grad(), discriminator.zero_grad()
        return {k: float(v.detach()) for k, v in terms.items()}

    return step


def make_published_step(name: str, batch: int, size: int) -> Callable[..., Terms]:
    """Give the published step, on the same pictures and random numbers as `make_fast_step`."""
    (dusty, clear, real, others), config, networks = _set_up(name, batch, size)
    features = tuple(FeatureNetwork("random").requires_grad_(True) for _ in range(2))
    optimizers = [torch.optim.Adam(n.parameters(), config.learning_rate, config.betas) for n in networks[:2]]
    for module in networks[0].modules():
        if isinstance(module, CrossAttention):
            module.attend = attend_explicitly

    def step(watch=lambda part: nullcontext(), mode: str = "evaluation") -> Terms:
        _set_mode(networks, mode)
        (random, latent), k = (torch.Generator().manual_seed(s) for s in (1, 2)), config.copies
        disturbed = disturb(real.repeat(k, 1, 1, 1), config.noise, latent).chunk(k)
        copies = augment_copies(real, k, random).chunk(k)
        with watch("discriminator step"):
            clear_copies = augment_copies(others, k, random).chunk(k)
        label = make_pseudo_label(real, config.pseudo_label)
        inputs = PublishedInputs(dusty, clear, real, label, disturbed, copies, clear_copies)
        terms = published_generator_step((*networks, features), inputs, config.weights, watch)
        if mode == "training":
            with watch("updates"):
                optimizers[0].step()
        networks[0].zero_grad(), networks[1].zero_grad()
        terms |= published_discriminator_step(networks, inputs, watch)
        if mode == "training":
            with watch("updates"):
                optimizers[1].step()
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


def time_file(height: int, width: int, repeats: int) -> dict:
    """Enhance a JPEG file to another; processor "seconds" of each, of decoding and encoding alone in "codec"."""
    model, found = make_model(), {"seconds": [], "codec": []}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.jpg", Path(folder) / "out.jpg"
        Image.fromarray(make_photo(height, width)).save(source, quality=95)
        enhance(make_photo(64, 64), model)
        for _ in range(repeats):
            started = time.process_time()
            enhance_photo(source, target, model)
            found["seconds"].append(time.process_time() - started)
            started = time.process_time()
            with Image.open(source) as photo:
                photo.save(target, **SAVE["JPEG"])
            found["codec"].append(time.process_time() - started)
    return found


def time_step(kind: str, name: str, batch: int, size: int) -> dict:
    """Time a step of training after others: one in evaluation mode; one in training if ours, which then has its memory.

    Args:
        kind: "published", or the precision of our step: in "float32" with copies apart, in "bfloat16" in one batch.
        name: of the generator.
        batch, size: of the pictures.

    Returns:
        "seconds", "terms" in evaluation mode, and "parts" with their seconds.
    """
    published = kind == "published"
    if published:
        step = make_published_step(name, batch, size)
    else:
        step = make_fast_step(name, batch, size, kind, apart=kind == "float32")
    watch = Stopwatch()
    with nullcontext() if published else kept_memory():  # as `ssdie.train` does
        terms = step()
        if not published:
            step(mode="training")
        started = time.perf_counter()
        step(watch, "training")
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "terms": terms, "parts": watch.parts}


def run_attention(kind: str, side: int) -> None:
    """Attend over side x side positions, forward and backward: "fused", or "explicit" with the whole matrix."""
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 1, side**2, c, generator=random).requires_grad_() for c in (16, 16, 128))
    attention(kind, query, key, value).square().mean().backward()


def attention(kind: str, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Give softmax(Q K^T) V, "fused" as in the networks or "explicit" as in the formula."""
    return (attend if kind == "fused" else attend_explicitly)(query, key, value)
