"""Run work on a Dask cluster: small batches of files, a network loaded once by each worker; needs `ssdie[cluster]`."""

import logging
import os
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from queue import Empty, SimpleQueue

from ssdie.batch.jobs import VIDEO_SUFFIXES
from ssdie.batch.outcome import Outcome, Task
from ssdie.batch.pool import TICK, Watchdog, Work, crash_of
from ssdie.utils.dependencies import require

BATCH = 32  # largest number of files in a Dask task
BATCH_SECONDS = 1.0  # intended duration of a Dask task: much longer than its overhead, short if it has to be repeated
ATTEMPTS = 3  # number of workers that may die on a file before it fails: one in a batch, two with the file alone
CONNECT = "20s"  # longest wait for a scheduler
PATIENCE = 300.0  # seconds without any worker after which a local cluster is considered lost


@contextmanager
def connect(address: str, workers: int) -> Iterator:
    """Start or join a cluster for the duration of a block.

    Args:
        address: "local" starts `workers` worker processes on this machine; "tcp://HOST:PORT" or the path of a scheduler
            file joins a cluster.
        workers: number of processes of a local cluster.

    Yields:
        A `distributed.Client`.

    Raises:
        OSError: no scheduler answers.
    """
    distributed = require("distributed", "cluster")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a worker that dies is reported with its file
    if address == "local":
        with _local_cluster(distributed, workers) as cluster, distributed.Client(cluster) as client:
            yield client
        return
    place = {"address": address} if "://" in address else {"scheduler_file": address}
    if "scheduler_file" in place and not os.path.isfile(address):
        raise FileNotFoundError(f"cluster: expected local, tcp://HOST:PORT or a scheduler file, got {address}.")
    with distributed.Client(**place, timeout=CONNECT) as client:
        yield client


@contextmanager
def _local_cluster(distributed, workers: int) -> Iterator:
    """Start worker processes on this machine.

    Dask abandons a worker whose process takes longer than `lost-worker-timeout` (15 seconds) to restart after it died,
    which happens on a busy machine. A cluster without workers would then wait forever.
    """
    import dask

    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 day"}),
        distributed.LocalCluster(n_workers=workers, **options) as cluster,
    ):
        yield cluster


def find_dashboard(client) -> str:
    """Return the address of a cluster's dashboard; empty if its scheduler has none, as where bokeh is not installed."""
    return client.dashboard_link or "" if client.run_on_scheduler(_has_dashboard) else ""


def run_on_cluster(
    client,
    prepare: Callable[[], Work],
    tasks: Iterable[Task],
    idle: Callable[[], None],
    on_threads: Callable[[int], None] = lambda threads: None,
) -> Iterator[Outcome]:
    """Enhance files on the workers of a cluster, which may join and leave.

    If a worker dies, the files of its batch are repeated one by one; a file on which `ATTEMPTS` workers died fails.

    Args:
        client: from `connect`.
        prepare: returns the function from a task to its outcome; called once on each worker; must be picklable.
        tasks: files; consumed only as fast as the cluster works, so that there may be millions.
        idle: called about every half second.
        on_threads: called about every second with the number of threads of all workers.

    Yields:
        Outcomes, in the order of completion.

    Raises:
        ConnectionError: the connection to the scheduler, or all workers of a local cluster, were lost.
    """
    from distributed.client import CancelledError
    from distributed.comm import CommClosedError

    plugin = _make_plugin(prepare)
    client.register_plugin(plugin)
    allowed = client.run_on_scheduler(_allow_failures, allowed=0)
    batches = _Batches(client, plugin.name, tasks, on_threads)
    try:
        yield from batches.run(idle)
    except (CancelledError, CommClosedError) as error:
        message = "cluster: the scheduler closed the connection. Run the same command with --resume to continue."
        raise ConnectionError(message) from error
    finally:
        if client.status == "running":
            with suppress(OSError):
                client.cancel(list(batches.waiting), force=True)
                client.run_on_scheduler(_allow_failures, allowed=allowed)
                client.unregister_worker_plugin(plugin.name)


