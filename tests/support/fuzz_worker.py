"""Enhance the photos on standard input, one at a time, with bounded memory; print the outcome of each."""

import os
import resource
import struct
import sys
import tempfile
import warnings
from pathlib import Path

from photos import StubModel

from ssdie.batch.jobs import Naming
from ssdie.batch.outcome import Task
from ssdie.enhancement.worker import Settings, do_task
from ssdie.photo import read_photo

MARGIN = 256 << 20  # bytes of address space beyond those in use after the first photo


def main() -> None:
    """Read records (length, suffix, content) until the input ends; write one line for each."""
    warnings.simplefilter("ignore")
    settings = Settings(working_size=16)
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1]))
    warm = False
    while header := sys.stdin.buffer.read(8):
        length, suffix = struct.unpack("<I4s", header)
        source = folder / f"photo.{suffix.decode().strip()}"
        source.write_bytes(sys.stdin.buffer.read(length))
        target = folder / "out" / Naming().rename(source.name)
        target.parent.mkdir(exist_ok=True)
        outcome = do_task(Task(str(source), str(target)), StubModel(), settings)
        message = outcome.reason or "done"
        files = sorted(p.name for p in target.parent.iterdir())
        if files != ([] if outcome.reason else [target.name]):
            message = f"left {files}"
        if not outcome.reason:
            read_photo(target)
        for path in (source, *(folder / "out").iterdir()):
            path.unlink()
        if not warm:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (size + MARGIN, size + MARGIN))
            warm = True
        print(message.encode("ascii", "backslashreplace").decode().replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
