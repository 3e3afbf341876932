"""Enhancement of a single file by a process of a batch: `do_task` returns the outcome."""

import errno
import functools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from ssdie.batch import storage
from ssdie.batch.jobs import VIDEO_SUFFIXES
from ssdie.batch.journal import file_stamp
from ssdie.batch.outcome import Outcome, Task
from ssdie.enhancement.photo import WORKING_SIZE
from ssdie.enhancement.result import enhance_photo
from ssdie.enhancement.runtime import Model, load_model
from ssdie.enhancement.smoothing import EVERY
from ssdie.enhancement.strength import AUTO, Strength
from ssdie.photo.files import explain, stat_file
from ssdie.photo.reading import read_photo
from ssdie.photo.writing import written_kind


@dataclass(frozen=True)
class Weights:
    """Where a network is loaded from, for processes that load it themselves."""

    path: Path | None = None  # None: the released weights
    device: str = "cpu"  # torch device; "auto" takes a GPU if the process that loads the network has one

    def load(self) -> Model:
        """Load the network."""
        return load_model(self.path, find_device(self.path) if self.device == "auto" else self.device)


@dataclass(frozen=True)
class Settings:
    """How files are enhanced."""

    strength: Strength = AUTO  # 0: no change, 1: full change, auto: by the dust score
    working_size: int = WORKING_SIZE  # longer side of the network's input, pixels
    postprocess: bool = True  # adjust veil and levels after the network
    quality: int | None = None  # of JPEG, WebP and AVIF, 1 to 100; None: as the original
    every: int = EVERY  # the network runs on every n-th frame of a video
    codec: str | None = None  # of videos; None: the default of the format
    crf: int | None = None  # constant rate factor of videos

    def of(self, source: str | Path) -> dict:
        """The settings that apply to a kind of file; optional ones only if they are set."""
        only = ("every", "codec", "crf") if is_video(source) else ("quality",)
        kept = asdict(self)
        names = ("strength", "working_size", "postprocess", *(n for n in only if kept[n] is not None))
        return {name: kept[name] for name in names}


def is_video(path: str | Path) -> bool:
    """Whether a file is a video, by its suffix."""
    return os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES


def find_device(weights: Path | None) -> str:
    """Return "cuda:0" if torch finds a GPU, otherwise "cpu"; torch is not imported on machines without a GPU driver."""
    driver = any(Path(p).exists() for p in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")) or shutil.which("nvidia-smi")
    if not driver or (weights and weights.suffix == ".onnx"):
        return "cpu"
    try:
        import torch
    except ModuleNotFoundError:
        return "cpu"
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def prepare_work(
    model: Model | Weights,
    settings: Settings,
    overwrite: bool,
    progress: bool,
    cancelled: threading.Event | None = None,
) -> Callable[[Task], Outcome]:
    """Load the network and return the function that enhances a file."""
    loaded = model.load() if isinstance(model, Weights) else model
    options = {"settings": settings, "overwrite": overwrite, "progress": progress, "cancelled": cancelled}
    return functools.partial(do_task, model=loaded, **options)


def do_task(
    task: Task,
    model: Model,
    settings: Settings,
    overwrite: bool = True,
    progress: bool = False,
    cancelled: threading.Event | None = None,
) -> Outcome:
    """Enhance a file and return the outcome; an error of any kind makes only this file fail.

    A video stops between two frames when `cancelled` is set; for callers outside the main thread.
    """
    started = time.perf_counter()
    size, stamp, reason, copy, written = 0, "", "", Copy([]), ""
    try:
        size, stamp = source_stamp(task.source).split("-", 1)
        there = written_stamp(task.target)
        if there and not overwrite and there != task.owned:
            raise ValueError(f"{task.target} already exists")
        with ExitStack() as stack:
            source, target = Path(task.source), Path(task.target)
            if storage.is_url(task.source):
                source = stack.enter_context(storage.local_copy(task.source))
            if storage.is_url(task.target):
                target = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ssdie-")), target.name)
            copy = enhance_file(source, target, model, settings, progress, cancelled)
            if storage.is_url(task.target):
                storage.upload(target, task.target)
        written = written_stamp(task.target)
    except Exception as error:
        reason = explain(error)
        if isinstance(error, OSError) and error.filename not in (None, Path(task.source), task.source):
            reason = f"{error.filename}: {reason}"  # the output failed, not the input
    seconds = round(time.perf_counter() - started, 3)
    status = "failed" if reason else "done"
    return Outcome(
        task.source, task.target, status, reason, tuple(copy.notes), seconds, int(size), stamp, written, copy.dust_score
    )


class Copy(NamedTuple):
    """Notes on an enhanced copy, and its dust score."""

    notes: list[str]  # what the copy lacks, one sentence each
    dust_score: float | None = None  # of a video: the mean of its frames; None: not measured


def enhance_file(
    source: Path,
    target: Path,
    model: Model,
    settings: Settings,
    progress: bool = False,
    cancelled: threading.Event | None = None,
) -> Copy:
    """Enhance a photo or video file."""
    options = settings.of(source)
    if is_video(source):
        from ssdie.enhancement.video import enhance_video

        scores: list[float] = []
        options |= {"progress": progress, "scores": scores, "cancelled": cancelled}
        notes = enhance_video(source, target, model, **options)
        return Copy(notes, sum(scores) / len(scores) if scores else None)
    quality = options.pop("quality", None)
    result = enhance_photo(read_photo(source), model, **options)
    kind = written_kind(result.photo)
    # A copy with the same suffix keeps the kind of the content, even if the suffix is wrong.
    same = target.suffix.lower() == source.suffix.lower() and kind == result.photo.kind
    return Copy(result.save(target, kind if same else None, quality), result.dust_score)


def source_stamp(path: str | Path) -> str:
    """Size and modification time, or etag, of an input.

    Raises:
        OSError: it does not exist.
        ValueError: it is a pipe or a device.
    """
    if not storage.is_url(path):
        return file_stamp(stat_file(path))
    if not (stamp := storage.stamp(str(path))):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return stamp


def written_stamp(path: str | Path) -> str:
    """Size and modification time, or etag, of an output; empty if it does not exist."""
    if storage.is_url(path):
        return storage.stamp(str(path))
    try:
        return file_stamp(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return ""
