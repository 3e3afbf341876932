"""`kept_memory`: freed memory stays with the process inside the block, and is returned to the system after it."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ssdie.utils.devices import DEFAULTS, MMAP_MAX, TRIM_THRESHOLD, kept_memory

SIZE = 2**26  # bytes, in pages of 4096


def resident_bytes() -> int:
    """Resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def page_faults() -> int:
    """Minor page page_faults of this process so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def allocate() -> None:
    """Allocate, write and free `SIZE` bytes."""
    torch.ones(SIZE, dtype=torch.uint8)


def test_freed_memory_is_reused_inside_the_block_and_returned_after_it():
    with kept_memory() as kept:
        assert kept == (sys.platform == "linux")  # the tests run with glibc there
        if not kept:
            return
        for _ in range(8):  # until the allocator has one free block that is large enough
            allocate()
        before = page_faults()
        allocate()
        assert page_faults() - before < SIZE // 4096 // 10
        inside = resident_bytes()
    assert inside - resident_bytes() > SIZE / 2
    before = page_faults()
    allocate()
    assert page_faults() - before > SIZE // 2**21 / 2  # page page_faults again, for pages of at most 2 MB


def test_allocator_settings_are_restored_after_an_error(monkeypatch):
    calls = []
    library = SimpleNamespace(mallopt=lambda *args: calls.append(args), malloc_trim=lambda pad: calls.append("trim"))
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    with pytest.raises(KeyError), kept_memory():
        during = dict(calls)
        raise KeyError
    assert during == {MMAP_MAX: 0, TRIM_THRESHOLD: -1}
    assert dict(calls[2:-1]) == DEFAULTS and calls[-1] == "trim"


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    with kept_memory() as kept:
        assert not kept
