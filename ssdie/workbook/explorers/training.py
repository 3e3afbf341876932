"""The explorer of training: the losses of a run and what its network makes of fixed photos, while it trains."""

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

PATIENCE = 600  # seconds without a new report after which nobody looks any more
SMALL = {
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
}  # of the small training
STARTED: dict[Path, subprocess.Popen] = {}  # small trainings of this process


def list_runs(folder: str | Path) -> list[Path]:
    """List the runs below a folder, those with the newest report first."""
    logs = sorted(Path(folder).rglob("log.csv"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [log.parent for log in logs]


def load_current(run: str | Path) -> tuple[Generator | None, int]:
    """Load the averaged generator of a run as it is by now, and the step that it is from.

    Returns:
        From the weights of a finished run (step 0: the last), else from the checkpoint; None and 0 where there is none
        yet, or the run trains no generator.
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
    """Start a short supervised training of a small network in its own process; one that goes on or is done stays.

    Args:
        run: folder for it.
        steps: optimiser updates.
        wait: until it ends; None does so where nobody looks on.

    Returns:
        The folder.

    Raises:
        RuntimeError: it failed while this waited; the message is what it said last.
    """
    run = Path(run)
    going_on = run in STARTED and STARTED[run].poll() is None
    if going_on or (run / "generator.safetensors").is_file():
        return run
    run.mkdir(parents=True, exist_ok=True)
    options = [f"--{name}={value}" for name, value in {"run": run, "steps": steps, **SMALL}.items()]
    command = [sys.executable, "-m", "ssdie", "train", "supervised", *options]
    paths = os.pathsep.join(filter(None, (str(project_root()), os.environ.get("PYTHONPATH"))))
    with (run / "stdout.txt").open("w", encoding="utf-8") as log:
        environment = {**os.environ, "PYTHONPATH": paths}
        STARTED[run] = subprocess.Popen(command, stdout=log, stderr=log, cwd=project_root(), env=environment)
    if (panels.is_static() if wait is None else wait) and STARTED[run].wait():
        raise RuntimeError(f"training in {run} failed: {last_lines(run)}")
    return run


def last_lines(run: str | Path) -> str:
    """Last lines with words that a training of `start_small_training` printed."""
    path = Path(run) / "stdout.txt"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    lines = [line.split("\r")[-1].strip("│ ") for line in lines]
    words = [line for line in lines if any(c.isalnum() for c in line) and "--help" not in line]
    return "; ".join(words[-4:])


class TrainingExplorer(Panel):
    """Every loss of a run, drawn again at each report, and photos before and after, at each checkpoint.

    Args:
        folder: with runs anywhere below.
        photos: dusty (3, H, W) in [0, 1] by name.
        run: to show first; None takes the one with the newest report.
        every: seconds between two looks at the run.
    """

    def __init__(
        self, folder: str | Path, photos: Mapping[str, torch.Tensor], run: str | Path | None = None, every: float = 1.0
    ):
        self.folder, self.every = Path(folder), every
        self.photos = {name: fit_long_side(photo[None], 512)[0] for name, photo in photos.items()}
        runs = list(dict.fromkeys([*([Path(run)] if run else []), *list_runs(folder)]))
        if not runs:
            raise ValueError(f"{folder} holds no run; train one first, or give the folder of one that is training.")
        self.runs = panels.dropdown("run", [(_name(path, self.folder), path) for path in runs])
        self.gallery = Gallery(value=next(iter(self.photos)))
        for name, photo in self.photos.items():
            self.gallery.add(name, panels.encode(fit_long_side(photo[None], 120)[0]))
        hint = {"description": "follow", "tooltip": "look for new reports"}
        self.follow = widgets.ToggleButton(value=True, **hint, layout={"width": "auto"})
        self.facts, self.status = widgets.HTML(), panels.make_status()
        self.curves = widgets.Image(format="png", layout={"width": "100%", "object_fit": "contain"})
        self.compare = Compare(labels=("dusty", "network so far"))
        shown = [self.curves, self.gallery, self.compare]
        super().__init__([panels.side_by_side([self.runs, self.follow, self.facts, self.status], shown)])
        self.take_run()
        for control, action in ((self.runs, self.take_run), (self.gallery, self.draw_sample), (self.follow, self.look)):
            control.observe(panels.guard(lambda _, action=action: action(), self.status), "value")

    @property
    def run(self) -> Path:
        """Folder of the chosen run."""
        return self.runs.value

    def take_run(self) -> None:
        """Show the chosen run from its beginning, and follow it."""
        self.seen, self.model, self.step, self.rows, self.heard = {}, None, 0, [], time.monotonic()
        self.draw_sample()  # the photo itself, until there is a checkpoint
        self.draw()
        self.look()

    def look(self) -> None:
        """Keep looking for news until the run is done, silent for long, or not to be followed any more."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # no notebook: whoever wants news calls `draw`
        if self.follow.value and not panels.is_static():
            self.heard = time.monotonic()
            self.task = loop.create_task(self._keep_looking(self.run))

    async def _keep_looking(self, run: Path) -> None:
        draw = panels.guard(self.draw, self.status)
        while self.run == run and self.follow.value and time.monotonic() - self.heard < PATIENCE:
            draw()
            await asyncio.sleep(self.every)

    def draw(self) -> None:
        """Draw what is new: curves at a new report, the sample at a new checkpoint."""
        if self._is_new("log.csv"):
            self.rows, self.heard = read_log(self.run / "log.csv", missing_ok=True), time.monotonic()
            if self.rows:
                self.curves.value = panels.encode_figure(plot_curves({self.run.name: self.rows}), dpi=110)
        if self._is_new("generator.safetensors") or self._is_new("checkpoint.pt"):
            self.model, self.step = load_current(self.run)
            self.draw_sample()
        self._tell()

    def draw_sample(self) -> None:
        """Show the chosen photo before and after."""
        dusty = self.photos[self.gallery.value]
        with self.compare.hold_sync():
            self.compare.before = panels.encode(dusty)
            self.compare.after = panels.encode(self.sample(dusty))

    def sample(self, dusty: torch.Tensor) -> torch.Tensor:
        """What the network makes of a photo (3, H, W) by now; the photo itself as long as there is no checkpoint."""
        return dusty if self.model is None else enhance(dusty, self.model, strength=1.0)

    def figure(self) -> Figure:
        """Draw the curves as a figure; before the first report, the photos."""
        if self.rows:
            return plot_curves({self.run.name: self.rows})
        return plot_pictures(self.photos)

    def _is_new(self, name: str) -> bool:
        """Say whether a file of the run has changed since the last time."""
        path = self.run / name
        changed = path.stat().st_mtime_ns if path.is_file() else 0
        before, self.seen[name] = self.seen.get(name, 0), changed
        return changed != before

    def _tell(self) -> None:
        """Say how far the run is."""
        done = (self.run / "generator.safetensors").is_file()
        if not self.rows:
            told = f"waiting for the first report<br>{html.escape(last_lines(self.run))}"
        else:
            told = f"step <b>{self.rows[-1]['step']:.0f}</b>{', done' if done else ''}<br>"
            names = [name for name in self.rows[-1] if name != "step"]
            told += "<br>".join(f"{name.replace('_', ' ')} <b>{self.rows[-1][name]:.4g}</b>" for name in names)
        sample = "the last step" if done else f"step {self.step}"
        told += f"<br>photos: {f'by {sample}' if self.model else 'at the first checkpoint'}"
        self.facts.value = f'<div style="font-size:12px;line-height:1.6;padding:6px 0 0 6px">{told}</div>'


def _name(run: Path, folder: Path) -> str:
    """Name a run from the folder on, where it lies in it."""
    return str(run.relative_to(folder)) if run.is_relative_to(folder) else shorten(run)
