"""Functions shared by the notebooks: output folders, training runs, paths, logs and tables."""

import dataclasses
import hashlib
import json
import platform
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from IPython import get_ipython
from tqdm.auto import tqdm

from ssdie import __version__
from ssdie.data.photos import Sources, find_photos, fingerprint_splits
from ssdie.networks.weights import read_header
from ssdie.training.checkpoint import RESUMABLE_CHANGES
from ssdie.training.config import TrainConfig
from ssdie.training.log import read_log
from ssdie.training.stages import train
from ssdie.utils.paths import atomic, project_root, shorten, write_text
from ssdie.utils.provenance import FOLDERS, current_manifest, device_name, make_manifest, write_manifest
from ssdie.workbook.profiles import read_defaults

OLD_PATHS = {"judge": "dark_channel_net"}  # names of paths in release 0.1.0


def open_folder(run: str | Path, name: str, seed: int = 0) -> Path:
    """Seed all random generators, create the notebook's folder with its manifest, and print versions, device and data.

    Args:
        run: folder of the profile, such as "runs/quick"; relative paths start at the checkout.
        name: name of the notebook and of its folder in `run`.
        seed: seed of Python, NumPy and torch.

    Returns:
        The folder of the notebook.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries may use the global state
    torch.manual_seed(seed)
    folder = run_folder(run) / name
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"ssdie {__version__} · Python {platform.python_version()} · torch {torch.__version__} · {device}")
    print(f"data   {describe_data(find_photos())}")
    print(f"writes {shorten(folder)}")
    begin_notebook(folder, name, seed)
    return folder


def run_folder(run: str | Path) -> Path:
    """Return the absolute folder of a profile; relative paths start at the checkout, not at the working directory."""
    return (project_root() / run).resolve()


def describe_data(sources: Sources) -> str:
    """Describe the photos for training in one line.

    Example:
        >>> describe_data(Sources([], [], "somewhere"))
        'somewhere: 0 clear photos with depth, 0 real dusty photos'
    """
    dusty = "stand-ins for real dusty photos" if sources.origin == "embedded sample" else "real dusty photos"
    clear = f"{sources.counts['clear']} clear photos with depth"
    return f"{sources.origin}: {clear}, {sources.counts['dusty']} {dusty}"


def with_config_hash(config: TrainConfig) -> TrainConfig:
    """Append a hash of the settings to the folder of a run, so that only runs with equal settings share a folder.

    Training with equal settings resumes. Paths of earlier stages are settings too and contain their own hash, so a
    change in stage 1 also gives stage 3 a new folder. Settings that may change between resumed runs
    (`ssdie.training.checkpoint.RESUMABLE_CHANGES`) are not part of the hash.

    Example:
        >>> short, long = (with_config_hash(TrainConfig("supervised", "run", steps=n)).run for n in (1, 2))
        >>> short != long, str(short).startswith("run-"), len(short.name)
        (True, True, 12)
    """
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in RESUMABLE_CHANGES}
    text = json.dumps(settings, sort_keys=True, default=shorten)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return dataclasses.replace(config, run=config.run.with_name(f"{config.run.name}-{digest}"))


def follow(config: TrainConfig, leave: bool = True) -> Iterator[dict[str, float]]:
    """Train or resume with a progress bar.

    Args:
        config: settings, as for `ssdie.training.stages.train`.
        leave: keep the finished progress bar.

    Yields:
        The reports of `train`.
    """
    name = config.run.name.rpartition("-")[0] or config.run.name  # without the hash
    with tqdm(desc=name, total=config.steps, leave=leave, unit="step") as bar:
        for report in train(config):
            bar.update(int(report["step"]) - bar.n)
            bar.set_postfix({name: f"{value:.3g}" for name, value in list(report.items())[1:3]})
            yield report
        bar.update(config.steps - bar.n)


def save_paths(path: str | Path, **paths: Path) -> None:
    """Write named paths as JSON for a later notebook; paths inside the checkout are stored relative to it."""
    write_text(path, json.dumps(paths, indent=2, default=shorten) + "\n")


def load_paths(run: str | Path, notebook: str) -> dict[str, Path]:
    """Read the paths that an earlier notebook wrote with `save_paths`.

    Args:
        run: folder of the profile.
        notebook: name of the earlier notebook.

    Returns:
        Absolute paths by name.

    Raises:
        FileNotFoundError: the notebook has not been run.
    """
    path = run_folder(run) / notebook / "files.json"
    if not path.is_file():
        raise FileNotFoundError(f"{shorten(path)} is missing. Run notebook {notebook[:2]} with this `run` first.")
    paths = json.loads(path.read_text(encoding="utf-8"))
    return {OLD_PATHS.get(name, name): project_root() / value for name, value in paths.items()}


def join_logs(runs: Sequence[Path]) -> list[dict[str, float]]:
    """Concatenate the logs of consecutive runs; the steps of each continue after those of the run before it."""
    rows: list[dict[str, float]] = []
    for run in runs:
        before = rows[-1]["step"] if rows else 0
        rows += [{**row, "step": row["step"] + before} for row in read_log(Path(run) / "log.csv")]
    return rows


def write_table(path: str | Path, table: pd.DataFrame) -> pd.DataFrame:
    """Write a table as CSV, atomically, with 6 significant digits; return the table for display."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    return table


def describe_weights(path: str | Path) -> str:
    """Describe a file of weights in one line: path, network and options, training data, commit."""
    header = read_header(path)
    options = ", ".join(f"{k} {v}" for k, v in header["options"].items())
    origin = f"{header.get('data', 'unknown data')}, commit {header.get('commit', 'unknown')}"
    return f"{shorten(path)}: {header['generator']} ({options}), trained on {origin}"


# Manifest of a notebook ------------------------------------------------------------------------------------


def begin_notebook(folder: str | Path, name: str, seed: int) -> dict:
    """Write the manifest of a notebook into its folder, and make it the metadata of figures saved from now on."""
    manifest = make_manifest(_notebook_parameters(name), seed, fingerprint_splits(), device_name())
    write_manifest(folder, manifest)
    current_manifest.clear()
    current_manifest.update(manifest)
    return manifest


def _notebook_parameters(name: str) -> dict:
    """Parameters of the running notebook without those that name folders; empty outside of a notebook."""
    shell = get_ipython()
    if shell is None or not (project_root() / "notebooks" / f"{name}.ipynb").is_file():
        return {}
    return {k: shell.user_ns[k] for k in read_defaults(name) if k in shell.user_ns and k not in FOLDERS}