class _Batches:
    """Files that are submitted to a cluster.

    Args:
        client: of the cluster.
        plugin: name of the worker plugin that holds the function of a task.
        tasks: files.
        on_threads: see `run_on_cluster`.
    """

    def __init__(self, client, plugin: str, tasks: Iterable[Task], on_threads: Callable[[int], None]):
        self.client, self.plugin, self.on_threads = client, plugin, on_threads
        self.local = isinstance(client.cluster, require("distributed", "cluster").LocalCluster)
        self.tasks, self.more = iter(tasks), True
        self.waiting: dict = {}  # future: its tasks, number of workers that died on them, time of submission
        self.finished: SimpleQueue = SimpleQueue()  # futures
        self.suspects: deque[tuple[Task, int]] = deque()  # files whose worker died, and how many did
        self.alone = None  # the future of the suspect that is running
        self.mean = BATCH_SECONDS  # running mean of the seconds per file
        # threads of all workers, when they were counted, when there was last any
        self.threads, self.counted, self.seen = 0, 0.0, time.monotonic()

    def run(self, idle: Callable[[], None]) -> Iterator[Outcome]:
        """Yield outcomes until all files are done."""
        while self.fill():
            idle()
            with suppress(Empty):
                yield from self.take(self.finished.get(timeout=TICK))

    def fill(self) -> bool:
        """Submit files while the cluster has free threads; return whether any are unfinished."""
        self.count_threads()
        if self.suspects and self.alone is None and self.threads:
            task, cost = self.suspects.popleft()
            self.alone = self.submit([task], cost, priority=1)
        room = max(2, 2 * self.threads)
        while self.more and len(self.waiting) < room and self.finished.empty():
            if files := self.next_batch():
                self.submit(files)
            else:
                self.more = False
        return bool(self.waiting or self.suspects)

    def count_threads(self) -> None:
        """Count the threads of all workers, about every second."""
        now = time.monotonic()
        if now - self.counted > 1:
            self.threads, self.counted = sum(self.client.nthreads().values()), now
            self.seen = now if self.threads else self.seen
            self.on_threads(self.threads)
        if self.local and now - self.seen > PATIENCE:  # workers of another cluster may still join
            message = f"cluster: expected workers, got none for {PATIENCE:g} s. Run the same command with --resume."
            raise ConnectionError(message)

    def next_batch(self) -> list[Task]:
        """Take files for about `BATCH_SECONDS`, with at most one video."""
        files: list[Task] = []
        size = min(BATCH, max(1, int(BATCH_SECONDS / max(self.mean, 1e-9))))
        while len(files) < size and (task := next(self.tasks, None)) is not None:
            files.append(task)
            if os.path.splitext(task.source)[1].lower() in VIDEO_SUFFIXES:
                break
        return files

    def submit(self, files: list[Task], cost: int = 0, priority: int = 0):
        """Submit files to the cluster."""
        future = self.client.submit(_do_batch, files, self.plugin, pure=False, priority=priority)
        self.waiting[future] = files, cost, time.monotonic()
        future.add_done_callback(self.finished.put)
        return future

    def take(self, future) -> Iterator[Outcome]:
        """Yield the outcomes of a batch; if its worker died, mark its files as suspects."""
        from distributed import KilledWorker

        files, cost, started = self.waiting.pop(future)
        seconds, cost = time.monotonic() - started, cost + 1
        self.alone = None if future is self.alone else self.alone
        try:
            outcomes = future.result()
        except KilledWorker:
            self.counted = 0.0
            if cost >= ATTEMPTS:
                yield crash_of(files[0], seconds)
            else:
                self.suspects.extend((task, cost) for task in files)
            return
        spent = sum(outcome.seconds for outcome in outcomes) / len(outcomes)
        self.mean += 0.2 * (spent - self.mean)
        for outcome in outcomes:
            yield replace(outcome, retried=True) if cost > 1 else outcome


def _allow_failures(dask_scheduler, allowed: int) -> int:
    """Set on how many workers a Dask task may fail before Dask gives it up; return the previous number."""
    before, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, allowed
    return before


def _has_dashboard() -> bool:
    """Whether this process, a scheduler, shows a dashboard; without bokeh the module cannot be imported."""
    return "distributed.dashboard.scheduler" in sys.modules


def _make_plugin(prepare: Callable[[], Work]):
    from distributed import WorkerPlugin

    class LoadOnce(WorkerPlugin):
        """Loads the network on each worker."""

        def __init__(self):
            self.name = f"ssdie-{uuid.uuid4().hex}"  # others may use the same cluster with other settings

        def setup(self, worker) -> None:
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # Dask runs one thread per task
            self.work, self.watchdog = prepare(), Watchdog()

    return LoadOnce()


def _do_batch(tasks: list[Task], plugin: str) -> list[Outcome]:
    """Enhance the files of a batch, on a worker."""
    from distributed import get_worker

    loaded, outcomes = get_worker().plugins[plugin], []
    for task in tasks:
        key = loaded.watchdog.start(task.limit)
        try:
            outcomes.append(loaded.work(task))
        finally:
            loaded.watchdog.stop(key)
    return outcomes
