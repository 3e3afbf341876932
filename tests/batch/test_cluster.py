"""The Dask engine: a worker that dies costs its own file, the client may die, the bytes are those without a cluster."""

import os
import signal
import subprocess
import sys

import pool_work
import pytest
from faults import ENVIRONMENT

from ssdie.batch.outcome import Task

pytest.importorskip("distributed")


@pytest.fixture
def client():
    from ssdie.batch.cluster import connect

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = ENVIRONMENT["PYTHONPATH"]
    with connect("local", 2) as client:
        yield client
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def test_a_worker_that_is_killed_costs_nothing(client):
    from ssdie.batch.cluster import run_on_cluster

    killed, outcomes = False, []
    tasks = (Task(f"slow{k}", "") for k in range(30))
    for outcome in run_on_cluster(client, pool_work.prepare, tasks, lambda: None):
        outcomes.append(outcome)
        if not killed and len(outcomes) > 4:
            os.kill(int(outcome.reason), signal.SIGKILL)
            killed = True
    assert sorted(outcome.source for outcome in outcomes) == sorted(f"slow{k}" for k in range(30))
    assert {outcome.outcome for outcome in outcomes} == {"done"}


def test_few_tasks_are_taken_before_their_turn(client):
    from ssdie.batch.cluster import run_on_cluster

    taken, given, most = [], 0, 0
    tasks = (taken.append(k) or Task(f"good{k}", "") for k in range(400))
    for _ in run_on_cluster(client, pool_work.prepare, tasks, lambda: None):
        given += 1
        most = max(most, len(taken) - given)
    assert given == 400 and most <= 60


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "none.json"])
def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path, address, monkeypatch):
    from ssdie.batch import cluster

    monkeypatch.setattr(cluster, "CONNECT", "1s")
    with pytest.raises(OSError, match="cluster|127.0.0.1:9"), cluster.connect(address, 1):
        pass


def test_dask_is_not_imported_without_a_cluster():
    code = "import sys, ssdie.batch.cluster, ssdie.batch.storage\nprint({'distributed', 'fsspec'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
