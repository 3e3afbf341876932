"""The journal of a batch: which files are finished, with which settings, and which were skipped or failed.

It is a SQLite file, `.ssdie/journal.sqlite` in the output folder, to which one process writes. `Journal.import_csv`
reads the CSV files of release 0.1.0.
"""

import ast
import csv
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from ssdie.batch.jobs import VIDEO_SUFFIXES
from ssdie.utils.paths import lock_folder

FOLDER = ".ssdie"
NAME = "journal.sqlite"
CSV_COLUMNS = ["input", "fingerprint", "settings", "output", "written", "seconds", "status"]  # of release 0.1.0
COMMIT_EVERY = 0.5  # seconds; after a crash, files finished since the last commit are repeated

SCHEMA = """CREATE TABLE IF NOT EXISTS files (
    input TEXT PRIMARY KEY, size INTEGER, stamp TEXT, settings TEXT, weights TEXT, output TEXT, output_stamp TEXT,
    seconds REAL, dust_score REAL, outcome TEXT, notes TEXT, finished REAL) WITHOUT ROWID"""


@dataclass(frozen=True)
class Row:
    """One file in the journal."""

    input: str  # absolute path or URL
    size: int = 0  # bytes
    stamp: str = ""  # time of change in nanoseconds, or the etag of an object store
    settings: str = ""  # JSON
    weights: str = ""  # digest of the weights
    output: str = ""  # path below the output folder
    output_stamp: str = ""  # size and time of change, or etag, of the written file; empty if none was written
    seconds: float = 0.0
    dust_score: float | None = None
    outcome: str = ""  # done, failed or skipped
    notes: str = ""  # done: what the copy lacks, one note per line; failed or skipped: the reason
    finished: float = 0.0  # seconds since 1970


COLUMNS = [field.name for field in fields(Row)]


class Journal:
    """The journal of an output folder; open it with `open_journal`.

    Args:
        path: the SQLite file.
        mode: "rwc" creates the file if it does not exist, "ro" opens it for reading, "memory" uses no file.

    Raises:
        OSError: the journal cannot be opened.
        ValueError: the file is not a journal.
    """

    def __init__(self, path: str | Path, mode: str = "rwc"):
        self.path = Path(path)
        self.failure = ""  # why rows may be missing, such as a full disk
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        try:
            self._database = sqlite3.connect(uri, timeout=5, isolation_level=None, uri=True)
            self._database.executescript("PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;")
            if mode in ("rwc", "memory"):
                self._database.execute(SCHEMA)
                self._database.execute("CREATE INDEX IF NOT EXISTS outputs ON files (output)")
            self._database.execute("SELECT 1 FROM files LIMIT 1")
        except sqlite3.OperationalError as error:
            remedy = "Check its permissions and the free space on its disk."
            raise OSError(f"{path}: expected to open the journal, got an error: {error}. {remedy}") from error
        except sqlite3.DatabaseError as error:
            message = f"{path}: expected a journal of ssdie, got a file that SQLite rejects ({error}). Move it away."
            raise ValueError(message) from error
        self._committed = time.monotonic()

    def find(self, source: str) -> Row | None:
        """Return the row of an input, or None."""
        query = f"SELECT {', '.join(COLUMNS)} FROM files WHERE input = ?"
        found = self._database.execute(query, (_text(source),)).fetchone()
        return Row(*found) if found else None

    def inputs_of(self, output: str) -> list[str]:
        """Return the inputs whose enhanced copy was written to an output."""
        query = "SELECT input FROM files WHERE output = ? AND outcome = 'done'"
        return [name for (name,) in self._database.execute(query, (_text(output),))]

    def add(self, row: Row) -> None:
        """Insert or replace the row of an input; if it failed, the stamp of an earlier run's output is kept.

        If the row cannot be written, as on a full disk, `failure` is set, and no error is raised.
        """
        changes = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in ("input", "output_stamp"))
        kept = "CASE WHEN excluded.output_stamp = '' THEN files.output_stamp ELSE excluded.output_stamp END"
        try:
            if not self._database.in_transaction:
                self._database.execute("BEGIN")
            self._database.execute(
                f"INSERT INTO files ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
                f"ON CONFLICT (input) DO UPDATE SET {changes}, output_stamp = {kept}",
                [_text(value) for value in astuple(row)],
            )
        except sqlite3.OperationalError as error:
            self.failure = str(error)
        self.commit(COMMIT_EVERY)

    def commit(self, after: float = 0.0) -> None:
        """Commit pending rows, if the last commit was at least `after` seconds ago."""
        now = time.monotonic()
        if self._database.in_transaction and now - self._committed >= after:
            self._committed = now
            try:
                self._database.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self.failure = str(error)

    def rows(self, outcome: str | None = None, order: str = "input", limit: int = -1) -> Iterator[Row]:
        """Yield rows.

        Args:
            outcome: only rows with this outcome; None yields all.
            order: SQL expression to order by.
            limit: largest number of rows; -1 means no limit.
        """
        query = f"SELECT {', '.join(COLUMNS)} FROM files WHERE ? IS NULL OR outcome = ? ORDER BY {order} LIMIT ?"
        return (Row(*values) for values in self._database.execute(query, (outcome, outcome, limit)))

    def import_csv(self, paths: Iterable[Path]) -> None:
        """Add the finished files of journals of release 0.1.0 that this journal does not contain yet."""
        for path in paths:
            with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                for values in csv.reader(file):
                    if len(values) == len(CSV_COLUMNS) and values[-1] == "done":
                        with suppress(ValueError, SyntaxError, KeyError):  # a damaged line: its file is repeated
                            row = _from_csv(dict(zip(CSV_COLUMNS, values, strict=True)))
                            if self.find(row.input) is None:
                                self.add(row)
        self.commit()

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        self._database.close()


