"""PatchGAN discriminator and dark-channel network."""

import torch
from torch import nn

from ssdie.networks.generators import LEAKY_SLOPE
from ssdie.networks.layers import ReflectConv2d


class PatchDiscriminator(nn.Sequential):
    """PatchGAN discriminator: the logit of "clear" for each of the overlapping 70 x 70 patches.

    Args:
        in_channels: 3 for images, 1 for dark channels, 4 for an image and its depth.
        width: channels of the first convolution.

    Source: Isola et al. 2017, section 6.1.2; method section 3. 2,765,633 parameters for RGB.
    """

    def __init__(self, in_channels: int = 3, width: int = 64):
        def layer(inputs: int, outputs: int, stride: int, bias: bool = False) -> nn.Conv2d:
            return ReflectConv2d(inputs, outputs, 4, stride, 1, bias=bias)

        w = width
        super().__init__(
            layer(in_channels, w, 2, bias=True),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            *(layer(w, 2 * w, 2), nn.BatchNorm2d(2 * w), nn.LeakyReLU(LEAKY_SLOPE, inplace=True)),
            *(layer(2 * w, 4 * w, 2), nn.BatchNorm2d(4 * w), nn.LeakyReLU(LEAKY_SLOPE, inplace=True)),
            *(layer(4 * w, 8 * w, 1), nn.BatchNorm2d(8 * w), nn.LeakyReLU(LEAKY_SLOPE, inplace=True)),
            layer(8 * w, 1, 1, bias=True),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Classify patches.

        Args:
            image: (N, C, H, W) in [0, 1]; H and W at least 32.

        Returns:
            Logits (N, 1, h, w), positive for "clear"; h and w are about H/8 and W/8.
        """
        features, activation = 2 * image - 1, None
        for layer in self:
            if isinstance(layer, nn.LeakyReLU):
                activation = layer  # applied to the padded copy in the next convolution, which saves one feature map
            elif isinstance(layer, ReflectConv2d):
                features, activation = layer(features, activation), None
            else:
                features = layer(features)
        return features


class DarkChannelNet(PatchDiscriminator):
    """dc-Net: classifies dark channels as those of clear photos (1) or of dusty photos (0); 2,763,585 parameters.

    Args:
        width: channels of the first convolution.
        kind: kind of dark channel, "joint" (1 input channel) or "each" (3); see
            `ssdie.ops.priors.block_dark_channel`.
    """

    def __init__(self, width: int = 64, kind: str = "joint"):
        super().__init__(in_channels=1 if kind == "joint" else 3, width=width)
