"""Training steps to time: ours, and the published one as the baseline, with its inefficiencies.

The published step follows the method (sections 4 and 6) and is slow where the released code is slow: one generator pass
for each copy (17 a step), attention with the whole matrix, two feature networks that each process output and clear
image, with gradients for their own weights, a dark channel by loops over blocks, and a discriminator step that runs the
generator again and backpropagates through it. Its losses equal those of `ssdie.training.stages` up to rounding, if
BatchNorm uses stored statistics.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate.utils import convert_outputs_to_fp32
from torch import nn

from ssdie.losses import LossWeights, gram_matrix, make_pseudo_label, perceptual_loss
from ssdie.networks.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.networks.generators import build_generator
from ssdie.networks.layers import CrossAttention, attend_explicitly
from ssdie.networks.vgg import FeatureNetwork
from ssdie.training.augmentation import augment_copies
from ssdie.training.checkpoint import MovingAverage
from ssdie.training.config import TrainConfig
from ssdie.training.objective import discriminator_term, generator_groups, perturb, sum_terms

Watch = Callable[[str], AbstractContextManager]


@dataclass
class PublishedInputs:
    """Images of a step, all (N, 3, H, W) in [0, 1]; lists have K of them."""

    dusty: torch.Tensor
    clear: torch.Tensor
    real: torch.Tensor
    pseudo_label: torch.Tensor
    disturbed: list[torch.Tensor]
    copies: list[torch.Tensor]
    clear_copies: list[torch.Tensor]


def loop_dark_channel(image: torch.Tensor, block: int = 16) -> torch.Tensor:
    """Compute the minimum of each block by Python loops; equals `ssdie.ops.priors.block_dark_channel`.

    Args:
        image: (N, 3, H, W) in [0, 1].
        block: side of a block; pixels.

    Example:
        >>> loop_dark_channel(torch.ones(1, 3, 4, 6), block=2).shape
        torch.Size([1, 1, 4, 6])
    """
    batch, _, height, width = image.shape
    dark = image.new_zeros(batch, 1, height, width)
    for n, picture in enumerate(image.unbind()):
        for top in range(0, height, block):
            for left in range(0, width, block):
                dark[n, 0, top : top + block, left : left + block] = picture[
                    :, top : top + block, left : left + block
                ].min()
    return dark


def published_generator_step(
    networks: tuple[nn.Module, nn.Module, nn.Module, tuple[FeatureNetwork, FeatureNetwork] | None],
    inputs: PublishedInputs,
    weights: LossWeights,
    watch: Watch = lambda part: nullcontext(),
) -> dict[str, torch.Tensor]:
    """Compute the generator's objective and backpropagate it.

    Args:
        networks: generator, discriminator, dark-channel network and the two feature networks (None omits their terms).
        inputs: images of the step.
        weights: weights of the terms.
        watch: called with the name of each part; returns a context manager that times it.

    Returns:
        The terms, unweighted, by the names of `ssdie.losses.LossWeights`.
    """
    generator, discriminator, dark_channel_net, features = networks
    terms = {}
    with watch("supervised pass"):
        output = generator(inputs.dusty)
        terms["reconstruction"] = 2 * F.l1_loss(output, inputs.clear)
    if features is not None:
        with watch("features"):
            terms["perceptual"] = perceptual_loss(features[0](output), features[0](inputs.clear))
            found, expected = features[1](output), features[1](inputs.clear)
            names = [name for name in FeatureNetwork.STYLE if name in expected]
            terms["style"] = sum(F.l1_loss(gram_matrix(found[k]), gram_matrix(expected[k])) for k in names)
    with watch("consistency passes"):
        enhanced = generator(inputs.real)
        terms["consistency"] = _mean([2 * F.l1_loss(generator(y), enhanced) for y in inputs.disturbed])
        terms["retinex"] = 2 * F.l1_loss(enhanced, inputs.pseudo_label)
    with watch("augmented passes"):
        outputs = [generator(y) for y in inputs.copies]
    with watch("dark channel"):
        dark = [loop_dark_channel(y) for y in outputs]
    with watch("discriminators"):
        terms["dark_channel"] = _mean([_score(dark_channel_net(d), 1) for d in dark])
        terms["adversarial"] = _mean([_score(discriminator(y), 1) for y in outputs])
    with watch("backward"):
        sum(getattr(weights, name) * value for name, value in terms.items()).backward()
    return terms


def published_discriminator_step(
    networks: tuple, inputs: PublishedInputs, watch: Watch = lambda part: nullcontext()
) -> dict[str, torch.Tensor]:
    """Compute the discriminator's objective and backpropagate it through discriminator and generator."""
    generator, discriminator = networks[:2]
    with watch("discriminator step"):
        losses = []
        for clear, real in zip(inputs.clear_copies, inputs.copies, strict=True):
            losses.append((_score(discriminator(clear), 1) + _score(discriminator(generator(real)), 0)) / 2)
        loss = _mean(losses)
        loss.backward()
    return {"discriminator": loss}


