"""State of a batch: which files are left to do according to the journal, and how results are recorded in it."""

import json
import os
import re
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from ssdie.batch import storage
from ssdie.batch.jobs import Jobs
from ssdie.batch.journal import Journal, Row, find_csv_journals
from ssdie.batch.listing import StreamedJobs
from ssdie.batch.outcome import Outcome, Task
from ssdie.batch.pool import CRASHED
from ssdie.enhancement.runtime import RELEASED_ONNX
from ssdie.enhancement.worker import Settings, source_stamp, written_stamp
from ssdie.utils.paths import file_digest, remove_stale_parts

RELEASE_010 = "crc32:11df521d"  # name of the released weights in journals of release 0.1.0


class Batch:
    """Which files of a batch are left to do, and the record of those that are done.

    Args:
        jobs: sources and targets.
        journal: journal of the output folder.
        settings, weights: how files are enhanced, and the digest of the network.
        resume, retry_failed, time_limit: as for `enhance_files`.
    """

    def __init__(
        self,
        jobs: Jobs | StreamedJobs,
        journal: Journal,
        settings: Settings,
        weights: str,
        resume: bool = False,
        retry_failed: bool = False,
        time_limit: float = 0.0,
    ):
        self.jobs, self.journal, self.settings, self.weights = jobs, journal, settings, weights
        self.resume, self.retry_failed, self.time_limit = resume, retry_failed, time_limit
        self.repeated: Counter[str] = Counter()  # why files that an earlier run finished are repeated
        self.targets: dict[str, str] = {}  # of the files that are being enhanced: target, source
        released = weights == file_digest(RELEASED_ONNX)
        self.known_weights = {weights, RELEASE_010} if released else {weights}

    def take_over(self) -> None:
        """Import journals of release 0.1.0 and remove temporary files that a killed run left behind."""
        if storage.is_url(self.jobs.out):
            return
        out = Path(self.jobs.out)
        old = find_csv_journals(out)
        self.journal.import_csv(old)
        for path in old:
            path.replace(self.journal.path.parent / path.name)
        os.utime(self.journal.path)  # the present by the clock of this file system, as for the files beside it
        hidden = (Path(place, n) for place, _, names in os.walk(out) for n in names if n.startswith("."))
        remove_stale_parts(hidden, now=self.journal.path.stat().st_mtime)

    def task(self, source: str | Path, target: str | Path) -> Task | None:
        """Return the task for a file; None if there is nothing to do."""
        row = self.journal.find(storage.absolute(source))
        if self.retry_failed and (row is None or row.outcome != "failed"):
            return None
        owned = row.output_stamp if row and row.output == self._place(target) else ""
        if self.resume and row and row.outcome == "done":
            changed = self._changed(row, source, target)
            if not changed:
                return None
            self.repeated[changed] += 1
        self.targets[str(target)] = str(source)
        return Task(str(source), str(target), owned, self.time_limit)

    def clash(self, source: str | Path, target: str | Path) -> Outcome | None:
        """Return a failure if, among streamed jobs, another input has the same output; else None."""
        here = self.targets.get(str(target), str(source))
        others = [here] if here != str(source) else self.journal.inputs_of(self._place(target))
        roots = [storage.absolute(root) for root in self.jobs.inputs]
        for other in others:
            listed = any(other == root or other.startswith(f"{root.rstrip('/')}/") for root in roots)
            if other == here != str(source) or (listed and other != storage.absolute(source) and written_stamp(other)):
                reason = f"{target} is the output of {other} too. Enhance them into separate folders"
                return Outcome(str(source), str(target), "failed", reason)
        return None

    def _changed(self, row: Row, source: str | Path, target: str | Path) -> str:
        """Return why a finished file has to be repeated; "" if it does not."""
        before, now = json.loads(row.settings), self.settings.of(source)
        if differ := sorted(name for name in before | now if before.get(name) != now.get(name)):
            return f"other settings ({', '.join(differ)})"
        if row.weights not in self.known_weights:
            return "other weights"
        if row.output != self._place(target) or not row.output_stamp or written_stamp(target) != row.output_stamp:
            return "the output is missing or was changed"
        with suppress(OSError, ValueError):
            if source_stamp(source) == f"{row.size}-{row.stamp}":
                return ""
        return "the input was changed"

    def record(self, outcome: Outcome) -> None:
        """Write an outcome to the journal."""
        if self.targets.get(outcome.target) == outcome.source:
            del self.targets[outcome.target]
        settings = json.dumps(self.settings.of(outcome.source), sort_keys=True)
        notes = outcome.reason or "\n".join(outcome.notes)
        died = outcome.retried or outcome.reason.startswith((CRASHED, "it took longer"))
        if died and not storage.is_url(outcome.target):
            _remove_parts(Path(outcome.target))
        row = Row(
            storage.absolute(outcome.source), outcome.size, outcome.stamp, settings, self.weights,
            self._place(outcome.target), outcome.output_stamp, outcome.seconds, outcome.dust_score,
            outcome.outcome, notes, time.time(),
        )  # fmt: skip
        self.journal.add(row)

    def _place(self, target: str | Path) -> str:
        if not str(target):
            return ""
        if storage.is_url(target):
            return str(target)[len(self.jobs.out.rstrip("/")) + 1 :]
        return Path(target).relative_to(self.jobs.out).as_posix()


def _remove_parts(target: Path) -> None:
    """Remove the temporary files that a process left beside a target when it died."""
    name = re.compile(rf"\.{re.escape(target.stem)}-[0-9a-f]{{8}}\.part{re.escape(target.suffix)}")
    with suppress(OSError):
        for path in target.parent.iterdir():
            if name.fullmatch(path.name):
                path.unlink()
