"""Slow and crashing stub networks, and a client of a local Dask cluster: `python cluster_client.py IN OUT [resume]`.

The client prints the process IDs of its workers, then a line for each file.
"""

import os
import signal
import sys
import time

from photos import StubModel

from ssdie.batch.cluster import connect
from ssdie.enhancement.folder import enhance_files


class SlowModel(StubModel):
    """The stub network with a delay of 20 ms."""

    def correct(self, small, postprocess=True):
        time.sleep(0.02)
        return super().correct(small, postprocess)


class CrashingModel(StubModel):
    """Kills its own process if the red channel is saturated, and hangs if the green channel is."""

    def correct(self, small, postprocess=True):
        red, green, _ = small.mean((0, 1))
        if red > 0.95:
            os.kill(os.getpid(), signal.SIGKILL)
        if green > 0.95:
            time.sleep(1000)
        return super().correct(small, postprocess)


def main() -> None:
    source, out, *resume = sys.argv[1:]
    with connect("local", 2) as client:
        print(*client.run(os.getpid).values(), flush=True)
        options = {"working_size": 32, "progress": False, "resume": bool(resume), "cluster": client}
        options["report"] = lambda outcome: print(outcome.outcome, outcome.source, outcome.reason, flush=True)
        enhance_files([source], out, SlowModel(), **options)


if __name__ == "__main__":
    main()
