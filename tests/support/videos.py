"""Small videos for tests, made by PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ssdie.photo.video_reader import Frame, VideoReader

SIZE = (96, 128)


def picture_at(t: int, size: tuple[int, int] = SIZE, tint: tuple[float, float, float] = (1, 0.8, 0.6)) -> np.ndarray:
    """A textured scene, (H, W, 3) uint8, with a bright square that moves two pixels a frame."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    values = 110 + 50 * np.sin(x / 9) * np.cos(y / 7)
    values[height // 3 : height // 2, (4 + 2 * t) % (width - 12) : (4 + 2 * t) % (width - 12) + 10] = 210
    return (values[..., None] * np.array(tint)).round().astype(np.uint8)


def write_video(
    path: Path,
    pictures: list[np.ndarray],
    codec: str = "libx264",
    times: list[int] | None = None,
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    sound: np.ndarray | None = None,
    sound_codec: str = "aac",
    metadata: dict[str, str] | None = None,
    stream: dict | None = None,
    context: dict | None = None,
    rotation: int = 0,
) -> Path:
    """Write pictures at 25 frames a second.

    Args:
        path: its suffix decides on the container.
        pictures: (H, W, 3) uint8.
        times: of the pictures in 1/100 s; None puts them 4 apart.
        sound: samples at 48 kHz, float32 in [-1, 1].
        stream, context: attributes of the picture track and of its encoder.
        rotation: degrees, written as a display matrix.
    """
    quality = {"crf": "10", "preset": "ultrafast"} if codec in ("libx264", "libx265") else {}
    if codec == "libx265":
        quality["x265-params"] = "log-level=none"
    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=25, options=quality | (options or {}))
        track.height, track.width = pictures[0].shape[:2]
        track.pix_fmt = pixels
        if codec not in ("mpeg2video", "prores_ks"):
            track.codec_context.time_base = Fraction(1, 100) if path.suffix != ".avi" else Fraction(1, 25)
        for target, values in ((track, stream), (track.codec_context, context)):
            for name, value in (values or {}).items():
                setattr(target, name, value)
        if rotation:
            track.set_display_rotation(rotation)
        speech = container.add_stream(sound_codec, rate=48000, layout="mono") if sound is not None else None
        container.metadata.update(metadata or {})
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture).reformat(
                format=pixels, dst_colorspace=getattr(track.codec_context, "colorspace", 6), dst_color_range="MPEG"
            )
            if path.suffix == ".avi" or codec in ("mpeg2video", "prores_ks"):
                frame.pts, frame.time_base = index, Fraction(1, 25)
            else:
                frame.pts, frame.time_base = (4 * index if times is None else times[index]), Fraction(1, 100)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
        if speech is not None:
            frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(speech.encode(frame))
            container.mux(speech.encode(None))
    return path


def read_frames(path: Path) -> list[Frame]:
    """All frames of a video, as the package reads them."""
    with VideoReader(path) as reader:
        return [item for item in reader if isinstance(item, Frame)]


def read_times(path: Path) -> list[float]:
    """Times of the frames; seconds."""
    with VideoReader(path) as reader:
        return [float(item.time * reader.time_base) for item in reader if isinstance(item, Frame)]


def read_rgb(path: Path) -> list[np.ndarray]:
    """All frames as PyAV decodes them, (H, W, 3) uint8."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures; dB."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b.astype(float)) ** 2))))
