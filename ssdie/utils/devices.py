"""Copies without host-device synchronisation, precision by device, allocator settings, seeds and timing."""

import ctypes
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to a device without host-device synchronisation, through pinned memory on CUDA."""
    if tensor.device == device or device.type in ("cpu", "mps"):
        return tensor.to(device)
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def constant_like(values: Sequence, like: torch.Tensor) -> torch.Tensor:
    """Create constants with the dtype and device of `like`, copied without synchronising.

    Example:
        >>> constant_like((1, 2), torch.zeros(1))
        tensor([1., 2.])
    """
    return to_device(torch.tensor(values, dtype=like.dtype), like.device)


@functools.cache
def fast_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 faster than float32.

    True with matrix units (AMX), and with bfloat16 instructions on AMD and ARM. Intel CPUs without AMX run these
    instructions at half the rate of float32, which gains nothing.
    """
    capabilities = torch.cpu.get_capabilities()
    vector = any("bf16" in name and value is True for name, value in capabilities.items())
    return bool(capabilities.get("amx_bf16")) or (vector and "Intel" not in str(capabilities.get("cpu_name")))


PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def resolve_precision(precision: str, device: torch.device | str = "cpu") -> str:
    """Resolve the precision in which a device trains and enhances.

    Args:
        precision: "auto", "fp32" (or "no", its name in accelerate), "bf16" or "fp16".
        device: device of the computation.

    Returns:
        "fp32", "bf16" or "fp16"; "auto" gives "bf16" on CUDA and on a CPU that is faster in it (`fast_bfloat16`), and
        "fp32" elsewhere.

    Raises:
        ValueError: `precision` is unknown.

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
    """Disable autocast in a block, so that operations keep the precision of their inputs."""
    supported = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if supported else nullcontext()


MMAP_MAX, TRIM_THRESHOLD = -4, -1  # parameters of glibc's mallopt: M_MMAP_MAX and M_TRIM_THRESHOLD
DEFAULTS = {MMAP_MAX: 65536, TRIM_THRESHOLD: 128 * 1024}


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Let the allocator keep freed memory for reuse while the block runs, and return it to the system at the end.

    glibc requests each allocation above 32 MB from the system and returns it when it is freed. Feature maps are such
    allocations; zeroing fresh pages costs several times as much as an element-wise addition. The price is
    fragmentation, which raises the memory use of a training step by 10 % in bfloat16 and by 33 % in float32.

    Yields:
        Whether the allocator supports this; without glibc nothing changes.

    Source: mallopt(3) and malloc_trim(3) of the GNU C library.
    """
    try:
        library = ctypes.CDLL(None)
        set_option, trim = library.mallopt, library.malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        yield False
        return
    set_option(MMAP_MAX, 0)
    set_option(TRIM_THRESHOLD, -1)
    try:
        yield True
    finally:
        for parameter, value in DEFAULTS.items():
            set_option(parameter, value)
        trim(0)


def derive_seed(*parts: int) -> int:
    """Mix integers (a seed, a step, an index) into one seed, the same on every platform.

    Example:
        >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def time_calls(function: Callable[[], object], repeats: int, warm: int = 1) -> list[float]:
    """Measure the wall-clock time of `repeats` calls, in seconds; a GPU is synchronised before and after each.

    Args:
        function: called without arguments.
        repeats: number of timed calls.
        warm: number of untimed calls before them.
    """
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
