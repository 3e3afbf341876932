"""The terms of the training objective as functions of tensors, in the paper's order, and their weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ssdie.networks.vgg import FeatureNetwork
from ssdie.ops.filters import gaussian_blur
from ssdie.ops.priors import single_scale_retinex
from ssdie.ops.tone import postprocess
from ssdie.utils.devices import without_autocast

PSEUDO_LABELS = ("retinex", "retinex_joint", "exchanged", "teacher")


@dataclass
class LossWeights:
    """Weights of the terms: those of the paper, and 0 for terms that the paper does not have."""

    reconstruction: float = 100.0  # L1, on synthetic pairs
    perceptual: float = 1.0  # L1 of VGG features, on synthetic pairs
    style: float = 1.0  # L1 of Gram matrices, on synthetic pairs
    consistency: float = 1.0  # L1 between perturbed copies, on real photos
    dark_channel: float = 1.0  # BCE of the dark-channel network, on real photos
    retinex: float = 0.1  # L1 to the pseudo-label, on real photos
    adversarial: float = 1.0  # BCE of the discriminator, on real photos
    gradient: float = 0.0  # L1 of the image gradients, on synthetic pairs
    psnr: float = 0.0  # negative PSNR, on synthetic pairs
    ssim: float = 0.0  # 1 - SSIM, on synthetic pairs
    fit: float = 0.0  # residual of the affine fit, where crops exceed working_size
    order: float = 0.0  # dark blots in even dust, on synthetic pairs and real photos
    color_statistics: float = 0.0  # mean and covariance of the opponent colours, on synthetic pairs
    color_strength: float = 0.0  # strength of the colours that have the right hue, on synthetic pairs
    veil_color: float = 0.0  # colour in even dust, on real photos
    kept_color: float = 0.0  # colours of the input that fade, on real photos
    highlights: float = 0.0  # nearly clipped values, on real photos


def mean_difference(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Compute the mean absolute difference of two tensors of the same shape.

    `F.l1_loss` returns an NCHW gradient for a channels_last input, which slows every later backward kernel.

    Example:
        >>> mean_difference(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])).item()
        1.5
    """
    difference = one - other
    return difference.abs().sum() / difference.numel()


# Supervised, on a synthetic pair -----------------------------------------------------------------------------------


def reconstruction_loss(enhanced: torch.Tensor, clear: torch.Tensor) -> torch.Tensor:
    r"""Reconstruction loss.

    .. math:: L = \tfrac{1}{n} \sum |G(I) - J|

    Args:
        enhanced, clear: (N, 3, H, W) in [0, 1]; the difference is taken in units of [-1, 1], as in the paper, hence
            the factor 2.

    Source: method section 4.

    Example:
        >>> reconstruction_loss(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)).item()
        2.0
    """
    return 2 * mean_difference(enhanced, clear)


def perceptual_loss(enhanced: dict[str, torch.Tensor], clear: dict[str, torch.Tensor]) -> torch.Tensor:
    r"""Perceptual loss: L1 distances of VGG features.

    .. math:: L = \sum_{l \in \{\text{relu1\_1}, \dots, \text{relu5\_1}\}} \tfrac{1}{n_l} |F_l(G(I)) - F_l(J)|_1

    Args:
        enhanced, clear: features (N, C, h, w) of output and target by layer, from `FeatureNetwork`.

    Source: method section 4; Johnson et al. 2016.
    """
    return sum(mean_difference(enhanced[name], clear[name]) for name in FeatureNetwork.PERCEPTUAL)


def gram_matrix(features: torch.Tensor) -> torch.Tensor:
    r"""Gram matrix of the channels.

    .. math:: G = \frac{F F^T}{C H W}, \qquad F \text{ the } (C, HW) \text{ matrix of features}

    Args:
        features: (N, C, H, W).

    Returns:
        (N, C, C).

    Source: Gatys, Ecker, Bethge, "Image style transfer using convolutional neural networks", CVPR 2016, equation 3;
    normalised as in Johnson, Alahi, Fei-Fei, ECCV 2016, equation 4.

    Example:
        >>> gram_matrix(torch.ones(1, 2, 3, 3)).unique().tolist()
        [0.5]
    """
    flat = features.flatten(2).float()
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def style_loss(enhanced: dict[str, torch.Tensor], clear: dict[str, torch.Tensor]) -> torch.Tensor:
    r"""Style loss: L1 distances of Gram matrices, of relu2_2 and the last layers of stages 3 to 5.

    .. math:: L = \sum_l \tfrac{1}{C_l^2} |G_l(\text{output}) - G_l(\text{target})|_1

    Args:
        enhanced, clear: features (N, C, h, w) of output and target by layer, from `FeatureNetwork`.

    Source: method section 4; VGG-16 has no relu3_4 and relu4_4; relu3_3 and relu4_3 replace them.
    """
    names = [name for name in FeatureNetwork.STYLE if name in clear]
    return sum(mean_difference(gram_matrix(enhanced[name]), gram_matrix(clear[name])) for name in names)


