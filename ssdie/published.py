"""The published training step, waste included: what `ssdie.bench` measures against. Nothing else uses it.

Written from the method (sections 4 and 6), to be slow where the released code is slow: one generator pass for each copy
(17 a step), attention that holds the whole matrix, two feature networks that are each run on output and clear photo,
with gradients for their own weights, a dark channel by loops over blocks, and a discriminator step that runs the
generator again and goes back through it. The mathematics are those of `ssdie.train`: the same losses to rounding, where
no BatchNorm looks at the batch.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ssdie.config import LossWeights
from ssdie.features import FeatureNetwork
from ssdie.losses import gram_matrix, perceptual_loss

Watch = Callable[[str], AbstractContextManager]


@dataclass
class PublishedInputs:
    """Pictures of a step, all (N, 3, H, W) in [0, 1]; lists hold K of them."""

    dusty: torch.Tensor
    clear: torch.Tensor
    real: torch.Tensor
    pseudo_label: torch.Tensor
    disturbed: list[torch.Tensor]
    copies: list[torch.Tensor]
    clear_copies: list[torch.Tensor]


def loop_dark_channel(image: torch.Tensor, block: int = 16) -> torch.Tensor:
    """Darkest value of each block by Python loops, as `ssdie.priors.block_dark_channel` gives at once.

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
    """Compute the generator's objective and back-propagate it.

    Args:
        networks: generator, discriminator, dc-Net and the two feature networks (None leaves their terms out).
        inputs: of the step.
        weights: of the terms.
        watch: called with the name of each part; measures what runs inside.

    Returns:
        The terms by the names of `ssdie.config.LossWeights`, unweighted.
    """
    generator, discriminator, judge, features = networks
    terms = {}
    with watch("supervised pass"):
        output = generator(inputs.dusty)
        terms["reconstruction"] = 2 * F.l1_loss(output, inputs.clear)
    if features is not None:
        with watch("features"):
            terms["perceptual"] = perceptual_loss(features[0](output), features[0](inputs.clear))
            given, wanted = features[1](output), features[1](inputs.clear)
            names = [name for name in FeatureNetwork.STYLE if name in wanted]
            terms["style"] = sum(F.l1_loss(gram_matrix(given[k]), gram_matrix(wanted[k])) for k in names)
    with watch("consistency passes"):
        enhanced = generator(inputs.real)
        terms["consistency"] = _mean([2 * F.l1_loss(generator(y), enhanced) for y in inputs.disturbed])
        terms["retinex"] = 2 * F.l1_loss(enhanced, inputs.pseudo_label)
    with watch("augmented passes"):
        outputs = [generator(y) for y in inputs.copies]
    with watch("dark channel"):
        dark = [loop_dark_channel(y) for y in outputs]
    with watch("judges"):
        terms["dark_channel"] = _mean([_judge(judge(d), 1) for d in dark])
        terms["adversarial"] = _mean([_judge(discriminator(y), 1) for y in outputs])
    with watch("backward"):
        sum(getattr(weights, name) * value for name, value in terms.items()).backward()
    return terms


def published_discriminator_step(
    networks: tuple, inputs: PublishedInputs, watch: Watch = lambda part: nullcontext()
) -> dict[str, torch.Tensor]:
    """Compute the discriminator's objective and back-propagate it, through the generator too; see the step before."""
    generator, discriminator = networks[:2]
    with watch("discriminator step"):
        losses = []
        for clear, real in zip(inputs.clear_copies, inputs.copies, strict=True):
            losses.append((_judge(discriminator(clear), 1) + _judge(discriminator(generator(real)), 0)) / 2)
        loss = _mean(losses)
        loss.backward()
    return {"discriminator": loss}


def _judge(logits: torch.Tensor, label: float) -> torch.Tensor:
    """BCE of logits against one label."""
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, label, dtype=torch.float32))


def _mean(losses: list[torch.Tensor]) -> torch.Tensor:
    """Mean over the K copies."""
    return sum(losses) / len(losses)
