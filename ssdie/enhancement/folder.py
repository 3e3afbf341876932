"""Enhancement of files and folders: `ssdie enhance PHOTO_OR_FOLDER ... -o OUT`.

Every file of a folder is enhanced, fails with a reason, or is skipped with its kind; a journal in the output folder
says which, and `resume` continues from it.
"""

import functools
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ssdie.batch import storage
from ssdie.batch.jobs import Jobs, Naming, find_jobs
from ssdie.batch.journal import Journal, Row, find_csv_journals, open_journal
from ssdie.batch.outcome import Outcome, Task
from ssdie.batch.pool import CRASHED, run_here, run_in_processes
from ssdie.batch.storage import StreamedJobs
from ssdie.enhancement.photo import WORKING_SIZE, as_model, check_settings
from ssdie.enhancement.runtime import RELEASED_ONNX, Model
from ssdie.enhancement.strength import AUTO, Strength
from ssdie.enhancement.worker import EVERY, Settings, Weights, prepare_work, source_stamp, written_stamp
from ssdie.utils.paths import file_digest, remove_stale_parts

if TYPE_CHECKING:
    from ssdie.networks.generators import Generator

WORKERS = 2  # files in hand at a time
RELEASE_010 = "crc32:11df521d"  # what journals of release 0.1.0 call the released weights


@dataclass(frozen=True)
class Failure:
    """A file that could not be enhanced, and why."""

    path: Path | str  # an address stays text
    reason: str


def enhance_files(
    inputs: list[str | Path],
    out: str | Path,
    model: "Model | Generator | Weights | None" = None,
    strength: Strength = AUTO,
    working_size: int = WORKING_SIZE,
    postprocess: bool = True,
    overwrite: bool = True,
    resume: bool = False,
    workers: int = WORKERS,
    every: int = EVERY,
    progress: bool = True,
    *,
    quality: int | None = None,
    codec: str | None = None,
    crf: int | None = None,
    naming: Naming = Naming(),  # noqa: B008  frozen
    retry_failed: bool = False,
    fail_fast: bool = False,
    time_limit: float = 0.0,
    report: Callable[[Outcome], None] | None = None,
    bar_file=None,
    cluster=None,
) -> list[Failure]:
    """Enhance photos and videos into a folder.

    Args:
        inputs: files, and folders of files (with the folders in them).
        out: folder to write to; folders keep their structure, files of the same name keep the folders that differ.
        model: from `ssdie.load_model`, or a generator: files are enhanced in threads of this process; `Weights`: in
            child processes, so that a decoder that crashes costs its own file. The caller's script then needs
            `if __name__ == "__main__":`. None: the released weights, in this process.
        strength, working_size, postprocess: as for `ssdie.enhance`.
        overwrite: replace what is in `out`; otherwise a file that is there already counts as a failure, unless the
            journal lists it as written by an earlier run.
        resume: leave out what the journal in `out` lists as done with the same settings, weights and input, if the
            output is there as it was written.
        workers: files in hand at a time; memory grows with it.
        every: frames of a video for each pass of the network.
        progress: show a bar.
        quality: quality of the encoder of photos; None: that of the format.
        codec, crf: of videos; see `ssdie.enhancement.video`.
        naming: names of outputs.
        retry_failed: do only the files that the journal lists as failed.
        fail_fast: take no further file after the first failure.
        time_limit: seconds that a file may take, where `model` is `Weights`; 0: no limit.
        report: called for each file that is done, failed, skipped or kept from an earlier run.
        bar_file: where the bar is drawn; None: standard error.
        cluster: a `distributed.Client` whose workers do the work (`ssdie.batch.cluster.connect`); `model` is `Weights`.

    Returns:
        Failures, in the order of the inputs; all other photos and videos are done.

    Raises:
        ValueError: there is nothing to enhance, an output would replace an input, two would be one file, or a setting
            is out of range.
        BlockingIOError: another process writes to `out`.
        OSError: `out` cannot be written to.
    """
    check_settings(strength, working_size)
    if workers < 1 or every < 1:
        raise ValueError(f"workers, every: expected at least 1, got {workers} and {every}.")
    settings = Settings(strength, working_size, postprocess, quality, every, codec, crf)
    streamed = cluster is not None or any(map(storage.is_url, (*inputs, out)))
    jobs = StreamedJobs(inputs, out, naming) if streamed else find_jobs(inputs, out, naming)
    loaded = model.load() if isinstance(model, Weights) else as_model(model)
    alone = not streamed and len(jobs) == 1 and not time_limit  # one file needs no process of its own
    apart = isinstance(model, Weights) and not alone
    report = report or (lambda outcome: None)
    order: dict[str, int] = {}
    failures: list[tuple[int, Failure]] = []

    def finish(outcome: Outcome) -> None:
        batch.record(outcome)
        report(outcome)
        place = order.pop(outcome.source, len(failures))
        if outcome.outcome == "failed":
            name = outcome.source if storage.is_url(outcome.source) else Path(outcome.source)
            failures.append((place, Failure(name, outcome.reason)))

    def drain() -> None:
        while jobs.skipped:
            path, kind = jobs.skipped.pop(0)
            finish(Outcome(path, outcome="skipped", reason=kind))
        while jobs.failed:
            finish(jobs.failed.pop(0))

    def tasks() -> Iterator[Task]:
        for place, (source, target) in enumerate(jobs):
            drain()
            if fail_fast and failures:
                return
            task = batch.task(source, target)
            if task is None:
                bar.update()
                report(Outcome(str(source), str(target), "kept"))
            else:
                order[task.source] = place
                yield task

    total = None if streamed else len(jobs)
    with (
        open_journal(journal_folder(out)) as journal,
        tqdm(total=total, desc="enhance", unit="file", disable=not progress, file=bar_file) as bar,
    ):
        batch = Batch(jobs, journal, settings, loaded.digest, resume, retry_failed, time_limit)
        if resume or retry_failed:
            batch.take_over()
        drain()
        prepare = functools.partial(prepare_work, model if apart else loaded, settings, overwrite, not apart)
        options = (prepare, tasks(), workers, lambda: journal.commit(0.5))
        if cluster is not None:
            from ssdie.batch.cluster import run_on_cluster

            outcomes = run_on_cluster(cluster, prepare, tasks(), lambda: journal.commit(0.5))
        else:
            outcomes = run_in_processes(*options) if apart else run_here(*options)
        for outcome in outcomes:
            finish(outcome)
            bar.update()
        drain()
        for reason, times in batch.repeated.items():
            files = "1 file" if times == 1 else f"{times} files"
            report(Outcome(str(out), outcome="repeated", reason=f"{files} done again: {reason}"))
        journal.commit()
        if storage.is_url(out):
            storage.upload(journal.path, storage.join(str(out), ".ssdie/journal.sqlite"))
    return [failure for _, failure in sorted(failures, key=lambda item: item[0])]


