"""Layers: cross-scale attention, context pyramid, reflection-padded convolution and channel concatenation."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from ssdie.utils.devices import without_autocast

BLOCK = 2**21  # size of a block of the attention matrix in the precision of the value, bytes
KEPT = 2**25  # largest attention matrix of an image that is kept for the backward pass, bytes


# Convolution and concatenation -------------------------------------------------------------------------------------


def _pad(features: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Reflection padding of (N, C, H, W); the edge pixel is not repeated."""
    return F.pad(features, (columns, columns, rows, rows), mode="reflect")


class Reflect(torch.autograd.Function):
    """Reflection padding whose backward pass needs no stored input, only the padding.

    The plain version is `_pad`, whose backward pass in PyTorch keeps the input.
    """

    @staticmethod
    def forward(ctx, features: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """Map (N, C, H, W) to (N, C, H + 2 rows, W + 2 columns); the edge pixel is not repeated."""
        ctx.border = rows, columns
        return _pad(features, rows, columns)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Add the gradient of each mirrored pixel to that of its source."""
        for dim, border in zip((2, 3), ctx.border, strict=True):
            last = gradient.shape[dim] - 2 * border - 1
            inner = gradient.narrow(dim, border, last + 1).clone()
            for away in range(1, border + 1):
                inner.narrow(dim, away, 1).add_(gradient.narrow(dim, border - away, 1))
                inner.narrow(dim, last - away, 1).add_(gradient.narrow(dim, border + last + away, 1))
            gradient = inner
        return gradient, None, None


class ReflectConv2d(nn.Conv2d):
    """Convolution with a reflected border of `padding` pixels.

    Autocast would convert the feature map to float32 only for padding; here it keeps its precision.
    """

    def forward(self, features: torch.Tensor, activation: nn.Module | None = None) -> torch.Tensor:
        """Convolve (N, C, H, W); `activation` is applied in place to the padded copy first."""
        with without_autocast(features.device):
            pad = Reflect.apply if features.requires_grad else _pad  # the plain function can be exported
            features = pad(features, *self.padding)
            features = activation(features) if activation else features
        return F.conv2d(features, self.weight, self.bias, self.stride)


class Join(torch.autograd.Function):
    """Concatenation by channels whose gradients are contiguous copies."""

    @staticmethod
    def forward(ctx, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Map (N, A, H, W) and (N, B, H, W) to (N, A + B, H, W)."""
        ctx.channels = one.shape[1], other.shape[1]
        return torch.cat((one, other), 1)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Split the gradient into contiguous copies."""
        parts = zip(gradient.split(ctx.channels, 1), ctx.needs_input_grad, strict=True)
        return tuple(part.clone() if needed else None for part, needed in parts)


def join(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Concatenate feature maps by channels: (N, A, H, W) and (N, B, H, W) to (N, A + B, H, W).

    The backward pass of torch.cat returns strided views; BatchNorm's backward on them is up to 30 times slower on a
    CPU, so this one returns copies.
    """
    if one.requires_grad:
        return Join.apply(one, other)
    return torch.cat((one, other), 1)  # the plain function can be exported


# Attention ---------------------------------------------------------------------------------------------------------


def _wide(x: torch.Tensor) -> torch.Tensor:
    """Convert to float32 if the precision is lower."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _add_product(total: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> None:
    """Add a matrix product to a sum that may have higher precision."""
    if total.dtype == one.dtype:
        torch.addmm(total, one, other, out=total)  # fused
    else:
        total += one @ other


def _parts(weights: torch.Tensor, rows: int) -> Iterator[tuple[int, slice, torch.Tensor]]:
    """Image index, slice of rows, and these rows of the attention weights (N, HW, hw)."""
    for n in range(len(weights)):
        for top in range(0, weights.shape[1], rows):
            some = slice(top, min(top + rows, weights.shape[1]))
            yield n, some, weights[n, some]


def _blocks(
    query: torch.Tensor, key: torch.Tensor, dtype: torch.dtype, rows: int
) -> Iterator[tuple[int, slice, torch.Tensor]]:
    """Compute the blocks of `_parts` in `dtype` from query and key.

    All blocks share one buffer: allocating a new one takes as long as filling it.
    """
    query, transposed = _wide(query), _wide(key).transpose(1, 2).contiguous()
    wide = query.new_empty(min(rows, query.shape[1]), key.shape[1])
    result = wide.to(dtype)  # the same buffer if dtype is float32
    for n in range(len(query)):
        for top in range(0, query.shape[1], rows):
            some = slice(top, min(top + rows, query.shape[1]))
            held, narrow = wide[: some.stop - top], result[: some.stop - top]
            torch.mm(query[n, some], transposed[n], out=held)
            torch.softmax(held, 1, out=held)
            yield n, some, held if result is wide else narrow.copy_(held)


class AttendByRows(torch.autograd.Function):
    """softmax(Q K^T) V in blocks of rows.

    Backward reuses an attention matrix of at most `KEPT` bytes and recomputes larger ones. Logits and
    softmax are float32, the large products have the precision of the value. There is no second derivative.
    """

    @staticmethod
    def forward(ctx, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: int) -> torch.Tensor:
        """Map (N, HW, c), (N, hw, c), (N, hw, C) to (N, HW, C)."""
        output = value.new_empty(*query.shape[:2], value.shape[2])
        small = query.shape[1] * key.shape[1] * value.element_size() <= KEPT
        kept = value.new_empty(*query.shape[:2], key.shape[1]) if small and any(ctx.needs_input_grad) else None
        with without_autocast(value.device):
            for n, some, weights in _blocks(query, key, value.dtype, rows):
                torch.mm(weights, value[n], out=output[n, some])
                if kept is not None:
                    kept[n, some] = weights
        ctx.save_for_backward(query, key, value, output, kept)
        ctx.rows = rows
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:
        """Gradients of query, key and value."""
        query, key, value, output, kept = ctx.saved_tensors
        blocks = _blocks(query, key, value.dtype, ctx.rows) if kept is None else _parts(kept, ctx.rows)
        for_query = torch.empty_like(query)
        for_key, for_value = (torch.zeros_like(_wide(x)) for x in (key, value))
        # mean of the logit gradients, weighted by attention
        mean = (_wide(gradient) * _wide(output)).sum(2, keepdim=True)
        rounded = mean.to(value.dtype)
        # Two extra columns fold the softmax-gradient mean into the same product (one pass over the block).
        less = torch.cat((-rounded, (rounded - mean).to(value.dtype)), 2)
        right = torch.cat((value, value.new_ones(*value.shape[:2], 2)), 2)
        room = value.new_empty(min(ctx.rows, query.shape[1]), key.shape[1])
        for n, some, weights in blocks:
            given = gradient[n, some]
            _add_product(for_value[n], weights.T, given)
            logits = torch.mm(torch.cat((given, less[n, some]), 1), right[n].T, out=room[: len(weights)]).mul_(weights)
            torch.mm(logits, key[n], out=for_query[n, some])
            _add_product(for_key[n].T, query[n, some].T, logits)
        return for_query, for_key.to(key.dtype), for_value.to(value.dtype), None


def attend_explicitly(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Compute attention with the whole matrix; the same function as `attend`, for export and tests."""
    return torch.softmax(query @ key.transpose(2, 3), dim=3) @ value


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: int = 0) -> torch.Tensor:
    r"""Compute :math:`\mathrm{softmax}(Q K^T) V` without storing the whole HW x hw matrix.

    Args:
        query: (N, 1, HW, c); key: (N, 1, hw, c); value: (N, 1, hw, C), C >= c.
        rows: rows of the matrix that are computed at a time on a CPU, forward and backward: half the time of the fused
            kernel, which requires query and key to be as wide as the value. 0: a block of `BLOCK` bytes.

    Returns:
        (N, 1, HW, C).
    """
    if value.device.type == "cpu":
        rows = rows or max(1, BLOCK // (key.shape[2] * value.element_size()))
        return AttendByRows.apply(query[:, 0], key[:, 0], value[:, 0], rows)[:, None]
    padding = (0, value.shape[3] - query.shape[3])  # zeros do not change the scalar products
    return F.scaled_dot_product_attention(F.pad(query, padding), F.pad(key, padding), value, scale=1.0)


def _as_sequence(features: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) to (N, 1, HW, C)."""
    return features.flatten(2).transpose(1, 2)[:, None]


class CrossAttention(nn.Module):
    r"""Cross-scale attention: queries from the finer scale, keys and values from the coarser.

    .. math:: \text{out} = F + \gamma\, \mathrm{softmax}\big(Q(F)\, K(C)^T\big)\, V(C)

    Args:
        channels: C of both feature maps; query and key have C / 8.

    Source: method section 3; the logits are not divided by sqrt(d). gamma starts at 0, so the block starts as the
    identity.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.attend = attend  # replaced by `attend_explicitly` for export

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Attend from `fine` (N, C, H, W) to `coarse` (N, C, h, w); return (N, C, H, W)."""
        query, key, value = (_as_sequence(x) for x in (self.query(fine), self.key(coarse), self.value(coarse)))
        attended = self.attend(query, key, value)  # (N, 1, HW, C)
        return fine + self.gamma * attended[:, 0].transpose(1, 2).reshape(fine.shape)


# Global context ----------------------------------------------------------------------------------------------------


class ContextPyramid(nn.Module):
    """Global context: halve the feature map `levels` times, add a function of its mean, and upsample again.

    Args:
        channels: C of the feature map.
        levels: number of halvings; from H/4, three lead to H/32.

    Starts as the identity. There is no normalisation, since brightness and colour of the scene must get through. Not
    part of the paper, whose attention reaches all positions but is hardly used by a trained network: its gamma stays
    within 0.1 of 0.
    """

    def __init__(self, channels: int, levels: int = 3):
        super().__init__()

        def convolve(stride: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(channels, channels, 3, stride, padding=1), nn.LeakyReLU(0.2))

        self.downs = nn.ModuleList(convolve(2) for _ in range(levels))
        first, second = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.whole = nn.Sequential(first, nn.LeakyReLU(0.2), second)
        self.ups = nn.ModuleList(convolve(1) for _ in range(levels))
        self.output = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Add context to features (N, C, H, W); the shape is kept."""
        maps, x = [], features
        for down in self.downs:
            maps.append(x)
            x = down(x)
        x = x + self.whole(x.mean((2, 3), keepdim=True))
        for finer, up in zip(reversed(maps), self.ups, strict=True):
            x = up(x)
            x = F.interpolate(x, size=finer.shape[2:], mode="bilinear")
            x = x if finer is features else x + finer
        return features + self.output(x)
