"""The machine that a program runs on: CPU model and usable cores."""

import os
import platform
from pathlib import Path


def cpu_model() -> str:
    """Return the name of the CPU model, such as "AMD EPYC", or the architecture if the system does not report it."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return the number of cores that this process may use.

    Example:
        >>> 1 <= usable_cores() <= os.cpu_count()
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
