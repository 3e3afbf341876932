"""The three stages of training: one flat loop each, the same code on a laptop's CPU, one GPU or several machines.

Everything random in step s is drawn from seeds that derive from (seed, s): a run that is killed and resumed ends with
the same weights, bit for bit, as one that was not. accelerate owns device, precision and processes.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from ssdie.augment import augment_copies
from ssdie.checkpoint import fill, load_checkpoint, load_weights
from ssdie.config import STAGES, LossWeights, TrainConfig
from ssdie.correction import enhance_batch
from ssdie.discriminators import DarkChannelNet, PatchDiscriminator
from ssdie.dust import add_dust, visible_target
from ssdie.features import FeatureNetwork
from ssdie.losses import (
    clear_loss,
    consistency_loss,
    discriminator_loss,
    gradient_loss,
    make_pseudo_label,
    perceptual_loss,
    psnr_loss,
    reconstruction_loss,
    ssim_loss,
    style_loss,
)
from ssdie.memory import kept_memory
from ssdie.networks import Generator, build_generator
from ssdie.priors import block_dark_channel
from ssdie.run import Run
from ssdie.weather import RECIPES, sample_dust


def train(config: TrainConfig) -> Iterator[dict[str, float]]:
    """Run a stage, from its checkpoint where there is one; yield a report every `report_every` steps.

    Args:
        config: of the run; a checkpoint in `config.run` must have been written with the same settings.

    Yields:
        "step" and every term of the objective by name (unweighted), the total, the gradient's norm, the learning rate.

    Raises:
        ValueError: the checkpoint belongs to other settings.
        FileNotFoundError: photos, features or weights are missing.
    """
    loops = (train_supervised, train_dark_channel, train_semi_supervised)
    lean = config.precision != "no" or config.apart  # else what is kept would be too much
    keep = lean and not torch.accelerator.is_available()
    with kept_memory() if keep else nullcontext():
        yield from dict(zip(STAGES, loops, strict=True))[config.stage](config)


def train_supervised(config: TrainConfig) -> Iterator[dict[str, float]]:
    """Stage 1: the generator on synthetic pairs, L_sup alone; see `train`."""
    run = Run(config)
    generator = run.add("generator", make_generator(config))
    features = make_features(config, run)
    paired = run.batches("clear")
    for step in run.steps():
        random = run.seed_step(step)
        dusty, target = make_pairs(next(paired), config, random)
        enhanced, unfit = see(generator, config, run.device_random(random))(dusty)
        terms = supervised_terms(enhanced, target, features, config.weights, unfit)
        run.backward(terms, config.weights)
        yield from run.report(step, terms | run.step("generator"))
    run.finish()


def train_dark_channel(config: TrainConfig) -> Iterator[dict[str, float]]:
    """Stage 2: dc-Net on dark channels, 1 for clear photos and 0 for real dusty ones; see `train`."""
    run = Run(config)
    judge = run.add("dark_channel_net", DarkChannelNet(kind=config.dark_channel))
    clear, dusty = run.batches("clear"), run.batches("dusty")
    for step in run.steps():
        run.seed_step(step)
        dark = block_dark_channel(torch.cat((next(clear)[:, :3], next(dusty))), kind=config.dark_channel)
        terms = {"dark_channel": discriminator_loss(*judge(dark).chunk(2))}
        run.backward(terms)
        yield from run.report(step, terms | run.step("dark_channel_net"))
    run.finish()


def train_semi_supervised(config: TrainConfig) -> Iterator[dict[str, float]]:
    """Stage 3: L_sup on synthetic pairs and L_unsup on real photos, against a discriminator; see `train`."""
    run, w = Run(config), config.weights
    generator = run.add("generator", make_generator(config))
    discriminator = run.add("discriminator", PatchDiscriminator())
    judge = run.hold(load_judge(config))
    features = make_features(config, run)
    paired, unpaired, others = run.batches("clear"), run.batches("dusty"), run.batches("clear", offset=1)
    for step in run.steps():
        random = run.seed_step(step)
        latent = run.device_random(random)
        pair, terms, judged = make_pairs(next(paired), config, random), {}, []
        networks = (generator, discriminator, judge, features)
        for group, logits in generator_groups(networks, pair, next(unpaired), config, random, latent, run.teach):
            run.backward(group, w)
            terms, judged = add_up(terms, group), judged + logits
        terms |= run.step("generator")

        clear = next(others)[:, :3]
        if w.adversarial:
            group = {"discriminator": discriminator_term(discriminator, clear, judged, config, random)}
            run.backward(group)
            terms |= group | run.step("discriminator")
        yield from run.report(step, terms)
    run.finish()


def generator_groups(
    networks: tuple[nn.Module, nn.Module, nn.Module, nn.Module | None],
    pair: tuple[torch.Tensor, torch.Tensor],
    real: torch.Tensor,
    config: TrainConfig,
    random: torch.Generator,
    latent: torch.Generator,
    teacher: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[tuple[dict[str, torch.Tensor], list[torch.Tensor]]]:
    """Yield the generator's objective in groups of terms to be added up, and the discriminator's logits as they come.

    Every picture passes each network once. Back-propagate each group before you ask for the next: the activations of
    one group are held at a time, the gradients add up to those of the sum.

    Args:
        networks: generator, discriminator, dc-Net, feature network (None if no term needs it).
        pair: dusty and target; both (N, 3, H, W) in [0, 1].
        real: dusty photos; (N, 3, H, W) in [0, 1].
        config: weights (a term without one is left out), K, noise, kind of pseudo-label; `apart` gives a group a copy.
        random: of the augmentations, on the CPU.
        latent: of disturbance and latent noise, on the device.
        teacher: for the pseudo-label of that name.
    """
    (generator, discriminator, judge, features), w = networks, config.weights
    generate = see(generator, config, latent)
    enhanced, unfit = generate(pair[0])
    yield supervised_terms(enhanced, pair[1], features, w, unfit), []

    parts = config.copies if config.apart else 1
    if w.consistency or w.retinex:
        # without the touch, which the label may have: so the network learns it
        bare = see(generator, config, latent, touch=False)
        count = config.copies if w.consistency else 0
        disturbed = disturb(real.repeat(count, 1, 1, 1), config.noise, latent)
        if config.apart and count:
            enhanced, (*copies, last) = bare(real)[0], disturbed.chunk(count)
            seen = enhanced.detach().requires_grad_()
            for copy in copies:
                yield {"consistency": consistency_loss(seen, bare(copy)[0]) / parts}, []
            if copies:  # what they ask of the enhanced photo joins what the last group asks of it
                enhanced.register_hook(lambda gradient: gradient + seen.grad)
            disturbed = bare(last)[0]
        else:
            enhanced, disturbed = bare(torch.cat((real, disturbed)))[0].split((len(real), len(disturbed)))
        group = {}
        if w.retinex:
            taught = teacher and (lambda image: see(teacher, config, touch=False)(image)[0])
            group["retinex"] = reconstruction_loss(enhanced, make_pseudo_label(real, config.pseudo_label, taught))
        if w.consistency:
            group["consistency"] = consistency_loss(enhanced, disturbed) / parts
        yield group, []

    if w.dark_channel or w.adversarial:
        for copies in augment_copies(real, config.copies, random).chunk(parts):
            (enhanced, _), group, logits = generate(copies), {}, []
            if w.dark_channel:
                dark = block_dark_channel(enhanced, kind=config.dark_channel)
                group["dark_channel"] = clear_loss(judge(dark)) / parts
            if w.adversarial:
                seen = enhanced.detach().requires_grad_()
                logits.append(discriminator(seen))
                group["adversarial"] = Detour.apply(enhanced, (clear_loss(logits[0]) / parts, seen))
            yield group, logits


def add_up(terms: dict[str, torch.Tensor], group: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Add the terms of a group to those of the groups before."""
    return terms | {name: terms.get(name, 0) + value.detach() for name, value in group.items()}


