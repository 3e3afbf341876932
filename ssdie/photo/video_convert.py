"""Conversion of decoded video frames to upright YUV 4:2:0 planes of equal size: range, bits, rotation, HDR, padding."""

import struct
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from ssdie.photo.hdr import HDR_PEAK, SDR_WHITE, bt1886_encode, hdr_to_sdr

BT709, UNSPECIFIED, PAL, BT601, BT2020 = 1, 2, 5, 6, 9  # matrices and primaries, codes of ITU-T H.273
MATRICES = {BT709, 4, PAL, BT601, 7, BT2020}  # matrices that FFmpeg can convert to and from RGB
P3 = (11, 12)  # primaries of SMPTE RP 431 and EG 432
TRANSFERS = {16: "pq", 18: "hlg"}
LIMITED, FULL = 1, 2  # colour ranges, codes of FFmpeg
HD_HEIGHT = 720  # untagged videos of at least this height are BT.709, smaller ones BT.601, as players assume
LUT_SIZE = 33  # nodes along a side of the table that maps HDR to SDR
Planes = tuple[np.ndarray, np.ndarray, np.ndarray]
Rectangle = tuple[int, int, int, int]


class Converter:
    """Converter of all frames of a video; the first one determines size, bit depth, rotation and colour.

    Args:
        first: first frame.
        aspect: width / height of a stored pixel; None means 1.

    Attributes:
        stored: (H, W) of the first frame, before rotation and padding; pixels.
        size: (H, W) of converted frames: upright, padded to even numbers; pixels.
        bits: bit depth of converted frames, 8 or 10.
        source_bits: bit depth of the file.
        transparent: whether frames have an alpha channel, which is not converted.
        matrix, primaries, transfer: colour description of converted frames, codes of ITU-T H.273.
        aspect: width / height of a pixel of converted frames.
        notes: sentences on what was changed.
    """

    def __init__(self, first: av.VideoFrame, aspect: Fraction | None = None):
        self.notes: list[str] = []
        self.source_bits = max(component.bits for component in first.format.components)
        self.bits = 10 if self.source_bits > 8 else 8
        self.transparent = any(component.is_alpha for component in first.format.components)
        self.stored = (first.height, first.width)
        even = tuple(side + side % 2 for side in self.stored)
        self.swap, self.flip_x, self.flip_y = _read_orientation(first)
        self.size = even[::-1] if self.swap else even
        aspect = aspect if aspect and 0.1 < aspect < 10 else Fraction(1)
        self.aspect = 1 / aspect if self.swap else aspect
        guess = BT709 if min(first.height, first.width) >= HD_HEIGHT else BT601
        self.matrix = first.colorspace if first.colorspace in MATRICES else guess
        guess = self.matrix if self.matrix in (BT709, PAL, BT601, BT2020) else guess
        self.primaries = first.color_primaries if _is_known(first.color_primaries) else guess
        guess = BT601 if guess in (PAL, BT601) else BT709
        self.transfer = first.color_trc if _is_known(first.color_trc) else guess
        self._table, self._graph, self._graph_size = None, None, None  # lookup table from HDR to SDR, and its filter
        if self.transfer in TRANSFERS:
            self._prepare_tone_mapping(first)

    def _prepare_tone_mapping(self, first: av.VideoFrame) -> None:
        """Compute a lookup table of `ssdie.photo.hdr.hdr_to_sdr`, which FFmpeg applies."""
        transfer, peak = TRANSFERS[self.transfer], read_peak(first)
        primaries = "p3" if self.primaries in P3 else "bt709" if self.primaries == BT709 else "bt2020"
        steps = np.linspace(0, 1, LUT_SIZE)
        blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")  # in the file red varies fastest
        grid = np.stack((red, green, blue), -1).reshape(-1, 3)
        peak = peak if transfer == "pq" else HDR_PEAK
        self._table = hdr_to_sdr(grid, transfer, primaries, peak, bt1886_encode)
        self._hdr_matrix = first.colorspace if first.colorspace in MATRICES else BT2020
        self.matrix = self.primaries = self.transfer = BT709
        self.bits = self.source_bits = 8
        name = {"pq": "HDR10 (PQ)", "hlg": "HLG"}[transfer]
        self.notes.append(f"Its high dynamic range, {name}, was tone-mapped to standard range (BT.709).")

    def convert(self, frame: av.VideoFrame) -> tuple[Planes, Rectangle]:
        """Convert a frame.

        Returns:
            Read-only planes Y (H, W), U and V (H/2, W/2) of limited range, uint8, or uint16 with 10 significant bits;
            and top, bottom, left, right of the picture in them: frames of another size are letterboxed.
        """
        pixels = "yuv420p" if self.bits == 8 else "yuv420p10le"
        width, height = frame.width, frame.height
        if (height, width) != self.stored:
            scale = min(self.stored[0] / height, self.stored[1] / width)
            width, height = (max(2, 2 * round(side * scale / 2)) for side in (width, height))
        full = frame.color_range == FULL or frame.format.name.startswith("yuvj")
        if frame.colorspace not in MATRICES and not frame.format.is_rgb:
            frame.colorspace = self.matrix if self._table is None else self._hdr_matrix
        if self._table is not None:
            frame = self._tone_map(frame)
        if frame.format.name != pixels or full or (frame.width, frame.height) != (width, height):
            frame = frame.reformat(
                width, height, pixels, dst_colorspace=self.matrix, dst_color_range=LIMITED, interpolation="BICUBIC"
            )
        planes = tuple(self._turn(plane) for plane in _pad_to_even(frame_planes(frame)))
        return self._letterbox(planes)

    def _tone_map(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the frame in standard range, as RGB."""
        if self._graph_size != (frame.width, frame.height):
            self._graph_size = (frame.width, frame.height)
            self._graph = _make_lut_filter(self._table, *self._graph_size)
        self._graph.push(frame.reformat(format="rgb48le", interpolation="BICUBIC"))
        return self._graph.pull()

    def _turn(self, plane: np.ndarray) -> np.ndarray:
        plane = plane.T if self.swap else plane
        plane = plane[:, ::-1] if self.flip_x else plane
        return plane[::-1] if self.flip_y else plane

    def _letterbox(self, planes: Planes) -> tuple[Planes, Rectangle]:
        """Centre planes of another size on a black frame."""
        height, width = planes[0].shape
        if (height, width) == self.size:
            return planes, (0, height, 0, width)
        top, left = ((whole - side) // 4 * 2 for whole, side in zip(self.size, (height, width), strict=True))
        framed = []
        for plane, step, black in zip(planes, (1, 2, 2), (16, 128, 128), strict=True):
            canvas = np.full((self.size[0] // step, self.size[1] // step), black << (self.bits - 8), plane.dtype)
            y, x = top // step, left // step
            canvas[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
            framed.append(canvas)
        return tuple(framed), (top, top + height, left, left + width)


def _is_known(tag: int) -> bool:
    return tag == 1 or tag > UNSPECIFIED


def frame_planes(frame: av.VideoFrame) -> Planes:
    """Return the planes of a YUV frame as arrays that share its memory."""
    planes = []
    for plane in frame.planes:
        dtype = np.uint8 if frame.format.components[0].bits == 8 else np.dtype("<u2")
        rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)
        planes.append(rows[:, : plane.width])
    return tuple(planes)


def _pad_to_even(planes: Planes) -> Planes:
    """Repeat the last row or column of Y if their number is odd."""
    height, width = planes[0].shape
    if height % 2 or width % 2:
        planes = (np.pad(planes[0], ((0, height % 2), (0, width % 2)), mode="edge"), *planes[1:])
    return planes


def _make_lut_filter(table: np.ndarray, width: int, height: int) -> av.filter.Graph:
    """Make a filter that applies a 3D lookup table to 16-bit RGB; FFmpeg reads the table from a file."""
    graph = av.filter.Graph()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "hdr.cube")
        np.savetxt(path, table, "%.6f", header=f"LUT_3D_SIZE {LUT_SIZE}", comments="")
        source = graph.add_buffer(width=width, height=height, format="rgb48le", time_base=Fraction(1, 1000))
        mapper = graph.add("lut3d", file=str(path), interp="tetrahedral")
        graph.link_nodes(source, mapper, graph.add("buffersink")).configure()
    return graph


def _read_orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Read from the display matrix how to turn a frame upright: transpose, then flip horizontally, flip vertically."""
    data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = struct.unpack("=9i", bytes(data)[:36])[:5]
    if abs(a) >= abs(b):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def read_peak(frame: av.VideoFrame) -> float:
    """Read the peak luminance of an HDR10 video, cd/m²: MaxCLL, else that of the mastering display, else `HDR_PEAK`."""
    peak = 0.0
    if (light := frame.side_data.get(SideDataType.CONTENT_LIGHT_LEVEL)) is not None:
        peak = float(struct.unpack("=I", bytes(light)[:4])[0])
    elif (display := frame.side_data.get(SideDataType.MASTERING_DISPLAY_METADATA)) is not None:
        numerator, denominator = struct.unpack("=2i", bytes(display)[72:80])
        peak = numerator / denominator if denominator else 0.0
    return min(max(peak, SDR_WHITE), 10000.0) if peak > 0 else HDR_PEAK
