"""Memory is kept while a block runs, and given back after it."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ssdie.utils.devices import DEFAULTS, MMAP_MAX, TRIM_THRESHOLD, kept_memory

SIZE = 2**26  # bytes, in pages of 4096


def held() -> int:
    """Bytes of this process that lie in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def faults() -> int:
    """Pages that the system had to fetch for this process so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def fill() -> None:
    """Write to a block of memory, and free it."""
    torch.ones(SIZE, dtype=torch.uint8)


def test_freed_memory_is_used_again_and_given_back_at_the_end():
    with kept_memory() as kept:
        assert kept == (sys.platform == "linux")  # the tests run with glibc there
        if not kept:
            return
        for _ in range(8):  # until the gaps between blocks have grown together
            fill()
        before = faults()
        fill()
        assert faults() - before < SIZE // 4096 // 10
        inside = held()
    assert inside - held() > SIZE / 2
    before = faults()
    fill()
    assert faults() - before > SIZE // 2**21 / 2  # fetched anew, in pages of 2 MB at most


def test_memory_is_given_back_after_an_error(monkeypatch):
    told = []
    library = SimpleNamespace(mallopt=lambda *about: told.append(about), malloc_trim=lambda pad: told.append("trim"))
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    with pytest.raises(KeyError), kept_memory():
        during = dict(told)
        raise KeyError
    assert during == {MMAP_MAX: 0, TRIM_THRESHOLD: -1}
    assert dict(told[2:-1]) == DEFAULTS and told[-1] == "trim"


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    with kept_memory() as kept:
        assert not kept