class Detour(torch.autograd.Function):
    """A loss of a copy of some pictures, (loss, copy), whose gradient reaches the pictures, and nothing on its way.

    So one pass of the discriminator serves both: the generator's step goes back through it to the pictures, the
    discriminator's own step, later, to its weights.
    """

    @staticmethod
    def forward(ctx, pictures: torch.Tensor, judged: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Give the loss."""
        ctx.judged = judged
        return judged[0].detach().clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Gradient of the copy; the graph stays for the discriminator."""
        loss, seen = ctx.judged
        torch.autograd.backward(loss, gradient, retain_graph=True, inputs=[seen])
        return seen.grad, None


def discriminator_term(
    discriminator: nn.Module,
    clear: torch.Tensor,
    judged: list[torch.Tensor],
    config: TrainConfig,
    random: torch.Generator,
) -> torch.Tensor:
    """Give the discriminator's loss: K augmented copies of other clear photos against its logits of the outputs."""
    copies = augment_copies(clear, config.copies, random).chunk(len(judged))
    return discriminator_loss(torch.cat([discriminator(copy) for copy in copies]), torch.cat(judged))


# Parts of a step ---------------------------------------------------------------------------------------------------


def make_pairs(
    batch: torch.Tensor, config: TrainConfig, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay dust over a batch: (N, 4, H, W) of clear photo and depth to dusty and target, both (N, 3, H, W)."""
    clear, depth = batch[:, :3], batch[:, 3:]
    recipes = RECIPES if config.recipe == "mixed" else (config.recipe,)
    dust = sample_dust(len(batch), random, recipes[0])
    for place, recipe in enumerate(recipes[1:], start=1):  # in turn
        others = torch.arange(len(batch)) % len(recipes) != place
        dust = dust.where(others, sample_dust(len(batch), random, recipe))
    pair = add_dust(clear, depth, dust, random)
    return pair.dusty, visible_target(pair) if config.target == "visible" else pair.clear


def supervised_terms(
    enhanced: torch.Tensor,
    target: torch.Tensor,
    features: nn.Module | None,
    weights: LossWeights,
    unfit: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Give the terms of L_sup that have a weight; the features of the target are computed once, without gradient."""
    terms = {"reconstruction": reconstruction_loss(enhanced, target)}
    if features is not None:
        with torch.no_grad():
            wanted = features(target)
        given = features(enhanced)
        terms["perceptual"] = perceptual_loss(given, wanted)
        terms["style"] = style_loss(given, wanted)
    if weights.gradient:
        terms["gradient"] = gradient_loss(enhanced, target)
    if weights.psnr:
        terms["psnr"] = psnr_loss(enhanced, target)
    if weights.ssim:
        terms["ssim"] = ssim_loss(enhanced, target)
    if weights.fit and unfit is not None:
        terms["fit"] = unfit
    return terms


def see(
    generator: Callable[..., torch.Tensor],
    config: TrainConfig,
    latent: torch.Generator | None = None,
    touch: bool = True,
) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Let a generator see crops at the working size of the settings, as `enhance_batch`; latent noise from `latent`."""
    call = functools.partial(generator, generator=latent) if latent else generator
    return functools.partial(enhance_batch, enhancer=call, working_size=config.working_size, touch=touch)


def disturb(image: torch.Tensor, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """Add Gaussian noise of `sigma` in [-1, 1] units to a batch in [0, 1], and clamp."""
    noise = torch.empty_like(image).normal_(generator=generator)
    return (image + sigma / 2 * noise).clamp(0, 1)


def make_generator(config: TrainConfig) -> Generator:
    """Build the generator with first weights, or with those of `config.init`."""
    network = build_generator(config.generator, **config.options)
    if config.init is not None:
        fill(network, load_weights(config.init).state_dict(), config.init)
    return network


def make_features(config: TrainConfig, run: Run) -> nn.Module | None:
    """Build the feature network once, if a term that needs it has a weight."""
    w = config.weights
    return run.hold(FeatureNetwork(config.features)) if w.perceptual or w.style else None


def load_judge(config: TrainConfig) -> DarkChannelNet:
    """Load dc-Net from the checkpoint of stage 2."""
    if config.judge is None:
        raise ValueError("Stage 3 needs dc-Net: give the checkpoint of a finished stage 2 as `judge`.")
    network = DarkChannelNet(kind=config.dark_channel)
    networks = load_checkpoint(config.judge)["networks"]
    if "dark_channel_net" not in networks:
        raise ValueError(f"{config.judge} holds {', '.join(networks)} and no dc-Net; give the checkpoint of stage 2.")
    fill(network, networks["dark_channel_net"], config.judge)
    return network
