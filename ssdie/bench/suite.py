"""The whole benchmark, section by section."""

import time
from collections.abc import Callable, Sequence

from tqdm import tqdm

from ssdie.bench.cluster import measure_cluster
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

_MEASURES = (
    measure_processes, measure_arrays, measure_archive, measure_video, measure_installation, measure_cluster,
    measure_network, measure_kernels, measure_steps, measure_batchnorm, measure_loader, measure_gpu,
)  # fmt: skip
SECTIONS = {measure.__name__.removeprefix("measure_"): measure for measure in _MEASURES}


def bench(
    quick: bool = False, keep: Callable[[dict], None] = lambda result: None, only: Sequence[str] | None = None
) -> dict:
    """Measure everything, or some sections.

    Args:
        quick: small images and few repetitions: minutes instead of hours. Targets that are meant for the full sizes
            are left out.
        keep: called with the result so far after each section.
        only: names of `SECTIONS`; None: all. They are measured in the order of `SECTIONS`.

    Returns:
        "machine", "commit", "ceiling" (operations and bytes a second), "measurements" (see
        `ssdie.bench.measure.measurement`), "parts" (seconds by part of a step), "photos" (pixels, CPU seconds,
        bytes), "archive" (CPU seconds by size of photo), "seconds" by section and "quick"; plain values.

    Raises:
        ValueError: a section is unknown, or needs another one.
    """
    names = list(SECTIONS if only is None else only)
    if unknown := sorted(set(names) - set(SECTIONS)):
        raise ValueError(f"only: expected some of {', '.join(SECTIONS)}, got {', '.join(unknown)}.")
    if "loader" in names and "steps" not in names:
        raise ValueError("only: expected steps with loader, which is compared with them, got loader alone. Add steps.")
    result = {"quick": quick, "machine": describe_machine(), "commit": current_commit(), "measurements": []}
    result |= {"parts": {}, "photos": [], "archive": {}, "seconds": {}, "ceiling": measure_ceiling(5)}
    for name in tqdm([name for name in SECTIONS if name in names], "bench"):
        started = time.perf_counter()
        SECTIONS[name](result, quick)
        result["seconds"][name] = time.perf_counter() - started
        keep(result)
    return result
