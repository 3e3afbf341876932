r"""Colour management: conversion from the colour space of a photo to sRGB, and back.

A space is defined by a decoding curve f for each channel and a matrix M, as in most RGB profiles:

.. math:: v_\text{sRGB} = f_\text{sRGB}(M\, f(v))

with the encoding curve of sRGB. Colours outside the gamut of sRGB have values outside [0, 1], which are not clipped, so
that a conversion to sRGB and back is lossless.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageCms

from ssdie.photo.hdr import D65, PRIMARIES, hdr_to_sdr

# XYZ of red, green, blue of sRGB as columns, adapted to the white of ICC profiles, D50 (IEC 61966-2-1, Bradford)
SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])
ADOBE_RGB = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
# code points of ITU-T H.273, as in cICP and nclx
PRIMARIES_BY_CODE = {1: PRIMARIES["bt709"], 9: PRIMARIES["bt2020"], 12: PRIMARIES["p3"]}
HDR_BY_CODE = {16: "pq", 18: "hlg"}
GAMMA_BY_CODE = {4: 2.2, 5: 2.8, 8: 1.0}
SAMPLES = np.linspace(0, 1, 1 << 14)
CLOSE = 0.004  # one 8-bit level: a space that differs from sRGB by less is treated as sRGB
ROWS = 256  # rows that are converted at a time, so that memory does not grow with the photo


def srgb_decode(values: np.ndarray) -> np.ndarray:
    """Decode sRGB values of any range to linear light; the curve is odd (IEC 61966-2-1)."""
    size = np.abs(values)
    return np.sign(values) * np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)


def srgb_encode(light: np.ndarray) -> np.ndarray:
    """Encode linear light of any range as sRGB, the inverse of `srgb_decode`.

    Example:
        >>> srgb_encode(srgb_decode(np.array([-0.2, 0.5, 1.1]))).round(6).tolist()
        [-0.2, 0.5, 1.1]
    """
    size = np.abs(light)
    return np.sign(light) * np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055)


@dataclass(frozen=True)
class Space:
    """A colour space other than sRGB.

    Attributes:
        name: name in messages.
        curves: linear light of each channel at `SAMPLES`, increasing; one curve for grey.
        matrix: (3, 3), from linear RGB of the space to linear sRGB; None for grey.
        hdr: "pq" or "hlg" for pictures of high dynamic range, which are tone-mapped and not converted back; else "".
        primaries: key of `ssdie.photo.hdr.PRIMARIES`, for pictures of high dynamic range.
        profile: an ICC profile that consists of lookup tables, which LittleCMS applies to 8-bit pixels; else empty.
    """

    name: str
    curves: tuple[np.ndarray, ...] = ()
    matrix: np.ndarray | None = None
    hdr: str = ""
    primaries: str = "bt2020"
    profile: bytes = b""

    @property
    def is_reversible(self) -> bool:
        """Whether `from_srgb` is possible."""
        return not self.profile or self._transforms[1] is not None

    def to_srgb(self, pixels: np.ndarray) -> np.ndarray:
        """Convert (H, W) or (H, W, 3), uint8, uint16 or float, to float32 sRGB, which may lie outside [0, 1]."""
        return _by_rows(self._to_srgb, pixels)

    def from_srgb(self, values: np.ndarray) -> np.ndarray:
        """Convert float sRGB back to values of this space, float32 in [0, 1]."""
        return _by_rows(self._from_srgb, values)

    def _to_srgb(self, pixels: np.ndarray) -> np.ndarray:
        if self.profile:
            return as_float(self._by_tables(pixels, False))
        if self.hdr:
            return hdr_to_sdr(as_float(pixels), self.hdr, self.primaries)
        light = self._per_channel(pixels, lambda v, n: self._decode(v, n))
        return srgb_encode(light if self.matrix is None else light @ self.matrix.T)

    def _from_srgb(self, values: np.ndarray) -> np.ndarray:
        if self.profile:
            return as_float(self._by_tables(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8), True))
        light = srgb_decode(values)
        if self.matrix is not None:
            light = light @ np.linalg.inv(self.matrix).T
        return self._per_channel(np.clip(light, 0, 1), lambda v, n: np.interp(v, self.curves[n], SAMPLES))

    def _per_channel(self, values: np.ndarray, convert: Callable) -> np.ndarray:
        if values.ndim == 2:
            return convert(values, 0)
        return np.stack([convert(values[..., n], n % len(self.curves)) for n in range(values.shape[2])], axis=2)

    def _decode(self, values: np.ndarray, channel: int) -> np.ndarray:
        if values.dtype.kind == "u":
            table = np.interp(np.linspace(0, 1, np.iinfo(values.dtype).max + 1), SAMPLES, self.curves[channel])
            return table.astype(np.float32)[values]
        return np.interp(values, SAMPLES, self.curves[channel])

    def _by_tables(self, pixels: np.ndarray, back: bool) -> np.ndarray:
        if pixels.dtype != np.uint8:
            raise ValueError("its colour profile holds lookup tables, which are applied to 8-bit pixels only")
        source, target = self._transforms
        return np.asarray(ImageCms.applyTransform(Image.fromarray(pixels), target if back else source))

    @cached_property
    def _transforms(self) -> tuple:
        build, srgb = ImageCms.buildTransform, ImageCms.createProfile("sRGB")
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(self.profile))
            forward = build(own, srgb, "RGB", "RGB")
        except (ImageCms.PyCMSError, OSError) as error:
            raise ValueError("its colour profile is damaged") from error
        try:
            return forward, build(srgb, own, "RGB", "RGB")
        except ImageCms.PyCMSError:
            return forward, None  # profiles of scanners and cameras may have one direction only


def _by_rows(convert: Callable, values: np.ndarray) -> np.ndarray:
    result = np.empty(values.shape, np.float32)
    for start in range(0, len(values), ROWS):
        result[start : start + ROWS] = convert(values[start : start + ROWS])
    return result


def as_float(pixels: np.ndarray) -> np.ndarray:
    """Scale uint8 and uint16 to float32 in [0, 1]; return float arrays unchanged."""
    return pixels / np.float32(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else pixels


def as_depth(values: np.ndarray, dtype: np.dtype, top: int = 0) -> np.ndarray:
    """Convert floats in [0, 1] to uint8 or uint16, rounding to nearest, or to another float type.

    Args:
        values: float array of any shape; clipped to [0, 1] for integers.
        dtype: of the result.
        top: integer that stands for 1; 0 means the largest integer of `dtype`.

    Example:
        >>> as_depth(np.array([0.5, 1.2]), np.uint8).tolist()
        [128, 255]
    """
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    return np.rint(np.clip(values, 0, 1) * np.float64(top or np.iinfo(dtype).max)).astype(dtype)


def from_primaries(name: str, primaries: tuple, curve: np.ndarray, white: tuple[float, float] = D65) -> Space:
    """Make a space from the chromaticities x, y of red, green, blue and white, and the linear light at `SAMPLES`."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    xyz = np.array((white[0] / white[1], 1, (1 - white[0] - white[1]) / white[1]))
    to_xyz = columns * np.linalg.solve(columns, xyz)
    adapt = np.linalg.solve(BRADFORD, np.diag((BRADFORD @ D50) / (BRADFORD @ xyz)) @ BRADFORD)
    return Space(name, (curve,) * 3, np.linalg.solve(SRGB_TO_XYZ, adapt @ to_xyz))


