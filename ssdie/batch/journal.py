"""What is done of many files, and which share of them a process has.

Each process writes a manifest into the output folder, a line for each file: what came, with which settings, what it
became. `manifest.csv` is that of a process alone, `manifest-RANK.csv` that of one of several.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

# what launchers set, in the order in which accelerate looks: torchrun, MPICH and Intel MPI, Open MPI, MVAPICH
RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
LOCAL_RANKS = ("LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK")


@dataclass(frozen=True)
class Row:
    """A line of a manifest; `fingerprint` is that of the input, `written` that of the output."""

    input: str
    fingerprint: str
    settings: str
    output: str
    written: str = ""
    seconds: str = ""
    status: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What must be the same for the work to be the same, and still there."""
        return self.input, self.fingerprint, self.settings, self.output, self.written

    @property
    def result(self) -> tuple[str, str]:
        """The output, as it was written."""
        return self.output, self.written


HEADER = ",".join(field.name for field in fields(Row))
OURS = "input,fingerprint,settings,output,"  # earlier versions had other columns after these


class HashSet:
    """A set of 8 bytes a member; of a million members, it takes another value for one of them once in 10^13 times."""

    def __init__(self, members: Iterable):
        self.sorted = np.sort(np.fromiter(map(hash, members), np.int64))

    def __contains__(self, value) -> bool:
        """Whether it is a member."""
        place = np.searchsorted(self.sorted, hash(value))
        return place < len(self.sorted) and bool(self.sorted[place] == hash(value))


def read_environment(names: Iterable[str], default: int) -> int:
    """The first of these environment variables that is set, as a whole number."""
    return next((int(os.environ[name]) for name in names if name in os.environ), default)


def share_of_work() -> tuple[int, int]:
    """Rank of this process and number of processes, as torchrun, accelerate or mpirun tell them; (0, 1) alone.

    Raises:
        ValueError: one does not fit the other.
    """
    rank, processes = read_environment(RANKS, -1), read_environment(SIZES, 1)
    if rank < 0 and processes == 1:
        return 0, 1
    if not 0 <= rank < processes:
        came = "not set" if rank < 0 else rank
        raise ValueError(f"RANK is {came} and WORLD_SIZE {processes}; wanted is a rank from 0 to below the size.")
    return rank, processes


def find_manifests(out: str | Path) -> list[Path]:
    """List the manifests of a folder, in name order.

    Raises:
        ValueError: a file has the name of one, but is none.
    """
    if not os.path.isdir(out):
        return []
    with os.scandir(out) as entries:
        paths = sorted(Path(e.path) for e in entries if re.fullmatch(r"manifest(-\d+)?\.csv", e.name))
    for path in paths:
        first = _first_line(path)
        if not first.startswith(OURS) and (first.endswith("\n") or not HEADER.startswith(first)):
            came = first.strip()[:60]
            raise ValueError(f"{path} begins with {came!r}; wanted is a manifest of ssdie; rename or move it.")
    return paths


def read_manifests(out: str | Path) -> Iterator[Row]:
    """Give the lines of all manifests of a folder that say "done", one after the other.

    Raises:
        ValueError: a file has the name of a manifest, but is none.
    """
    for path in find_manifests(out):
        options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
        with suppress(FileNotFoundError), path.open(**options) as file:  # its process may begin it anew
            for line in csv.reader(file):
                if len(line) == len(fields(Row)) and line[-1] == "done":
                    yield Row(*line)


def open_manifest(path: Path, keep: bool) -> None:
    """Start a manifest, or go on with one (whose last line a kill may have cut)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not keep or _first_line(path).strip() != HEADER:
        path.unlink(missing_ok=True)
        _append(path, HEADER.split(","))
        return
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        whole = file.read() == b"\n"
    if not whole:
        with path.open("ab") as file:
            file.write(b"\n")


def append_row(path: Path, row: Row) -> None:
    """Add a line to a manifest."""
    _append(path, astuple(row))


def _append(path: Path, values: Iterable[str]) -> None:
    """Add a line in a single write: a kill leaves it whole or out."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    with path.open("ab", buffering=0) as file:
        file.write(line.getvalue().encode("utf-8", "surrogateescape"))


def _first_line(path: Path) -> str:
    """Of a file, with its end; empty if it is not there, as when its process begins it anew."""
    try:
        with path.open("rb") as file:
            return file.readline(1000).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def file_stamp(status: os.stat_result) -> str:
    """Size and time of change of a file: cheap for millions on a network disk."""
    return f"{status.st_size}-{status.st_mtime_ns}"
