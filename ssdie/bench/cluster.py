"""Section of the benchmark for the cluster engine: overhead, speed-up by workers, many files, memory of the client."""

import os
import tempfile
from pathlib import Path

from PIL import Image

from ssdie.bench.measure import Target, measurement, ratios
from ssdie.bench.process import run_child
from ssdie.bench.tasks import make_photo
from ssdie.utils.machine import usable_cores

PREFIX = 10_000  # names in a prefix of the simulated store
LINKS = 10_000  # names of one file; file systems allow as few as 32,000
ROUNDS = 3
MODULE = "cluster_tasks"


def measure_cluster(result: dict, quick: bool) -> None:
    """Measure `ssdie enhance --cluster local`; needs two idle cores, and 2 GB of temporary files.

    Quick: fewer files and names, which the table names, and no targets for the speed-up by workers.
    """
    measure_overhead(result, 500 if quick else 5000, 1 if quick else ROUNDS)
    measure_speed_up(result, 4 if quick else 48, 1 if quick else ROUNDS, None if quick else (">=", 1.9))
    measure_many_files(result, 1000 if quick else 100_000)
    measure_listing(result, 100_000 if quick else 10_000_000)


def measure_overhead(result: dict, count: int, rounds: int) -> None:
    """Measure the time of files without work, in batches as of small files and alone as of large ones.

    One worker: batches follow one another, and what the engine needs for a batch is not hidden by work on another.
    """
    for batch, label, target in ((32, "in batches of 32", ("<=", 5)), (1, "each a batch of its own", None)):
        files = max(1, count // (1 if batch > 1 else 10))
        runs = [run_child(f"time_overhead({files}, {batch})", module=MODULE) for _ in range(rounds)]
        wall, cpu = [1000 * run["seconds"] for run in runs], [run["cpu"] for run in runs]
        name = f"cluster, overhead of a file, {files} files without work, {label}"
        result["measurements"].append(measurement(name, wall, "ms", target, cpu=cpu))


def measure_speed_up(
    result: dict, count: int, rounds: int, target: Target, size: tuple[int, int] = (3000, 4000)
) -> None:
    """Measure how many times faster two workers are than one; also child processes without a cluster, for comparison.

    Left out on a machine with one core.
    """
    if usable_cores() < 2:
        return
    with tempfile.TemporaryDirectory() as folder:
        make_copies(Path(folder), size, count)
        for on_cluster, name in ((True, "cluster, 2 workers"), (False, "without a cluster, 2 processes")):
            one, two = [], []
            for _ in range(rounds):
                for found, workers in ((one, 1), (two, 2)):
                    call = f"time_files({folder!r}, {count}, {workers}, False, {on_cluster})"
                    found.append(run_child(call, module=MODULE)["seconds"])
            name = f"{name} against 1, {count} photos of {size[0] * size[1] / 1e6:.3g} megapixels"
            result["measurements"].append(measurement(name, ratios(one, two), "x", target if on_cluster else None))


def measure_many_files(result: dict, count: int) -> None:
    """Measure files a second, the client's memory and the journal, with tiny photos and a network that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        make_copies(Path(folder), (32, 32), count)
        workers = min(2, usable_cores())
        found = run_child(f"time_files({folder!r}, {count}, {workers}, True)", module=MODULE)
    if found["failed"]:
        raise RuntimeError(f"cluster: expected all tiny files to be done, but {found['failed']} failed.")
    add, label = result["measurements"].append, f"cluster, {count} tiny files"
    workers = "1 worker" if workers == 1 else f"{workers} workers"
    add(measurement(f"{label}, {workers}", 1 / found["seconds"], "files/s", cpu=found["cpu"]))
    add(measurement(f"{label}, memory of client and scheduler", found["peak"] / 1e9, "GB", ("<=", 0.5)))
    add(measurement(f"{label}, journal", found["journal"] / 1e6, "MB"))


def measure_listing(result: dict, count: int) -> None:
    """Measure the memory of a client that lists and looks up `count` names of a simulated store, with and without
    writing each to its journal, and what a single large prefix takes.
    """
    add, recorded = result["measurements"].append, count // 10
    for names, journal, what in ((count, False, "listed and looked up"), (recorded, True, "listed and recorded")):
        found = run_child(f"list_names({names // PREFIX}, {PREFIX}, {journal})", module=MODULE)
        label = f"cluster, {names} simulated names, {what}"
        add(measurement(f"{label}, memory of the client", found["peak"] / 1e9, "GB", ("<=", 0.5)))
        add(measurement(label, 1 / found["seconds"], "files/s", cpu=found["cpu"]))
    add(measurement(f"cluster, journal of {recorded} files", found["journal"] / 1e6, "MB"))
    names = min(count, 500_000)
    found = run_child(f"list_names(1, {names}, False)", module=MODULE)
    add(measurement(f"cluster, {names} simulated names in one prefix, memory of the client", found["peak"] / 1e9, "GB"))


def make_copies(folder: Path, size: tuple[int, int], count: int) -> None:
    """Make `count` names of a dusty JPEG photo of (height, width); every `LINKS` names share the space of one file."""
    photo = Image.fromarray(make_photo(*size))
    for number in range(count):
        path = folder / f"{number}.jpg"
        if number % LINKS == 0:
            photo.save(path, quality=95)
            first = path
        else:
            os.link(first, path)
