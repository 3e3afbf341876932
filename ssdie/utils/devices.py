"""What code that runs on any device needs: numbers that get there without a wait, and full precision in places."""

import ctypes
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to a device that goes on with its work meanwhile: from pinned memory, where it can read that."""
    if tensor.device == device or device.type in ("cpu", "mps"):
        return tensor.to(device)
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def constant_like(values: Sequence, like: torch.Tensor) -> torch.Tensor:
    """Numbers as a tensor of the type and on the device of `like`, which is not waited for.

    Example:
        >>> constant((1, 2), torch.zeros(1))
        tensor([1., 2.])
    """
    return to_device(torch.tensor(values, dtype=like.dtype), like.device)


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


MMAP_MAX, TRIM_THRESHOLD = -4, -1  # parameters of glibc's mallopt: M_MMAP_MAX and M_TRIM_THRESHOLD
DEFAULTS = {MMAP_MAX: 65536, TRIM_THRESHOLD: 128 * 1024}


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Keep freed memory for the next allocation while the block runs; give back all of it at the end.

    glibc fetches each block of over 32 MB from the system and returns it when it is freed. The maps of a batch are such
    blocks, and that the system clears their pages anew takes several times as long as an addition to all their values.
    What is kept is in pieces, so more is held: a tenth more by a step in bfloat16, a third more by one in float32.

    Yields:
        Whether the allocator can be told; elsewhere than with glibc nothing changes.

    Source: mallopt(3) and malloc_trim(3) of the GNU C library.
    """
    try:
        library = ctypes.CDLL(None)
        tell, trim = library.mallopt, library.malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        yield False
        return
    tell(MMAP_MAX, 0)
    tell(TRIM_THRESHOLD, -1)
    try:
        yield True
    finally:
        for parameter, value in DEFAULTS.items():
            tell(parameter, value)
        trim(0)


def derive_seed(*parts: int) -> int:
    """Mix whole numbers (a seed, a step, a place) into one seed; the same on every platform.

    Example:
        >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def time_calls(function: Callable[[], object], repeats: int, warm: int = 1) -> list[float]:
    """Seconds of each of `repeats` calls, after `warm` calls that do not count; a GPU is waited for."""
    seconds = []
    for call in range(-warm, repeats):
        _wait()
        started = time.perf_counter()
        function()
        _wait()
        if call >= 0:
            seconds.append(time.perf_counter() - started)
    return seconds


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
