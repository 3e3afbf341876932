"""Files on local disks and in object stores (`s3://`, `gs://`, `az://`), through fsspec.

Credentials are read from the environment by each store's own client; URLs must not contain any.
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
    """Return whether a path is a URL.

    Example:
        >>> is_url("s3://bucket/photos"), is_url("/photos")
        (True, False)
    """
    return "://" in str(path)


def check_url(url: str) -> None:
    """Reject a URL with credentials, since URLs are written to journals and logs.

    Raises:
        ValueError: the URL contains credentials; the message omits them.
    """
    parts = urlsplit(url)
    if parts.password or "@" in parts.netloc and parts.scheme != "az":
        where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        raise ValueError(f"{where}: expected a URL without credentials. Set them in the environment instead.")


def absolute(path: str | Path) -> str:
    """Return the absolute path of a file, or its URL, as written to the journal."""
    return str(path) if is_url(path) else os.path.abspath(path)


def join(folder: str, name: str) -> str:
    """Return the path or URL of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}".rstrip("/") if is_url(folder) else os.path.join(folder, name)


def open_store(url: str):
    """Return the fsspec file system of a URL, without a cache of listings, and the path in it.

    Raises:
        ModuleNotFoundError: fsspec or the package for this store is not installed.
    """
    try:
        options = {} if url.startswith(("file:", "memory:")) else {"use_listings_cache": False}
        return require("fsspec", "cluster").core.url_to_fs(url, **options)
    except ImportError as error:  # fsspec's own message, of the package for this store
        raise ModuleNotFoundError(str(error), name=error.name) from error


def stamp(url: str) -> str:
    """Return size and etag (or time of change) of an object as text; empty if it does not exist."""
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
    """Download an object to a temporary file that exists for the duration of a block."""
    with tempfile.TemporaryDirectory(prefix="ssdie-") as folder:
        store, path = open_store(url)
        target = Path(folder, PurePosixPath(path).name)
        store.get_file(path, str(target))
        yield target


def upload(source: Path, url: str) -> None:
    """Write an object atomically: in a store it becomes visible when the upload is complete."""
    store, path = open_store(url)
    if not url.startswith("file:"):
        store.put_file(str(source), path)
        return
    with atomic(path) as temporary:
        shutil.copyfile(source, temporary)


def check_output(out: str | Path) -> None:
    """Check that the bucket of an output URL exists, before any file is enhanced.

    Raises:
        FileNotFoundError: the bucket does not exist.
    """
    if is_url(out) and not str(out).startswith(("file:", "memory:")):
        store, path = open_store(str(out))
        with suppress(PermissionError):  # permission to write does not imply permission to list
            if not store.exists(path.split("/")[0]):
                raise FileNotFoundError(f"{out}: expected a bucket to write to, but it does not exist. Create it.")


def journal_folder(out: str | Path) -> Path:
    """Return the local folder for the journal: the output folder itself, or for a URL one in the user's cache."""
    if not is_url(out):
        return Path(out)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ssdie" / "journals" / hashlib.sha256(str(out).rstrip("/").encode()).hexdigest()[:16]


@contextmanager
def journal_to_read(out: str | Path) -> Iterator[Path]:
    """Yield the path of the journal of an output folder; for a URL the local one, or else a downloaded copy."""
    path = journal_path(journal_folder(out))
    if path.exists() or not is_url(out):
        yield path
        return
    with local_copy(join(str(out), JOURNAL)) as copy:
        yield copy


def fetch_journal(out: str | Path) -> None:
    """Download the journal that a run on another machine left in a store, if there is none on this machine."""
    target = journal_path(journal_folder(out))
    if is_url(out) and not target.exists():
        with suppress(FileNotFoundError), local_copy(join(str(out), JOURNAL)) as copy, atomic(target) as temporary:
            shutil.copyfile(copy, temporary)