def adobe_rgb() -> Space:
    """Return Adobe RGB (1998), which EXIF can name without a profile."""
    return from_primaries("Adobe RGB", ADOBE_RGB, SAMPLES ** (563 / 256))


def from_code_points(primaries: int, transfer: int) -> Space | None:
    """Make a space from code points of ITU-T H.273; None for sRGB. Unknown primaries are taken for those of BT.709."""
    if transfer in HDR_BY_CODE:
        names = {PRIMARIES_BY_CODE[code]: name for name, code in (("bt709", 1), ("bt2020", 9), ("p3", 12))}
        known = names.get(PRIMARIES_BY_CODE.get(primaries), "bt2020")
        return Space(f"{HDR_BY_CODE[transfer].upper()}", hdr=HDR_BY_CODE[transfer], primaries=known)
    gamma = GAMMA_BY_CODE.get(transfer)
    curve = SAMPLES**gamma if gamma else srgb_decode(SAMPLES)
    known = PRIMARIES_BY_CODE.get(primaries, PRIMARIES["bt709"])
    return _unless_srgb(from_primaries(f"code points {primaries}/{transfer}", known, curve))


def from_gamma(gamma: float, chromaticities: tuple[float, ...] = (), gray: bool = False) -> Space | None:
    """Make a space from the PNG chunks gAMA and cHRM; None for sRGB and for values that make no sense.

    Args:
        gamma: encoding exponent, such as 1 / 2.2.
        chromaticities: x, y of white, red, green, blue; empty for the primaries of BT.709.
        gray: whether the picture is grey, without primaries.
    """
    if not 0.05 < gamma < 5:
        return None
    if gray:
        return _unless_srgb(Space("gAMA", (SAMPLES ** (1 / gamma),)))
    pairs = tuple(zip(chromaticities[::2], chromaticities[1::2], strict=True))
    if any(y <= 0 for _, y in pairs):
        return None
    white, *primaries = pairs or (D65, *PRIMARIES["bt709"])
    try:
        return _unless_srgb(from_primaries("gAMA", tuple(primaries), SAMPLES ** (1 / gamma), white))
    except np.linalg.LinAlgError:
        return None


