"""Run tasks on one machine: in threads of this process, or in child processes, so that a crash affects only one file.

`run_in_processes` and `run_here` yield outcomes in the order of completion. They consume the iterable of tasks only as
fast as they work, so that there may be millions.
"""

import faulthandler
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from ssdie.batch.outcome import Outcome, Task

Work = Callable[[Task], Outcome]
CRASHED = "the process that worked on it crashed"
TICK = 0.5  # longest time between two calls of `idle`, seconds


def run_here(
    prepare: Callable[[], Work],
    tasks: Iterable[Task],
    workers: int,
    idle: Callable[[], None],
    cancelled: threading.Event | None = None,
) -> Iterator[Outcome]:
    """Run tasks in threads of this process; see `run_in_processes`.

    Threads cannot be interrupted: `cancelled` is set when the run ends early, so that long tasks can check it.
    """
    work = prepare()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for _, future in _take(tasks, lambda task: pool.submit(work, task), 2 * workers, idle):
                yield future.result()
        except BaseException:
            if cancelled is not None:
                cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_in_processes(
    prepare: Callable[[], Work], tasks: Iterable[Task], workers: int, idle: Callable[[], None]
) -> Iterator[Outcome]:
    """Run tasks in child processes.

    When a process dies, the files that were being processed are repeated one by one, so that the one that causes the
    crash is identified.

    Args:
        prepare: returns the function from a task to its outcome; called once in each process; must be picklable.
        tasks: files; at most two per process are submitted at a time.
        workers: number of processes.
        idle: called about every half second.

    Yields:
        Outcomes, in the order of completion.
    """
    pool, suspects = _Pool(prepare, workers), []
    tasks = iter(tasks)
    try:
        while True:
            for task, future in _take(tasks, pool.submit, 2 * workers, idle):
                if isinstance(future.exception(), BrokenProcessPool):
                    suspects.append(task)
                    continue
                yield future.result()
            if not suspects:
                return
            for task in suspects:
                yield replace(pool.run_alone(task), retried=True)
            suspects = []
    finally:
        pool.close()


def crash_of(task: Task, seconds: float) -> Outcome:
    """Return the outcome of a file whose process died: it crashed, or exceeded its time limit."""
    late = bool(task.limit) and seconds >= task.limit
    reason = f"it took longer than its limit of {task.limit:g} s" if late else CRASHED
    return Outcome(task.source, task.target, "failed", reason, seconds=round(seconds, 3))


class _Pool:
    """A process pool that is replaced when one of its processes has died."""

    def __init__(self, prepare: Callable[[], Work], workers: int):
        self.prepare, self.workers = prepare, workers
        methods = multiprocessing.get_all_start_methods()
        short = len(tempfile.gettempdir()) < 70  # for forkserver's socket, whose path has at most 107 bytes
        self.context = multiprocessing.get_context("forkserver" if "forkserver" in methods and short else "spawn")
        self.start()

    def start(self) -> None:
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        self.pool = ProcessPoolExecutor(self.workers, self.context, _set_up, (self.prepare, threads))

    def submit(self, task: Task) -> Future:
        try:
            return self.pool.submit(_do, task)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
            return future

    def run_alone(self, task: Task) -> Outcome:
        """Process a file while no other is being processed."""
        started, future = time.monotonic(), self.submit(task)
        if isinstance(future.exception(), BrokenProcessPool):  # because a process died before
            self.restart()
            started, future = time.monotonic(), self.submit(task)
        if not isinstance(future.exception(), BrokenProcessPool):
            return future.result()
        self.restart()
        return crash_of(task, time.monotonic() - started)

    def restart(self) -> None:
        self.pool.shutdown()
        self.start()

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)


def _take(
    tasks: Iterable[Task], submit: Callable[[Task], Future], in_hand: int, idle: Callable[[], None]
) -> Iterator[tuple[Task, Future]]:
    """Yield tasks and their futures as they finish.

    At most `in_hand` tasks are submitted at a time; after a process has died no further ones are.
    """
    waiting: dict[Future, Task] = {}
    tasks, more = iter(tasks), True
    while more or waiting:
        while more and len(waiting) < in_hand:
            task = next(tasks, None)
            if task is None:
                more = False
                break
            waiting[submit(task)] = task
        finished, _ = wait(waiting, TICK, FIRST_COMPLETED)
        idle()
        for future in finished:
            more = more and not isinstance(future.exception(), BrokenProcessPool)
            yield waiting.pop(future), future


# In a child process ------------------------------------------------------------------------------------------------

_work: Work | None = None
_busy = False


def _set_up(prepare: Callable[[], Work], threads: int) -> None:
    """Prepare a child process: its number of threads, no traceback on Ctrl-C, exit when the parent dies."""
    global _work
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    signal.signal(signal.SIGINT, _interrupt)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    _work = prepare()


def _interrupt(*_) -> None:
    """Interrupt the current file; its future passes the KeyboardInterrupt to the parent. Idle processes ignore it."""
    if _busy:
        raise KeyboardInterrupt


def _do(task: Task) -> Outcome:
    global _busy
    _busy = True
    key = watchdog.start(task.limit)
    try:
        return _work(task)
    finally:
        watchdog.stop(key)
        _busy = False


class Watchdog:
    """Timer that ends the process when a file exceeds its time limit, even while a decoder holds the GIL.

    The parent process notices the death and reports the file.
    """

    def __init__(self):
        self._null = open(os.devnull, "w")  # noqa: SIM115  must stay open for the C code
        self._ends: dict[int, float] = {}
        self._lock, self._count = threading.Lock(), 0

    def start(self, limit: float) -> int:
        """Start the timer of a file; return a key for `stop`. A limit of 0 seconds means none."""
        with self._lock:
            self._count += 1
            if limit > 0:
                self._ends[self._count] = time.monotonic() + limit
                self._arm()
            return self._count

    def stop(self, key: int) -> None:
        """Stop the timer of a file."""
        with self._lock:
            if self._ends.pop(key, None):
                self._arm()

    def _arm(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        if self._ends:
            left = max(0.01, min(self._ends.values()) - time.monotonic())
            faulthandler.dump_traceback_later(left, exit=True, file=self._null)


watchdog = Watchdog()
