"""Enhancement of files and folders: `ssdie enhance PHOTOS_OR_FOLDERS -o OUT`.

Every file of a folder is enhanced, fails with a reason, or is skipped with its kind. A journal in the output folder
records the outcome of each, and `resume` continues from it.
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

WORKERS = 2  # files processed at a time


@dataclass(frozen=True)
class Failure:
    """A file that could not be enhanced, and why."""

    path: Path | str  # text for URLs
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
        inputs: files, and folders, which are searched recursively.
        out: output folder. Folders keep their structure; files of the same name from different folders keep
            the parts of their paths that differ.
        model: from `ssdie.load_model`, or a generator: files are enhanced in threads of this process; `Weights`: in
            child processes, so that a decoder that crashes costs its own file. The caller's script then needs
            `if __name__ == "__main__":`. None: the released weights, in this process.
        strength, working_size, postprocess: as for `ssdie.enhance`.
        overwrite: replace existing files in `out`; otherwise an existing file counts as a failure, unless the journal
            lists it as written by an earlier run.
        resume: skip files that the journal in `out` lists as done with the same settings, weights and input, and whose
            output has not changed since.
        workers: files processed at a time; memory grows with it.
        every: the network runs on every n-th frame of a video.
        progress: show a progress bar.
        quality: of JPEG, WebP and AVIF, 1 to 100; None: as the original.
        codec, crf: of videos; see `ssdie.enhancement.video`.
        naming: how outputs are named.
        retry_failed: process only the files that the journal lists as failed.
        fail_fast: start no further file after the first failure.
        time_limit: seconds that a file may take, where `model` is `Weights`; 0: no limit.
        report: called with the outcome of each file: done, failed, skipped, or kept from an earlier run.
        bar_file: stream of the progress bar; None: standard error.
        cluster: a `distributed.Client` whose workers do the work (`ssdie.batch.cluster.connect`); `model` is `Weights`.

    Returns:
        Failures, in the order of the inputs; all other photos and videos were enhanced.

    Raises:
        ValueError: there is nothing to enhance, an output would replace an input, two outputs have the same path, or a
            setting is out of range.
        BlockingIOError: another process is writing to `out`.
        OSError: `out` is not writable.
    """
    check_settings(strength, working_size)
    if workers < 1 or every < 1:
        raise ValueError(f"workers, every: expected at least 1, got {workers} and {every}.")
    settings = Settings(strength, working_size, postprocess, quality, every, codec, crf)
    jobs = list_jobs(inputs, out, naming, cluster is not None)
    streamed = isinstance(jobs, StreamedJobs)
    storage.check_output(out)
    loaded = model.load() if isinstance(model, Weights) else as_model(model)
    alone = not streamed and len(jobs) == 1 and not time_limit  # a single file needs no child process
    in_processes = isinstance(model, Weights) and not alone
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
        bars = not in_processes and cluster is None  # of videos
        cancelled = threading.Event() if bars else None  # child processes receive the interruption themselves
        shared = model if in_processes else loaded
        prepare = functools.partial(prepare_work, shared, settings, overwrite, bars, cancelled)
        if cluster is not None:
            from ssdie.batch.cluster import run_on_cluster

            show_threads = lambda threads: bar.set_postfix_str(f"{threads} threads", refresh=False)  # noqa: E731
            outcomes = run_on_cluster(cluster, prepare, tasks(), lambda: journal.commit(0.5), show_threads)
        else:
            run = run_in_processes if in_processes else functools.partial(run_here, cancelled=cancelled)
            outcomes = run(prepare, tasks(), workers, lambda: journal.commit(0.5))
        with closing(outcomes):  # also at an interruption, so that no thread outlives it
            for outcome in outcomes:
                finish(outcome)
                bar.update()
        drain()
        for reason, times in batch.repeated.items():
            files = "1 file" if times == 1 else f"{times} files"
            report(Outcome(str(out), outcome="repeated", reason=f"{files} processed again: {reason}"))
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
    """List the files and their outputs: local folders at once, anything else while the work is in progress."""
    streamed = on_cluster or any(map(storage.is_url, (*inputs, out)))
    return StreamedJobs(inputs, out, naming) if streamed else find_jobs(inputs, out, naming)


def _count(jobs: Jobs | StreamedJobs, bar: tqdm) -> None:
    """Set the total of the progress bar; streamed jobs are counted while the work is in progress."""

    def count() -> None:
        with suppress(OSError, ValueError):  # the listing itself reports these
            bar.total = jobs.count()

    if isinstance(jobs, Jobs):
        bar.total = len(jobs)
    elif not bar.disable:
        threading.Thread(target=count, daemon=True).start()
