"""What code that runs on any device needs: numbers that get there without a wait, and full precision in places."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch


def constant(values: Sequence, like: torch.Tensor) -> torch.Tensor:
    """Numbers as a tensor of the type and on the device of `like`; a GPU need not be waited for.

    Example:
        >>> constant((1, 2), torch.zeros(1))
        tensor([1., 2.])
    """
    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Keep the precision of the tensors in a block, whatever autocast is on around it."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()
