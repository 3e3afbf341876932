"""The training explorer: the losses of a run and the output of its network on fixed photos, while it trains."""

import asyncio
import html
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure

from ssdie.enhancement.photo import enhance
from ssdie.networks.generators import Generator, build_generator
from ssdie.networks.weights import load_weights
from ssdie.ops.images import fit_long_side
from ssdie.training.checkpoint import load_checkpoint
from ssdie.training.log import read_log
from ssdie.utils.paths import project_root, shorten
from ssdie.workbook.explorers import widgets as panels
from ssdie.workbook.explorers.widgets import Compare, Gallery, Panel
from ssdie.workbook.figures.charts import plot_curves
from ssdie.workbook.figures.grids import plot_pictures

TIMEOUT = 600  # seconds without a new report after which a run is no longer followed
SMALL_TRAINING = {  # options of `ssdie train supervised`
    "options": '{"width": 16, "head": "scattering"}',
    "weights.reconstruction": 10,
    "weights.gradient": 10,
    "weights.perceptual": 0,
    "weights.style": 0,
    "size": 64,
    "batch": 4,
    "learning-rate": 1e-3,
    "schedule": "cosine",
    "ema": 0.9,
    "report-every": 2,
    "save-every": 10,
}
STARTED: dict[Path, subprocess.Popen] = {}  # small trainings that this process has started


