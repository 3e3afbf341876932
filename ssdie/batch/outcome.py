"""Input and result of a worker: `Task`, a file to enhance, and `Outcome`, whether and how it was enhanced."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A file to enhance."""

    source: str  # path or URL
    target: str  # path or URL
    owned: str = ""  # stamp of the output that an earlier run wrote there; it may be replaced
    limit: float = 0.0  # seconds that the file may take; 0: no limit


@dataclass(frozen=True)
class Outcome:
    """Result of a file."""

    source: str  # path or URL
    target: str = ""  # path or URL; empty if the file is skipped
    outcome: str = "done"  # done, failed, skipped (of a kind that is not enhanced) or kept (done by an earlier run)
    reason: str = ""  # why it failed; the kind of a file that is skipped
    notes: tuple[str, ...] = ()  # what the copy lacks
    seconds: float = 0.0
    size: int = 0  # of the source, bytes
    stamp: str = ""  # of the source
    output_stamp: str = ""  # of the written file
    dust_score: float | None = None  # of a photo; None if it is not measured
    retried: bool = False  # whether a process died on it before
