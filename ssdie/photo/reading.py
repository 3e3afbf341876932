"""Reading photo files of every format: `read_photo` returns a `Photo`, upright, in sRGB, with all metadata."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ssdie.photo import color, decoders, optional  # noqa: F401  the last adds decoders
from ssdie.photo.exif import is_adobe_rgb, is_readable, read_orientation
from ssdie.photo.files import stat_file
from ssdie.photo.formats import identify
from ssdie.photo.metadata import COLOR_CHUNKS, Metadata, is_panorama, xmp_orientation


@dataclass
class Photo:
    """A photo file in memory.

    Attributes:
        kind: key of `ssdie.photo.formats.KINDS`.
        frames: (H, W) grey or (H, W, 3) colour, upright, sRGB: the file's own uint8, uint16 or float32; float32 where
            the colours had to be converted.
        extras: for each frame None, or its channels beyond grey or RGB, (H, W, n), alpha first.
        has_alpha: whether the first of these channels is alpha.
        originals: frames in the photo's own colour space; the same arrays as `frames` if that is sRGB.
        space: the photo's own colour space; None for sRGB.
        metadata: everything else in the file.
        notes: sentences about what was dropped or cannot be kept.
        durations: of the frames of an animation, ms.
        loop: repetitions of an animation; 0 without end, None for one.
        pages: for each directory of a TIFF file the index of its frame, or None if it is dropped.
        tables: quantisation tables of a JPEG.
        lossless: whether a WebP is lossless.
        code_points: primaries and transfer function (ITU-T H.273) in the nclx of an AVIF or HEIC.
        bits: bit depth of an AVIF or HEIC.
        turned: whether width and height were exchanged to turn the photo upright.
        default_image: whether the first frame of an APNG is not part of its animation.
    """

    kind: str
    frames: list[np.ndarray]
    extras: list[np.ndarray | None]
    metadata: Metadata
    has_alpha: bool = False
    originals: list[np.ndarray] = field(default_factory=list)
    space: color.Space | None = None
    notes: list[str] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    loop: int | None = None
    pages: list[int | None] = field(default_factory=list)
    tables: dict | None = None
    lossless: bool = False
    code_points: tuple[int, int] | None = None
    bits: int = 8
    default_image: bool = False
    turned: bool = False

    @property
    def is_panorama(self) -> bool:
        """Whether the photo is a panorama whose left and right sides meet."""
        return is_panorama(self.metadata.xmp)

    def alpha(self, frame: int = 0) -> np.ndarray | None:
        """Return the alpha channel (H, W) of a frame, or None."""
        extra = self.extras[frame]
        return extra[..., 0] if self.has_alpha and extra is not None else None

    def scene(self, frame: int = 0) -> np.ndarray:
        """Return a mask (H, W), bool, of the scene in a frame: without bars, borders and transparent margins."""
        from ssdie.photo.scene import find_scene

        rows, columns = find_scene(self.frames[frame], self.alpha(frame))
        mask = np.zeros(self.frames[frame].shape[:2], bool)
        mask[rows, columns] = True
        return mask

    def save(
        self,
        path: str | Path,
        pixels: list[np.ndarray] | np.ndarray | None = None,
        format: str | None = None,
        quality: int | None = None,
    ) -> list[str]:
        """Write the photo atomically, with its metadata, in its own colour space; see `ssdie.photo.writing.save`."""
        from ssdie.photo.writing import save

        return save(self, path, pixels, format, quality)


def read_photo(source: str | Path | bytes) -> Photo:
    """Read a photo file.

    Args:
        source: a path, or the content of a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a photo, is damaged, or has a format that is not supported, which the message names.
        ModuleNotFoundError: its decoder is part of the extra `formats`, which is not installed.
    """
    metadata, suffix = Metadata(), ""
    if isinstance(source, bytes):
        data = source
    else:
        status, suffix = stat_file(source), Path(source).suffix
        data = Path(source).read_bytes()
        metadata.mode, metadata.times = status.st_mode & 0o7777, (status.st_atime_ns, status.st_mtime_ns)
    kind = identify(data, suffix)
    photo = Photo(kind, [], [], metadata)
    try:
        decoders.DECODERS[kind](photo, data)
    except (OSError, ValueError, MemoryError, ModuleNotFoundError):
        raise
    except Exception as error:  # decoders raise many types of errors on damaged files
        raise OSError(str(error) or type(error).__name__) from error
    _drop_damaged(photo)
    _turn_upright(photo)
    _convert(photo)
    return photo


def from_picture(picture: Image.Image) -> Photo:
    """Make a photo from an upright PIL image: its pixels in sRGB, its metadata."""
    photo = Photo("PNG", [], [], Metadata())
    decoders.add_info(photo, picture.info)
    decoders.add_picture(photo, picture)
    _convert(photo)
    return photo


def _drop_damaged(photo: Photo) -> None:
    metadata = photo.metadata
    if metadata.exif and not is_readable(metadata.exif):
        metadata.exif = b""
        photo.notes.append("Damaged EXIF was dropped.")
    if b"\0" in metadata.xmp.rstrip(b"\0"):
        metadata.xmp = b""
        photo.notes.append("Damaged XMP was dropped.")


def _turn_upright(photo: Photo) -> None:
    if photo.kind in ("HEIC", "RAW", "JPEG XL"):  # their decoders return upright pictures
        return
    orientation = read_orientation(photo.metadata.exif) or xmp_orientation(photo.metadata.xmp)
    photo.turned |= orientation >= 5
    turn = decoders.TURNS.get(orientation)
    if photo.kind != "TIFF" and turn:
        photo.frames = [np.ascontiguousarray(turn(frame)) for frame in photo.frames]
        photo.extras = [None if extra is None else np.ascontiguousarray(turn(extra)) for extra in photo.extras]


def _convert(photo: Photo) -> None:
    """Convert the frames to sRGB, if they are in another space."""
    photo.originals = list(photo.frames)
    try:
        space = _find_space(photo)
        if space and space.profile and photo.frames[0].dtype != np.uint8:
            photo.notes.append("The colour profile holds lookup tables and was not applied to more than 8 bits.")
            space = None
        axes = photo.frames[0].ndim  # a TIFF may hold grey pages too, to which the profile does not apply
        converted = [np.clip(space.to_srgb(f), 0, 1) if f.ndim == axes else f for f in photo.frames] if space else None
    except ValueError:
        photo.notes.append("The colour profile is damaged or does not fit the picture; it was dropped.")
        drop_color(photo)
        return
    if not converted:
        return
    photo.space = space
    if space.hdr:
        dtype = photo.frames[0].dtype
        photo.frames = photo.originals = [color.as_depth(frame, dtype) for frame in converted]
        photo.space = None
        photo.notes.append(f"The HDR picture ({space.name}) was tone-mapped to sRGB.")
        drop_color(photo)
        return
    photo.frames = converted
    if not space.is_reversible or (photo.kind == "AVIF" and not photo.metadata.icc):  # Pillow cannot write nclx
        drop_color(photo)
        dtype = photo.originals[0].dtype
        photo.space, photo.originals = None, [color.as_depth(frame, dtype) for frame in converted]
        photo.frames = photo.originals
        photo.notes.append("The colours were converted to sRGB.")


def _find_space(photo: Photo) -> color.Space | None:
    """Return the colour space of a photo from the first of cICP, ICC profile, gAMA, nclx and EXIF; None for sRGB."""
    gray = photo.frames[0].ndim == 2
    chunks = {name: content for name, content, _ in photo.metadata.chunks}
    if len(points := chunks.get(b"cICP", b"")) == 4:
        return None if gray else color.from_code_points(points[0], points[1])
    if photo.metadata.icc:
        return color.from_icc(photo.metadata.icc, gray)
    if b"gAMA" in chunks and b"sRGB" not in chunks:
        values = np.frombuffer(chunks[b"gAMA"][:4] + chunks.get(b"cHRM", b"")[:32], ">u4") / 100000
        return color.from_gamma(values[0], tuple(values[1:]) if len(values) == 9 else (), gray)
    if (points := photo.code_points) and not gray:
        return color.from_code_points(*points)
    if not gray and is_adobe_rgb(photo.metadata.exif):
        return color.adobe_rgb()
    return None


def drop_color(photo: Photo) -> None:
    """Remove the metadata that describe another colour space than sRGB."""
    photo.metadata.icc = b""
    photo.metadata.chunks = [chunk for chunk in photo.metadata.chunks if chunk[0] not in COLOR_CHUNKS]


def own_pixels(photo: Photo, frame: int, enhanced: np.ndarray) -> np.ndarray:
    """Convert an enhanced frame from sRGB to the photo's own colour space and type; unchanged pixels keep their values.

    Args:
        photo: from `read_photo`.
        frame: index of the frame.
        enhanced: the frame after the enhancement, as `photo.frames[frame]`.
    """
    before, original = photo.frames[frame], photo.originals[frame]
    if before is original:
        return enhanced
    own = np.empty_like(original)
    for start in range(0, len(original), color.ROWS):  # in strips, so that memory does not grow with the photo
        rows = slice(start, start + color.ROWS)
        outside = photo.space.to_srgb(original[rows]) - before[rows]  # the part outside the gamut of sRGB
        values = photo.space.from_srgb(color.as_float(enhanced[rows]) + outside)
        same = enhanced[rows] == before[rows]
        same = same.all(axis=2, keepdims=True) if same.ndim == 3 else same
        own[rows] = np.where(same, original[rows], color.as_depth(values, original.dtype))
    return own
