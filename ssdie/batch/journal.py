"""The journal of a batch: which files are finished, with which settings, and what became of the others.

A SQLite file, `.ssdie/journal.sqlite` in the output folder, which one process writes. `Journal.import_csv` reads the
CSV files of release 0.1.0.
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
COMMIT_EVERY = 0.5  # seconds; a killed client repeats the files of the last one

SCHEMA = """CREATE TABLE IF NOT EXISTS files (
    input TEXT PRIMARY KEY, size INTEGER, stamp TEXT, settings TEXT, weights TEXT, output TEXT, output_stamp TEXT,
    seconds REAL, dust_score REAL, outcome TEXT, notes TEXT, finished REAL) WITHOUT ROWID"""


@dataclass(frozen=True)
class Row:
    """What the journal knows of a file."""

    input: str  # absolute path or URL
    size: int = 0  # bytes
    stamp: str = ""  # time of change in nanoseconds, or the etag of an object store
    settings: str = ""  # JSON
    weights: str = ""  # digest of the weights
    output: str = ""  # path below the output folder
    output_stamp: str = ""  # size and time of change, or etag, of what was written; empty if nothing was
    seconds: float = 0.0
    dust_score: float | None = None
    outcome: str = ""  # done, failed or skipped
    notes: str = ""  # of a file that is done: what its copy lacks; of others: the reason; one a line
    finished: float = 0.0  # seconds since 1970


COLUMNS = [field.name for field in fields(Row)]


class Journal:
    """The journal of an output folder; open it with `open_journal`.

    Args:
        path: the SQLite file.
        mode: of SQLite: "rwc" makes the file where there is none, "ro" reads it, "memory" makes none.
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
            raise OSError(f"{path}: expected to open the journal, got: {error}. Make room for it.") from error
        except sqlite3.DatabaseError as error:
            message = f"{path}: expected a journal of ssdie, got a file that SQLite refuses ({error}). Move it away."
            raise ValueError(message) from error
        self._committed = time.monotonic()

    def find(self, source: str) -> Row | None:
        """The row of an input."""
        query = f"SELECT {', '.join(COLUMNS)} FROM files WHERE input = ?"
        found = self._database.execute(query, (_text(source),)).fetchone()
        return Row(*found) if found else None

    def inputs_of(self, output: str) -> list[str]:
        """Inputs whose enhanced copy an output is."""
        query = "SELECT input FROM files WHERE output = ? AND outcome = 'done'"
        return [name for (name,) in self._database.execute(query, (_text(output),))]

    def add(self, row: Row) -> None:
        """Insert or replace the row of an input; a failure keeps the stamp of what an earlier run wrote.

        A full disk takes no row: `failure` says so, and the work goes on.
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
        """Commit what is pending, if the last commit was at least `after` seconds ago."""
        now = time.monotonic()
        if self._database.in_transaction and now - self._committed >= after:
            self._committed = now
            try:
                self._database.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self.failure = str(error)

    def rows(self, outcome: str | None = None, order: str = "input", limit: int = -1) -> Iterator[Row]:
        """Rows of an outcome, or all; the first `limit` of them, or all."""
        query = f"SELECT {', '.join(COLUMNS)} FROM files WHERE ? IS NULL OR outcome = ? ORDER BY {order} LIMIT ?"
        return (Row(*values) for values in self._database.execute(query, (outcome, outcome, limit)))

    def import_csv(self, paths: Iterable[Path]) -> None:
        """Add the finished files that journals of release 0.1.0 list, where the journal does not know them yet."""
        for path in paths:
            with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                for values in csv.reader(file):
                    if len(values) == len(CSV_COLUMNS) and values[-1] == "done":
                        with suppress(ValueError, SyntaxError, KeyError):  # a damaged line: its file is done again
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
    """Open the journal below a folder for a block, and keep other processes out of it.

    Args:
        folder: `.ssdie` is made in it.

    Raises:
        BlockingIOError: another process writes this journal.
        OSError: the folder cannot be written to.
        ValueError: the file is no journal.
    """
    place = Path(folder) / FOLDER
    with lock_folder(place):
        journal = Journal(place / NAME)
        try:
            yield journal
        finally:
            journal.close()


def journal_path(folder: str | Path) -> Path:
    """The journal of an output folder."""
    return Path(folder) / FOLDER / NAME


def read_journal(path: Path) -> Journal:
    """Open a journal to read it.

    Raises:
        FileNotFoundError: there is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected an output folder of `ssdie enhance`, got one without a journal.")
    try:
        return Journal(path, "ro")
    except OSError:  # its client was killed: SQLite has to undo the last half second first
        return Journal(path)


def find_csv_journals(folder: str | Path) -> list[Path]:
    """Journals of release 0.1.0 in an output folder, in name order: `manifest.csv`, `manifest-RANK.csv`."""
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        paths = sorted(Path(e.path) for e in entries if re.fullmatch(r"manifest(-\d+)?\.csv", e.name) and e.is_file())
    return [path for path in paths if _first_line(path) == ",".join(CSV_COLUMNS)]


def file_stamp(status: os.stat_result) -> str:
    """Size and time of change of a file."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline(1000).decode("utf-8", "replace").strip()


def _from_csv(old: dict[str, str]) -> Row:
    """A row of release 0.1.0; its weights are named by a CRC-32."""
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
    """A value that SQLite takes: bytes of a name that are no UTF-8 become backslash escapes."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
