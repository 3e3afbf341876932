"""Locations of data, checkout and released weights; atomic writing; checksums; locks."""

import errno
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
WEIGHTS = PACKAGE / "weights"


def data_root() -> Path | None:
    """Return the folder named by the environment variable SSDIE_DATA, or None if it is not set.

    Raises:
        FileNotFoundError: SSDIE_DATA is set, but is not a folder.
    """
    value = os.environ.get("SSDIE_DATA")
    if not value:
        return None
    root = Path(value).expanduser().resolve()
    if not root.is_dir():
        raise FileNotFoundError(
            f"SSDIE_DATA: expected a folder, got {value!r}. Set it to the data folder (see data/README.md) or unset it."
        )
    return root


def cache_folder() -> Path:
    """Return the folder for files that can be downloaded or computed again: XDG_CACHE_HOME or ~/.cache, in it ssdie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ssdie"


def is_offline() -> bool:
    """Return whether the environment variable SSDIE_OFFLINE forbids downloads: set, and not to 0."""
    return os.environ.get("SSDIE_OFFLINE", "0") not in ("", "0")


def project_root() -> Path:
    """Return the checkout that contains `notebooks/`, or else the working directory."""
    checkout = PACKAGE.parent
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds, remove it if the block fails.

    Args:
        path: file to write; missing folders are created. The temporary path has the same suffix.

    Raises:
        OSError: the file cannot be written; the error names `path`, not the temporary path.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with atomic(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text(), [p.name for p in target.parent.iterdir()]
        ('whole', ['a.txt'])
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and not os.access(path, os.W_OK):  # renaming would replace it nevertheless
        raise PermissionError(errno.EACCES, "the file exists and is read-only", str(path))
    temporary = path.with_name(f".{path.stem[:40]}-{uuid.uuid4().hex[:8]}.part{path.suffix[:20]}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_stale_parts(paths: Iterable[Path], now: float | None = None) -> None:
    """Remove temporary files of `atomic` whose writers were killed: those not modified for a minute.

    Args:
        paths: files to examine; other files are left alone.
        now: current time by the clock of the file system, seconds since 1970; None uses the clock of this machine.
    """
    now = time.time() if now is None else now
    for path in paths:
        if re.search(r"-[0-9a-f]{8}\.part(\.|$)", path.name) and path.name.startswith("."):
            with suppress(OSError):
                if now - path.stat().st_mtime > 60:
                    path.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically, and flush it to disk before the rename."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def shorten(path: str | Path) -> str:
    """Return a path relative to the checkout, if it lies inside."""
    path = Path(path)
    return str(path.relative_to(project_root())) if path.is_relative_to(project_root()) else str(path)


def file_digest(path: str | Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sum(path: Path) -> None:
    """Compare a released file with the `SHA256SUMS` beside it.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the SHA-256 differs.
    """
    lines = (path.parent / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    expected, got = dict(reversed(line.split()) for line in lines).get(path.name), file_digest(path)
    if got != expected:
        raise ValueError(f"{path} is damaged: expected SHA-256 {expected}, got {got}. Reinstall ssdie.")


@contextmanager
def lock_folder(folder: str | Path) -> Iterator[None]:
    """Lock a folder against other processes; the system releases the lock if the process dies.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    from filelock import FileLock, Timeout  # takes longer to import than all the rest of this module

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock", timeout=0, is_singleton=True)  # reentrant within a process
        with lock:
            yield
    except Timeout:
        message = f"{folder} is in use by another run. Wait until it ends, or use another folder."
        raise BlockingIOError(message) from None
