"""Methods compared in the notebooks: metrics on both test sets, fixed example images, run time."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from tqdm.auto import tqdm

from ssdie.data.photos import find_photos
from ssdie.data.sample import sample_pair
from ssdie.evaluation.methods import evaluate, resolve_methods
from ssdie.evaluation.metrics import METRICS
from ssdie.evaluation.tables import widen
from ssdie.ops.images import fit_long_side
from ssdie.synthesis.dust import add_dust
from ssdie.synthesis.recipes import sample_dust
from ssdie.utils.devices import time_calls
from ssdie.utils.paths import data_root

PAIRED = [name for name, metric in METRICS.items() if metric.needs == "clear"]
UNPAIRED = [name for name in METRICS if name not in PAIRED]


# Test sets ----------------------------------------------------------------------------------------------


def compare_on_test_sets(
    methods: Mapping[str, str | Callable],
    limit: int = 0,
    long_side: int = 640,
    peers: Mapping[str, Path] | None = None,
    **options,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Evaluate methods on both test sets: synthetic pairs with reference images, and real photos without.

    Args:
        methods: methods by name, as for `ssdie.evaluation.methods.evaluate`.
        limit: number of images of each test set; 0 takes all.
        long_side: longer side to which real photos are shrunk before they are measured, pixels.
        peers: folders of further methods by name, with finished images in `synthetic` and `real`; ignored for the
            embedded sample.
        **options: passed to `evaluate`.

    Returns:
        pictures: a row per image, method and test set. The column test is "paired" (`bench/synthetic` of SSDIE_DATA, or
            the embedded sample) or "unpaired" (`dusty/val` of SSDIE_DATA, or the embedded sample again).
        table: a row per method, as returned by `ssdie.evaluation.tables.widen`.
    """
    root = data_root()
    paired, unpaired = (root / "bench" / "synthetic", root / "dusty" / "val") if root else (None, None)
    embedded = not (paired and paired.is_dir() and unpaired.is_dir())
    if embedded:
        both, _ = evaluate(methods, sample=limit or 15, long_side=0, **options)
        tables = {"paired": both, "unpaired": both}
    else:
        synthetic, real = ({name: f / kind for name, f in (peers or {}).items()} for kind in ("synthetic", "real"))
        first, _ = evaluate({**methods, **synthetic}, paired / "dusty", paired / "clear", limit=limit, **options)
        second, _ = evaluate({**methods, **real}, unpaired, long_side=long_side, limit=limit, **options)
        tables = {"paired": first, "unpaired": second}
    kept = {"paired": PAIRED, "unpaired": [*UNPAIRED, "niqe_model"]}
    parts = [table[["picture", "method", *(m for m in kept[test] if m in table)]] for test, table in tables.items()]
    origin = "embedded sample" if embedded else "SSDIE_DATA"
    pictures = pd.concat([part.assign(test=test, data=origin) for part, test in zip(parts, tables, strict=True)])
    return pictures, widen(pictures)


# Example images ----------------------------------------------------------------------------------------


def fixed_pairs(
    count: int = 3, long_side: int = 384, density: float | None = None
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Make synthetic pairs from fixed photos of the split "val" with fixed seeds.

    Args:
        count: number of pairs.
        long_side: maximum longer side, pixels.
        density: extinction of green, as for `ssdie.synthesis.recipes.sample_dust`; None draws it.

    Returns:
        (dusty, clear), both (1, 3, H, W) in [0, 1], by name of the photo.
    """
    pairs = {}
    for seed, photo in enumerate(_spread(find_photos(split="val").clear, count), start=1):
        picture = fit_long_side(photo.read()[None], long_side)
        generator = torch.Generator().manual_seed(seed)
        dust = sample_dust(1, generator, density=density)
        pairs[photo.name] = add_dust(picture[:, :3], picture[:, 3:], dust, generator).dusty, picture[:, :3]
    return pairs


def fixed_photos(count: int = 3, long_side: int = 384) -> dict[str, torch.Tensor]:
    """Read fixed real dusty photos of the split "val", or their substitutes in the embedded sample.

    Args:
        count: number of photos.
        long_side: maximum longer side, pixels.

    Returns:
        (1, 3, H, W) in [0, 1] by name of the photo.
    """
    photos = _spread(find_photos(split="val").dusty, count)
    return {photo.name: fit_long_side(photo.read()[None], long_side) for photo in photos}


def _spread(items: Sequence, count: int) -> list:
    """Select `count` items at equal distances."""
    count = min(count, len(items))
    return [items[(2 * k + 1) * len(items) // (2 * count)] for k in range(count)]


def apply_methods(
    photos: Mapping[str, torch.Tensor], methods: Mapping[str, str | Callable]
) -> list[dict[str, torch.Tensor]]:
    """Enhance photos by several methods.

    Args:
        photos: (1, 3, H, W) in [0, 1] by name.
        methods: methods by label, as for `ssdie.evaluation.methods.resolve_methods`.

    Returns:
        A row per photo: the enhanced images (1, 3, H, W) in [0, 1] by label.
    """
    solvers = resolve_methods(methods)
    with torch.inference_mode():
        return [
            {label: solve(photo, name) for label, solve in solvers.items()}
            for name, photo in tqdm(photos.items(), "photos", leave=False)
        ]


def measure_runtime(
    methods: Mapping[str, str | Callable], sizes: Sequence[tuple[int, int]], repeats: int = 3
) -> pd.DataFrame:
    """Measure the run time of methods, from input tensor to output tensor.

    Args:
        methods: as for `apply_methods`.
        sizes: heights and widths of the test image, pixels.
        repeats: number of timed calls, after one warm-up call.

    Returns:
        A row per method and size: method, size, megapixels, seconds (median), threads.
    """
    rows = []
    solvers = resolve_methods(methods)
    with tqdm(desc="run time", total=len(sizes) * len(solvers), unit="method") as bar:
        for height, width in sizes:
            clear, depth = sample_pair(0, (height, width))
            dusty = add_dust(clear[None], depth[None], generator=0).dusty
            for name, solve in solvers.items():
                with torch.inference_mode():
                    seconds = statistics.median(time_calls(partial(solve, dusty, name), repeats))
                row = {"method": name, "size": f"{width} x {height}", "megapixels": width * height / 1e6}
                rows.append({**row, "seconds": seconds, "threads": torch.get_num_threads()})
                bar.update()
    return pd.DataFrame(rows)
