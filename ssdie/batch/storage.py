"""Files on local disks and in object stores (`s3://`, `gs://`, `az://`), through fsspec.

Credentials come from the environment, as each store's own tools read them; no URL may hold one.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import urlsplit

from ssdie.batch.jobs import Naming, readable_suffixes, walk
from ssdie.batch.outcome import Outcome
from ssdie.utils.dependencies import require


def is_url(path: str | Path) -> bool:
    """Whether a path is an address in an object store.

    Example:
        >>> is_url("s3://bucket/photos"), is_url("/photos")
        (True, False)
    """
    return "://" in str(path)


def check_url(url: str) -> None:
    """Refuse an address that holds a password: it would be written to journals and logs.

    Raises:
        ValueError: without the password.
    """
    parts = urlsplit(url)
    if parts.password or "@" in parts.netloc and parts.scheme != "az":
        where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        raise ValueError(f"{where}: expected an address without credentials. Set them in the environment instead.")


def absolute(path: str | Path) -> str:
    """The full name of a file, for the journal."""
    return str(path) if is_url(path) else os.path.abspath(path)


def join(folder: str, name: str) -> str:
    """Path of a file below a folder."""
    return f"{folder.rstrip('/')}/{name}".rstrip("/") if is_url(folder) else os.path.join(folder, name)


def open_store(url: str):
    """The fsspec file system of an address; it remembers no listing."""
    try:
        options = {} if url.startswith(("file:", "memory:")) else {"use_listings_cache": False}
        return require("fsspec", "cluster").core.url_to_fs(url, **options)
    except ImportError as error:  # fsspec's own message, of the package for this store
        raise ModuleNotFoundError(str(error), name=error.name) from error


def stamp(url: str) -> str:
    """Size and etag (or time of change) of an object; empty if there is none."""
    store, path = open_store(url)
    try:
        return _stamp(store.info(path))
    except FileNotFoundError:
        return ""


def _stamp(info: dict) -> str:
    tag = next((info[name] for name in ("ETag", "etag", "md5Hash", "mtime", "LastModified") if info.get(name)), "")
    return f"{info['size']}-{str(tag).strip(chr(34))}"


@contextmanager
def local_copy(url: str) -> Iterator[Path]:
    """Download an object for a block."""
    with tempfile.TemporaryDirectory(prefix="ssdie-") as folder:
        store, path = open_store(url)
        target = Path(folder, PurePosixPath(path).name)
        store.get_file(path, str(target))
        yield target


def upload(source: Path, url: str) -> None:
    """Write an object, whole or not at all: stores show it when the upload is complete."""
    store, path = open_store(url)
    if not url.startswith("file:"):
        store.put_file(str(source), path)
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    part = Path(path).with_name(f".{PurePath(path).name}.part")
    shutil.copyfile(source, part)
    os.replace(part, path)


class StreamedJobs:
    """Pairs (source, target) of one input after the other, listed while the work goes on: one folder is held at a time.

    Args:
        inputs: folders and files, or their addresses.
        out: folder or address to write to.
        naming: how outputs are named.
    """

    def __init__(self, inputs: list[str | Path], out: str | Path, naming: Naming):
        self.inputs, self.out, self.naming = [str(path) for path in inputs], str(out), naming
        self.skipped: list[tuple[str, str]] = []  # path, kind; taken out by the reader
        self.failed: list[Outcome] = []  # folders that cannot be listed; taken out by the reader
        for path in (*self.inputs, self.out):
            check_url(path)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """List, from the beginning."""
        for root in self.inputs:
            names = self._list(root) if is_url(root) else (name for name, _ in self._walk(root))
            for name in names:
                yield join(root, name) if name else root, join(self.out, self._target(root, name))

    def _target(self, root: str, name: str) -> str:
        return self.naming.rename(name or PurePosixPath(root).name)

    def _walk(self, root: str) -> Iterator[tuple[str, bool]]:
        if not os.path.isdir(root):
            return iter([("", False)])
        excluded = "" if is_url(self.out) else os.path.realpath(self.out)
        return walk(root, excluded, self.skipped, self.naming.suffix)

    def _list(self, root: str) -> Iterator[str]:
        """Names of the photos and videos below an address, in order within each prefix."""
        store, top = open_store(root)
        if store.isfile(top):
            yield ""
            return
        known, out = readable_suffixes(), open_store(self.out)[1] if is_url(self.out) else None
        pending = [top]
        while pending:
            folder = pending.pop()
            try:
                entries = sorted(store.ls(folder, detail=True, refresh=True), key=lambda entry: entry["name"])
            except OSError as error:
                message = f"it cannot be listed ({type(error).__name__})"
                self.failed.append(Outcome(join(root, folder[len(top) :].strip("/")), "", "failed", message))
                continue
            folders = []
            for entry in entries:
                name = entry["name"].rstrip("/")
                if entry["type"] == "directory":
                    if PurePosixPath(name).name != ".ssdie" and name != out:
                        folders.append(name)
                elif name != folder.rstrip("/"):
                    below, suffix = name[len(top) :].strip("/"), PurePosixPath(name).suffix.lower()
                    if suffix in known and not PurePosixPath(name).name.startswith("."):
                        yield below
                    else:
                        self.skipped.append((join(root, below), suffix or "without suffix"))
            pending += reversed(folders)
