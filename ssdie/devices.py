"""What code that runs on any device needs: numbers that get there without a wait, and full precision in places."""

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to a device that goes on with its work meanwhile: from pinned memory, where it can read that."""
    if tensor.device == device or device.type in ("cpu", "mps"):
        return tensor.to(device)
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def constant(values: Sequence, like: torch.Tensor) -> torch.Tensor:
    """Numbers as a tensor of the type and on the device of `like`, which is not waited for.

    Example:
        >>> constant((1, 2), torch.zeros(1))
        tensor([1., 2.])
    """
    return send(torch.tensor(values, dtype=like.dtype), like.device)


@functools.cache
def fast_bfloat16() -> bool:
    """Say whether this processor multiplies bfloat16 faster than float32.

    Those with matrix units (AMX) do, and AMD's and ARM's with instructions for it. Intel's without AMX have such
    instructions too, at half the rate of those for float32: nothing is won.
    """
    has = torch.cpu.get_capabilities()
    vector = any("bf16" in name and value is True for name, value in has.items())
    return bool(has.get("amx_bf16")) or (vector and "Intel" not in str(has.get("cpu_name")))


PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def resolve_precision(precision: str, device: torch.device | str = "cpu") -> str:
    """Name the precision that a device trains and enhances in.

    Args:
        precision: "auto", "fp32" (or "no", its name in accelerate), "bf16" or "fp16".
        device: the device that does the work.

    Returns:
        "fp32", "bf16" or "fp16"; "auto" gives "bf16" on CUDA and on a CPU that is faster in it (`fast_bfloat16`), and
        "fp32" elsewhere.

    Raises:
        ValueError: the precision is unknown.

    Example:
        >>> resolve_precision("no"), resolve_precision("auto", "cuda")
        ('fp32', 'bf16')
    """
    if precision == "no":
        return "fp32"
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}.")
    if precision != "auto":
        return precision
    kind = torch.device(device).type
    return "bf16" if kind == "cuda" or (kind == "cpu" and fast_bfloat16()) else "fp32"


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Keep the precision of the tensors in a block, whatever autocast is on around it."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()
