"""Where things lie: research data, the checkout, released weights; and how a file is written whole or not at all."""

import errno
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PACKAGE = Path(__file__).resolve().parents[1]
WEIGHTS = PACKAGE / "weights"


def data_root() -> Path | None:
    """Give the folder named by the environment variable SSDIE_DATA, or None where it is not set.

    Raises:
        FileNotFoundError: SSDIE_DATA is set, but is no folder.
    """
    value = os.environ.get("SSDIE_DATA")
    if not value:
        return None
    root = Path(value).expanduser().resolve()
    if not root.is_dir():
        raise FileNotFoundError(
            f"SSDIE_DATA is {value!r}, which is no folder; point it at the data (see data/README.md) or unset it."
        )
    return root


def is_offline() -> bool:
    """Whether the environment variable SSDIE_OFFLINE is set, to anything but 0: then nothing may be fetched."""
    return os.environ.get("SSDIE_OFFLINE", "0") not in ("", "0")


def project_root() -> Path:
    """Give the checkout that holds `notebooks/`; the working directory where the package is installed elsewhere."""
    checkout = PACKAGE.parent
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` when the block ends well, remove it when it fails.

    Args:
        path: the file to write; missing folders are made. The temporary path has the same suffix.

    Raises:
        OSError: it cannot be written; names `path`, not the temporary one.

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
    if path.is_file() and not os.access(path, os.W_OK):  # renaming would replace it all the same
        raise PermissionError(errno.EACCES, "it is there and read-only", str(path))
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
    """Remove, of these, the temporary files of `atomic` whose writers were killed: nobody touched them for a minute.

    Args:
        paths: of files; the others among them stay.
        now: time by the clock of their disk, which may be another machine's; seconds since 1970; None takes this one's.
    """
    now = time.time() if now is None else now
    for path in paths:
        if re.search(r"-[0-9a-f]{8}\.part(\.|$)", path.name) and path.name.startswith("."):
            with suppress(OSError):
                if now - path.stat().st_mtime > 60:
                    path.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and have it on the disk before it takes its name."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def shorten(path: str | Path) -> str:
    """Name a path from the checkout on."""
    path = Path(path)
    return str(path.relative_to(project_root())) if path.is_relative_to(project_root()) else str(path)


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sum(path: Path) -> None:
    """Compare a released file with the `SHA256SUMS` beside it.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file has another SHA-256.
    """
    lines = (path.parent / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    expected, got = dict(reversed(line.split()) for line in lines).get(path.name), file_digest(path)
    if got != expected:
        raise ValueError(f"{path} is damaged: expected the SHA-256 {expected}, got {got}. Install ssdie again.")


@contextmanager
def lock_folder(folder: str | Path) -> Iterator[None]:
    """Hold a folder: no other process writes there meanwhile. The system lets go of it when a process dies.

    Raises:
        BlockingIOError: another process holds it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock", timeout=0, is_singleton=True)  # a process may take what it has
        with lock:
            yield
    except Timeout:
        told = f"{folder} is in use by another run; wait for its end, or give another folder."
        raise BlockingIOError(told) from None
