"""Files on local disks and in object stores (`s3://`, `gs://`, `az://`), through fsspec.

Credentials come from the environment, as each store's own tools read them; no URL may hold one.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from ssdie.batch.journal import journal_path
from ssdie.utils.dependencies import require
from ssdie.utils.paths import atomic

JOURNAL = ".ssdie/journal.sqlite"  # in the output


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
    with atomic(path) as temporary:
        shutil.copyfile(source, temporary)


def check_output(out: str | Path) -> None:
    """Refuse an output whose bucket does not exist, before any file is enhanced for it.

    Raises:
        FileNotFoundError: there is no such bucket.
    """
    if is_url(out) and not str(out).startswith(("file:", "memory:")):
        store, path = open_store(str(out))
        with suppress(PermissionError):  # who may write need not be allowed to list
            if not store.exists(path.split("/")[0]):
                raise FileNotFoundError(f"{out}: expected a bucket to write to, but it does not exist. Create it.")


def journal_folder(out: str | Path) -> Path:
    """Folder in which the journal of an output folder is written: itself, or for an address one on the local disk."""
    if not is_url(out):
        return Path(out)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ssdie" / "journals" / hashlib.sha256(str(out).rstrip("/").encode()).hexdigest()[:16]


@contextmanager
def journal_to_read(out: str | Path) -> Iterator[Path]:
    """The journal of an output folder for a block: of an address the one on this machine, otherwise a copy."""
    path = journal_path(journal_folder(out))
    if path.exists() or not is_url(out):
        yield path
        return
    with local_copy(join(str(out), JOURNAL)) as copy:
        yield copy


def fetch_journal(out: str | Path) -> None:
    """Copy the journal that a run on another machine left in a store, if there is none on this machine."""
    target = journal_path(journal_folder(out))
    if is_url(out) and not target.exists():
        with suppress(FileNotFoundError), local_copy(join(str(out), JOURNAL)) as copy, atomic(target) as temporary:
            shutil.copyfile(copy, temporary)