@contextmanager
def open_journal(folder: str | Path) -> Iterator[Journal]:
    """Open the journal of a folder for the duration of a block, and lock it against other processes.

    Args:
        folder: output folder, in which `.ssdie` is created.

    Raises:
        BlockingIOError: another process uses this journal.
        OSError: the folder is not writable.
        ValueError: the file is not a journal.
    """
    place = Path(folder) / FOLDER
    with lock_folder(place):
        journal = Journal(place / NAME)
        try:
            yield journal
        finally:
            journal.close()


def journal_path(folder: str | Path) -> Path:
    """Return the path of the journal of an output folder."""
    return Path(folder) / FOLDER / NAME


def read_journal(path: Path) -> Journal:
    """Open a journal for reading.

    Raises:
        FileNotFoundError: the journal does not exist.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected an output folder of `ssdie enhance`, got one without a journal.")
    try:
        return Journal(path, "ro")
    except OSError:  # the process that wrote it was killed: SQLite has to roll back the last transaction first
        return Journal(path)


def find_csv_journals(folder: str | Path) -> list[Path]:
    """Return the journals of release 0.1.0 in an output folder, in name order: `manifest.csv`, `manifest-RANK.csv`."""
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        paths = sorted(Path(e.path) for e in entries if re.fullmatch(r"manifest(-\d+)?\.csv", e.name) and e.is_file())
    return [path for path in paths if _first_line(path) == ",".join(CSV_COLUMNS)]


def file_stamp(status: os.stat_result) -> str:
    """Return size and time of change of a file as text, to detect whether it was modified."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline(1000).decode("utf-8", "replace").strip()


def _from_csv(old: dict[str, str]) -> Row:
    """Convert a row of release 0.1.0, in which a CRC-32 identifies the weights."""
    settings = ast.literal_eval(old["settings"])
    kept = {"postprocess": settings["touch"]} | {name: settings[name] for name in ("strength", "working_size")}
    if Path(old["input"]).suffix.lower() in VIDEO_SUFFIXES:
        kept["every"] = settings["every"]
    size, stamp = old["fingerprint"].split("-")
    return Row(
        input=old["input"], size=int(size), stamp=stamp, settings=json.dumps(kept, sort_keys=True),
        weights=f"crc32:{settings['model']}", output=old["output"], output_stamp=old["written"],
        seconds=float(old["seconds"] or 0), outcome="done",
    )  # fmt: skip


def _text(value: object) -> object:
    """Convert a value for SQLite: in a file name, bytes that are not UTF-8 become backslash escapes."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
