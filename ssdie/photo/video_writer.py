"""Writing videos with PyAV: one encoded video track with its colour tags, all other tracks copied from the source."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av

from ssdie.photo.video_convert import LIMITED, Planes, frame_planes
from ssdie.photo.video_reader import STILL, VideoReader

OUTPUT_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm"}
CODECS = {  # encoder, default CRF, options; those of VP9 and AV1 favour speed
    "h264": ("libx264", 20, {"preset": "superfast", "x264-params": "chroma-qp-offset=-3"}),
    "hevc": ("libx265", 19, {"preset": "veryfast", "x265-params": "log-level=none"}),
    "av1": ("libsvtav1", 22, {"preset": "10"}),
    "vp9": ("libvpx-vp9", 20, {"deadline": "realtime", "cpu-used": "7", "row-mt": "1", "b": "0"}),
}
DEEP = {"hevc", "av1"}  # codecs that are written with 10 bits if the source has more than 8
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # layout of re-encoded sound, by number of channels
# tags that describe the container of the source, which are not copied
OWN_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id"}


class VideoWriter:
    """Writer of a video with the format of a source, whose other tracks, chapters, attachments and tags are copied.

    Args:
        path: file to write; its suffix, one of `OUTPUT_SUFFIXES`, determines the container.
        source: reader of the source.
        codec: key of `CODECS`; None or "auto" takes VP9 for .webm, otherwise H.264.
        crf: constant rate factor of the encoder, 0 to 51; larger values give smaller files and lower quality; None
            takes the default of the codec.

    Attributes:
        notes: sentences on what the container or the codec cannot hold.

    Raises:
        ValueError: suffix, codec or crf is unknown, or the container cannot hold the codec.
    """

    def __init__(self, path: str | Path, source: VideoReader, codec: str | None = None, crf: int | None = None):
        suffix, self.notes = Path(path).suffix.lower(), []
        codec = check_codec(suffix, codec, crf)
        encoder, default_crf, options = CODECS[codec]
        self._converter = converter = source.converter
        self._time_base = source.time_base
        self._encoded: set[int] = set()  # sound tracks that have to be re-encoded
        self._pixels = "yuv420p10le" if converter.bits == 10 and codec in DEEP else "yuv420p"
        if converter.source_bits > 8 and self._pixels == "yuv420p":
            self.notes.append(f"Its {converter.source_bits} bits were reduced to 8; the codecs hevc and av1 keep 10.")
        elif converter.source_bits > 10:
            self.notes.append(f"Its {converter.source_bits} bits were reduced to 10.")
        self.container = av.open(str(path), "w", options=_muxer_options(suffix, source))
        try:
            options = options | {"crf": str(default_crf if crf is None else crf)}
            self._stream = self._add_picture(encoder, source, options)
            self._copies = self._add_copies(source, suffix)
            self.container.metadata.update(_descriptive(source.container.metadata))
            if chapters := source.container.chapters():
                self.container.set_chapters(chapters)
            self.container.start_encoding()
        except BaseException:
            self.abort()
            raise

    def _add_picture(self, encoder: str, source: VideoReader, options: dict[str, str]) -> av.VideoStream:
        """Add the video track with its size, colour tags and pixel aspect ratio."""
        converter = source.converter
        stream = self.container.add_stream(
            encoder, rate=Fraction(source.rate).limit_denominator(65535), options=options
        )
        stream.metadata.update(_descriptive(source.stream.metadata))
        stream.disposition = source.stream.disposition
        context = stream.codec_context
        context.height, context.width = converter.size
        context.pix_fmt = self._pixels
        context.time_base = stream.time_base = source.time_base
        context.sample_aspect_ratio = converter.aspect
        context.color_primaries, context.color_trc = converter.primaries, converter.transfer
        context.colorspace, context.color_range = converter.matrix, LIMITED
        if encoder == "libx265" and self.container.format.name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # Apple's players accept no other tag
        return stream

    def _add_copies(self, source: VideoReader, suffix: str) -> dict[int, av.stream.Stream]:
        """Add the tracks to which packets are copied, by the index of their source; note those that do not fit."""
        copies = {}
        for stream in source.container.streams:
            kind = "cover picture" if stream.type == "video" else stream.type
            if stream is source.stream or (stream.type == "video" and not stream.disposition & STILL):
                continue
            codec = stream.codec_context.name if stream.codec_context else "unknown codec"
            try:
                if stream.type == "attachment":
                    if suffix != ".mkv":
                        raise ValueError
                    self.container.add_attachment(stream.name or "file", stream.mimetype or "", stream.data)
                    continue
                if stream.type not in ("audio", "subtitle", "video"):
                    raise ValueError
                copy = self.container.add_stream_from_template(stream, opaque=True)
            except ValueError:  # PyAV raises it for a codec that the container cannot hold
                if stream.type == "audio" and stream.codec_context:
                    encoder = "libopus" if suffix == ".webm" else "aac"
                    rate = 48000 if suffix == ".webm" else stream.rate
                    copies[stream.index] = self.container.add_stream(
                        encoder, rate=rate, layout=LAYOUTS.get(stream.channels, "stereo")
                    )
                    self._encoded.add(stream.index)
                    self.notes.append(f"Its sound ({codec}) was re-encoded as {encoder}: {suffix} cannot hold it.")
                    continue
                chapters = stream.type == "data" and stream.metadata.get("handler_name") == "SubtitleHandler"  # of MP4
                if not chapters and codec != "tmcd":
                    self.notes.append(
                        f"Its track {stream.index} ({kind}, {codec}) is left out, since {suffix} cannot hold it."
                    )
                continue
            copy.metadata.update(_descriptive(stream.metadata))
            copy.disposition = stream.disposition
            copies[stream.index] = copy
        return copies

    def new_frame(self) -> tuple[av.VideoFrame, Planes]:
        """Allocate a frame: PyAV's frame, and its planes as writable arrays with the bit depth of the reader's."""
        pixels = "yuv420p" if self._converter.bits == 8 else "yuv420p10le"
        height, width = self._converter.size
        frame = av.VideoFrame(width, height, pixels)
        return frame, frame_planes(frame)

    def write(self, frame: av.VideoFrame, time: int, duration: int) -> None:
        """Encode a frame from `new_frame`; `time` and `duration` are in units of the reader's time base."""
        frame.colorspace, frame.color_range = self._converter.matrix, LIMITED
        if frame.format.name != self._pixels:
            frame = frame.reformat(format=self._pixels)
        frame.color_primaries, frame.color_trc = self._converter.primaries, self._converter.transfer
        frame.pts, frame.time_base, frame.duration = time, self._time_base, duration
        self.container.mux(self._stream.encode(frame))

    def copy(self, packet: av.Packet) -> None:
        """Copy a packet of another track unchanged; re-encode sound that the container cannot hold."""
        if packet.dts is None and packet.stream.disposition & STILL:  # a cover picture has no time of its own
            packet.pts = packet.dts = 0
        if packet.stream.index in self._encoded:
            for frame in packet.decode():
                self.container.mux(self._copies[packet.stream.index].encode(frame))
            return
        if packet.dts is not None and packet.stream.index in self._copies:
            packet.stream = self._copies[packet.stream.index]
            self.container.mux(packet)

    def close(self) -> None:
        """Flush the encoders and complete the file."""
        self.container.mux(self._stream.encode(None))
        for index in self._encoded:
            self.container.mux(self._copies[index].encode(None))
        self.container.close()

    def abort(self) -> None:
        """Close the file without completing it."""
        with suppress(Exception):  # the error that led to this call is the one to report
            self.container.close()


