"""Tasks of the benchmark of the cluster engine, for child processes; without torch, so that the client stays small."""

import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

from fsspec import AbstractFileSystem, register_implementation

from ssdie.batch import cluster
from ssdie.batch.jobs import Naming
from ssdie.batch.journal import journal_path, open_journal
from ssdie.batch.listing import StreamedJobs
from ssdie.batch.outcome import Outcome, Task
from ssdie.enhancement.batch import Batch
from ssdie.enhancement.correction import Correction
from ssdie.enhancement.folder import enhance_files
from ssdie.enhancement.worker import Settings, Weights


class StubNetwork:
    """A network that changes nothing and takes no time."""

    digest = "stub"

    def correct(self, small, postprocess: bool = True) -> Correction:
        """Return the identity correction."""
        return Correction.identity(*small.shape[:2])


def do_nothing(task: Task) -> Outcome:
    """Do no work."""
    return Outcome(task.source, task.target)


def prepare_nothing() -> Callable[[Task], Outcome]:
    """Prepare no work; see `ssdie.batch.cluster.run_on_cluster`."""
    return do_nothing


@contextmanager
def _measure(count: int, found: dict) -> Iterator[None]:
    """Add "seconds" and "cpu" seconds of this process (client and scheduler) for each of `count` files."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    found |= {"seconds": (time.perf_counter() - wall) / count, "cpu": (time.process_time() - cpu) / count}


def time_overhead(count: int, batch: int) -> dict:
    """Pass files without work through the engine: one worker, batches of at most `batch` files."""
    cluster.BATCH, found = batch, {}
    with cluster.connect("local", 1) as client:
        run = functools.partial(cluster.run_on_cluster, client, prepare_nothing, idle=lambda: None)
        list(run(tasks=(Task(f"{k}", "") for k in range(10 * batch))))
        with _measure(count, found):
            list(run(tasks=(Task(f"{k}", "") for k in range(count))))
    return found


def time_files(folder: str, count: int, workers: int, stub: bool, on_cluster: bool = True) -> dict:
    """Enhance a folder of `count` files by workers with one thread each, with the stub network or the released one.

    Args:
        folder: of photos.
        count: number of photos in it.
        workers: number of processes.
        stub: use `StubNetwork`, which needs a cluster.
        on_cluster: workers of Dask, otherwise child processes.

    Returns:
        "seconds" and "cpu" seconds of the client for each file, the number of "failed" files, and the bytes of the
        "journal". The start of a cluster is left out.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # of the workers
    found = {}
    with tempfile.TemporaryDirectory() as out, ExitStack() as stack:
        client = stack.enter_context(cluster.connect("local", workers)) if on_cluster else None
        if client:
            client.wait_for_workers(workers)
        model = StubNetwork() if stub else Weights()
        with _measure(count, found):
            failures = enhance_files([folder], out, model, workers=workers, cluster=client, progress=False)
        return found | {"failed": len(failures), "journal": journal_path(out).stat().st_size}


class SimulatedStore(AbstractFileSystem):
    """An object store of `prefixes` with `names` photos each, which exist only in listings."""

    protocol = "simulated"
    prefixes = names = 0

    def isfile(self, path: str) -> bool:
        """Return False: inputs are buckets and prefixes, not single objects."""
        return False

    def ls(self, path: str, detail: bool = True, **options) -> list[dict]:
        """List the prefixes of the bucket, or the objects of a prefix, with the fields that s3fs gives."""
        if "/" not in path.strip("/"):
            return [{"name": f"{path}/{k:06}", "type": "directory", "size": 0} for k in range(self.prefixes)]
        paths = (f"{path}/IMG_20200318_{k:08}.jpg" for k in range(self.names))
        day = datetime(2020, 3, 18)
        return [
            {"Key": p, "name": p, "type": "file", "size": k, "Size": k, "StorageClass": "STANDARD",
             "LastModified": day.replace(microsecond=k % 10**6), "ETag": f'"{k:032x}"'}
            for k, p in enumerate(paths)
        ]  # fmt: skip


def list_names(prefixes: int, names: int, recorded: bool) -> dict:
    """Do what a client does with each file of a simulated bucket but the work: list it, look it up, and record it.

    Args:
        prefixes, names: number of prefixes, and of names in each.
        recorded: write each file to the journal.
    """
    SimulatedStore.prefixes, SimulatedStore.names = prefixes, names
    register_implementation("simulated", SimulatedStore, clobber=True)
    found = {}
    with tempfile.TemporaryDirectory() as out:
        with open_journal(out) as journal:
            jobs = StreamedJobs(["simulated://bucket"], "simulated://out", Naming())
            batch = Batch(jobs, journal, Settings(), StubNetwork.digest, resume=True)
            with _measure(prefixes * names, found):
                for source, target in jobs:
                    batch.clash(source, target)
                    task = batch.task(source, target)
                    if recorded:
                        batch.record(Outcome(task.source, task.target, size=1, stamp="s" * 32, output_stamp="s" * 32))
                    else:
                        batch.targets.clear()
        return found | {"journal": journal.path.stat().st_size}  # all rows are written when it is closed
