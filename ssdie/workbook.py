"""What notebooks share: a folder to write to, runs that find their own folder, the two tests of a method."""

import dataclasses
import hashlib
import json
import os
import platform
import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from ssdie import __version__
from ssdie.checkpoint import read_header, read_log
from ssdie.config import TrainConfig
from ssdie.data import Sources, find_photos
from ssdie.dust import add_dust
from ssdie.evaluate import evaluate, resolve_methods
from ssdie.images import fit_long_side
from ssdie.manifest import begin_notebook
from ssdie.measure import time_calls
from ssdie.metrics import METRICS
from ssdie.paths import atomic, data_root, project_root
from ssdie.run import FREE
from ssdie.scenes import render_scene
from ssdie.tables import widen
from ssdie.train import train
from ssdie.weather import sample_dust

PAIRED = [name for name, metric in METRICS.items() if metric.needs == "clear"]
UNPAIRED = [name for name in METRICS if name not in PAIRED]


def open_folder(run: str | Path, name: str, seed: int = 0) -> Path:
    """Seed everything, make the folder of a notebook with its manifest, and say what it has to work with.

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
    begin_notebook(folder, name, seed)
    return folder


def run_folder(run: str | Path) -> Path:
    """Give the folder of a profile; a relative one lies in the checkout, wherever a notebook was started."""
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
    clear = f"{sources.counts['clear']} clear photos with depth"
    return f"{sources.origin}: {clear}, {sources.counts['dusty']} {dusty}"


def in_own_folder(config: TrainConfig) -> TrainConfig:
    """Append a fingerprint of the settings to the run's folder: other settings never meet, equal ones resume.

    Paths of earlier stages are settings too; they carry their own fingerprint, so that a change in stage 1
    leads to a new stage 3.

    Example:
        >>> short, long = (in_own_folder(TrainConfig("supervised", "run", steps=n)).run for n in (1, 2))
        >>> short != long, str(short).startswith("run-"), len(short.name)
        (True, True, 12)
    """
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in FREE}
    text = json.dumps(settings, sort_keys=True, default=shorten)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return dataclasses.replace(config, run=config.run.with_name(f"{config.run.name}-{digest}"))


def progress(iterable: Iterable | None = None, name: str = "", total: int | None = None, **options) -> tqdm:
    """Show a progress bar with the time left, unless the environment variable TQDM_DISABLE is set."""
    return tqdm(iterable, name, total, disable=bool(os.environ.get("TQDM_DISABLE")), **options)


def follow(config: TrainConfig, leave: bool = True) -> Iterator[dict[str, float]]:
    """Train, or resume, as `ssdie.train.train` does, and show how far it is; yield its reports."""
    name = config.run.name.rpartition("-")[0] or config.run.name  # without the fingerprint
    with progress(name=name, total=config.steps, leave=leave, unit="step") as bar:
        for report in train(config):
            bar.update(int(report["step"]) - bar.n)
            bar.set_postfix({name: f"{value:.3g}" for name, value in list(report.items())[1:3]})
            yield report
        bar.update(config.steps - bar.n)


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


def join_logs(runs: Sequence[Path]) -> list[dict[str, float]]:
    """Read the logs of runs that follow one another as if they were one: steps go on counting."""
    rows: list[dict[str, float]] = []
    for run in runs:
        before = rows[-1]["step"] if rows else 0
        rows += [{**row, "step": row["step"] + before} for row in read_log(Path(run) / "log.csv")]
    return rows


def write_table(path: str | Path, table: pd.DataFrame) -> pd.DataFrame:
    """Write a table as CSV, whole or not at all; give it back, to be shown."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    return table


# The two tests ----------------------------------------------------------------------------------------------


