"""Enhance pictures that come on standard input, one at a time, with memory bounded; tell what became of each."""

import os
import resource
import struct
import sys
import tempfile
import warnings
from pathlib import Path

import torch

from ssdie.enhancement.folder import enhance_files
from ssdie.networks.generators import build_generator
from ssdie.photo.files import open_photo

MORE = 256 << 20  # bytes of address space above what a process with a warm model has


def main() -> None:
    """Read [length, suffix, content], write a line, until the input ends."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model = build_generator("msff", width=8, head="scattering").eval()
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1]))
    warm = False
    while header := sys.stdin.buffer.read(8):
        length, suffix = struct.unpack("<I4s", header)
        source = folder / f"photo.{suffix.decode().strip()}"
        source.write_bytes(sys.stdin.buffer.read(length))
        failures = enhance_files([source], folder / "out", model, working_size=16, progress=False, workers=1)
        there = sorted(p.name for p in (folder / "out").iterdir() if p.name != "manifest.csv")
        told = failures[0].reason if failures else "done"
        if there != ([] if failures else [source.name]):
            told = f"left {there}"
        if not failures:
            with open_photo(folder / "out" / source.name) as photo:
                photo.load()
        for path in (source, *(folder / "out").iterdir()):
            path.unlink()
        if not warm:
            size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (size + MORE, size + MORE))
            warm = True
        print(told.encode("ascii", "backslashreplace").decode().replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