def gradient_loss(enhanced: torch.Tensor, clear: torch.Tensor) -> torch.Tensor:
    r"""L1 distance of the image gradients, which does not respond to a constant shift of colour.

    .. math:: L = \tfrac{1}{n_x} \sum |\partial_x (G(I) - J)| + \tfrac{1}{n_y} \sum |\partial_y (G(I) - J)|

    Args:
        enhanced, clear: (N, 3, H, W) in [0, 1].

    Source: Mathieu, Couprie, LeCun, "Deep multi-scale video prediction beyond mean square error", ICLR 2016,
    equation 6, with exponent 1 and signs kept. Not part of the paper's objective.

    Example:
        >>> picture = torch.rand(1, 3, 4, 4)
        >>> gradient_loss(picture + 0.25, picture).item() < 1e-6  # an offset has no gradient
        True
    """
    difference = enhanced - clear
    return difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()


def psnr_loss(enhanced: torch.Tensor, clear: torch.Tensor) -> torch.Tensor:
    r"""Negative PSNR in dB; the mean over images weights them equally, whatever the density of their dust.

    .. math:: L = \tfrac{1}{N} \sum_n 10 \log_{10} \mathrm{MSE}_n

    Args:
        enhanced, clear: (N, 3, H, W) in [0, 1].

    Source: Chen et al., "HINet: Half instance normalization network for image restoration", CVPR Workshops 2021,
    section 3.3. Not part of the paper's objective.

    Example:
        >>> round(psnr_loss(torch.full((1, 3, 4, 4), 0.1), torch.zeros(1, 3, 4, 4)).item(), 2)
        -20.0
    """
    error = (enhanced - clear).square().mean((1, 2, 3))
    return 10 * (error + 1e-5).log10().mean()


def ssim_loss(enhanced: torch.Tensor, clear: torch.Tensor, sigma: float = 1.5) -> torch.Tensor:
    r"""One minus the structural similarity (SSIM) in a Gaussian window.

    .. math::

        L = 1 - \frac{(2\mu_x\mu_y + C_1)(2\sigma_{xy} + C_2)}{(\mu_x^2 + \mu_y^2 + C_1)(\sigma_x^2 + \sigma_y^2 + C_2)}

    Args:
        enhanced, clear: (N, 3, H, W) in [0, 1]; computed in float32 in any precision, since differences are small.
        sigma: of the Gaussian window, pixels.

    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004,
    equation 13, with C1 = 0.01^2 and C2 = 0.03^2. Not part of the paper's objective.

    Example:
        >>> picture = torch.rand(1, 3, 16, 16)
        >>> round(ssim_loss(picture, picture).item(), 4), ssim_loss(1 - picture, picture).item() > 1
        (0.0, True)
    """
    with without_autocast(enhanced.device):
        one, two = enhanced.float(), clear.float()
        moments = gaussian_blur(torch.cat((one, two, one * one, two * two, one * two), 1), sigma)
    mean_one, mean_two, *squares = moments.chunk(5, 1)
    variance_one, variance_two = squares[0] - mean_one**2, squares[1] - mean_two**2
    covariance = squares[2] - mean_one * mean_two
    lightness = (2 * mean_one * mean_two + 0.01**2) / (mean_one**2 + mean_two**2 + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variance_one + variance_two + 0.03**2)
    return 1 - (lightness * structure).mean()


# Unsupervised, on a real dusty photo -------------------------------------------------------------------------------