def check_codec(suffix: str, codec: str | None = None, crf: int | None = None) -> str:
    """Return the codec for a file with this suffix.

    Args:
        suffix: suffix of the file, in lower case.
        codec: key of `CODECS`, "auto" or None.
        crf: constant rate factor to check.

    Raises:
        ValueError: suffix, codec or crf is not supported, or the container cannot hold the codec.

    Example:
        >>> check_codec(".mp4"), check_codec(".webm"), check_codec(".mkv", "hevc")
        ('h264', 'vp9', 'hevc')
    """
    if suffix not in OUTPUT_SUFFIXES:
        raise ValueError(f"target: expected one of {', '.join(sorted(OUTPUT_SUFFIXES))}, got {suffix or 'no suffix'}.")
    codec = codec or "auto"
    if codec not in ("auto", *CODECS):
        raise ValueError(f"codec: expected one of auto, {', '.join(CODECS)}, got {codec!r}.")
    if crf is not None and not 0 <= crf <= 51:
        raise ValueError(f"crf: expected 0 (best) to 51, got {crf}.")
    if codec == "auto":
        return "vp9" if suffix == ".webm" else "h264"
    if suffix == ".webm" and codec not in ("vp9", "av1"):
        raise ValueError(f"codec: expected vp9 or av1 for .webm, got {codec}. Give another suffix, or leave it out.")
    return codec


def _muxer_options(suffix: str, source: VideoReader) -> dict[str, str]:
    """Return options of the muxer: for MP4 and MOV the index at the start, and Apple's own tags if there are any."""
    if suffix not in (".mp4", ".m4v", ".mov"):
        return {}
    apple = any(key.startswith("com.") for key in source.container.metadata)
    return {"movflags": "+faststart" + ("+use_metadata_tags" if apple else "")}


def _descriptive(metadata: dict[str, str]) -> dict[str, str]:
    """Return the tags except those that describe the container."""
    return {key: value for key, value in metadata.items() if key.lower() not in OWN_TAGS}
