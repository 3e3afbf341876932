"""The objective of semi-supervised training: groups of terms, back-propagated one by one, each pass made once."""

import functools
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from ssdie.losses import (
    LossWeights,
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
from ssdie.ops.affine import enhance_batch
from ssdie.ops.priors import block_dark_channel
from ssdie.training.augmentation import augment_copies
from ssdie.training.config import TrainConfig


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
    (generator, discriminator, dark_channel_net, features), w = networks, config.weights
    generate = at_working_size(generator, config, latent)
    enhanced, fit_residual = generate(pair[0])
    yield supervised_terms(enhanced, pair[1], features, w, fit_residual), []

    parts = config.copies if config.sequential_copies else 1
    if w.consistency or w.retinex:
        # without the postprocess, which the label may have: so the network learns it
        bare = at_working_size(generator, config, latent, postprocess=False)
        count = config.copies if w.consistency else 0
        disturbed = perturb(real.repeat(count, 1, 1, 1), config.noise, latent)
        if config.sequential_copies and count:
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
            taught = teacher and (lambda image: at_working_size(teacher, config, postprocess=False)(image)[0])
            group["retinex"] = reconstruction_loss(enhanced, make_pseudo_label(real, config.pseudo_label, taught))
        if w.consistency:
            group["consistency"] = consistency_loss(enhanced, disturbed) / parts
        yield group, []

    if w.dark_channel or w.adversarial:
        for copies in augment_copies(real, config.copies, random).chunk(parts):
            (enhanced, _), group, logits = generate(copies), {}, []
            if w.dark_channel:
                dark = block_dark_channel(enhanced, kind=config.dark_channel)
                group["dark_channel"] = clear_loss(dark_channel_net(dark)) / parts
            if w.adversarial:
                seen = enhanced.detach().requires_grad_()
                logits.append(discriminator(seen))
                group["adversarial"] = LossOnDetachedCopy.apply(enhanced, (clear_loss(logits[0]) / parts, seen))
            yield group, logits


def supervised_terms(
    enhanced: torch.Tensor,
    target: torch.Tensor,
    features: nn.Module | None,
    weights: LossWeights,
    fit_residual: torch.Tensor | None = None,
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
    if weights.fit and fit_residual is not None:
        terms["fit"] = fit_residual
    return terms


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


def sum_terms(terms: dict[str, torch.Tensor], group: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Add the terms of a group to those of the groups before."""
    return terms | {name: terms.get(name, 0) + value.detach() for name, value in group.items()}


def at_working_size(
    generator: Callable[..., torch.Tensor],
    config: TrainConfig,
    latent: torch.Generator | None = None,
    postprocess: bool = True,
) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Let a generator see crops at the working size of the settings, as `enhance_batch`; latent noise from `latent`."""
    call = functools.partial(generator, generator=latent) if latent else generator
    return functools.partial(enhance_batch, enhancer=call, working_size=config.working_size, postprocess=postprocess)


def perturb(image: torch.Tensor, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """Add Gaussian noise of `sigma` in [-1, 1] units to a batch in [0, 1], and clamp."""
    noise = torch.empty_like(image).normal_(generator=generator)
    return (image + sigma / 2 * noise).clamp(0, 1)


class LossOnDetachedCopy(torch.autograd.Function):
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
