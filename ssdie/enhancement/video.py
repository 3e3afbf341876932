"""Enhancement of video files: decoding, correction and encoding run concurrently, in threads.

Sound, subtitles, chapters, attachments and tags are copied; time stamps do not change. The smoothing of corrections
over time is in `ssdie.enhancement.smoothing`.
"""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from ssdie.enhancement.correction import Correction
from ssdie.enhancement.planes import apply_to_planes, downsample_planes, to_yuv_maps
from ssdie.enhancement.runtime import Model, released_model
from ssdie.enhancement.smoothing import CUT, EVERY, MEMORY, Smoother, structure
from ssdie.enhancement.strength import AUTO, Strength, check_strength
from ssdie.photo.files import fitted_size
from ssdie.photo.video_bars import find_picture
from ssdie.photo.video_convert import Planes, Rectangle
from ssdie.photo.video_reader import Frame, VideoReader
from ssdie.photo.video_writer import VideoWriter, check_codec
from ssdie.utils.paths import atomic

__all__ = ["CUT", "EVERY", "MEMORY", "Smoother", "enhance_video", "structure"]
AHEAD = 4  # frames buffered between two threads
NEUTRAL = 1.5 / 255  # a frame whose channels differ by less than this, at the working size, is black and white


def enhance_video(
    source: str | Path,
    target: str | Path,
    model: Model | None = None,
    strength: Strength = AUTO,
    working_size: int = 128,
    postprocess: bool = True,
    every: int = EVERY,
    progress: bool = True,
    codec: str | None = None,
    crf: int | None = None,
    cancelled: threading.Event | None = None,
    scores: list[float] | None = None,
) -> list[str]:
    """Enhance a video file.

    Frames keep their size, time and aspect ratio; interlaced video is deinterlaced, rotated video is written upright.

    Args:
        source: any file that FFmpeg reads.
        target: output file: .mp4, .m4v, .mov, .mkv or .webm. It is written atomically.
        model: from `load_model`; None takes the released weights.
        strength: 0 changes nothing, 1 is the full change, "auto" follows the dust score, smoothed over time.
        working_size: longer side of the network's input; pixels.
        postprocess: adjust veil and levels after the network.
        every: the network runs on every n-th frame.
        progress: show a progress bar.
        codec: "h264", "hevc", "av1" or "vp9"; None takes VP9 for .webm, otherwise H.264.
        crf: constant rate factor of the encoder; smaller values give better quality and larger files. None takes the
            default of the codec.
        cancelled: the work stops when this event is set; for callers outside the main thread.
        scores: list to which the dust score of each frame that the network processed is appended.

    Returns:
        Sentences on what was converted or could not be kept; empty if everything was kept.

    Raises:
        FileNotFoundError: `source` does not exist.
        ValueError: `source` has no video stream or is damaged (the message says where), or a setting is out of range.
        InterruptedError: `cancelled` was set.
    """
    check_codec(Path(target).suffix.lower(), codec, crf)
    check_strength(strength)
    if working_size < 1:
        raise ValueError(f"working_size: expected at least 1 pixel, got {working_size}.")
    if every < 1:
        raise ValueError(f"every: expected at least 1 frame, got {every}.")
    model = (model or released_model()) if strength else None
    with VideoReader(source) as reader, atomic(target) as temporary:
        writer = VideoWriter(temporary, reader, codec, crf)
        bar = tqdm(total=reader.expected, desc=Path(source).name, unit="frame", leave=False, disable=not progress)
        try:
            smoother = Smoother(model, MEMORY * float(reader.rate), every, CUT, postprocess, strength)
            corrector = _Corrector(reader, writer, smoother, working_size)
            items = prefetch(corrector.correct(prefetch(corrector.reduce(iter(reader)), AHEAD)), AHEAD)
            try:
                for item in items:
                    if cancelled is not None and cancelled.is_set():
                        raise InterruptedError(f"{source}: cancelled.")
                    if isinstance(item, av.Packet):
                        writer.copy(item)
                    else:
                        writer.write(*item)
                        bar.update()
            finally:
                items.close()
            writer.close()
        except BaseException:
            writer.abort()
            raise
        finally:
            bar.close()
    if scores is not None:
        scores += smoother.scores
    return reader.notes + writer.notes


