"""Which files are enhanced and where each is written: `find_jobs`.

A folder may hold millions of files. To save memory, only the name of a file relative to its folder is stored; paths are
built on access.
"""

import functools
import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath

import numpy as np

from ssdie.photo.formats import KINDS, SUFFIXES

VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".3gp", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv"}
VIDEO_SUFFIXES |= {".ts", ".m2v", ".flv", ".ogv", ".3g2"}
COPIES = {".jpg": ("HEIC", "JPEG XL"), ".tif": ("RAW",)}  # suffix of the copy, for formats that are only read
OUTPUT_SUFFIXES = dict.fromkeys(VIDEO_SUFFIXES - {".mp4", ".m4v", ".mov", ".mkv", ".webm"}, ".mp4")
OUTPUT_SUFFIXES |= {s: written for written, names in COPIES.items() for name in names for s in KINDS[name].suffixes}


def readable_suffixes() -> set[str]:
    """Return the suffixes of photos and videos, in lower case."""
    return set(SUFFIXES) | VIDEO_SUFFIXES


@dataclass(frozen=True)
class Naming:
    """How outputs are named.

    Args:
        suffix: appended to the stem, as in "-repaired".
        format: suffix of photos that replaces their own, as in "png"; empty keeps it.
    """

    suffix: str = ""
    format: str = ""

    def rename(self, name: str) -> str:
        """Return the name of the output of an input.

        Example:
            >>> Naming("-repaired", "png").rename("in/a.jpg"), Naming().rename("b.AVI")
            ('in/a-repaired.png', 'b.mp4')
        """
        stem, own = os.path.splitext(name)
        written = OUTPUT_SUFFIXES.get(own.lower(), own)
        if self.format and own.lower() not in VIDEO_SUFFIXES:
            written = f".{self.format}"
        return f"{stem}{self.suffix}{written}"


class Jobs(Sequence):
    """Pairs (source, target) of paths, in an order that depends only on the inputs.

    Args:
        out: folder to write to.
        naming: how outputs are named.
    """

    def __init__(self, out: str | Path, naming: Naming = Naming()):  # noqa: B008  frozen
        self.out, self.naming = str(out), naming
        self.skipped: list[tuple[str, str]] = []  # files of other kinds: path, kind
        self.failed: list = []  # always empty: folders that cannot be listed are among the files
        self.roots: list[tuple[str, str]] = []  # folders: as given; real path, with a separator at the end
        self.names: list[str] = []  # of each file: its path relative to its root
        self.root = array("L")  # of each file: the index of its root
        self.links: dict[int, str] = {}  # of files that are links: the real path of their target
        self.places: dict[int, str] = {}  # of some files: path relative to `out`, if it does not follow from names
        self.order: Sequence[int] = ()  # indices of the files, without duplicates
        self.real_folder = functools.lru_cache(1024)(self._real_folder)

    def __len__(self) -> int:
        """Number of files."""
        return len(self.order)

    def __getitem__(self, index: int) -> tuple[Path, Path]:
        """Return source and target of a file."""
        file = self.order[index]
        return Path(self.roots[self.root[file]][0], self.names[file]), Path(self.out, self.place(file))

    def add(self, folder: str, names: Iterable[tuple[str, bool]]) -> None:
        """Append files of a folder: their paths relative to it, and whether each is a link."""
        if not self.roots or self.roots[-1][0] != folder:
            self.roots.append((folder, os.path.join(os.path.realpath(folder), "")))
        for name, is_link in names:
            if is_link:
                self.links[len(self.names)] = os.path.realpath(os.path.join(folder, name))
            self.names.append(name)
            self.root.append(len(self.roots) - 1)

    def place(self, file: int) -> str:
        """Return the path of an output relative to `out`."""
        return self.places.get(file) or self.naming.rename(self.names[file])

    def real_source(self, file: int) -> str:
        """Return the real path of a source."""
        return self.links.get(file) or self.roots[self.root[file]][1] + self.names[file]

    def real_target(self, file: int) -> str:
        """Return the real path of an output; a link at this path is replaced, not followed."""
        folder, name = os.path.split(self.place(file))
        return self.real_folder(folder) + name

    def _real_folder(self, folder: str) -> str:
        return os.path.join(os.path.realpath(os.path.join(self.out, folder)), "")