def journal_folder(out: str | Path) -> Path:
    """Folder in which the journal of an output folder is written: itself, or for an address one on the local disk."""
    if not storage.is_url(out):
        return Path(out)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ssdie" / "journals" / hashlib.sha256(str(out).rstrip("/").encode()).hexdigest()[:16]


class Batch:
    """Which files of a folder are still to do, and what is written to its journal.

    Args:
        jobs: files and where they are written.
        journal: of the output folder.
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
        self.repeated: Counter[str] = Counter()  # why files that an earlier run finished are done again
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
        os.utime(self.journal.path)  # by the clock of its disk, as are the times of the files beside it
        hidden = (Path(place, n) for place, _, names in os.walk(out) for n in names if n.startswith("."))
        remove_stale_parts(hidden, now=self.journal.path.stat().st_mtime)

    def task(self, source: str | Path, target: str | Path) -> Task | None:
        """What to do with a file; None if nothing."""
        row = self.journal.find(storage.absolute(source))
        if self.retry_failed and (row is None or row.outcome != "failed"):
            return None
        owned = row.output_stamp if row and row.output == self._place(target) else ""
        if self.resume and row and row.outcome == "done":
            changed = self._changed(row, source, target)
            if not changed:
                return None
            self.repeated[changed] += 1
        return Task(str(source), str(target), owned, self.time_limit)

    def _changed(self, row: Row, source: str | Path, target: str | Path) -> str:
        """Why a file that is done has to be done again; empty if it has not."""
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
        """Write an outcome to the journal; a full disk takes no row, but the work goes on."""
        settings = json.dumps(self.settings.of(outcome.source), sort_keys=True)
        notes = outcome.reason or "\n".join(outcome.notes)
        if outcome.reason.startswith((CRASHED, "it took longer")) and not storage.is_url(outcome.target):
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
    with suppress(OSError):
        for path in target.parent.iterdir():
            if path.name.startswith(f".{target.stem[:40]}-") and ".part" in path.name:
                path.unlink()
