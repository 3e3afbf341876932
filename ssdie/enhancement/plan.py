"""A dry run: which files `enhance_files` would enhance, and how long that would take; writes nothing."""

import math
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ssdie.batch import storage
from ssdie.batch.jobs import Naming
from ssdie.batch.journal import Journal, find_csv_journals, read_journal
from ssdie.batch.listing import StreamedJobs
from ssdie.batch.outcome import Outcome, Task
from ssdie.enhancement.batch import Batch
from ssdie.enhancement.folder import list_jobs
from ssdie.enhancement.photo import check_settings
from ssdie.enhancement.worker import Settings, Weights, do_task, written_stamp

SAMPLE = 10  # files that are timed
HELD = 100_000  # largest number of outputs in memory, which are compared to find inputs with the same output


@dataclass
class Plan:
    """Result of a dry run.

    Args:
        planned: number of files that would be enhanced.
        kept: number of files that would be left out: done and unchanged, or with `retry_failed` not failed.
        skipped: number of files of other kinds.
        failed: number of files that could not be listed, or failed when they were timed.
        repeated: number of finished files that would be repeated, by reason.
        seconds: seconds of each file that was timed; one file ran at a time.
    """

    planned: int = 0
    kept: int = 0
    skipped: int = 0
    failed: int = 0
    repeated: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def hours(self, workers: int) -> tuple[float, float]:
        """Estimate the duration of the run, hours: mean, and standard error of the mean.

        Example:
            >>> Plan(planned=7200, seconds=[1.0, 3.0]).hours(workers=2)
            (2.0, 1.0)
        """
        if not self.seconds:
            return 0.0, 0.0
        scale = self.planned / workers / 3600
        spread = statistics.stdev(self.seconds) if len(self.seconds) > 1 else 0.0
        return scale * statistics.fmean(self.seconds), scale * spread / math.sqrt(len(self.seconds))


def plan_files(
    inputs: list[str | Path],
    out: str | Path,
    weights: Weights,
    settings: Settings,
    report: Callable[[Outcome], None],
    *,
    naming: Naming = Naming(),  # noqa: B008  frozen
    resume: bool = False,
    retry_failed: bool = False,
    overwrite: bool = True,
    on_cluster: bool = False,
    sample: int = SAMPLE,
) -> Plan:
    """List the files that `ssdie.enhancement.folder.enhance_files` would enhance, and time some of them.

    Args:
        inputs, out, naming, resume, retry_failed, overwrite: as for `enhance_files`.
        weights, settings: how files would be enhanced.
        report: called for each file, with the outcome planned, kept, skipped or failed.
        on_cluster: list the files as for a cluster.
        sample: number of files to enhance in a temporary folder to time them, drawn at random with a fixed seed.

    Raises:
        ValueError, OSError: as for `enhance_files`.
    """
    check_settings(settings.strength, settings.working_size)
    jobs, plan, drawn, draw = list_jobs(inputs, out, naming, on_cluster), Plan(), [], random.Random(0)
    storage.check_output(out)
    model = weights.load()

    def drain() -> None:
        plan.skipped, plan.failed = plan.skipped + len(jobs.skipped), plan.failed + len(jobs.failed)
        for path, kind in jobs.skipped:
            report(Outcome(path, outcome="skipped", reason=kind))
        for outcome in jobs.failed:
            report(outcome)
        jobs.skipped.clear(), jobs.failed.clear()

    with _read_journal(out) as journal:
        batch = Batch(jobs, journal, settings, model.digest, resume, retry_failed)
        for source, target in jobs:
            drain()
            clash = batch.clash(source, target) if isinstance(jobs, StreamedJobs) else None
            task = None if clash else batch.task(source, target)
            if task and not overwrite and written_stamp(target) not in ("", task.owned):
                clash = Outcome(task.source, task.target, "failed", f"{target} already exists")
            report(clash or Outcome(str(source), str(target), "planned" if task else "kept"))
            if clash:
                plan.failed += 1
            elif task is None:
                plan.kept += 1
            else:
                plan.planned += 1
                place = len(drawn) if len(drawn) < sample else draw.randrange(plan.planned)
                drawn[place : place + 1] = [task] if place < sample else []
            if len(batch.targets) > HELD:
                batch.targets.clear()
        drain()
        plan.repeated = dict(batch.repeated)
    for task in drawn:
        with tempfile.TemporaryDirectory(prefix="ssdie-") as folder:
            outcome = do_task(Task(task.source, os.path.join(folder, os.path.basename(task.target))), model, settings)
        if outcome.outcome == "failed":
            plan.failed += 1
            report(replace(outcome, target=task.target))
        plan.seconds.append(outcome.seconds)
    return plan


@contextmanager
def _read_journal(out: str | Path) -> Iterator[Journal]:
    """Open the journal of an output folder, or an empty one in memory."""
    with ExitStack() as stack:
        try:
            journal = read_journal(stack.enter_context(storage.journal_to_read(out)))
        except FileNotFoundError:
            journal = Journal(":memory:", "memory")
            journal.import_csv([] if storage.is_url(out) else find_csv_journals(out))
        stack.callback(journal.close)
        yield journal
