"""Endless batches of crops, from any step on; by worker processes whose end is an error and no hang."""

import itertools
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from ssdie.data import Crops

PATIENCE = 300  # seconds to wait for a process that loads photos


def load_batches(
    crops: Crops, batch: int, start: int = 0, workers: int = 0, rank: int = 0, processes: int = 1
) -> Iterator[torch.Tensor]:
    """Yield batches for ever, from step `start` on: (batch, C, size, size) for each of the processes.

    Args:
        crops: to draw from.
        batch: pictures a step for one process.
        start: first step: where an interrupted run stopped.
        workers: processes that decode and crop; 0 does it in this one.
        rank, processes: this process and their number; together they see what one process with a batch of
            batch * processes sees.

    Raises:
        ChildProcessError: a worker died, or gave nothing for `PATIENCE` seconds.
        ValueError: a photo cannot be read.
    """
    total = batch * processes
    steps = (list(range(step * total + rank, (step + 1) * total, processes)) for step in itertools.count(start))
    pinned = torch.cuda.is_available()
    own = torch.Generator()  # a loader that starts would otherwise draw from the random numbers of its first step
    options = {"pin_memory": pinned, "generator": own, "timeout": PATIENCE if workers else 0}
    try:
        yield from DataLoader(crops, batch_sampler=steps, num_workers=workers, **options)
    except RuntimeError as error:
        if not str(error).startswith("DataLoader"):
            raise
        told = str(error).splitlines()[0].removeprefix("DataLoader ").rstrip(". ")
        raise ChildProcessError(
            f"A process that loads photos is lost ({told}); the same command resumes, best with fewer workers."
        ) from error
    except ValueError as error:
        if "Original Traceback" not in str(error):
            raise
        raise ValueError(str(error).strip().splitlines()[-1].removeprefix("ValueError: ")) from None  # a worker's
