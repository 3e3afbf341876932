"""The generators of SSDIE-Net: MSFF, U-Net and patch generator.

All generators map RGB in [0, 1] to RGB in [0, 1] at any height and width (pad, run, crop); internally they use [-1, 1].
Latent noise is added in training mode only, from the random number generator given by the caller.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ssdie.networks.layers import ContextPyramid, CrossAttention, ReflectConv2d, join
from ssdie.ops.filters import guided_filter, mirror_index
from ssdie.ops.images import check_image
from ssdie.ops.tone import compress_highlights

LEAKY_SLOPE = 0.2  # negative slope of every LeakyReLU
NOISE = 0.01  # standard deviation of the latent noise in training mode
SMOOTH_EPS = 1e-4  # regularisation of the guided filter on gain and veil
MAX_GAIN = 16.0  # of the scattering head: at a transmission below 1/16 too little of the scene is left


def pad_to_multiple(image: torch.Tensor, multiple: int, min_size: int = 1) -> torch.Tensor:
    """Pad right and bottom by mirroring, until both sides are multiples of `multiple`.

    Args:
        image: (N, C, H, W).
        multiple: divisor of both padded sides, pixels.
        min_size: smallest padded side, pixels.

    Returns:
        (N, C, H', W') with H' >= H, W' >= W.

    Example:
        >>> pad_to_multiple(torch.arange(3.0).view(1, 1, 1, 3), 4)[0, 0, 0].tolist()
        [0.0, 1.0, 2.0, 2.0]
    """
    for dim in (2, 3):
        length = image.shape[dim]
        padded = -(-max(length, min_size) // multiple) * multiple
        if padded != length:
            image = image.index_select(dim, mirror_index(torch.arange(padded, device=image.device), length))
    return image


def straight_clamp(image: torch.Tensor) -> torch.Tensor:
    """Clamp to [0, 1] in float32 with a straight-through gradient, so that clipped pixels still get a gradient."""
    image = image.float()
    return image + (image.clamp(0, 1) - image).detach() if image.requires_grad else image.clamp(0, 1)


def add_noise(features: torch.Tensor, module: nn.Module, generator: torch.Generator | None) -> torch.Tensor:
    """Add Gaussian noise of standard deviation `NOISE` to latent features if `module` is in training mode."""
    if not module.training:
        return features
    noise = torch.empty(features.shape, device=features.device, dtype=torch.float32).normal_(generator=generator)
    return features + NOISE * noise.to(features.dtype)


class Generator(nn.Module):
    """Base class of networks from RGB to RGB at any size; subclasses define `multiple` and `transform`."""

    multiple = 1  # both sides of the input of `transform` are padded to multiples of it
    min_size = 1  # smallest side of the input of `transform`, pixels

    def forward(self, dusty: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Enhance a batch.

        Args:
            dusty: (N, 3, H, W) in [0, 1]; any H and W.
            generator: random numbers of the latent noise, on the device of `dusty`; used in training mode only.

        Returns:
            (N, C, H, W) float32 in [0, 1].

        Raises:
            TypeError, ValueError: `dusty` has another type, shape or range.
        """
        check_image(dusty)
        height, width = dusty.shape[-2:]
        output = self.transform(2 * pad_to_multiple(dusty, self.multiple, self.min_size) - 1, generator)
        return straight_clamp((output[..., :height, :width].float() + 1) / 2)


# Attention-based multi-scale feature fusion ------------------------------------------------------------------------


