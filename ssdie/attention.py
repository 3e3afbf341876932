"""Cross-attention between two scales, without ever holding the matrix of all pairs of positions."""

import torch
import torch.nn.functional as F
from torch import nn


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

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Attend from `fine` (N, C, H, W) to `coarse` (N, C, h, w); gives (N, C, H, W)."""
        query, key, value = (_as_sequence(x) for x in (self.query(fine), self.key(coarse), self.value(coarse)))
        attended = attend(query, key, value)  # (N, 1, HW, C)
        return fine + self.gamma * attended[:, 0].transpose(1, 2).reshape(fine.shape)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rows: int = 128) -> torch.Tensor:
    """Give softmax(Q K^T) V without ever holding the whole HW x hw matrix.

    Args:
        query: (N, 1, HW, c); key: (N, 1, hw, c); value: (N, 1, hw, C), C >= c.
        rows: of the matrix that are held at a time on a CPU, where no gradient is wanted: half the time of the fused
            kernel, which wants query and key as wide as the value.

    Returns:
        (N, 1, HW, C).
    """
    if value.device.type == "cpu" and not torch.is_grad_enabled():
        turned, output = key.float().transpose(2, 3), value.new_empty(*query.shape[:3], value.shape[3])
        for top in range(0, query.shape[2], rows):
            share = torch.softmax(query[:, :, top : top + rows].float() @ turned, dim=3)
            output[:, :, top : top + rows] = share.to(value.dtype) @ value
        return output
    padding = (0, value.shape[3] - query.shape[3])  # zeros change no scalar product
    return F.scaled_dot_product_attention(F.pad(query, padding), F.pad(key, padding), value, scale=1.0)


def _as_sequence(features: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) to (N, 1, HW, C)."""
    return features.flatten(2).transpose(1, 2)[:, None]
