"""Parts of networks whose way back is light: a convolution with mirrored border, and maps joined by channels."""

import torch
import torch.nn.functional as F
from torch import nn

from ssdie.devices import without_autocast


class ReflectConv2d(nn.Conv2d):
    """Convolution whose border is reflected; `padding` pixels of it.

    Autocast would turn the map into float32 for the border alone, and back: here it keeps its precision.
    """

    def forward(self, features: torch.Tensor, activation: nn.Module | None = None) -> torch.Tensor:
        """Convolve (N, C, H, W), after an `activation` that may write into the map with its border, a copy."""
        with without_autocast(features.device):
            pad = Reflect.apply if features.requires_grad else _pad  # the plain one can be exported
            features = pad(features, *self.padding)
            features = activation(features) if activation else features
        return F.conv2d(features, self.weight, self.bias, self.stride)


class Reflect(torch.autograd.Function):
    """Mirror rows and columns beyond the border; unlike PyTorch's, it does not keep the map, whose shape is enough."""

    @staticmethod
    def forward(ctx, features: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """Map (N, C, H, W) to (N, C, H + 2 rows, W + 2 columns); the edge pixel is not repeated."""
        ctx.border = rows, columns
        return _pad(features, rows, columns)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Add the gradient of each mirrored pixel to that of the pixel itself."""
        for dim, border in zip((2, 3), ctx.border, strict=True):
            last = gradient.shape[dim] - 2 * border - 1
            inner = gradient.narrow(dim, border, last + 1).clone()
            for away in range(1, border + 1):
                inner.narrow(dim, away, 1).add_(gradient.narrow(dim, border - away, 1))
                inner.narrow(dim, last - away, 1).add_(gradient.narrow(dim, border + last + away, 1))
            gradient = inner
        return gradient, None, None


def join(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Lay maps behind one another: (N, A, H, W) and (N, B, H, W) to (N, A + B, H, W).

    PyTorch's own way back gives each map a view of the joined gradient, in which a pixel's channels have gaps between
    them: BatchNorm's way back then takes up to thirty times as long on a processor.
    """
    return Join.apply(one, other) if one.requires_grad else torch.cat((one, other), 1)  # the plain one can be exported


class Join(torch.autograd.Function):
    """Maps joined by channels; the gradient of each has no gaps."""

    @staticmethod
    def forward(ctx, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Map (N, A, H, W) and (N, B, H, W) to (N, A + B, H, W)."""
        ctx.channels = one.shape[1], other.shape[1]
        return torch.cat((one, other), 1)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Part the gradient."""
        parts = zip(gradient.split(ctx.channels, 1), ctx.needs_input_grad, strict=True)
        return tuple(part.clone() if needed else None for part, needed in parts)


def _pad(features: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    return F.pad(features, (columns, columns, rows, rows), mode="reflect")