def from_icc(profile: bytes, gray: bool = False) -> Space | None:
    """Make a space from an ICC profile; None if it describes sRGB.

    Args:
        profile: the profile, for RGB or grey.
        gray: whether the picture is grey.

    Raises:
        ValueError: the profile is damaged, or is for another number of channels.
    """
    try:
        tags = _icc_tags(profile)
        kind = profile[16:20]
        if gray and kind == b"RGB ":
            return None  # of a photo that was colour once; it says nothing that other programs follow
        if kind not in (b"GRAY", b"RGB ") or gray != (kind == b"GRAY"):
            raise ValueError("its colour profile is for pictures with other channels")
        if b"cicp" in tags and len(tags[b"cicp"]) >= 12 and not gray:
            return from_code_points(*tags[b"cicp"][8:10])
        if gray:
            return _unless_srgb(Space("its profile", (_icc_curve(tags[b"kTRC"]),)))
        names = (b"rXYZ", b"gXYZ", b"bXYZ")
        if not all(name in tags for name in names):
            ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return Space("its profile", profile=profile)
        to_xyz = np.array([struct.unpack(">3i", tags[name][8:20]) for name in names]).T / 65536
        curves = tuple(_icc_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
        matrix = np.linalg.solve(SRGB_TO_XYZ, to_xyz)
        np.linalg.inv(matrix)
        return _unless_srgb(Space("its profile", curves, matrix))
    except (KeyError, IndexError, struct.error, OSError, np.linalg.LinAlgError, ImageCms.PyCMSError) as error:
        raise ValueError("its colour profile is damaged") from error


def _icc_tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > 200:
        raise KeyError(count)
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * n) for n in range(count)]
    return {name: profile[start : start + size] for name, start, size in entries}


def _icc_curve(tag: bytes) -> np.ndarray:
    """Evaluate a tag of type "curv" or "para" at `SAMPLES`: linear light (ICC.1:2022, sections 10.6 and 10.18)."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return SAMPLES
        values = np.frombuffer(tag, ">u2", count, 12) if 12 + 2 * count <= len(tag) else tag[len(tag)]
        curve = (
            SAMPLES ** (values[0] / 256) if count == 1 else np.interp(SAMPLES, np.linspace(0, 1, count), values / 65535)
        )
    else:
        (kind,) = struct.unpack_from(">H", tag, 8)
        numbers = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}[kind]
        g, a, b, c, d, e, f = ([v / 65536 for v in struct.unpack_from(f">{numbers}i", tag, 12)] + [0.0] * 7)[:7]
        if kind == 0:
            a = 1.0
        if kind in (1, 2):  # constant below -b / a
            c, d, e, f = 0.0, -b / a, c, c
        curve = np.where(d <= SAMPLES, np.maximum(a * SAMPLES + b, 0) ** g + e, c * SAMPLES + f)
    if not np.isfinite(curve).all() or curve[-1] <= curve[0]:
        raise KeyError("curve")
    return np.maximum.accumulate(curve)


def _unless_srgb(space: Space) -> Space | None:
    """Return a space, or None if it maps a grid of colours to the values that they have in sRGB."""
    steps = np.linspace(0, 1, 5)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(5, 25, 3)
    if space.matrix is None:
        grid = np.linspace(0, 1, 99)[None]
    return None if np.abs(np.clip(space.to_srgb(grid), 0, 1) - grid).max() < CLOSE else space
