"""What `ssdie.bench.suite` measures with: stopwatches, peak memory in child processes, the machine and its ceilings."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from ssdie.utils.devices import time_calls
from ssdie.utils.paths import PACKAGE


class Stopwatch:
    """Seconds by part: `with watch("features"): ...` adds to that part.

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
        """Measure what runs inside."""
        started = time.perf_counter()
        yield
        self.parts[part] += time.perf_counter() - started


def measurement(
    name: str, values: list[float] | float, unit: str, goal: tuple[str, float] | None = None, **about
) -> dict:
    """One line of the table: median, least and most of the values, beside its goal.

    Args:
        name: what was measured.
        values: of each repetition.
        unit: of the values; "x" for ratios.
        goal: ("<=" or ">=", number).
        **about: anything else to keep, plain values.

    Example:
        >>> figure("copying", [1.0, 3.0, 2.0], "s", ("<=", 2.5))["met"]
        True
    """
    values = values if isinstance(values, list) else [values]
    median = statistics.median(values)
    line = {"name": name, "median": median, "least": min(values), "most": max(values)}
    line |= {"repeats": len(values), "unit": unit}
    if goal:
        line |= {"goal": f"{goal[0]} {goal[1]:g}", "met": median <= goal[1] if goal[0] == "<=" else median >= goal[1]}
    return line | about


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """How many times faster, repetition by repetition.

    Example:
        >>> ratios([4.0, 6.0], [1.0, 2.0])
        [4.0, 3.0]
    """
    return [a / b for a, b in zip(slow, fast, strict=True)]


# Memory ------------------------------------------------------------------------------------------------------------


def peak_bytes() -> int:
    """Most memory that this process has held; bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: getrusage there starts from what the parent held
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_child(call: str, timeout: float = 3600, **environment: str) -> dict:
    """Run `ssdie.bench.tasks.CALL` in a fresh interpreter; give what it returns, and its peak memory as "peak", bytes.

    Args:
        call: name and arguments.
        timeout: seconds.
        **environment: variables that the child sees besides ours.

    Raises:
        RuntimeError: the child failed.
    """
    code = (
        "import json; from ssdie.bench import tasks; from ssdie.bench.measure import peak_bytes; "
        f"found = tasks.{call} or {{}}; print(json.dumps(found | {{'peak': peak_bytes()}}))"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)} | environment
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=timeout, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{call} failed in its own process: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


# The machine -------------------------------------------------------------------------------------------------------


def describe_machine() -> dict:
    """Processor, cores, threads, memory (bytes), GPU and versions."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        models = [line.split(":")[1].strip() for line in information.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    versions = {"python": platform.python_version(), "torch": torch.__version__, "system": platform.system()}
    parts = {"memory": psutil.virtual_memory().total, "gpu": gpu}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": name, "cores": cores, "threads": torch.get_num_threads()} | parts | versions


def measure_ceiling(repeats: int, device: str = "cpu") -> dict[str, float]:
    """Fastest large matrix product or convolution, "float32" and "bfloat16" (operations a second), and "copy" (bytes).

    Both are tried, since a processor's library may have a good kernel for the one alone.
    """
    side, channels = (2048, 256) if device == "cpu" else (8192, 1024)
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
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
    """Floating-point operations of the matrix products and convolutions in a call."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()
