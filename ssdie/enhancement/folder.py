"""Enhancement of files and folders: `ssdie enhance PHOTOS_OR_FOLDERS -o OUT`.

Every file of a folder is enhanced, fails with a reason, or is skipped with its kind; a journal in the output folder
says which, and `resume` continues from it.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ssdie.batch import storage
from ssdie.batch.jobs import Jobs, Naming, find_jobs
from ssdie.batch.journal import open_journal
from ssdie.batch.listing import StreamedJobs
from ssdie.batch.outcome import Outcome, Task
from ssdie.batch.pool import run_here, run_in_processes
from ssdie.enhancement.batch import Batch
from ssdie.enhancement.photo import WORKING_SIZE, as_model, check_settings
from ssdie.enhancement.runtime import Model
from ssdie.enhancement.strength import AUTO, Strength
from ssdie.enhancement.worker import EVERY, Settings, Weights, prepare_work

if TYPE_CHECKING:
    from ssdie.networks.generators import Generator

WORKERS = 2  # files in hand at a time


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
    jobs = list_jobs(inputs, out, naming, cluster is not None)
    streamed = isinstance(jobs, StreamedJobs)
    storage.check_output(out)
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
        for path, kind in jobs.skipped:
            finish(Outcome(path, outcome="skipped", reason=kind))
        for outcome in jobs.failed:
            finish(outcome)
        jobs.skipped.clear(), jobs.failed.clear()

    def tasks() -> Iterator[Task]:
        for place, (source, target) in enumerate(jobs):
            drain()
            if fail_fast and failures:
                return
            clash = batch.clash(source, target) if streamed else None
            task = None if clash else batch.task(source, target)
            if task is None:
                finish(clash) if clash else report(Outcome(str(source), str(target), "kept"))
                bar.update()
            else:
                order[task.source] = place
                yield task

    if resume or retry_failed:
        storage.fetch_journal(out)
    with (
        open_journal(storage.journal_folder(out)) as journal,
        tqdm(total=None, desc="enhance", unit="file", disable=not progress, file=bar_file) as bar,
    ):
        batch = Batch(jobs, journal, settings, loaded.digest, resume, retry_failed, time_limit)
        if resume or retry_failed:
            batch.take_over()
        _count(jobs, bar)
        drain()
        bars = not apart and cluster is None  # of videos
        cancelled = threading.Event() if bars else None  # child processes are interrupted themselves
        prepare = functools.partial(prepare_work, model if apart else loaded, settings, overwrite, bars, cancelled)
        if cluster is not None:
            from ssdie.batch.cluster import run_on_cluster

            tell = lambda threads: bar.set_postfix_str(f"{threads} threads", refresh=False)  # noqa: E731
            outcomes = run_on_cluster(cluster, prepare, tasks(), lambda: journal.commit(0.5), tell)
        else:
            run = run_in_processes if apart else functools.partial(run_here, cancelled=cancelled)
            outcomes = run(prepare, tasks(), workers, lambda: journal.commit(0.5))
        with closing(outcomes):  # at an interruption too: no thread goes on after it
            for outcome in outcomes:
                finish(outcome)
                bar.update()
        drain()
        for reason, times in batch.repeated.items():
            files = "1 file" if times == 1 else f"{times} files"
            report(Outcome(str(out), outcome="repeated", reason=f"{files} done again: {reason}"))
        journal.commit()
        if journal.failure:
            reason = f"it lacks files of this run ({journal.failure}). Make room and run again with --resume"
            report(Outcome(str(journal.path), outcome="failed", reason=reason))
        if storage.is_url(out):
            storage.upload(journal.path, storage.join(str(out), storage.JOURNAL))
    return [failure for _, failure in sorted(failures, key=lambda item: item[0])]


def list_jobs(
    inputs: list[str | Path], out: str | Path, naming: Naming, on_cluster: bool = False
) -> Jobs | StreamedJobs:
    """Files and where they are written: at once for folders of this machine, else listed while the work goes on."""
    streamed = on_cluster or any(map(storage.is_url, (*inputs, out)))
    return StreamedJobs(inputs, out, naming) if streamed else find_jobs(inputs, out, naming)


def _count(jobs: Jobs | StreamedJobs, bar: tqdm) -> None:
    """Give a progress bar its total, which the time left needs; streamed jobs are counted while the work goes on."""

    def count() -> None:
        with suppress(OSError, ValueError):  # which the listing itself reports
            bar.total = jobs.count()

    if isinstance(jobs, Jobs):
        bar.total = len(jobs)
    elif not bar.disable:
        threading.Thread(target=count, daemon=True).start()
