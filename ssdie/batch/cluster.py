"""Run work on a Dask cluster: small batches of files, a network loaded once by each worker; needs `ssdie[cluster]`."""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ssdie.batch.outcome import Outcome, Task
from ssdie.batch.pool import TICK, Watchdog, Work, crash_of
from ssdie.utils.dependencies import require

BATCH = 4  # files of a Dask task
ATTEMPTS = 3  # of a file whose worker died
PLUGIN = "ssdie"
CONNECT = "20s"  # longest wait for a scheduler


@contextmanager
def connect(address: str, workers: int) -> Iterator:
    """Start or join a cluster for a block.

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
        options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
        with distributed.LocalCluster(n_workers=workers, **options) as cluster, distributed.Client(cluster) as client:
            yield client
        return
    place = {"address": address} if "://" in address else {"scheduler_file": address}
    if "scheduler_file" in place and not os.path.isfile(address):
        raise FileNotFoundError(f"cluster: expected local, tcp://HOST:PORT or a scheduler file, got {address}.")
    with distributed.Client(**place, timeout=CONNECT) as client:
        yield client


def run_on_cluster(
    client, prepare: Callable[[], Work], tasks: Iterable[Task], idle: Callable[[], None], batch: int = BATCH
) -> Iterator[Outcome]:
    """Work on the workers of a cluster, which may join and leave.

    The files of a batch whose worker died are repeated one by one; a file that loses `ATTEMPTS` workers has failed.

    Args:
        client: from `connect`.
        prepare: gives the function of a task that does the work; called once on each worker; must be picklable.
        tasks: taken one by one, when there is room.
        idle: called about every half second.
        batch: files of a Dask task.

    Yields:
        Outcomes, in the order in which they come.
    """
    distributed = require("distributed", "cluster")
    client.register_plugin(_make_plugin(prepare), name=PLUGIN)
    client.run_on_scheduler(_fail_at_once)
    tasks, more = iter(tasks), True
    waiting: dict = {}  # future: (its tasks, attempt, when it was submitted)
    suspects: deque[tuple[Task, int]] = deque()
    room, counted, alone = 2, 0.0, None

    def submit(files: list[Task], attempt: int):
        future = client.submit(_do_batch, files, pure=False)
        waiting[future] = files, attempt, time.monotonic()
        return future

    while more or waiting or suspects:
        if time.monotonic() - counted > 1:
            threads = sum(w["nthreads"] for w in client.scheduler_info(n_workers=-1)["workers"].values())
            room, counted = max(2, 2 * threads), time.monotonic()
        if suspects and alone is None:
            task, attempt = suspects.popleft()
            alone = submit([task], attempt)
        while more and len(waiting) < room:
            files = [task for _, task in zip(range(batch), tasks, strict=False)]
            more = len(files) == batch
            if files:
                submit(files, 0)
        idle()
        if not waiting:
            continue
        try:
            finished = distributed.wait(list(waiting), TICK, "FIRST_COMPLETED").done
        except (TimeoutError, distributed.TimeoutError):
            continue
        for future in finished:
            files, attempt, started = waiting.pop(future)
            alone = None if future is alone else alone
            if future.status == "finished":
                yield from future.result()
            elif not isinstance(future.exception(), distributed.KilledWorker):
                future.result()
            elif attempt >= ATTEMPTS or (attempt and 0 < files[0].limit <= time.monotonic() - started):
                yield crash_of(files[0], time.monotonic() - started)
            else:
                suspects.extend((task, attempt + 1) for task in files)


def _fail_at_once(dask_scheduler) -> None:
    """Report a task as lost when its first worker dies, instead of giving it to three more."""
    dask_scheduler.allowed_failures = 0


def _make_plugin(prepare: Callable[[], Work]):
    from distributed import WorkerPlugin

    class LoadOnce(WorkerPlugin):
        """Loads the network on each worker."""

        name = PLUGIN

        def setup(self, worker) -> None:
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # Dask has a thread for each task
            self.work, self.watchdog = prepare(), Watchdog()

    return LoadOnce()


def _do_batch(tasks: list[Task]) -> list[Outcome]:
    """Do the files of a batch, on a worker."""
    from distributed import get_worker

    plugin, outcomes = get_worker().plugins[PLUGIN], []
    for task in tasks:
        key = plugin.watchdog.start(task.limit)
        try:
            outcomes.append(plugin.work(task))
        finally:
            plugin.watchdog.stop(key)
    return outcomes
