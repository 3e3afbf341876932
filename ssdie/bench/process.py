"""Run work in processes of their own; measure their wall-clock time, CPU time and peak memory.

This module imports nothing heavy, so that a child process that measures itself stays small. Work that a process hands
to worker processes counts too.
"""

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ssdie.utils.paths import PACKAGE

ONE_CPU = "import os; hasattr(os, 'sched_setaffinity') and os.sched_setaffinity(0, [max(os.sched_getaffinity(0))]); "
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
COMMAND = "import sys; from ssdie.cli import main; sys.exit(main(sys.argv[1:]))"
SET_CHILD_SUBREAPER = 36  # option of Linux's prctl


class Run(NamedTuple):
    """A finished process: last line of its output, wall-clock and CPU seconds, peak memory with its workers (bytes)."""

    output: str
    seconds: float
    cpu: float
    peak: int


def peak_bytes() -> int:
    """Return the peak resident memory of this process; bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # on Linux getrusage would start from the memory of the parent process
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource  # does not exist on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_child(call: str, timeout: float = 3600, one_thread: bool = False, module: str = "tasks") -> dict:
    """Run `ssdie.bench.tasks.CALL` in a new process; return its result, with its peak memory as "peak"; bytes.

    Args:
        call: function name and arguments.
        timeout: seconds.
        one_thread: use one CPU and one thread.
        module: of `ssdie.bench`, that holds the function.

    Raises:
        RuntimeError: the child failed.
    """
    code = (
        f"import json; from ssdie.bench import {module} as tasks; from ssdie.bench.process import peak_bytes; "
        f"found = tasks.{call} or {{}}; print(json.dumps(found | {{'peak': peak_bytes()}}))"
    )
    return json.loads(_run(code, call, [], timeout, one_thread).output)


def run_code(code: str, repeats: int = 1) -> dict[str, list[float]]:
    """Run Python code in new processes of one thread; return lists of "seconds" and "cpu" seconds."""
    runs = [_run(code, code, [], 600, True) for _ in range(repeats)]
    return {key: [getattr(run, key) for run in runs] for key in ("seconds", "cpu")}


def run_command(arguments: list[str], repeats: int = 1) -> dict[str, list[float]]:
    """Run `ssdie ARGUMENTS` in new processes with one thread each, from process start to exit.

    Returns:
        Lists of "seconds" (wall-clock), "cpu" seconds and "peak" bytes, workers included.

    Raises:
        RuntimeError: the command failed.
    """
    runs = [_run(COMMAND, f"ssdie {arguments[0]}", arguments, 3600, True, with_memory=True) for _ in range(repeats)]
    return {key: [getattr(run, key) for run in runs] for key in ("seconds", "cpu", "peak")}


def _run(
    code: str, name: str, arguments: list[str], timeout: float, one_thread: bool, with_memory: bool = False
) -> Run:
    """Run code in a new interpreter and measure it; `with_memory` samples the memory of it and its workers."""
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)} | (ONE_THREAD if one_thread else {})
    command, peak = [sys.executable, "-c", (ONE_CPU if one_thread else "") + code, *arguments], 0
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors, _adopt_orphans():
        started, before = time.perf_counter(), os.times()
        child = subprocess.Popen(command, stdout=output, stderr=errors, text=True, env=environment)
        while child.poll() is None:
            peak = max(peak, tree_bytes(child.pid) if with_memory else 0)
            if time.perf_counter() - started > timeout:
                child.kill()
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        output.seek(0), errors.seek(0)
        if child.returncode:
            raise RuntimeError(f"{name} failed in its own process: {errors.read().strip().splitlines()[-1:]}")
        last = (output.read().splitlines() or [""])[-1]
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(last, seconds, cpu, peak)


def tree_bytes(number: int) -> int:
    """Return the memory of a process and its descendants; shared pages count once (on Linux); bytes."""
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(number)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error, OSError):
                total += getattr(one.memory_full_info(), "pss", None) or one.memory_info().rss
    return total


@contextlib.contextmanager
def _adopt_orphans() -> Iterator[None]:
    """Wait, at the end of the block, for worker processes that outlive the process that started them.

    Their CPU time is then included in `os.times`. This needs Linux, where a process can adopt orphaned descendants.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    import psutil

    prctl, this = ctypes.CDLL(None).prctl, psutil.Process()
    known = {child.pid for child in this.children()}
    prctl(SET_CHILD_SUBREAPER, 1)
    try:
        yield
        while orphans := [child.pid for child in this.children() if child.pid not in known]:
            for number in orphans:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(number, 0)
    finally:
        prctl(SET_CHILD_SUBREAPER, 0)