def encode(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Reflection-padded convolution, LeakyReLU."""
    return nn.Sequential(
        ReflectConv2d(inputs, outputs, kernel, stride, padding=1), nn.LeakyReLU(LEAKY_SLOPE, inplace=True)
    )


def decode(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Transposed convolution without bias, BatchNorm, LeakyReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
    )


class MSFF(Generator):
    r"""Attention-based multi-scale feature fusion, the network of the paper.

    Args:
        width: f, channels of the first feature maps.
        head: output layer. "tanh", the paper's: the enhanced image itself. "scattering": log gain k and veil v of each
            pixel and channel (6 channels instead of 3), which starts near the identity.
        context: levels of a `ContextPyramid` on the coarsest attended features; 0, the paper's form: none.
        smooth: radius, in pixels, of a guided filter on k and v, with the photo as guide. It removes the grid of
            period 4 that two transposed convolutions of stride 2 leave. 0, the paper's form: none.
        knee: value above which the output of the scattering head is compressed where it exceeds 1, so that bright
            skies keep their structure, see `ssdie.ops.tone.compress_highlights`; 1: it is clipped.

    The scattering head is the scattering model solved for the clear image, with a gain of at most `MAX_GAIN`:

    .. math:: J = e^{k}\, (I - v)

    Raises:
        ValueError: unknown head, `smooth` or `knee` with "tanh", which predicts no k and v, or `knee` outside (0, 1].

    Source: method section 3; 1,005,714 parameters with width 64 and head "tanh".
    """

    multiple = 4
    min_size = 8  # reflection padding at H/4 requires two pixels

    def __init__(self, width: int = 64, head: str = "tanh", context: int = 0, smooth: int = 0, knee: float = 1.0):
        super().__init__()
        if head not in ("tanh", "scattering"):
            raise ValueError(f'head: expected "tanh" or "scattering", got {head!r}.')
        if smooth and head == "tanh":
            raise ValueError(f'smooth: expected 0 with head "tanh", got {smooth}. Use head "scattering".')
        if not 0 < knee <= 1 or (knee < 1 and head == "tanh"):
            raise ValueError(f'knee: expected a value above 0 and at most 1, and 1 with head "tanh", got {knee}.')
        f = width
        self.head, self.smooth, self.knee = head, smooth, knee
        self.encode1 = nn.ModuleList([encode(3, f, 4, 2), encode(f, 2 * f, 4, 2)])
        self.encode2 = nn.ModuleList([encode(3, f, 4, 2), encode(f, 2 * f, 3, 1)])
        self.encode3 = nn.ModuleList([encode(3, f, 3, 1), encode(f, 2 * f, 3, 1)])
        self.attend12 = CrossAttention(2 * f)
        self.attend23 = CrossAttention(2 * f)
        self.context = ContextPyramid(2 * f, context) if context else nn.Identity()
        self.decode3 = nn.ModuleList([decode(2 * f, f), decode(2 * f, f)])
        self.decode2 = nn.ModuleList([decode(2 * f, f), decode(2 * f, f, 4, 2)])
        self.decode1 = nn.ModuleList([decode(2 * f, f, 4, 2), decode(2 * f, f, 4, 2)])
        self.final = nn.Sequential(decode(f + 3, f), decode(f, f // 2), decode(f // 2, f // 4))
        self.output = nn.ConvTranspose2d(f // 4, 3 if head == "tanh" else 6, 3, padding=1, bias=False)
        if head == "scattering":
            nn.init.normal_(self.output.weight, std=1e-3)  # k and v near 0: starts as the identity

    def transform(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Enhance (N, 3, H, W) in [-1, 1], with H and W multiples of 4; the output has the same shape and range."""
        raw = self.features(x, generator)
        if self.head == "tanh":
            return torch.tanh(raw)
        dusty = (x.float() + 1) / 2
        gain, veil = self._gain_and_veil(raw, dusty)
        return 2 * compress_highlights(gain * (dusty - veil), self.knee) - 1

    def _gain_and_veil(self, raw: torch.Tensor, dusty: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gain exp(k) and veil v, both (N, 3, H, W), from the raw output (N, 6, H, W) and the photo in [0, 1]."""
        maps = raw.float()
        if self.smooth:
            maps = guided_filter(dusty.contiguous(), maps.contiguous(), self.smooth, SMOOTH_EPS)
        log_gain, veil = maps.chunk(2, dim=1)
        top = torch.log(torch.tensor(MAX_GAIN))
        return torch.exp(top * torch.tanh(log_gain / top)), veil

    def features(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Compute the raw output, (N, 3 or 6, H, W), before its nonlinearity; x: (N, 3, H, W) in [-1, 1]."""
        half = F.avg_pool2d(x, 2)  # (N, 3, H/2, W/2)
        quarter = F.avg_pool2d(half, 2)  # (N, 3, H/4, W/4)
        e1 = self.encode1[1](self.encode1[0](x))  # (N, 2f, H/4, W/4)
        e2 = self.encode2[1](self.encode2[0](half))  # (N, 2f, H/4, W/4)
        skip = self.encode3[0](quarter)  # (N, f, H/4, W/4)
        e3 = self.encode3[1](skip)  # (N, 2f, H/4, W/4)
        a12 = add_noise(self.attend12(e1, e2), self, generator)
        a23 = add_noise(self.context(self.attend23(e2, e3)), self, generator)
        d3 = self.decode3[1](join(self.decode3[0](a23), skip))  # (N, f, H/4, W/4)
        d2 = self.decode2[1](join(self.decode2[0](a12), d3))  # (N, f, H/2, W/2)
        d1 = self.decode1[1](join(self.decode1[0](e1), d2))  # (N, f, H, W)
        x = x.to(d1.dtype, memory_format=torch.channels_last)  # avoids a copy of the concatenation, the largest tensor
        return self.output(self.final(join(d1, x)))


# U-Net and patch generators ----------------------------------------------------------------------------------------


class UNetGenerator(Generator):
    """The U-Net of pix2pix: `levels` downsampling and upsampling blocks (kernel 4, stride 2) with skip connections.

    The first three upsampling blocks have dropout of 0.5.

    Args:
        in_channels, out_channels: channels of input and output.
        width: channels of the first level; they double per level, up to 8 times `width`.
        levels: number of halvings; sides are padded to multiples of 2^levels.

    Source: Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017, section 6.1;
    54,414,531 parameters with the defaults. Unlike there, dropout is off at inference.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 64, levels: int = 8):
        super().__init__()
        self.multiple = 2**levels
        widths = [min(width * 2**level, 8 * width) for level in range(levels)]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, (before, after) in enumerate(zip([in_channels, *widths], widths, strict=False)):
            plain = level in (0, levels - 1)  # outermost and innermost blocks have no BatchNorm
            # In place, this also changes the skip connection; a ReLU follows there, and relu(leaky(x)) = relu(x).
            block = [] if level == 0 else [nn.LeakyReLU(LEAKY_SLOPE, inplace=True)]
            block.append(nn.Conv2d(before, after, 4, 2, 1, bias=plain))
            self.downs.append(nn.Sequential(*block, *([] if plain else [nn.BatchNorm2d(after)])))
        for level in reversed(range(levels)):
            # skip connections double the channels, except at the innermost level
            before = widths[level] * (1 if level == levels - 1 else 2)
            after = widths[level - 1] if level else out_channels
            block = [nn.ReLU(inplace=True), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=level == 0)]
            block += [nn.BatchNorm2d(after)] if level else []
            block += [nn.Dropout(0.5)] if level >= levels - 3 and level else []
            self.ups.append(nn.Sequential(*block))

    def transform(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Map (N, in, H, W) in [-1, 1], with H and W multiples of 2^levels, to (N, out, H, W) in [-1, 1]."""
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        x = add_noise(skips.pop(), self, generator)
        for up in self.ups:
            x = up(x)
            x = join(x, skips.pop()) if skips else x
        return torch.tanh(x)


class PatchGenerator(Generator):
    """A smaller U-Net on each patch, then four 7 x 7 convolutions over the whole image that hide the seams.

    Args:
        width: channels of the first level of the U-Net, and of the first 7 x 7 convolution.
        patch: side of a patch, pixels.

    Source: method section 3; 30,066,502 parameters. The reference uses exactly sixteen patches of an image of
    256 x 256 pixels; here their number follows the size of the image.
    """

    def __init__(self, width: int = 64, patch: int = 64):
        super().__init__()
        self.multiple = patch
        self.unet = UNetGenerator(width=width, levels=6)
        self.blend = nn.Sequential(
            ReflectConv2d(3, width, 7, padding=3),
            nn.ReLU(inplace=True),
            ReflectConv2d(width, 2 * width, 7, padding=3),
            nn.ReLU(inplace=True),
            ReflectConv2d(2 * width, width, 7, padding=3),
            nn.ReLU(inplace=True),
            ReflectConv2d(width, 3, 7, padding=3),
        )

    def transform(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Enhance (N, 3, H, W) in [-1, 1], with H and W multiples of the patch; the output has the same shape."""
        batch, channels, height, width = x.shape
        p = self.multiple
        rows, columns = height // p, width // p
        patches = x.view(batch, channels, rows, p, columns, p).permute(0, 2, 4, 1, 3, 5)
        patches = self.unet.transform(patches.reshape(-1, channels, p, p), generator)  # (N rows columns, 3, p, p)
        patches = patches.view(batch, rows, columns, channels, p, p).permute(0, 3, 1, 4, 2, 5)
        return torch.tanh(self.blend(patches.reshape(batch, channels, height, width)))


GENERATORS = {"msff": MSFF, "unet": UNetGenerator, "patch": PatchGenerator}


def build_generator(name: str = "msff", **options) -> Generator:
    """Build a generator.

    Args:
        name: "msff", "unet" or "patch".
        **options: arguments of `MSFF`, `UNetGenerator` or `PatchGenerator`.

    Raises:
        ValueError: unknown name.

    Example:
        >>> count_parameters(build_generator("msff"))
        1005714
    """
    if name not in GENERATORS:
        raise ValueError(f"generator: expected one of {', '.join(GENERATORS)}, got {name!r}.")
    return GENERATORS[name](**options)


def count_parameters(network: nn.Module) -> int:
    """Count the values of all parameters."""
    return sum(p.numel() for p in network.parameters())
