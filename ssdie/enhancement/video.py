"""Enhancement of videos: the network looks at every n-th frame, its correction is smoothed over time.

What a network decides frame by frame flickers. Here the affine maps of colour (`ssdie.ops.affine.Correction`) follow
the network's newest answer by an exponential moving average: slowly where the picture stands still, at once where
something else comes into view, so that nothing trails behind what moves; a new scene starts afresh.
Sound is not carried over: OpenCV knows pictures alone. Its encoders take even sides: an odd last row or column is lost.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import torch
from tqdm import tqdm

from ssdie.enhancement.photo import WORKING_SIZE, find_correction
from ssdie.networks.generators import Generator
from ssdie.ops.affine import RADIUS, Correction, apply_correction, downsample
from ssdie.ops.filters import box_filter
from ssdie.utils.paths import atomic

CODECS = {".avi": "MJPG", ".webm": "VP80"}  # of the other suffixes: mp4v
UNCOUNTED = {".mkv", ".webm"}  # they tell how long they last, and OpenCV guesses a number of frames from it
EVERY = 5  # frames between two looks of the network
MEMORY = 1.0  # seconds in which the correction of a standing picture forgets all but 1/e of what it was
CUT = 0.1  # difference of two frames, mean over the picture, above which a new scene begins


class Smoother:
    """Correction of each frame of a video, c <- c + s (newest - c), with s = max(1 - exp(-1 / memory), (m / cut)^2).

    m is how far the pixel is from what it has been, |I - I_past| averaged over the channels, where I_past follows I in
    the same way; s is at most 1, and 1 everywhere after a cut.

    Args:
        model: generator in evaluation mode.
        memory: frames in which the correction of a standing picture forgets all but 1/e; 0 forgets at once.
        every: frames between two looks of the network; it also looks after each cut.
        cut: difference of two frames, in [0, 1], that means something else: as mean over the picture, a new scene.
        working_size, strength, postprocess: as for `ssdie.enhancement.photo`.
    """

    def __init__(
        self,
        model: Generator,
        memory: float,
        every: int = EVERY,
        cut: float = CUT,
        working_size: int = WORKING_SIZE,
        strength: float = 1.0,
        postprocess: bool = True,
    ):
        if every < 1:
            raise ValueError(f"every is {every}; wanted is at least 1, a look at every frame.")
        self.model, self.every, self.cut, self.working_size = model, every, cut, working_size
        self.settings = (strength, postprocess)
        self.share = 1 - math.exp(-1 / memory) if memory > 0 else 1.0
        self.before: torch.Tensor | None = None  # the last small frame
        self.past: torch.Tensor | None = None  # what small frames have been
        self.newest: Correction | None = None
        self.current: Correction | None = None
        self.since = 0  # frames since the last look

    def enhance(self, frame: torch.Tensor) -> torch.Tensor:
        """Enhance the next frame: (H, W, 3) uint8 RGB to the same."""
        small = downsample(frame, self.working_size)
        fresh = self.before is None or bool((small - self.before).abs().mean() > self.cut)
        if fresh or self.since == self.every:
            self.newest = find_correction(small, self.model, *self.settings)
            self.since = 0
        if fresh:
            self.past, self.current = small, self.newest
        else:
            self._follow(small)
        self.since, self.before = self.since + 1, small
        return apply_correction(frame, self.current)

    def _follow(self, small: torch.Tensor) -> None:
        """Move past and correction towards the newest: a little, or all the way where something else came into view."""
        moved = (small - self.past).abs().mean(1) / self.cut  # (1, h, w)
        share = box_filter(moved[None].square().clamp(self.share, 1), RADIUS)[0]
        self.past = torch.lerp(self.past, small, share)
        share = share.to(self.newest.slope.device)
        self.current = Correction(
            torch.lerp(self.current.slope, self.newest.slope, share),
            torch.lerp(self.current.offset, self.newest.offset, share),
        )


def enhance_video(
    source: str | Path, target: str | Path, model: Generator, every: int = EVERY, progress: bool = True, **settings
) -> int:
    """Enhance a video file at its own frame size and rate, without its sound.

    Args:
        source, target: of OpenCV's kinds; `target` is written whole or not at all.
        model: generator in evaluation mode.
        every: frames between two looks of the network.
        progress: show a bar.
        **settings: `strength`, `working_size` and `postprocess`, as for `ssdie.enhancement.photo`.

    Returns:
        Number of frames.

    Raises:
        ValueError: the file holds no frame that OpenCV can read, or fewer than 9 in 10 of those that it announces; or
            what is made of it cannot be written, or was cut in writing.
    """
    reader = cv2.VideoCapture(str(source))
    try:
        rate = reader.get(cv2.CAP_PROP_FPS) or 25.0
        total = max(0, int(reader.get(cv2.CAP_PROP_FRAME_COUNT))) or None  # negative where it is not known
        smoother = Smoother(model, MEMORY * rate, every, **settings)
        frames = tqdm(_read(reader), Path(source).name, total, unit="frame", leave=False, disable=not progress)
        with atomic(target) as temporary:
            count, writer, time, step = 0, None, 0.0, 1 / rate  # of the last frame, and since the one before; seconds
            try:
                for frame in frames:
                    writer = writer or _open_writer(temporary, rate, frame)
                    writer.write(cv2.cvtColor(smoother.enhance(frame).numpy(), cv2.COLOR_RGB2BGR))
                    now = reader.get(cv2.CAP_PROP_POS_MSEC) / 1000
                    count, time, step = count + 1, now, max(now - time, 1 / rate)
            finally:
                if writer is not None:
                    writer.release()
            if count == 0:
                raise ValueError("it holds no frame that OpenCV can read")
            if total and Path(source).suffix.lower() in UNCOUNTED:
                _check_read(time + step, total / rate, "seconds")  # the last frame lasts as long as the one before
            elif total:
                _check_read(count, total, "frames")
            _check_written(temporary, count)
    finally:
        reader.release()
    return count


def _read(reader: cv2.VideoCapture) -> Iterator[torch.Tensor]:
    """Frames, (H, W, 3) uint8 RGB, upright."""
    while True:
        there, frame = reader.read()
        if not there:
            return
        yield torch.from_numpy(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


def _open_writer(path: Path, rate: float, frame: torch.Tensor) -> cv2.VideoWriter:
    """Writer for frames like `frame`."""
    codec = CODECS.get(path.suffix.lower(), "mp4v")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, (frame.shape[1], frame.shape[0]))
    if not writer.isOpened():
        raise ValueError(f"OpenCV cannot write {path.suffix} files here; use .mp4 or .avi")
    return writer


def _check_read(found: float, announced: float, unit: str) -> None:
    """Refuse a file of which a good part is missing: OpenCV says nothing when a file is cut or damaged."""
    if found < 0.9 * announced:
        told = f"only {found:.4g} of its {announced:.4g} {unit} could be read"
        raise ValueError(f"{told}, it is cut or damaged; copy it again or repair it")


def _check_written(path: Path, count: int) -> None:
    """Refuse a file that lacks frames: OpenCV says nothing when a disk is full."""
    reader = cv2.VideoCapture(str(path))
    found = max(0, int(reader.get(cv2.CAP_PROP_FRAME_COUNT))) if reader.isOpened() else 0
    reader.release()
    if found < 0.9 * count:
        raise ValueError(f"only {found} of its {count} frames could be written; make room on the disk")
