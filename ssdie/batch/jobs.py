"""Which files are enhanced and where each is written: `find_jobs`.

A folder may hold millions of files, and each of many processes lists them all: of a file only its name below the folder
is kept, paths are made when they are asked for.
"""

import functools
import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from ssdie.photo.files import IMAGE_SUFFIXES

VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"}


class Jobs(Sequence):
    """Pairs (source, target) of paths, in an order that depends on the inputs alone."""

    def __init__(self, out: str | Path):
        self.out = str(out)
        self.roots: list[tuple[str, str]] = []  # folders: as they were named; where they really are, with a separator
        self.names: list[str] = []  # of a file: its path below its root
        self.root = array("L")  # of a file: the index of its root
        self.links: dict[int, str] = {}  # of a file that is a link: where it leads
        self.places: dict[int, str] = {}  # of a file: its path below `out`, where that is not its name
        self.order: Sequence[int] = ()  # the files, each once
        self.real_folder = functools.lru_cache(1024)(self._real_folder)

    def __len__(self) -> int:
        """Number of files."""
        return len(self.order)

    def __getitem__(self, index: int) -> tuple[Path, Path]:
        """Source and target of a file."""
        file = self.order[index]
        return Path(self.roots[self.root[file]][0], self.names[file]), Path(self.out, self.place(file))

    def add(self, folder: str, names: Iterable[tuple[str, bool]]) -> None:
        """Append files of a folder: their paths below it, and whether each is a link."""
        if not self.roots or self.roots[-1][0] != folder:
            self.roots.append((folder, os.path.join(os.path.realpath(folder), "")))
        for name, is_link in names:
            if is_link:
                self.links[len(self.names)] = os.path.realpath(os.path.join(folder, name))
            self.names.append(name)
            self.root.append(len(self.roots) - 1)

    def place(self, file: int) -> str:
        """Where below `out` a file is written."""
        return self.places.get(file, self.names[file])

    def real_source(self, file: int) -> str:
        """Where a file really is."""
        return self.links.get(file) or self.roots[self.root[file]][1] + self.names[file]

    def real_target(self, file: int) -> str:
        """Where a file is really written; a link in its place is replaced, not followed."""
        folder, name = os.path.split(self.place(file))
        return self.real_folder(folder) + name

    def _real_folder(self, folder: str) -> str:
        return os.path.join(os.path.realpath(os.path.join(self.out, folder)), "")


def find_jobs(inputs: Iterable[str | Path], out: str | Path) -> Jobs:
    """List what to enhance and where to write it.

    Args:
        inputs: files, and folders of files (with the folders in them).
        out: folder to write to; what lies in it is no input.

    Returns:
        Pairs of paths; a file that is named twice is there once, and of files of the same name those folders are kept
        that differ.

    Raises:
        ValueError: there is no photo, two outputs would be one file, or an output would replace an input.
    """
    inputs, jobs = list(inputs), Jobs(out)
    for path in map(Path, inputs):
        if os.path.isdir(path):
            jobs.add(str(path), _walk(str(path), os.path.realpath(out)))
        else:
            jobs.add(str(path.parent), [(path.name, True)])
    if not jobs.names:
        named, known = ", ".join(map(str, inputs)), ", ".join(sorted(IMAGE_SUFFIXES))
        raise ValueError(f"There is no photo in {named or 'nothing'}; give photos or folders of them ({known}).")
    jobs.order = range(len(jobs.names))
    if twice := _repeated(lambda: map(jobs.real_source, jobs.order)):
        first: dict[str, int] = {}
        jobs.order = [f for f in jobs.order if (s := jobs.real_source(f)) not in twice or first.setdefault(s, f) == f]
    groups = defaultdict(list)
    if shared := _repeated(lambda: map(jobs.place, jobs.order)):
        for file in (f for f in jobs.order if jobs.place(f) in shared):
            groups[jobs.place(file)].append(file)
    for group in groups.values():
        common = os.path.commonpath(map(jobs.real_source, group))
        jobs.places |= {file: os.path.relpath(jobs.real_source(file), common) for file in group}
    _check_targets(jobs)
    return jobs


def _check_targets(jobs: Jobs) -> None:
    """Refuse targets that are one file, or an input."""
    twice = _repeated(lambda: chain(map(jobs.real_source, jobs.order), map(jobs.real_target, jobs.order)))
    sources = {source for source in map(jobs.real_source, jobs.order if twice else ()) if source in twice}
    for index, file in enumerate(jobs.order if sources else ()):
        if jobs.real_target(file) in sources:
            raise ValueError(f"{jobs[index][1]} is one of the inputs and would be lost; give another folder with -o.")
    if twice:
        told = f"Several inputs would become the same file in {jobs.out}"
        raise ValueError(f"{told}; enhance them into folders of their own.")


def _repeated(strings: Callable[[], Iterable[str]]) -> set[str]:
    """Strings that come more than once; of a million, hashes of 8 bytes each sieve out the others."""
    hashes = np.sort(np.fromiter(map(hash, strings()), np.int64))
    twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    counted = Counter(s for s in strings() if hash(s) in twice) if twice else {}
    return {s for s, times in counted.items() if times > 1}


def _walk(folder: str, skipped: str) -> Iterator[tuple[str, bool]]:
    """Photos and videos below a folder, in name order, and whether each is a link; none of the folder `skipped`.

    Broken links, pipes and folders that cannot be listed are among them, so that they are told as failures.
    """
    known, real = IMAGE_SUFFIXES | VIDEO_SUFFIXES, os.path.realpath(folder)
    links = set()
    pending = [os.sep]  # the next last; folders end in a separator
    while pending:
        name = pending.pop()
        if not name.endswith(os.sep):
            yield name, name in links
            links.discard(name)
            continue
        name, found = name.lstrip(os.sep), {}
        try:
            with os.scandir(os.path.join(folder, name)) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if os.path.join(real, name, entry.name) != skipped:
                            found[entry.name] = os.sep
                    elif os.path.splitext(entry.name)[1].lower() in known and not entry.name.startswith("."):
                        if not entry.is_symlink():
                            found[entry.name] = ""
                        elif not os.path.isdir(entry.path):
                            found[entry.name] = ""
                            links.add(name + entry.name)
        except OSError:
            yield name.rstrip(os.sep), False
            continue
        pending += (name + n + found[n] for n in sorted(found, reverse=True))
