"""The three stages of training: one flat loop each, the same code on a CPU, one GPU or several machines.

All random numbers of step s derive from (seed, s), so that a run that was killed and resumed ends with the same weights
as an uninterrupted run, bit for bit. accelerate handles device, precision and processes.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import nn

from ssdie.losses import discriminator_loss
from ssdie.networks.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.networks.generators import Generator, build_generator
from ssdie.networks.vgg import FeatureNetwork
from ssdie.networks.weights import load_state, load_weights
from ssdie.ops.priors import block_dark_channel
from ssdie.synthesis.dust import add_dust, visible_target
from ssdie.synthesis.recipes import RECIPES, lighten, sample_dust, sample_unevenness
from ssdie.training.batches import worker_errors
from ssdie.training.checkpoint import load_checkpoint
from ssdie.training.config import STAGES, TrainConfig
from ssdie.training.objective import at_working_size, discriminator_term, generator_groups, sum_terms, supervised_terms
from ssdie.training.run import Run, run_precision
from ssdie.utils.devices import kept_memory


def train(config: TrainConfig) -> Iterator[dict[str, float]]:
    """Run a stage, or resume it from its checkpoint; yield a report every `report_every` steps.

    Args:
        config: settings; a checkpoint in `config.run` must have been written with the same ones.

    Yields:
        "step", every term of the objective by name (unweighted), the norms of the gradients, "learning_rate" and, with
        nonfinite="skip", the number of "skipped" updates.

    Raises:
        ValueError: the checkpoint was written with other settings, or a photo cannot be read.
        FileNotFoundError: photos, features or weights are missing.
        FloatingPointError: a loss or gradient is not finite, and `nonfinite` is "stop".
        ChildProcessError: a worker process that loads photos failed.
        BlockingIOError: another process is training in `config.run`.
    """
    loops = (train_supervised, train_dark_channel, train_semi_supervised)
    lean = run_precision(config) != "fp32" or config.sequential_copies  # otherwise fragmentation costs too much memory
    keep = lean and not torch.accelerator.is_available()
    with worker_errors(), kept_memory() if keep else nullcontext():
        yield from dict(zip(STAGES, loops, strict=True))[config.stage](config)


def train_supervised(config: TrainConfig) -> Iterator[dict[str, float]]:
    """Stage 1: train the generator on synthetic pairs with L_sup; see `train`."""
    run = Run(config)
    generator = run.add("generator", make_generator(config))
    features = make_features(config, run)
    paired = run.batches("clear")
    for step in run.steps():
        random = run.seed_step(step)
        dusty, target = make_pairs(next(paired), config, random)
        enhanced, fit_residual = at_working_size(generator, config, run.device_random(random))(dusty)
        terms = supervised_terms(enhanced, target, features, config.weights, fit_residual, dusty)
        run.backward(terms, config.weights)
        yield from run.report(step, terms | run.step("generator"))
    run.finish()


def train_dark_channel(config: TrainConfig) -> Iterator[dict[str, float]]:
    """Stage 2: train dc-Net to classify dark channels as those of clear (1) or of dusty photos (0); see `train`."""
    run = Run(config)
    dark_channel_net = run.add("dark_channel_net", DarkChannelNet(kind=config.dark_channel))
    clear, dusty = run.batches("clear"), run.batches("dusty")
    for step in run.steps():
        run.seed_step(step)
        dark = block_dark_channel(torch.cat((next(clear)[:, :3], next(dusty))), kind=config.dark_channel)
        terms = {"dark_channel": discriminator_loss(*dark_channel_net(dark).chunk(2))}
        run.backward(terms)
        yield from run.report(step, terms | run.step("dark_channel_net"))
    run.finish()


def train_semi_supervised(config: TrainConfig) -> Iterator[dict[str, float]]:
    """Stage 3: train the generator with L_sup on synthetic pairs and L_unsup on real photos; see `train`."""
    run, w = Run(config), config.weights
    generator = run.add("generator", make_generator(config))
    discriminator = run.add("discriminator", PatchDiscriminator())
    dark_channel_net = run.prepare_frozen(load_dark_channel_net(config)) if w.dark_channel else None
    features = make_features(config, run)
    paired, unpaired = run.batches("clear"), run.batches("dusty", count=config.real_batch)
    others = run.batches("clear", offset=1, count=config.real_batch)
    for step in run.steps():
        random = run.seed_step(step)
        latent = run.device_random(random)
        pair, terms, logits = make_pairs(next(paired), config, random), {}, []
        networks = (generator, discriminator, dark_channel_net, features)
        groups = generator_groups(networks, pair, next(unpaired), config, random, latent, run.teacher_output)
        for group, group_logits in groups:
            run.backward(group, w)
            terms, logits = sum_terms(terms, group), logits + group_logits
        terms |= run.step("generator")

        if w.adversarial:
            clear = next(others)[:, :3]
            group = {"discriminator": discriminator_term(discriminator, clear, logits, config, random)}
            run.backward(group)
            terms |= group | run.step("discriminator")
        yield from run.report(step, terms)
    run.finish()


# Parts of a step ---------------------------------------------------------------------------------------------------


def make_pairs(batch: torch.Tensor, config: TrainConfig, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Add dust to a batch of clear photos with depth, (N, 4, H, W); return dusty and target, both (N, 3, H, W)."""
    clear, depth = batch[:, :3], batch[:, 3:]
    recipes = RECIPES if config.recipe == "mixed" else (config.recipe,)
    dust = sample_dust(len(batch), random, recipes[0])
    for k, recipe in enumerate(recipes[1:], start=1):  # the recipes alternate
        others = torch.arange(len(batch)) % len(recipes) != k
        dust = dust.where(others, sample_dust(len(batch), random, recipe))
    if config.uneven:
        dust = replace(dust, unevenness=sample_unevenness(len(batch), random, config.uneven))
    dust = lighten(dust, random, config.undusted, config.hazed)
    pair = add_dust(clear, depth, dust, random)
    if config.full_chroma:
        pair = replace(pair, clear=clear)
    return pair.dusty, visible_target(pair) if config.target == "visible" else pair.clear


def make_generator(config: TrainConfig) -> Generator:
    """Build the generator, with initial weights or those of `config.init`."""
    network = build_generator(config.generator, **config.options)
    if config.init is not None:
        load_state(network, load_weights(config.init).state_dict(), config.init)
    return network


def make_features(config: TrainConfig, run: Run) -> nn.Module | None:
    """Build the feature network, or return None if no term needs it."""
    w = config.weights
    return run.prepare_frozen(FeatureNetwork(config.features)) if w.perceptual or w.style else None


def load_dark_channel_net(config: TrainConfig) -> DarkChannelNet:
    """Load dc-Net from the checkpoint of stage 2.

    Raises:
        ValueError: `config.dark_channel_net` is missing, or is not a checkpoint of stage 2 with this dark channel.
    """
    if config.dark_channel_net is None:
        raise ValueError(
            "dark_channel_net: expected a checkpoint of stage 2 (dark-channel), got None. Train stage 2 first."
        )
    network = DarkChannelNet(kind=config.dark_channel)
    networks = load_checkpoint(config.dark_channel_net)["networks"]
    if "dark_channel_net" not in networks:
        raise ValueError(
            f"{config.dark_channel_net}: expected dc-Net, got {', '.join(networks)}. Give the checkpoint of stage 2."
        )
    load_state(network, networks["dark_channel_net"], config.dark_channel_net)
    return network
