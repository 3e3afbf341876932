"""Objective of semi-supervised training: groups of loss terms, backpropagated one by one, without repeated passes."""

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
from ssdie.training.appearance import (
    color_statistics_loss,
    color_strength_loss,
    highlight_loss,
    kept_color_loss,
    order_loss,
    veil_color_loss,
)
from ssdie.training.augmentation import augment_copies
from ssdie.training.config import TrainConfig

APPEARANCE_TERMS = {
    "order": order_loss,
    "veil_color": veil_color_loss,
    "kept_color": kept_color_loss,
    "highlights": highlight_loss,
}  # on real photos


def generator_groups(
    networks: tuple[nn.Module, nn.Module, nn.Module, nn.Module | None],
    pair: tuple[torch.Tensor, torch.Tensor],
    real: torch.Tensor,
    config: TrainConfig,
    random: torch.Generator,
    latent: torch.Generator,
    teacher: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[tuple[dict[str, torch.Tensor], list[torch.Tensor]]]:
    """Yield the objective of the generator in groups of terms, each with the discriminator's logits of its outputs.

    Each image passes through each network once. Backpropagate each group before requesting the next one, so that only
    the activations of one group are in memory; the gradients accumulate to those of the sum of all terms.

    Args:
        networks: generator, discriminator, dc-Net, feature network (None if no term needs it).
        pair: dusty and target; both (N, 3, H, W) in [0, 1].
        real: real dusty photos; (N, 3, H, W) in [0, 1].
        config: weights (terms with weight 0 are left out), number of copies K, noise, kind of pseudo-label; with
            `sequential_copies`, each copy is a group of its own.
        random: random numbers for the augmentation, on the CPU.
        latent: random numbers for perturbation and latent noise, on the device.
        teacher: network for the pseudo-label "teacher".

    Yields:
        Terms by name, to be summed over the groups, and a list of logits.
    """
    (generator, discriminator, dark_channel_net, features), w = networks, config.weights
    generate = at_working_size(generator, config, latent)
    enhanced, fit_residual = generate(pair[0])
    yield supervised_terms(enhanced, pair[1], features, w, fit_residual, pair[0]), []

    parts = config.copies if config.sequential_copies else 1
    if w.consistency or w.retinex or any(getattr(w, name) for name in APPEARANCE_TERMS):
        # Post-processing may be part of the pseudo-label, but not of this output, so that the network learns it.
        raw = at_working_size(generator, config, latent, postprocess=False)
        count = config.copies if w.consistency else 0
        perturbed = perturb(real.repeat(count, 1, 1, 1), config.noise, latent)
        if config.sequential_copies and count:
            enhanced, (*copies, last) = raw(real)[0], perturbed.chunk(count)
            detached = enhanced.detach().requires_grad_()
            for copy in copies:
                yield {"consistency": consistency_loss(detached, raw(copy)[0]) / parts}, []
            if copies:  # add the gradients of the earlier copies w.r.t. `enhanced` to that of the last group
                enhanced.register_hook(lambda gradient: gradient + detached.grad)
            perturbed = raw(last)[0]
        else:
            enhanced, perturbed = raw(torch.cat((real, perturbed)))[0].split((len(real), len(perturbed)))
        group = {}
        if w.retinex:
            labeller = teacher and (lambda image: at_working_size(teacher, config, postprocess=False)(image)[0])
            group["retinex"] = reconstruction_loss(enhanced, make_pseudo_label(real, config.pseudo_label, labeller))
        if w.consistency:
            group["consistency"] = consistency_loss(enhanced, perturbed) / parts
        yield group | appearance_terms(enhanced, real, w), []

    if w.dark_channel or w.adversarial:
        for copies in augment_copies(real, config.copies, random).chunk(parts):
            (enhanced, _), group, logits = generate(copies), {}, []
            if w.dark_channel:
                dark = block_dark_channel(enhanced, kind=config.dark_channel)
                group["dark_channel"] = clear_loss(dark_channel_net(dark)) / parts
            if w.adversarial:
                detached = enhanced.detach().requires_grad_()
                logits.append(discriminator(detached))
                loss = clear_loss(logits[0]) / parts
                group["adversarial"] = LossOnDetachedCopy.apply(enhanced, (loss, detached))
            yield group, logits


def supervised_terms(
    enhanced: torch.Tensor,
    target: torch.Tensor,
    features: nn.Module | None,
    weights: LossWeights,
    fit_residual: torch.Tensor | None = None,
    dusty: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Compute the supervised terms, L_sup; the features of the target are computed once, without gradient.

    Args:
        enhanced, target: (N, 3, H, W) in [0, 1].
        features: feature network; None if no term needs it.
        weights: of the terms; those with weight 0 are left out.
        fit_residual: of `ssdie.ops.affine.enhance_batch`, for the term `fit`.
        dusty: as `enhanced`; the term `order` needs it.

    Returns:
        Terms by the names of `ssdie.losses.LossWeights`, unweighted.
    """
    terms = {"reconstruction": reconstruction_loss(enhanced, target)}
    if features is not None:
        with torch.no_grad():
            target_features = features(target)
        enhanced_features = features(enhanced)
        terms["perceptual"] = perceptual_loss(enhanced_features, target_features)
        terms["style"] = style_loss(enhanced_features, target_features)
    if weights.gradient:
        terms["gradient"] = gradient_loss(enhanced, target)
    if weights.psnr:
        terms["psnr"] = psnr_loss(enhanced, target)
    if weights.ssim:
        terms["ssim"] = ssim_loss(enhanced, target)
    if weights.fit and fit_residual is not None:
        terms["fit"] = fit_residual
    if weights.order and dusty is not None:
        terms["order"] = order_loss(enhanced, dusty, target)
    if weights.color_statistics:
        terms["color_statistics"] = color_statistics_loss(enhanced, target)
    if weights.color_strength:
        terms["color_strength"] = color_strength_loss(enhanced, target)
    return terms


def appearance_terms(enhanced: torch.Tensor, real: torch.Tensor, weights: LossWeights) -> dict[str, torch.Tensor]:
    """Compute the terms of `ssdie.training.appearance` for real photos whose weight is not 0; images (N, 3, H, W)."""
    return {name: term(enhanced, real) for name, term in APPEARANCE_TERMS.items() if getattr(weights, name)}


def discriminator_term(
    discriminator: nn.Module,
    clear: torch.Tensor,
    enhanced_logits: list[torch.Tensor],
    config: TrainConfig,
    random: torch.Generator,
) -> torch.Tensor:
    """Compute the discriminator's loss: K augmented copies of clear photos are real, the generator's outputs fake."""
    copies = augment_copies(clear, config.copies, random).chunk(len(enhanced_logits))
    return discriminator_loss(torch.cat([discriminator(copy) for copy in copies]), torch.cat(enhanced_logits))


def sum_terms(terms: dict[str, torch.Tensor], group: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Add the terms of a group to those of earlier groups, detached."""
    return terms | {name: terms.get(name, 0) + value.detach() for name, value in group.items()}


def at_working_size(
    generator: Callable[..., torch.Tensor],
    config: TrainConfig,
    latent: torch.Generator | None = None,
    postprocess: bool = True,
) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Apply a generator to crops at `config.working_size` by `enhance_batch`; `latent` draws its latent noise."""
    call = functools.partial(generator, generator=latent) if latent else generator
    return functools.partial(enhance_batch, enhancer=call, working_size=config.working_size, postprocess=postprocess)


def perturb(image: torch.Tensor, sigma: float, generator: torch.Generator) -> torch.Tensor:
    r"""Add Gaussian noise to a batch, and clamp.

    .. math:: \operatorname{clamp}(I + \tfrac{\sigma}{2} n, 0, 1), \quad n \sim \mathcal{N}(0, 1)

    Args:
        image: (N, 3, H, W) in [0, 1].
        sigma: standard deviation in units of [-1, 1].
        generator: random numbers, on the device of `image`.

    Example:
        >>> image = torch.rand(1, 3, 4, 4)
        >>> torch.equal(perturb(image, 0.0, torch.Generator()), image)
        True
    """
    noise = torch.empty_like(image).normal_(generator=generator)
    return (image + sigma / 2 * noise).clamp(0, 1)


class LossOnDetachedCopy(torch.autograd.Function):
    """Backpropagate a loss on a detached copy into the images only; the discriminator's weights get no gradient here.

    One forward pass of the discriminator then serves both steps: the generator's backward pass goes through it to the
    images, and the discriminator's own backward pass, later, to its weights.
    """

    @staticmethod
    def forward(ctx, images: torch.Tensor, loss_and_copy: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return the loss."""
        ctx.loss_and_copy = loss_and_copy
        return loss_and_copy[0].detach().clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the gradient of the copy; the graph is retained for the discriminator's step."""
        loss, copy = ctx.loss_and_copy
        torch.autograd.backward(loss, gradient, retain_graph=True, inputs=[copy])
        return copy.grad, None
