"""The Dask engine: a killed worker fails only its own file, a killed client resumes, outputs equal those without it."""

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import cluster_client
import pool_work
import psutil
import pytest
from faults import ENVIRONMENT, SSDIE, on_disk, run_child
from photos import StubModel, files_below, photo, photo_folder
from PIL import Image

from ssdie.batch.journal import open_journal
from ssdie.batch.outcome import Task
from ssdie.enhancement.folder import enhance_files

distributed = pytest.importorskip("distributed")
CLIENT = [sys.executable, cluster_client.__file__]


@pytest.fixture(scope="module")
def client():
    """A local cluster. `connect` has to override this setting, with which Dask would not restart dead workers."""
    import dask

    from ssdie.batch.cluster import connect

    with pytest.MonkeyPatch.context() as patch, dask.config.set({"distributed.deploy.lost-worker-timeout": "1ms"}):
        patch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
        before = workers_of(os.getpid())
        with connect("local", 2) as client:
            yield client
        assert workers_of(os.getpid()) <= before


def workers_of(process: int) -> set[int]:
    """IDs of the child processes started by multiprocessing, without its resource tracker."""
    children = psutil.Process(process).children(recursive=True)
    lines = {}
    for child in children:
        with contextlib.suppress(psutil.Error):
            lines[child.pid] = " ".join(child.cmdline())
    return {pid for pid, line in lines.items() if "spawn_main" in line}


def is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_tasks_are_consumed_lazily_and_a_cluster_can_be_reused(client):
    from ssdie.batch.cluster import BATCH, run_on_cluster

    consumed, finished, largest_lead = [], 0, 0
    tasks = (consumed.append(k) or Task(f"good{k}", "") for k in range(400))
    for _ in run_on_cluster(client, pool_work.prepare, tasks, lambda: None):
        finished += 1
        largest_lead = max(largest_lead, len(consumed) - finished)
    assert finished == 400 and largest_lead <= (2 * 2 + 1) * BATCH
    sources = [outcome.source for outcome in run_on_cluster(client, pool_work.prepare, [Task("a", "")], lambda: None)]
    assert sources == ["a"]


def test_a_video_is_the_last_task_of_its_batch(client):
    from ssdie.batch.cluster import _Batches

    tasks = [Task(f"{k}.{'mp4' if k in (2, 3) else 'jpg'}", "") for k in range(6)]
    batches = _Batches(client, "", tasks, lambda threads: None)
    batches.mean = 1e-3
    sources = [[task.source for task in batches.next_batch()] for _ in range(4)]
    assert sources == [["0.jpg", "1.jpg", "2.mp4"], ["3.mp4"], ["4.jpg", "5.jpg"], []]


def test_a_file_that_crashes_its_worker_and_one_that_hangs_fail_without_affecting_others(client, tmp_path):
    names = tuple(f"{k:02}.png" for k in range(20))
    folder = photo_folder(tmp_path / "photos", names)
    full = Image.new("L", (40, 30), 255)
    for name, channel in (("05-red.png", 0), ("11-green.png", 1)):
        bands = list(photo().split())
        bands[channel] = full
        Image.merge("RGB", bands).save(folder / name)
    settings = {"working_size": 32, "progress": False}
    model = cluster_client.CrashingModel()
    failures = enhance_files([folder], tmp_path / "out", model, cluster=client, time_limit=5, **settings)
    reasons = {failure.path.name: failure.reason for failure in failures}
    assert sorted(reasons) == ["05-red.png", "11-green.png"]
    assert "crashed" in reasons["05-red.png"] or "limit" in reasons["05-red.png"]  # a slow start of a worker counts
    assert "longer than its limit of 5 s" in reasons["11-green.png"]
    assert files_below(tmp_path / "out") == list(names)  # no temporary file of a killed worker


def test_a_run_with_a_killed_worker_and_a_killed_client_is_resumed(tmp_path):
    """All files are finished, equal those made without a cluster, and no process remains."""
    names = tuple(f"{k:03}.png" for k in range(200))
    folder, out = photo_folder(tmp_path / "photos", names), tmp_path / "out"
    process = subprocess.Popen([*CLIENT, folder, out], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in process.stdout.readline().split()]
    done = list(islice(process.stdout, 20))
    os.kill(workers[0], signal.SIGKILL)
    done += islice(process.stdout, 80)
    process.kill()
    done += process.stdout
    assert process.wait() == -signal.SIGKILL and 100 <= len(done) < 200
    assert {line.split()[0] for line in done} == {"done"}
    end = time.monotonic() + 60
    while any(map(is_running, workers)):
        assert time.monotonic() < end
        time.sleep(0.05)
    resumed = subprocess.run([*CLIENT, folder, out, "resume"], env=ENVIRONMENT, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    kept = [line for line in resumed.stdout.splitlines() if line.startswith("kept")]
    assert kept and not [line for line in resumed.stdout.splitlines() if line.startswith("failed")]
    assert enhance_files([folder], tmp_path / "here", StubModel(), working_size=32, progress=False) == []
    assert [name for name in files_below(out) if not name.startswith(".")] == list(names)
    assert all((out / name).read_bytes() == (tmp_path / "here" / name).read_bytes() for name in names)
    with open_journal(out) as journal:
        assert [Path(row.input).name for row in journal.rows("done")] == list(names)


def test_on_a_full_disk_only_files_that_do_not_fit_fail_and_a_dashboard_is_named_if_it_exists(tmp_path):
    names = tuple(f"{k}.png" for k in range(8))
    folder, disk = photo_folder(tmp_path / "photos", names, (150, 100)), tmp_path / "disk"
    words = [*SSDIE, "enhance", folder, "-o", disk, "--cluster", "local", "--workers", "1", "--working-size", "32"]
    size = 48 * 1024 + 4 * (folder / "0.png").stat().st_size
    done = run_child(on_disk(disk, words, f"size={size}"))
    failed = re.findall(r"failed: (\S+): .*No space left on device", done.stderr)
    written = [Path(line) for line in done.stdout.splitlines() if line.endswith(".png")]
    assert done.returncode == 1 and written and failed and "Traceback" not in done.stderr
    assert sorted([*(Path(name).name for name in failed), *(path.name for path in written)]) == list(names)
    assert "dashboard: " in done.stderr
    assert ("http" in done.stderr) == bool(importlib.util.find_spec("bokeh"))


def test_a_lost_scheduler_is_a_connection_error_that_names_resume(tmp_path):
    from ssdie.batch.cluster import run_on_cluster

    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        client = distributed.Client(cluster.scheduler_address, timeout=5)
        tasks = (Task(f"slow{k}", "") for k in range(50))
        outcomes = run_on_cluster(client, pool_work.prepare, tasks, lambda: None)
        next(outcomes)
    with pytest.raises(ConnectionError, match="Run the same command with --resume"):
        list(outcomes)
    client.close()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "none.json"])
def test_an_unreachable_cluster_is_an_error_that_names_it(tmp_path, address, monkeypatch):
    from ssdie.batch import cluster

    monkeypatch.setattr(cluster, "CONNECT", "1s")
    with pytest.raises(OSError, match="cluster|127.0.0.1:9"), cluster.connect(address, 1):
        pass


def test_dask_is_not_imported_without_a_cluster():
    code = "import sys, ssdie.batch.cluster, ssdie.batch.storage\nprint({'distributed', 'fsspec'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
