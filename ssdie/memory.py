"""Memory of long work on a processor: kept from one step to the next instead of given back and fetched again."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

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
