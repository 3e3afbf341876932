"""Reading videos with PyAV (FFmpeg's libraries): upright, progressive YUV 4:2:0 frames of one size, with time stamps.

Packets of the other tracks (sound, subtitles) are yielded between the frames, so that they can be copied.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from ssdie.photo.video_container import find_damage
from ssdie.photo.video_convert import Converter, Planes, Rectangle

WITH_JUMPS = {"mpegts", "mpeg"}  # formats whose time stamps start at any value and may jump
STILL = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails  # cover pictures
DOUBTFUL = 4  # packets within which a jump of the time stamps excuses a packet that is marked as damaged
JUMP_BACK, JUMP_AHEAD = Fraction(1, 10), 10  # seconds; larger differences of time stamps are jumps


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame, upright.

    Args:
        planes: Y (H, W), U and V (H/2, W/2); uint8, or uint16 with 10 significant bits; H and W are even; read-only.
        time: presentation time in units of `VideoReader.time_base`; strictly increasing.
        duration: in the same unit; 0 if unknown.
        inner: top, bottom, left, right of the picture, without padding and letterbox; pixels.
    """

    planes: Planes
    time: int
    duration: int
    inner: Rectangle


class VideoReader:
    """Iterator over the frames of the main video track and the packets of the other tracks, in one pass over a file.

    Args:
        path: video file.

    Attributes:
        converter: `Converter` of its frames, with their size, bit depth and colour description.
        container, stream: PyAV's input and its main video track.
        time_base: unit of time stamps; seconds.
        rate: nominal frames per second, for encoders; the time stamps of the frames are exact.
        expected: number of frames according to the header, for progress bars; None if unknown.
        notes: sentences on what was converted or is not kept.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it contains no video that can be decoded.
    """

    def __init__(self, path: str | Path):
        self.path, self.notes = Path(path), []
        self._damage = find_damage(path)
        try:
            self.container = av.open(str(path), metadata_errors="replace")
        except av.error.InvalidDataError as error:
            raise ValueError("it contains no video that can be read, or it is damaged") from error
        try:
            self._prepare()
        except BaseException:
            self.container.close()
            raise

    def _prepare(self) -> None:
        container = self.container
        tracks = [s for s in container.streams.video if s.codec_context and not s.disposition & STILL]
        if not tracks:
            undecodable = [s for s in container.streams.video if s.codec_context is None]
            if undecodable:
                raise ValueError("its codec is not supported; convert it to H.264 first")
            raise ValueError("it has no video track, only sound, subtitles or a cover picture")
        default = [s for s in tracks if s.disposition & av.stream.Disposition.default] or tracks
        self.stream = max(default, key=lambda s: s.width * s.height)
        if len(tracks) > 1:
            self.notes.append(f"Only the main one of its {len(tracks)} video tracks is kept.")
        context = self.stream.codec_context
        context.thread_type = "SLICE"  # with frame threads the decoder would report errors late
        if context.name == "mjpeg":
            context.options = {"err_detect": "explode"}  # raise an error: this decoder does not mark damaged frames
        self.time_base, self.rate = self.stream.time_base, self.stream.average_rate or self.stream.guessed_rate
        self.rate = self.rate if self.rate and 1 <= self.rate <= 300 else Fraction(25)
        seconds = (self.stream.duration or 0) * self.time_base or Fraction(container.duration or 0, av.time_base)
        self.expected = self.stream.frames or round(seconds * self.rate) or None
        self._offset = Fraction(0)  # seconds that are added to the file's time stamps
        if container.format.name in WITH_JUMPS:
            self._offset = -Fraction(container.start_time or 0, av.time_base)
        self._ends: dict[int, Fraction] = {}  # of each track: where its last packet ends; seconds
        self._last: int | None = None  # time of the last frame
        self._graph = self._graph_key = None
        self.converter: Converter | None = None
        self._items = self._read()
        self._first = []
        for item in self._items:
            self._first.append(item)
            if isinstance(item, Frame):
                self.notes += self.converter.notes
                break
        if self.converter and (self.converter.transparent or self.stream.metadata.get("alpha_mode") == "1"):
            self.notes.append("Its transparency is not kept.")

    def __enter__(self) -> "VideoReader":
        """Return the reader itself."""
        return self

    def __exit__(self, *_) -> None:
        """Close the file."""
        self.container.close()

    def __iter__(self) -> Iterator[Frame | av.Packet]:
        """Yield frames and packets in the order of the file.

        Raises:
            ValueError: the file is damaged; the message names the time.
        """
        while self._first:
            yield self._first.pop(0)
        yield from self._items

    def _read(self) -> Iterator[Frame | av.Packet]:
        """Demultiplex, decode, deinterlace and convert."""
        started, doubtful = False, 0  # doubtful: packets left in which a jump can still excuse a damaged one
        try:
            for packet in self.container.demux():
                if packet.size and self._damage is not None and (packet.pos or 0) >= self._damage:
                    self._fail()
                if packet.stream.index != self.stream.index:  # not `stream_index`, which is 0 in final empty packets
                    if packet.size:
                        self._shift(packet)
                        yield packet
                    continue
                if packet.size:
                    jumped = self._shift(packet)
                    if doubtful == 1 and not jumped:
                        self._fail()
                    doubtful = 0 if jumped else DOUBTFUL if packet.is_corrupt else max(0, doubtful - 1)
                    if not (started or packet.is_keyframe):
                        with suppress(av.FFmpegError):  # before the first keyframe frames may not be decodable
                            yield from self._convert_all(f for f in packet.decode() if not f.is_corrupt)
                        continue
                    started = True
                yield from self._convert_all(packet.decode())
            for frame in self._deinterlace(None):
                yield self._convert(frame)
        except (av.FFmpegError, EOFError) as error:
            if isinstance(error, OSError) and not isinstance(error, av.error.InvalidDataError):
                raise
            self._fail(error)
        if self._last is None:
            raise ValueError("it contains no frame that can be decoded")
        if self._damage is not None or doubtful:
            self._fail()

    def _fail(self, cause: Exception | None = None) -> None:
        if self._last is None:
            raise ValueError("it contains no frame that can be decoded; it is damaged") from cause
        seconds = float(self._last * self.time_base)
        raise ValueError(f"it breaks off or is damaged after {seconds:.2f} s; copy it again or repair it") from cause

    def _shift(self, packet: av.Packet) -> bool:
        """Shift the time stamps of a packet so that they start at 0 and have no jumps; return whether there was a jump.

        Only formats in `WITH_JUMPS` need this. Where recordings were joined, FFmpeg marks intact packets just before
        the jump as damaged.
        """
        if self.container.format.name not in WITH_JUMPS or packet.dts is None:
            return False
        start, last = packet.dts * packet.time_base + self._offset, self._ends.get(packet.stream_index)
        jumped = last is not None and not -JUMP_BACK <= start - last <= JUMP_AHEAD
        if jumped:
            self._offset += last - start
            start = last
        self._ends[packet.stream_index] = start + (packet.duration or 0) * packet.time_base
        moved = round(self._offset / packet.time_base)
        packet.dts += moved
        if packet.pts is not None:
            packet.pts += moved
        return jumped

    def _convert_all(self, decoded: Iterable[av.VideoFrame]) -> Iterator[Frame]:
        """Deinterlace and convert frames."""
        for frame in decoded:
            if frame.is_corrupt:
                self._fail()
            for progressive in self._deinterlace(frame):
                yield self._convert(progressive)

    def _deinterlace(self, frame: av.VideoFrame | None) -> list[av.VideoFrame]:
        """Pass frames through the filter bwdif from the first interlaced one on; None flushes the filter."""
        ready, key = [], frame and (frame.width, frame.height, frame.format.name)
        if self._graph is not None and key != self._graph_key:
            self._graph.push(None)
            ready += _pull(self._graph)
            self._graph = None
        if frame is None:
            return ready
        if self._graph is None:
            if not frame.interlaced_frame:
                return [*ready, frame]
            self._graph, self._graph_key = av.filter.Graph(), key
            unit = frame.time_base or self.time_base
            source = self._graph.add_buffer(width=key[0], height=key[1], format=frame.format, time_base=unit)
            bwdif = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
            self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()
        self._graph.push(frame)
        return ready + _pull(self._graph)

    def _convert(self, frame: av.VideoFrame) -> Frame:
        if self.converter is None:
            self.converter = Converter(frame, self.stream.sample_aspect_ratio)
        unit = (frame.time_base or self.time_base) / self.time_base
        step = max(1, round(1 / (self.rate * self.time_base)))
        time = None if frame.pts is None else round(frame.pts * unit)
        if self._last is not None and (time is None or time <= self._last):  # encoders need strictly increasing times
            time = self._last + (step if time is None else 1)
        self._last = time if time is not None else 0
        planes, inner = self.converter.convert(frame)
        return Frame(planes, self._last, round((frame.duration or 0) * unit), inner)


def _pull(graph: av.filter.Graph) -> list[av.VideoFrame]:
    """Return all frames that a filter has ready."""
    frames = []
    with suppress(BlockingIOError, EOFError):
        while True:
            frames.append(graph.pull())
    return frames
