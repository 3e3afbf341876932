"""The whole benchmark, section by section."""

import time
from collections.abc import Callable

from tqdm import tqdm

from ssdie.bench.gpu import measure_gpu
from ssdie.bench.measure import describe_machine, measure_ceiling
from ssdie.bench.photos import (
    measure_archive,
    measure_arrays,
    measure_installation,
    measure_processes,
    measure_video,
)
from ssdie.bench.training import measure_batchnorm, measure_kernels, measure_loader, measure_network, measure_steps
from ssdie.utils.provenance import current_commit

PHOTO_SECTIONS = (measure_processes, measure_arrays, measure_archive, measure_video, measure_installation)
TRAINING_SECTIONS = (measure_network, measure_kernels, measure_steps, measure_batchnorm, measure_loader, measure_gpu)


def bench(quick: bool = False, keep: Callable[[dict], None] = lambda result: None) -> dict:
    """Measure everything.

    Args:
        quick: small images and few repetitions for training: minutes instead of an hour. Targets that are meant for
            the full sizes are left out.
        keep: called with the result so far after each section.

    Returns:
        "machine", "commit", "ceiling" (operations and bytes a second), "measurements" (see
        `ssdie.bench.measure.measurement`), "parts" (seconds by part of a step), "photos" (pixels, CPU seconds,
        bytes), "archive" (CPU seconds by size of photo), "seconds" by section and "quick"; plain values.
    """
    result = {"quick": quick, "machine": describe_machine(), "commit": current_commit(), "measurements": []}
    result |= {"parts": {}, "photos": [], "archive": {}, "seconds": {}, "ceiling": measure_ceiling(5)}
    for section in tqdm((*PHOTO_SECTIONS, *TRAINING_SECTIONS), "bench"):
        started = time.perf_counter()
        section(result, quick)
        result["seconds"][section.__name__.removeprefix("measure_")] = time.perf_counter() - started
        keep(result)
    return result