class _Corrector:
    """Converts frames of the reader to frames for the writer."""

    def __init__(self, reader: VideoReader, writer: VideoWriter, smoother: Smoother, working_size: int):
        self.writer, self.smoother, self.working_size = writer, smoother, working_size
        self.matrix, self.bits = reader.converter.matrix, reader.converter.bits
        self.picture = find_picture(reader.path, reader.stream.index, reader.converter) if smoother.strength else None

    def reduce(self, items: Iterator[Frame | av.Packet]) -> Iterator[tuple[Frame, np.ndarray | None] | av.Packet]:
        """Add the network's input (h, w, 3), or None for frames that are not corrected; packets pass unchanged."""
        for item in items:
            yield (item, self._reduce(item)) if isinstance(item, Frame) else item

    def _reduce(self, frame: Frame) -> np.ndarray | None:
        inner = self._inner(frame)
        if inner is None:
            return None
        planes = _crop(frame.planes, inner)
        size = fitted_size(planes[0].shape, self.working_size)
        return downsample_planes(planes, size, self.matrix, self.bits)

    def correct(
        self, items: Iterator[tuple[Frame, np.ndarray | None] | av.Packet]
    ) -> Iterator[tuple[av.VideoFrame, int, int] | av.Packet]:
        """Correct frames from `reduce`; packets pass unchanged."""
        try:
            for item in items:
                if isinstance(item, av.Packet):
                    yield item
                else:
                    source, small = item
                    frame, planes = self.writer.new_frame()
                    self._correct(source, small, planes)
                    yield frame, source.time, source.duration
        finally:
            items.close()

    def _correct(self, frame: Frame, small: np.ndarray | None, out: Planes) -> None:
        inner = self._inner(frame)
        if inner is None or inner != (0, frame.planes[0].shape[0], 0, frame.planes[0].shape[1]):
            for source, target in zip(frame.planes, out, strict=True):
                target[:] = source
        if inner is None:
            return
        planes, out = _crop(frame.planes, inner), _crop(out, inner)
        maps = to_yuv_maps(self.smoother.follow(small), self.matrix, self.bits)
        if np.ptp(small, axis=2).max() < NEUTRAL:  # a black-and-white video stays without colour
            maps[3:9] = to_yuv_maps(Correction.identity(1, 1), self.matrix, self.bits)[3:9]
            maps[10:] = 0
        apply_to_planes(planes, maps, out, self.bits)

    def _inner(self, frame: Frame) -> Rectangle | None:
        """The part of a frame to correct, without bars and without the letterbox of frames of another size."""
        if not self.smoother.strength:
            return None
        height, width = frame.planes[0].shape
        return self.picture if frame.inner == (0, height, 0, width) else frame.inner


def _crop(planes: Planes, rectangle: Rectangle) -> Planes:
    """Views of a rectangle of a frame, whose coordinates are even."""
    top, bottom, left, right = rectangle
    half = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]
    return planes[0][top:bottom, left:right], planes[1][half], planes[2][half]


def prefetch(items: Iterator, size: int) -> Iterator:
    """Run an iterator in its own thread, at most `size` items ahead; its exceptions are raised in the caller's thread.

    Closing the generator ends the thread and closes `items`.

    Example:
        >>> list(prefetch(iter("abc"), 2))
        ['a', 'b', 'c']
    """
    buffer: queue.Queue = queue.Queue(size)
    stopped, end = threading.Event(), object()

    def put(entry: tuple) -> None:
        while not stopped.is_set():
            try:
                return buffer.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def fill() -> None:
        try:
            for item in items:
                put((item, None))
                if stopped.is_set():
                    break
            put((end, None))
        except BaseException as error:
            put((end, error))
        finally:
            if hasattr(items, "close"):
                items.close()

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while True:
            item, error = buffer.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        stopped.set()
        thread.join()
