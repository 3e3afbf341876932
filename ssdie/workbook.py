"""What the notebooks share: a folder to write to, runs that find their own folder, and the two tests of a method."""

import dataclasses
import hashlib
import json
import platform
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ssdie import __version__
from ssdie.config import TrainConfig
from ssdie.data import Sources, find_photos
from ssdie.evaluate import evaluate
from ssdie.metrics import METRICS
from ssdie.paths import atomic, data_root, project_root
from ssdie.run import FREE
from ssdie.tables import summarise

PAIRED = [name for name, metric in METRICS.items() if metric.needs == "clear"]
UNPAIRED = [name for name in METRICS if name not in PAIRED]


def open_folder(run: str | Path, name: str, seed: int = 0) -> Path:
    """Seed everything, make the folder of a notebook, and say what it has to work with.

    Args:
        run: folder of the profile, such as "runs/quick"; a relative one lies in the checkout.
        name: of the notebook's own folder within.
        seed: of Python, NumPy and torch.

    Returns:
        The folder.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  whatever draws from NumPy's global state
    torch.manual_seed(seed)
    folder = run_folder(run) / name
    folder.mkdir(parents=True, exist_ok=True)
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} threads"
    )
    print(f"ssdie {__version__} · Python {platform.python_version()} · torch {torch.__version__} · {device}")
    print(f"data   {describe_data(find_photos())}")
    print(f"writes {shorten(folder)}")
    return folder


def run_folder(run: str | Path) -> Path:
    """Give the folder of a profile; a relative one lies in the checkout, wherever the notebook was started."""
    return (project_root() / run).resolve()


def shorten(path: str | Path) -> str:
    """Name a path from the checkout on."""
    path = Path(path)
    return str(path.relative_to(project_root())) if path.is_relative_to(project_root()) else str(path)


def describe_data(sources: Sources) -> str:
    """Say in a line what there is to train on.

    Example:
        >>> describe_data(Sources([], [], "somewhere"))
        'somewhere: 0 clear photos with depth, 0 real dusty photos'
    """
    dusty = "stand-ins for real dusty photos" if sources.origin == "embedded sample" else "real dusty photos"
    return f"{sources.origin}: {sources.counts['clear']} clear photos with depth, {sources.counts['dusty']} {dusty}"


def in_own_folder(config: TrainConfig) -> TrainConfig:
    """Append a fingerprint of the settings to the run's folder: other settings never meet, equal ones are resumed.

    Paths of earlier stages are settings too; they carry their own fingerprint, so that a change in stage 1 leads to a
    new stage 3.

    Example:
        >>> short, long = (in_own_folder(TrainConfig("supervised", "run", steps=n)).run for n in (1, 2))
        >>> short != long, str(short).startswith("run-"), len(short.name)
        (True, True, 12)
    """
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in FREE}
    text = json.dumps(settings, sort_keys=True, default=shorten)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return dataclasses.replace(config, run=config.run.with_name(f"{config.run.name}-{digest}"))


def remember(path: str | Path, **paths: Path) -> None:
    """Write where a later notebook finds things, as JSON with paths from the checkout on."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(paths, indent=2, default=shorten) + "\n", encoding="utf-8")


def recall(path: str | Path) -> dict[str, Path]:
    """Read what an earlier notebook left with `remember`.

    Raises:
        FileNotFoundError: that notebook has not been run.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{shorten(path)} is not there; run notebook {path.parent.name[:2]} with this `run` first."
        )
    return {
        name: project_root() / value for name, value in json.loads(path.read_text(encoding="utf-8")).items()
    }


def write_table(path: str | Path, table: pd.DataFrame) -> pd.DataFrame:
    """Write a table as CSV, whole or not at all; give it back, to be shown."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    return table


# The two tests ----------------------------------------------------------------------------------------------


def judge(
    methods: Mapping[str, str | Callable], limit: int = 0, long_side: int = 640, **options
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put methods to both tests: pairs with a clear twin, and real photos without one.

    Args:
        methods: as for `ssdie.evaluate.evaluate`, by name.
        limit: pictures of each test; 0 takes all.
        long_side: at which real photos are measured; pixels.
        **options: for `evaluate`.

    Returns:
        pictures: a row per picture, method and test; column test is "paired" (`bench/synthetic` of SSDIE_DATA, or
            the embedded sample) or "unpaired" (its `dusty/val`, or the pictures of the embedded sample).
        summary: a row per method, with METRIC, METRIC_low and METRIC_high, each METRIC like "paired_psnr".
    """
    root = data_root()
    paired, unpaired = (root / "bench" / "synthetic", root / "dusty" / "val") if root else (None, None)
    embedded = not (paired and paired.is_dir() and unpaired.is_dir())
    if embedded:
        both, _ = evaluate(methods, sample=limit or 15, long_side=0, **options)
        tables = {"paired": both, "unpaired": both}
    else:
        first, _ = evaluate(methods, paired / "dusty", paired / "clear", limit=limit, **options)
        second, _ = evaluate(methods, unpaired, long_side=long_side, limit=limit, **options)
        tables = {"paired": first, "unpaired": second}
    kept = {"paired": PAIRED, "unpaired": [*UNPAIRED, "niqe_model"]}
    parts = [
        table[["picture", "method", *(m for m in kept[test] if m in table)]] for test, table in tables.items()
    ]
    origin = "embedded sample" if embedded else "SSDIE_DATA"
    pictures = pd.concat(
        [part.assign(test=test, data=origin) for part, test in zip(parts, tables, strict=True)]
    )
    return pictures, widen(pictures)


def widen(pictures: pd.DataFrame, key: str = "method") -> pd.DataFrame:
    """Turn rows per picture into a row per method: TEST_METRIC, TEST_METRIC_low, TEST_METRIC_high, and `pictures`.

    Args:
        pictures: columns picture, `key`, test, and names of `METRICS`; several rows for one picture (seeds) are
            averaged before the pictures are resampled.
        key: column that tells the rows of the result.
    """
    rows = {name: {key: name} for name in pictures[key].unique()}
    for test, part in pictures.groupby("test"):
        metrics = [m for m in METRICS if m in part and part[m].notna().any()]
        means = part.groupby([key, "picture"], sort=False)[metrics].mean().reset_index()
        for row in summarise(means.rename(columns={key: "method"})).itertuples():
            column = f"{test}_{row.metric}"
            rows[row.method] |= {column: row.mean, f"{column}_low": row.low, f"{column}_high": row.high}
            rows[row.method][f"{test}_pictures"] = row.count
    return pd.DataFrame(rows.values())