def judge(
    methods: Mapping[str, str | Callable],
    limit: int = 0,
    long_side: int = 640,
    peers: Mapping[str, Path] | None = None,
    **options,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put methods to both tests: pairs with a clear twin, and real photos without one.

    Args:
        methods: as for `ssdie.evaluate.evaluate`, by name.
        limit: pictures of each test; 0 takes all.
        long_side: at which real photos are measured; pixels.
        peers: folders by name, with ready pictures in `synthetic` and `real`; not for the embedded sample.
        **options: for `evaluate`.

    Returns:
        pictures: a row per picture, method and test; column test is "paired" (SSDIE_DATA's `bench/synthetic`,
            or the embedded sample) or "unpaired" (its `dusty/val`, or the embedded sample once more).
        table: a row per method, as `ssdie.tables.widen` gives it.
    """
    root = data_root()
    paired, unpaired = (root / "bench" / "synthetic", root / "dusty" / "val") if root else (None, None)
    embedded = not (paired and paired.is_dir() and unpaired.is_dir())
    if embedded:
        both, _ = evaluate(methods, sample=limit or 15, long_side=0, **options)
        tables = {"paired": both, "unpaired": both}
    else:
        synthetic, real = (
            {name: f / kind for name, f in (peers or {}).items()} for kind in ("synthetic", "real")
        )
        first, _ = evaluate(
            {**methods, **synthetic}, paired / "dusty", paired / "clear", limit=limit, **options
        )
        second, _ = evaluate({**methods, **real}, unpaired, long_side=long_side, limit=limit, **options)
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


# Pictures to look at ----------------------------------------------------------------------------------------


def fixed_pairs(
    count: int = 3, long_side: int = 384, density: float | None = None
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Give the same synthetic pairs every time, of the split "val": (dusty, clear), (1, 3, H, W), by name.

    Args:
        count: of pairs.
        long_side: of the pictures, at most; pixels.
        density: of the dust, as for `ssdie.weather.sample_dust`; None draws it.
    """
    pairs = {}
    for seed, photo in enumerate(_spread(find_photos(split="val").clear, count), start=1):
        picture = fit_long_side(photo.read()[None], long_side)
        generator = torch.Generator().manual_seed(seed)
        dust = sample_dust(1, generator, density=density)
        pairs[photo.name] = add_dust(picture[:, :3], picture[:, 3:], dust, generator).dusty, picture[:, :3]
    return pairs


def fixed_photos(count: int = 3, long_side: int = 384) -> dict[str, torch.Tensor]:
    """Give the same real dusty photos (or stand-ins) every time, of the split "val": name to (1, 3, H, W)."""
    photos = _spread(find_photos(split="val").dusty, count)
    return {photo.name: fit_long_side(photo.read()[None], long_side) for photo in photos}


def _spread(items: Sequence, count: int) -> list:
    """Take `count` of them, evenly spread."""
    count = min(count, len(items))
    return [items[(2 * k + 1) * len(items) // (2 * count)] for k in range(count)]


def apply_methods(
    photos: Mapping[str, torch.Tensor], methods: Mapping[str, str | Callable]
) -> list[dict[str, torch.Tensor]]:
    """Enhance photos (1, 3, H, W) by methods as for `ssdie.evaluate.resolve_methods`; a row a photo."""
    solvers = resolve_methods(methods)
    with torch.inference_mode():
        return [
            {label: solve(photo, name) for label, solve in solvers.items()}
            for name, photo in progress(photos.items(), "photos", leave=False)
        ]


def measure_runtime(
    methods: Mapping[str, str | Callable], sizes: Sequence[tuple[int, int]], repeats: int = 3
) -> pd.DataFrame:
    """Measure the time that methods take, from tensor to tensor.

    Args:
        methods: as for `apply_methods`.
        sizes: height and width of the picture; pixels.
        repeats: after one that does not count.

    Returns:
        A row per method and size: method, size, megapixels, seconds (median), threads.
    """
    rows = []
    solvers = resolve_methods(methods)
    with progress(name="run time", total=len(sizes) * len(solvers), unit="method") as bar:
        for height, width in sizes:
            clear, depth = render_scene(0, (height, width))
            dusty = add_dust(clear[None], depth[None], generator=0).dusty
            for name, solve in solvers.items():
                with torch.inference_mode():
                    seconds = statistics.median(time_calls(partial(solve, dusty, name), repeats))
                row = {"method": name, "size": f"{width} x {height}", "megapixels": width * height / 1e6}
                rows.append({**row, "seconds": seconds, "threads": torch.get_num_threads()})
                bar.update()
    return pd.DataFrame(rows)


def describe_weights(path: str | Path) -> str:
    """Say which weights these are: file, network, photos, commit."""
    header = read_header(path)
    options = ", ".join(f"{k} {v}" for k, v in header["options"].items())
    origin = f"{header.get('data', 'unknown data')}, commit {header.get('commit', 'unknown')}"
    return f"{shorten(path)}: {header['generator']} ({options}), trained on {origin}"
