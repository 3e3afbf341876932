"""Where things lie: research data, the checkout, released weights; and how a file is written whole or not at all."""

import errno
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
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


def sweep(paths: Iterable[Path], now: float | None = None) -> None:
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