def consistency_loss(enhanced: torch.Tensor, perturbed: torch.Tensor) -> torch.Tensor:
    r"""Consistency loss: the output must not change under noise.

    .. math:: L = \tfrac{1}{K} \sum_k \tfrac{1}{n} |G(x) - G(x + n_k)|_1

    Args:
        enhanced: G(x); (N, 3, H, W) in [0, 1]; the difference is taken in units of [-1, 1], hence the factor 2.
        perturbed: G(x + n_k) for k = 1 .. K, concatenated; (K N, 3, H, W) in [0, 1].

    Source: method section 4.

    Example:
        >>> one = torch.rand(2, 3, 4, 4)
        >>> consistency_loss(one, one.repeat(5, 1, 1, 1)).item()
        0.0
    """
    copies = perturbed.unflatten(0, (-1, len(enhanced)))
    return 2 * mean_difference(copies, enhanced.expand_as(copies))


def clear_loss(logits: torch.Tensor) -> torch.Tensor:
    r"""Adversarial and dark-channel term: binary cross-entropy of the logits against "clear".

    .. math:: L = \mathrm{BCE}(z, 1) = \mathrm{softplus}(-z)

    Args:
        logits: of the discriminator on the outputs, or of the dark-channel network on their dark channels; any shape.

    Source: method section 4.

    Example:
        >>> clear_loss(torch.tensor([30.0])).item() < 1e-6
        True
    """
    return F.softplus(-logits.float()).mean()


def discriminator_loss(clear: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    r"""Loss of the discriminator and of the dark-channel network.

    .. math:: L = \tfrac{1}{2} [\mathrm{BCE}(D(\text{clear}), 1) + \mathrm{BCE}(D(\text{other}), 0)]

    Args:
        clear: logits on clear photos (or their dark channels); any shape.
        other: logits on detached outputs (or on the dark channels of dusty photos); any shape.

    Source: method section 4; also the loss of stage 2, which trains the dark-channel network.

    Example:
        >>> round(discriminator_loss(torch.zeros(1), torch.zeros(1)).item(), 4)  # undecided: log 2
        0.6931
    """
    return (F.softplus(-clear.float()).mean() + F.softplus(other.float()).mean()) / 2


def make_pseudo_label(
    dusty: torch.Tensor, kind: str = "retinex_joint", teacher: Callable[[torch.Tensor], torch.Tensor] | None = None
) -> torch.Tensor:
    """Make the pseudo-label of a real dusty photo, the target of the term `retinex`.

    Args:
        dusty: (N, 3, H, W) in [0, 1].
        kind: "retinex": the paper's formula, each channel stretched by its own extremes; "retinex_joint": one quantile
            stretch for all channels at a scale proportional to the image, its detail added to the gray-world corrected
            veil, which keeps flat skies light and neutral; "exchanged": "retinex" with red and blue exchanged, as in
            the released code; "teacher": the output of `teacher` after post-processing
            (`ssdie.ops.tone.postprocess`).
        teacher: function of (N, 3, H, W) in [0, 1], for "teacher"; in training, the generator with averaged weights.

    Returns:
        (N, 3, H, W) in [0, 1], without gradient.

    Raises:
        ValueError: unknown kind, or no `teacher` for "teacher".

    Source: method sections 4 and 6; Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017.
    """
    if kind not in PSEUDO_LABELS:
        raise ValueError(f"pseudo_label: expected one of {', '.join(PSEUDO_LABELS)}, got {kind!r}.")
    if kind == "teacher" and teacher is None:
        raise ValueError('teacher: expected a function for the pseudo-label "teacher", got None.')
    with torch.no_grad():
        if kind == "teacher":
            return postprocess(teacher(dusty).float())
        if kind == "retinex":
            return single_scale_retinex(dusty)
        if kind == "exchanged":
            return single_scale_retinex(dusty).flip(1)
        detail = single_scale_retinex(dusty, sigma=min(dusty.shape[-2:]) / 10, stretch="joint")
        mean = dusty.mean((2, 3), keepdim=True)
        balanced = (dusty * (mean.amax(1, keepdim=True) / mean.clamp_min(0.05))).clamp(0, 1)
        veil = gaussian_blur(balanced, min(dusty.shape[-2:]) / 10)
        return (veil + 1.5 * (detail - gaussian_blur(detail, min(dusty.shape[-2:]) / 10))).clamp(0, 1)
