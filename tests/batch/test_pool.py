"""Threads and child processes: a crashed process fails only its own file, and tasks are consumed lazily."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from faults import ENVIRONMENT
from pool_work import do, prepare

from ssdie.batch.outcome import Task
from ssdie.batch.pool import run_here, run_in_processes


def ignore():
    pass


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])


def test_a_crash_and_a_hang_fail_only_their_own_files():
    names = [*(f"slow{k}" for k in range(3)), "crash", *(f"good{k}" for k in range(4)), "hang", "crash2", "good9"]
    tasks = [Task(name, "", limit=3 if name == "hang" else 0) for name in names]
    outcomes = {outcome.source: outcome for outcome in run_in_processes(prepare, tasks, 2, ignore)}
    assert sorted(outcomes) == sorted(names)
    failed = {name: outcome.reason for name, outcome in outcomes.items() if outcome.outcome == "failed"}
    assert sorted(failed) == ["crash", "crash2", "hang"]
    assert "crashed" in failed["crash"] and "limit of 3 s" in failed["hang"]
    assert str(os.getpid()) not in {outcome.reason for outcome in outcomes.values()}


@pytest.mark.quick
def test_tasks_are_consumed_lazily():
    consumed = finished = 0

    def tasks():
        nonlocal consumed
        for k in range(100):
            consumed += 1
            yield Task(str(k), "")

    for _ in run_here(lambda: do, tasks(), 3, ignore):
        assert consumed - finished <= 6
        finished += 1
    assert finished == 100


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_no_process_outlives_a_killed_client():
    code = """
import os
from pool_work import prepare
from ssdie.batch.outcome import Task
from ssdie.batch.pool import run_in_processes
if __name__ == "__main__":
    tasks = (Task(f"{'good' if k < 4 else 'hang'}", "") for k in range(8))
    for outcome in run_in_processes(prepare, tasks, 2, lambda: None):
        print(outcome.reason, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    workers = {int(process.stdout.readline()) for _ in range(4)}
    assert all(psutil.pid_exists(pid) for pid in workers)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    end = time.monotonic() + 20
    while any(map(is_running, workers)):
        assert time.monotonic() < end
        time.sleep(0.05)