def find_jobs(inputs: Iterable[str | Path], out: str | Path, naming: Naming = Naming()) -> Jobs:  # noqa: B008  frozen
    """List the files to enhance, and where to write each.

    Args:
        inputs: files, and folders, which are listed recursively.
        out: folder to write to; files in it are not inputs.
        naming: how outputs are named.

    Returns:
        Pairs of paths, without duplicates; `skipped` lists the files of other kinds in the folders. If several inputs
        have the same name, their outputs go to subfolders named after the folders in which their paths differ.

    Raises:
        ValueError: there is no photo or video, two inputs would have the same output, or an output would replace an
            input.
    """
    inputs, jobs = list(inputs), Jobs(out, naming)
    for path in map(Path, inputs):
        if os.path.isdir(path):
            jobs.add(str(path), walk(str(path), os.path.realpath(out), jobs.skipped, naming.suffix))
        else:
            jobs.add(str(path.parent), [(path.name, True)])
    if not jobs.names:
        named, kinds = ", ".join(map(str, inputs)) or "nothing", count_kinds(kind for _, kind in jobs.skipped)
        found = f"other files only ({kinds})" if kinds else "no file"
        raise ValueError(f"{named}: expected photos or videos, got {found}. Give files, or folders of them.")
    jobs.order = range(len(jobs.names))
    if twice := _repeated(lambda: map(jobs.real_source, jobs.order)):
        first: dict[str, int] = {}
        kept = [f for f in jobs.order if (s := jobs.real_source(f)) not in twice or first.setdefault(s, f) == f]
        dropped = {os.path.join(jobs.roots[jobs.root[f]][0], jobs.names[f]) for f in set(jobs.order) - set(kept)}
        jobs.skipped += [(path, "link to another input") for path in sorted(dropped) if os.path.islink(path)]
        jobs.order = kept
    groups = defaultdict(list)
    if shared := _repeated(lambda: map(jobs.place, jobs.order)):
        for file in (f for f in jobs.order if jobs.place(f) in shared):
            groups[jobs.place(file)].append(file)
    for group in groups.values():
        if len({jobs.names[file] for file in group}) == len(group):  # a.heic and a.jpg: a.heic.jpg and a.jpg
            for file in (f for f in group if jobs.place(f) != jobs.names[f]):
                jobs.places[file] = jobs.names[file] + jobs.place(file)[len(os.path.splitext(jobs.names[file])[0]) :]
            continue
        common = os.path.commonpath(map(jobs.real_source, group))
        jobs.places |= {file: naming.rename(os.path.relpath(jobs.real_source(file), common)) for file in group}
    _check_targets(jobs)
    return jobs


def _check_targets(jobs: Jobs) -> None:
    """Reject targets that coincide, or that are inputs."""
    twice = _repeated(lambda: chain(map(jobs.real_source, jobs.order), map(jobs.real_target, jobs.order)))
    sources = {source for source in map(jobs.real_source, jobs.order if twice else ()) if source in twice}
    for index, file in enumerate(jobs.order if sources else ()):
        if jobs.real_target(file) in sources:
            got = f"{jobs[index][1]}: expected a new file, got one of the inputs, which would be lost."
            raise ValueError(f"{got} Give another folder with -o.")
    if twice:
        got = f"{jobs.out}: expected one output for each input, got several inputs with the same output"
        raise ValueError(f"{got}. Enhance them into separate folders.")


def count_kinds(kinds: Iterable[str]) -> str:
    """Summarise kinds, the most frequent first.

    Example:
        >>> count_kinds([".txt", ".heic", ".heic"])
        '2 .heic, 1 .txt'
    """
    return ", ".join(f"{times} {kind}" for kind, times in Counter(kinds).most_common())


def _repeated(strings: Callable[[], Iterable[str]]) -> set[str]:
    """Return the strings that occur more than once; comparing hashes of 8 bytes first saves memory."""
    hashes = np.sort(np.fromiter(map(hash, strings()), np.int64))
    twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    counted = Counter(s for s in strings() if hash(s) in twice) if twice else {}
    return {s for s, times in counted.items() if times > 1}


def walk(
    folder: str, excluded: str = "", skipped: list[tuple[str, str]] | None = None, suffix: str = ""
) -> Iterator[tuple[str, bool]]:
    """Yield the photos and videos in a folder and its subfolders, in name order, and whether each is a link.

    Broken links, pipes and folders that cannot be listed are included, so that they are reported as failures.

    Args:
        folder: to list recursively.
        excluded: real path of a folder to leave out; folders named `.ssdie` are always left out.
        skipped: list to which path and kind of each other file are appended.
        suffix: files whose stem ends with it are outputs of an earlier run and are skipped.
    """
    known, real = readable_suffixes(), os.path.realpath(folder)
    skipped = [] if skipped is None else skipped
    links = set()
    pending = [os.sep]  # a stack of names; those of folders end in a separator
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
                    kind = _kind(entry, known, suffix)
                    if kind == os.sep:
                        if os.path.join(real, name, entry.name) != excluded and entry.name != ".ssdie":
                            found[entry.name] = os.sep
                    elif kind:
                        skipped.append((entry.path, kind))
                    else:
                        found[entry.name] = ""
                        if entry.is_symlink():
                            links.add(name + entry.name)
        except OSError:
            yield name.rstrip(os.sep), False
            continue
        pending += (name + n + found[n] for n in sorted(found, reverse=True))


def _kind(entry: os.DirEntry, known: set[str], suffix: str) -> str:
    """Classify an entry of a folder: "" for a photo or video, a separator for a folder, else why it is skipped."""
    if entry.is_dir(follow_symlinks=False):
        return os.sep
    path = PurePath(entry.name)
    if entry.name.startswith("."):
        return "hidden"
    if path.suffix.lower() not in known:
        return path.suffix.lower() or "without suffix"
    if suffix and path.stem.endswith(suffix):
        return "enhanced before"
    return "link to a folder" if entry.is_symlink() and os.path.isdir(entry.path) else ""