def _score(logits: torch.Tensor, label: float) -> torch.Tensor:
    """Binary cross-entropy of logits against one label."""
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, label, dtype=torch.float32))


def _mean(losses: list[torch.Tensor]) -> torch.Tensor:
    """Average over the K copies."""
    return sum(losses) / len(losses)


# Training steps ---------------------------------------------------------------------------------------------------

Terms = dict[str, float]
MODES = ("evaluation", "batchnorm", "training")


def _set_up(name: str, batch: int, size: int) -> tuple[list[torch.Tensor], TrainConfig, list[torch.nn.Module]]:
    """Create images, settings and networks of a semi-supervised step."""
    random = torch.Generator().manual_seed(0)
    pictures = [torch.rand(batch, 3, size, size, generator=random) * 0.6 + 0.2 for _ in range(4)]
    torch.manual_seed(0)
    networks = [build_generator(name), PatchDiscriminator(), DarkChannelNet().eval()]
    return pictures, TrainConfig("semi-supervised", Path("."), pseudo_label="retinex"), networks


def _set_mode(networks: list[torch.nn.Module], mode: str) -> None:
    """Set mode: evaluation (deterministic), batchnorm (batch statistics), training."""
    for network in networks[:2]:
        network.train(mode == "training")
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train(mode != "evaluation")


def make_fast_step(
    name: str, batch: int, size: int, precision: str = "float32", sequential_copies: bool = False
) -> Callable[..., Terms]:
    """Return the semi-supervised step of `ssdie.training.stages` as a function of a stopwatch and one of `MODES`.

    In training mode it updates weights and averages. Autocast is on inside the networks only, as with accelerate.

    Args:
        name: name of the generator.
        batch, size: number of images and their side; pixels.
        precision: "float32" or "bfloat16".
        sequential_copies: as in `ssdie.training.config.TrainConfig`.
    """
    (dusty, clear, real, others), config, networks = _set_up(name, batch, size)
    config.sequential_copies = sequential_copies
    features = FeatureNetwork("random")
    for network in (*networks, features):
        network.to(memory_format=torch.channels_last)
        if precision == "bfloat16":
            autocast = torch.autocast("cpu", torch.bfloat16)
            network.forward = convert_outputs_to_fp32(autocast(network.forward))
    generator, discriminator, dark_channel_net = networks
    dark_channel_net.requires_grad_(False)
    averaged = MovingAverage(build_generator(name).to(memory_format=torch.channels_last), config.ema)
    settings = {"lr": config.learning_rate, "betas": config.betas, "fused": True}
    optimizers = [torch.optim.Adam(network.parameters(), **settings) for network in networks[:2]]

    def update(place: int) -> None:
        torch.nn.utils.clip_grad_norm_(networks[place].parameters(), config.clip)
        optimizers[place].step()

    def step(watch=lambda part: nullcontext(), mode: str = "evaluation") -> Terms:
        _set_mode(networks, mode)
        random, latent = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
        terms, logits = {}, []
        groups = generator_groups((*networks, features), (dusty, clear), real, config, random, latent)
        with watch("generator step"):
            for group, group_logits in groups:
                sum(getattr(config.weights, k) * v for k, v in group.items()).backward()
                terms, logits = sum_terms(terms, group), logits + group_logits
        with watch("discriminator step"):
            terms["discriminator"] = discriminator_term(discriminator, others, logits, config, random)
            terms["discriminator"].backward()
        with watch("updates"):
            if mode == "training":
                update(0), update(1)
                averaged.update_parameters(generator)
            generator.zero_grad(), discriminator.zero_grad()
        return {k: float(v.detach()) for k, v in terms.items()}

    return step


def make_published_step(name: str, batch: int, size: int) -> Callable[..., Terms]:
    """Return the published step, with the same images and random numbers as `make_fast_step`."""
    (dusty, clear, real, others), config, networks = _set_up(name, batch, size)
    features = tuple(FeatureNetwork("random").requires_grad_(True) for _ in range(2))
    optimizers = [torch.optim.Adam(n.parameters(), config.learning_rate, config.betas) for n in networks[:2]]
    for module in networks[0].modules():
        if isinstance(module, CrossAttention):
            module.attend = attend_explicitly

    def step(watch=lambda part: nullcontext(), mode: str = "evaluation") -> Terms:
        _set_mode(networks, mode)
        (random, latent), k = (torch.Generator().manual_seed(s) for s in (1, 2)), config.copies
        disturbed = perturb(real.repeat(k, 1, 1, 1), config.noise, latent).chunk(k)
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