def list_runs(folder: str | Path) -> list[Path]:
    """List the folders below `folder` that hold a training log, the one with the newest report first."""
    logs = sorted(Path(folder).rglob("log.csv"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [log.parent for log in logs]


def load_current(run: str | Path) -> tuple[Generator | None, int]:
    """Load the latest averaged generator of a run.

    Args:
        run: folder of the run.

    Returns:
        The generator in evaluation mode, and its step: from the weights of a finished run (step 0), otherwise from the
        checkpoint; None and 0 if there is no checkpoint yet, or the run trains no generator.
    """
    run = Path(run)
    weights, checkpoint = run / "generator.safetensors", run / "checkpoint.pt"
    if weights.is_file():
        return load_weights(weights), 0
    state = load_checkpoint(checkpoint) if checkpoint.is_file() else {}
    if not state.get("averaged"):
        return None, 0
    generator = build_generator(state["config"]["generator"], **state["config"]["options"])
    averaged = {k.removeprefix("module."): v for k, v in state["averaged"].items() if k != "n_averaged"}
    generator.load_state_dict(averaged)
    return generator.eval(), state["step"]


def start_small_training(run: str | Path, steps: int = 60, wait: bool | None = None) -> Path:
    """Start a short supervised training of a small network in a child process, unless it runs or has finished already.

    Args:
        run: folder of the run.
        steps: optimiser updates.
        wait: wait until the training ends; None waits if the notebook runs non-interactively.

    Returns:
        The folder of the run.

    Raises:
        RuntimeError: the training failed while this function waited; the message holds its last output.
    """
    run = Path(run)
    running = run in STARTED and STARTED[run].poll() is None
    if running or (run / "generator.safetensors").is_file():
        return run
    run.mkdir(parents=True, exist_ok=True)
    options = [f"--{name}={value}" for name, value in {"run": run, "steps": steps, **SMALL_TRAINING}.items()]
    command = [sys.executable, "-m", "ssdie", "train", "supervised", *options]
    paths = os.pathsep.join(filter(None, (str(project_root()), os.environ.get("PYTHONPATH"))))
    with (run / "stdout.txt").open("w", encoding="utf-8") as log:
        environment = {**os.environ, "PYTHONPATH": paths}
        STARTED[run] = subprocess.Popen(command, stdout=log, stderr=log, cwd=project_root(), env=environment)
    if (panels.is_static() if wait is None else wait) and STARTED[run].wait():
        raise RuntimeError(f"training in {run} failed: {last_lines(run)}")
    return run


def last_lines(run: str | Path) -> str:
    """Return the last four lines with text that a training of `start_small_training` printed, joined by "; "."""
    path = Path(run) / "stdout.txt"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    lines = [line.split("\r")[-1].strip("│ ") for line in lines]
    lines = [line for line in lines if any(c.isalnum() for c in line) and "--help" not in line]
    return "; ".join(lines[-4:])


class TrainingExplorer(Panel):
    """The loss curves of a run, redrawn after each report, and a photo before and after, redrawn after each checkpoint.

    Args:
        folder: folder that holds runs at any depth.
        photos: dusty (3, H, W) in [0, 1] by name.
        run: folder of the run shown first; None takes the one with the newest report.
        every: interval between refreshes, seconds.

    Raises:
        ValueError: no run was given or found.
    """

    def __init__(
        self, folder: str | Path, photos: Mapping[str, torch.Tensor], run: str | Path | None = None, every: float = 1.0
    ):
        self.folder, self.every = Path(folder), every
        self.photos = {name: fit_long_side(photo[None], 512)[0] for name, photo in photos.items()}
        runs = list(dict.fromkeys([*([Path(run)] if run else []), *list_runs(folder)]))
        if not runs:
            raise ValueError(f"folder: expected a folder that holds a training run, got {folder}. Train one first.")
        self.runs = panels.dropdown("run", [(_name(path, self.folder), path) for path in runs])
        self.gallery = Gallery(value=next(iter(self.photos)))
        for name, photo in self.photos.items():
            self.gallery.add(name, panels.encode(fit_long_side(photo[None], 120)[0]))
        hint = {"description": "follow", "tooltip": "refresh after new reports"}
        self.follow = widgets.ToggleButton(value=True, **hint, layout={"width": "auto"})
        self.facts, self.status = widgets.HTML(), panels.make_status()
        self.curves = widgets.Image(format="png", layout={"width": "100%", "object_fit": "contain"})
        self.compare = Compare(labels=("dusty", "network so far"))
        shown = [self.curves, self.gallery, self.compare]
        super().__init__([panels.side_by_side([self.runs, self.follow, self.facts, self.status], shown)])
        self.select_run()
        callbacks = {self.select_run: self.runs, self.draw_sample: self.gallery, self.start_following: self.follow}
        for action, control in callbacks.items():
            control.observe(panels.guard(lambda _, action=action: action(), self.status), "value")

    @property
    def run(self) -> Path:
        """Folder of the selected run."""
        return self.runs.value

    def select_run(self) -> None:
        """Show the selected run and start to follow it."""
        self.modified, self.model, self.step, self.rows, self.last_report = {}, None, 0, [], time.monotonic()
        self.draw_sample()  # the unchanged photo, until there is a checkpoint
        self.draw()
        self.start_following()

    def start_following(self) -> None:
        """Refresh until another run is selected, "follow" is switched off, or there is no report for `TIMEOUT`."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # outside a notebook there is no event loop: call `draw` instead
        if self.follow.value and not panels.is_static():
            self.last_report = time.monotonic()
            self.task = loop.create_task(self._follow(self.run))

    async def _follow(self, run: Path) -> None:
        """Refresh every `every` seconds; see `start_following`."""
        draw = panels.guard(self.draw, self.status)
        while self.run == run and self.follow.value and time.monotonic() - self.last_report < TIMEOUT:
            draw()
            await asyncio.sleep(self.every)

    def draw(self) -> None:
        """Redraw the curves if there is a new report, and the sample if there is a new checkpoint."""
        if self._is_new("log.csv"):
            self.rows, self.last_report = read_log(self.run / "log.csv", missing_ok=True), time.monotonic()
            if self.rows:
                self.curves.value = panels.encode_figure(plot_curves({self.run.name: self.rows}), dpi=110)
        if self._is_new("generator.safetensors") or self._is_new("checkpoint.pt"):
            self.model, self.step = load_current(self.run)
            self.draw_sample()
        self._show_progress()

    def draw_sample(self) -> None:
        """Show the selected photo before and after."""
        dusty = self.photos[self.gallery.value]
        with self.compare.hold_sync():
            self.compare.before = panels.encode(dusty)
            self.compare.after = panels.encode(self.sample(dusty))

    def sample(self, dusty: torch.Tensor) -> torch.Tensor:
        """Enhance a photo (3, H, W) in [0, 1] by the current network; without a checkpoint, return it unchanged."""
        return dusty if self.model is None else enhance(dusty, self.model, strength=1.0)

    def figure(self) -> Figure:
        """Draw the loss curves as a figure; before the first report, the photos."""
        if self.rows:
            return plot_curves({self.run.name: self.rows})
        return plot_pictures(self.photos)

    def _is_new(self, name: str) -> bool:
        """Return whether a file of the run has changed since the last call."""
        path = self.run / name
        changed = path.stat().st_mtime_ns if path.is_file() else 0
        before, self.modified[name] = self.modified.get(name, 0), changed
        return changed != before

    def _show_progress(self) -> None:
        """Show the step and the values of the last report."""
        done = (self.run / "generator.safetensors").is_file()
        if not self.rows:
            text = f"waiting for the first report<br>{html.escape(last_lines(self.run))}"
        else:
            text = f"step <b>{self.rows[-1]['step']:.0f}</b>{', done' if done else ''}<br>"
            names = [name for name in self.rows[-1] if name != "step"]
            text += "<br>".join(f"{name.replace('_', ' ')} <b>{self.rows[-1][name]:.4g}</b>" for name in names)
        sample = "the last step" if done else f"step {self.step}"
        text += f"<br>photos: {f'from {sample}' if self.model else 'at the first checkpoint'}"
        self.facts.value = f'<div style="font-size:12px;line-height:1.6;padding:6px 0 0 6px">{text}</div>'


def _name(run: Path, folder: Path) -> str:
    """Path of a run relative to `folder` if it lies inside, otherwise shortened."""
    return str(run.relative_to(folder)) if run.is_relative_to(folder) else shorten(run)
