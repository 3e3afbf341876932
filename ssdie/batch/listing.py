"""Files of folders and object stores, listed while others are being enhanced: `StreamedJobs`."""

import os
from collections import deque
from collections.abc import Iterator, MutableSequence
from pathlib import Path, PurePosixPath

from ssdie.batch.jobs import Naming, readable_suffixes, walk
from ssdie.batch.outcome import Outcome
from ssdie.batch.storage import check_url, is_url, join, open_store


class StreamedJobs:
    """Iterable of pairs (source, target), which keeps the names of only one folder at a time in memory.

    Args:
        inputs: folders and files, as paths or URLs.
        out: folder to write to, as a path or URL.
        naming: how outputs are named.

    Raises:
        ValueError: a URL contains a password.
    """

    def __init__(self, inputs: list[str | Path], out: str | Path, naming: Naming):
        self.inputs, self.out, self.naming = [str(path) for path in inputs], str(out), naming
        self.skipped: MutableSequence[tuple[str, str]] = []  # path, kind; the caller empties it
        self.failed: MutableSequence[Outcome] = []  # folders that cannot be listed; the caller empties it
        for path in (*self.inputs, self.out):
            check_url(path)
        self.real_out = _real(self.out)
        roots = map(_real, self.inputs)  # an output folder inside an input is not listed, and so not exposed
        self.exposed = [] if naming.suffix else [root for root in roots if not self.real_out.startswith(f"{root}/")]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield source and target of each file, from the beginning.

        Raises:
            ValueError: an output would replace an input.
        """
        for root in self.inputs:
            names = self._list(root) if is_url(root) else (name for name, _ in self._walk(root))
            for name in names:
                source, place = join(root, name) if name else root, self._place(root, name)
                if ".." in place.split("/"):  # possible in keys of an object store
                    self.failed.append(Outcome(source, "", "failed", "its name points outside the output folder"))
                    continue
                target, real = join(self.out, place), f"{self.real_out}/{place}"
                if any(real == exposed or real.startswith(f"{exposed}/") for exposed in self.exposed):
                    got = f"{target}: expected a new file, got one in the input, where it could replace a photo."
                    raise ValueError(f"{got} Give another folder with -o.")
                yield source, target

    def count(self) -> int:
        """Count the files without storing their names."""
        others = StreamedJobs(self.inputs, self.out, self.naming)
        others.skipped = others.failed = deque(maxlen=0)
        return sum(1 for _ in others)

    def _place(self, root: str, name: str) -> str:
        """Return the path of a file's output relative to `out`."""
        return self.naming.rename(name or PurePosixPath(root).name)

    def _walk(self, root: str) -> Iterator[tuple[str, bool]]:
        if not os.path.isdir(root):
            return iter([("", False)])
        excluded = "" if is_url(self.out) else self.real_out
        return walk(root, excluded, self.skipped, self.naming.suffix)

    def _list(self, root: str) -> Iterator[str]:
        """Yield the names of the photos and videos below a URL, sorted within each prefix."""
        store, top = open_store(root)
        if store.isfile(top):
            yield ""
            return
        out = open_store(self.out)[1].rstrip("/") if is_url(self.out) else None
        pending = [top]
        while pending:
            folder = pending.pop()
            try:
                entries = sorted(store.ls(folder, detail=True, refresh=True), key=lambda entry: entry["name"])
            except OSError as error:
                message = f"it cannot be listed ({error.strerror or type(error).__name__})"
                self.failed.append(Outcome(join(root, folder[len(top) :].strip("/")), "", "failed", message))
                continue
            folders = []
            for entry in entries:
                name = entry["name"].rstrip("/")
                path = PurePosixPath(name)
                if entry["type"] == "directory":
                    if path.name != ".ssdie" and name != out:
                        folders.append(name)
                elif name != folder.rstrip("/"):
                    below = name[len(top) :].strip("/")
                    if kind := self._kind(path):
                        self.skipped.append((join(root, below), kind))
                    else:
                        yield below
            pending += reversed(folders)

    def _kind(self, path: PurePosixPath) -> str:
        """Return why an object is not enhanced; "" for a photo or video."""
        if path.name.startswith("."):
            return "hidden"
        if path.suffix.lower() not in SUFFIXES:
            return path.suffix.lower() or "without suffix"
        return "enhanced before" if self.naming.suffix and path.stem.endswith(self.naming.suffix) else ""


def _real(path: str) -> str:
    """Return the real path of a folder, or a URL without its last slash."""
    return path.rstrip("/") if is_url(path) else os.path.realpath(path)


SUFFIXES = readable_suffixes()
