"""Tasks for tests of the process pool: the prefix of the source selects the behaviour (crash, hang, slow)."""

import os
import signal
import time

from ssdie.batch.outcome import Outcome, Task


def prepare():
    return do


def do(task: Task) -> Outcome:
    if task.source.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if task.source.startswith("hang"):
        time.sleep(100)
    if task.source.startswith("slow"):
        time.sleep(0.3)
    return Outcome(task.source, task.target, reason=str(os.getpid()))
