"""Tools of the benchmark: timers, lines of the table, the machine and its ceilings."""

import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from ssdie.utils.devices import fast_bfloat16, time_calls
from ssdie.utils.machine import cpu_model, usable_cores

Target = tuple[str, float] | None  # ("<=" or ">=", number)
# instruction sets that decide the speed of a network, and the names that PyTorch has for them
INSTRUCTION_SETS = {
    "avx2": ("avx2",),
    "avx512": ("avx512_f",),
    "bf16": ("avx512_bf16", "arm_bf16", "bf16"),
    "amx": ("amx_tile", "amx_bf16"),
}


class Stopwatch:
    """Wall-clock seconds by part: `with watch("features"): ...` adds to that part.

    Example:
        >>> watch = Stopwatch()
        >>> with watch("nothing"):
        ...     pass
        >>> list(watch.parts)
        ['nothing']
    """

    def __init__(self):
        self.parts: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add the time of the block to a part."""
        started = time.perf_counter()
        yield
        self.parts[part] += time.perf_counter() - started


def time_work(function: Callable[[], object], repeats: int, warm: int = 1) -> dict[str, list[float]]:
    """Time a function on the CPU: lists of "seconds" (wall-clock) and "cpu" seconds of this process, all threads.

    Other work on the machine changes only the former.

    Args:
        function: called without arguments.
        repeats: number of timed calls.
        warm: number of calls before them.
    """
    found: dict[str, list[float]] = {"seconds": [], "cpu": []}
    for call in range(-warm, repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if call >= 0:
            found["seconds"].append(wall)
            found["cpu"].append(cpu)
    return found


def measurement(
    name: str,
    values: list[float] | float,
    unit: str,
    target: Target = None,
    cpu: list[float] | float | None = None,
    cpu_target: Target = None,
    **about,
) -> dict:
    """Return one line of the table: median, minimum and maximum of the values, beside a target.

    Args:
        name: what was measured.
        values: one for each repetition.
        unit: of the values; "x" for ratios.
        target: for the median of the values.
        cpu: CPU seconds of each repetition.
        cpu_target: for the median of the CPU seconds, instead of `target`.
        **about: anything else to keep, plain values.

    Example:
        >>> measurement("copy", [1.0, 3.0, 2.0], "s", ("<=", 2.5))["reached"]
        True
        >>> measurement("copy", 3.0, "s", cpu=1.0, cpu_target=("<=", 2))["target"]
        '<= 2 CPU-s'
    """
    values = values if isinstance(values, list) else [values]
    line = {"name": name, "median": statistics.median(values), "least": min(values), "most": max(values)}
    line |= {"repeats": len(values), "unit": unit}
    if cpu is not None:
        line["cpu_seconds"] = statistics.median(cpu if isinstance(cpu, list) else [cpu])
    if chosen := cpu_target or target:
        found = line["cpu_seconds"] if cpu_target else line["median"]
        reached = found <= chosen[1] if chosen[0] == "<=" else found >= chosen[1]
        line |= {"target": f"{chosen[0]} {chosen[1]:g}" + (" CPU-s" if cpu_target else ""), "reached": reached}
    return line | about


def timing(name: str, found: dict[str, list[float]], target: Target = None, **about) -> dict:
    """Return the line of a timed row from "seconds" and "cpu"; the target is for CPU seconds."""
    return measurement(name, found["seconds"], "s", cpu=found["cpu"], cpu_target=target, **about)


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """Return how many times faster the second is, repetition by repetition.

    Example:
        >>> ratios([4.0, 6.0], [1.0, 2.0])
        [4.0, 3.0]
    """
    return [a / b for a, b in zip(slow, fast, strict=True)]


# The machine -------------------------------------------------------------------------------------------------------


def describe_machine() -> dict:
    """Return CPU model, instruction sets, cores, threads, memory (bytes), GPU and versions."""
    known = torch.cpu.get_capabilities()
    sets = [label for label, names in INSTRUCTION_SETS.items() if any(known.get(name) for name in names)]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    versions = {"python": platform.python_version(), "torch": torch.__version__, "system": platform.system()}
    parts = {"threads": torch.get_num_threads(), "memory": psutil.virtual_memory().total, "gpu": gpu}
    return {"cpu": cpu_model(), "instruction_sets": sets, "cores": usable_cores()} | parts | versions


def measure_ceiling(repeats: int, device: str = "cpu") -> dict[str, float]:
    """Measure the fastest large matrix product or convolution, "float32" and "bfloat16" (operations a second), and
    the fastest "copy" (bytes a second).

    Both operations are tried, since a CPU's library may have a good kernel for only one of them. A CPU without bfloat16
    instructions has no entry for it: emulation takes minutes, and nothing here uses it there.
    """
    side, channels = (2048, 256) if device == "cpu" else (8192, 1024)
    found = {}
    for dtype in (torch.float32, torch.bfloat16) if device != "cpu" or fast_bfloat16() else (torch.float32,):
        a = torch.randn(side, side, device=device).to(dtype)
        image = torch.randn(4, channels, 64, 64, device=device).to(dtype, memory_format=torch.channels_last)
        kernels = torch.randn(channels, channels, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
        with torch.inference_mode():
            product = min(time_calls(lambda a=a: a @ a, repeats))
            convolution = min(time_calls(lambda i=image, k=kernels: F.conv2d(i, k, padding=1), repeats))
        rates = 2 * side**3 / product, 2 * 9 * channels * image.numel() / convolution
        found[str(dtype).removeprefix("torch.")] = max(rates)
    source = torch.ones(2**26, device=device)
    target = torch.empty_like(source)
    found["copy"] = 2 * source.nbytes / min(time_calls(lambda: target.copy_(source), repeats))
    return found


def count_operations(function: Callable[[], object]) -> int:
    """Return the floating-point operations of the matrix products and convolutions in a call."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()
