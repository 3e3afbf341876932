"""What lets a pixel know of the rest of the scene: attention between two scales, and a pyramid of coarser ones."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from ssdie.utils.devices import without_autocast

BLOCK = 2**21  # bytes of the matrix of attention, in the precision of the value, that are held at a time
KEPT = 2**25  # bytes of a picture's matrix, in that precision, up to which training keeps it for the way back


class CrossAttention(nn.Module):
    """The finer scale asks, the coarser answers: out = fine + gamma softmax(Q(fine) K(coarse)^T) V(coarse).

    Args:
        channels: C of both maps; query and key have C / 8.

    Source: method section 3; the softmax has no 1 / sqrt(d). gamma starts at 0: the block starts as the identity.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.attend = attend  # any function of query, key and value

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Attend from `fine` (N, C, H, W) to `coarse` (N, C, h, w); gives (N, C, H, W)."""
        query, key, value = (_as_sequence(x) for x in (self.query(fine), self.key(coarse), self.value(coarse)))
        attended = self.attend(query, key, value)  # (N, 1, HW, C)
        return fine + self.gamma * attended[:, 0].transpose(1, 2).reshape(fine.shape)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: int = 0) -> torch.Tensor:
    """Give softmax(Q K^T) V without ever holding the whole HW x hw matrix.

    Args:
        query: (N, 1, HW, c); key: (N, 1, hw, c); value: (N, 1, hw, C), C >= c.
        rows: of the matrix that are held at a time on a CPU, forward and backward: half the time of the fused kernel,
            which wants query and key as wide as the value. 0: as many as make a block of `BLOCK` bytes.

    Returns:
        (N, 1, HW, C).
    """
    if value.device.type == "cpu":
        rows = rows or max(1, BLOCK // (key.shape[2] * value.element_size()))
        return AttendByRows.apply(query[:, 0], key[:, 0], value[:, 0], rows)[:, None]
    padding = (0, value.shape[3] - query.shape[3])  # zeros change no scalar product
    return F.scaled_dot_product_attention(F.pad(query, padding), F.pad(key, padding), value, scale=1.0)


def attend_explicitly(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Give softmax(Q K^T) V as it is written, with the whole matrix: like `attend`, for export and comparison."""
    return torch.softmax(query @ key.transpose(2, 3), dim=3) @ value


class AttendByRows(torch.autograd.Function):
    """softmax(Q K^T) V, some rows of the matrix at a time.

    The way back finds the matrix of a picture as it was if it takes no more than `KEPT` bytes, and makes larger ones
    again. Logits and softmax are float32, the large products in the precision of the value. No second derivative.
    """

    @staticmethod
    def forward(ctx, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: int) -> torch.Tensor:
        """Map (N, HW, c), (N, hw, c), (N, hw, C) to (N, HW, C)."""
        output = value.new_empty(*query.shape[:2], value.shape[2])
        small = query.shape[1] * key.shape[1] * value.element_size() <= KEPT
        kept = value.new_empty(*query.shape[:2], key.shape[1]) if small and any(ctx.needs_input_grad) else None
        with without_autocast(value.device):
            for n, some, share in _blocks(query, key, value.dtype, rows):
                torch.mm(share, value[n], out=output[n, some])
                if kept is not None:
                    kept[n, some] = share
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
        mean = (_wide(gradient) * _wide(output)).sum(2, keepdim=True)  # of the slopes below, weighed by their shares
        rounded = mean.to(value.dtype)
        # two more columns of the product take the mean from the slopes: nothing else passes over the block for it
        less = torch.cat((-rounded, (rounded - mean).to(value.dtype)), 2)
        right = torch.cat((value, value.new_ones(*value.shape[:2], 2)), 2)
        room = value.new_empty(min(ctx.rows, query.shape[1]), key.shape[1])
        for n, some, share in blocks:
            given = gradient[n, some]
            _add_product(for_value[n], share.T, given)
            slope = torch.mm(torch.cat((given, less[n, some]), 1), right[n].T, out=room[: len(share)]).mul_(share)
            torch.mm(slope, key[n], out=for_query[n, some])
            _add_product(for_key[n].T, query[n, some].T, slope)
        return for_query, for_key.to(key.dtype), for_value.to(value.dtype), None


def _add_product(total: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> None:
    """Add a matrix product to a total, which may be of higher precision."""
    if total.dtype == one.dtype:
        torch.addmm(total, one, other, out=total)  # in one go
    else:
        total += one @ other


def _wide(x: torch.Tensor) -> torch.Tensor:
    """At least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _parts(shares: torch.Tensor, rows: int) -> Iterator[tuple[int, slice, torch.Tensor]]:
    """Number of the picture, some rows, and these rows of its matrix: `shares` is (N, HW, hw)."""
    for n in range(len(shares)):
        for top in range(0, shares.shape[1], rows):
            some = slice(top, min(top + rows, shares.shape[1]))
            yield n, some, shares[n, some]


def _blocks(
    query: torch.Tensor, key: torch.Tensor, dtype: torch.dtype, rows: int
) -> Iterator[tuple[int, slice, torch.Tensor]]:
    """Make what `_parts` gives, in `dtype`, from query and key.

    All blocks use the same memory: to allocate it anew would take as long as to fill it.
    """
    query, turned = _wide(query), _wide(key).transpose(1, 2).contiguous()
    wide = query.new_empty(min(rows, query.shape[1]), key.shape[1])
    share = wide.to(dtype)  # the same memory in float32
    for n in range(len(query)):
        for top in range(0, query.shape[1], rows):
            some = slice(top, min(top + rows, query.shape[1]))
            held, narrow = wide[: some.stop - top], share[: some.stop - top]
            torch.mm(query[n, some], turned[n], out=held)
            torch.softmax(held, 1, out=held)
            yield n, some, held if share is wide else narrow.copy_(held)


def _as_sequence(features: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) to (N, 1, HW, C)."""
    return features.flatten(2).transpose(1, 2)[:, None]


class ContextPyramid(nn.Module):
    """Judges the scene as a whole: halve the map `levels` times, take the mean, and hand down what was learnt.

    Args:
        channels: C of the map.
        levels: halvings; at H/4, three of them lead to H/32.

    Starts as the identity. Without normalisation: how bright and how coloured the scene is must get through. Not part
    of the paper, whose attention sees all positions but is hardly used by a trained network (|gamma| below 0.1).
    """

    def __init__(self, channels: int, levels: int = 3):
        super().__init__()

        def convolve(stride: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(channels, channels, 3, stride, padding=1), nn.LeakyReLU(0.2))

        self.downs = nn.ModuleList(convolve(2) for _ in range(levels))
        mix, dark_channel_net = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.whole = nn.Sequential(mix, nn.LeakyReLU(0.2), dark_channel_net)
        self.ups = nn.ModuleList(convolve(1) for _ in range(levels))
        self.output = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same."""
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
