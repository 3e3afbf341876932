"""Black bars of a video (letterbox and pillarbox), detected in frames from its whole length."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ssdie.photo.video_convert import Converter, Rectangle

SAMPLES = 8  # frames to examine
BLACK, SPREAD = 26, 3  # largest mean and standard deviation of a line of bars; 8-bit luma, where black is 16
LEAST = 0.5  # smallest fraction of a side that the picture may cover; otherwise the scene is dark, without bars


def find_picture(path: str | Path, index: int, converter: Converter) -> Rectangle:
    """Find the part of the frames inside black bars.

    A line is part of a bar if it is black in all sampled frames, except in those that are entirely black. Subtitles
    in the bars of other frames do not change the result.

    Args:
        path: video file.
        index: index of its video track.
        converter: `Converter` of its frames.

    Returns:
        Top, bottom, left, right; even, so that no pixel of a bar is inside; the whole frame if there are no bars.
    """
    height, width = converter.size
    rows, columns = np.ones(height, bool), np.ones(width, bool)
    found = False
    for luma in _sample(path, index, converter):
        luma = luma.astype(np.float32) / 2 ** (converter.bits - 8)
        dark_rows, dark_columns = _black_lines(luma), _black_lines(luma.T)
        if not dark_rows.all():
            found = True
            rows &= dark_rows
            columns &= dark_columns
    whole = (0, height, 0, width)
    if not found:
        return whole
    top, bottom = _inside(rows)
    left, right = _inside(columns)
    if bottom - top < LEAST * height or right - left < LEAST * width:  # a dark scene
        return whole
    return top, bottom, left, right


def _black_lines(luma: np.ndarray) -> np.ndarray:
    return (luma.mean(1) <= BLACK) & (luma.std(1) <= SPREAD)


def _inside(black: np.ndarray) -> tuple[int, int]:
    """Index of the first line that is not black, rounded up to even, and the end of the last one, rounded down."""
    first, end = int(np.argmin(black)), len(black) - int(np.argmin(black[::-1]))
    return first + first % 2, end - end % 2


def _sample(path: str | Path, index: int, converter: Converter):
    """Yield the luma of `SAMPLES` frames; errors end the iteration, since `VideoReader` reports them."""
    with suppress(av.FFmpegError), av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams[index]
        seconds = (stream.duration or 0) * stream.time_base or Fraction(container.duration or 0, av.time_base)
        for k in range(SAMPLES if seconds else 1):
            start = stream.start_time or 0
            container.seek(start + int(seconds * (2 * k + 1) / (2 * SAMPLES) / stream.time_base), stream=stream)
            frame = next(container.decode(stream), None)
            if frame is not None and (frame.height, frame.width) == converter.stored:
                yield converter.convert(frame)[0][0]
