"""Writing photos atomically: pixels in the photo's own colour space and bit depth, with its metadata."""

import io
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from ssdie.photo import color, jpeg, metadata, tiff
from ssdie.photo.boxes import add_metadata
from ssdie.photo.conversion import keeps_space, lost_parts
from ssdie.photo.exif import extract_exif, patch_exif
from ssdie.photo.formats import KINDS, SUFFIXES
from ssdie.photo.reading import Photo, own_pixels
from ssdie.utils.dependencies import require
from ssdie.utils.paths import atomic

DEEP = ("PNG", "TIFF", "JPEG2000", "PPM", "AVIF")  # formats that can hold more than 8 bits
ANIMATED = ("PNG", "WEBP", "AVIF", "GIF", "TIFF")


def written_kind(photo: Photo, format: str | None = None) -> str:
    """Return the format of the copy of a photo.

    Args:
        photo: from `read_photo`.
        format: requested format, key of `KINDS` or a suffix without the dot; None takes `Kind.written` of the photo's.

    Raises:
        ValueError: the requested format is unknown, or is only read.
    """
    if format:
        name = {"JPG": "JPEG", "TIF": "TIFF", "JP2": "JPEG2000"}.get(format.upper(), format.upper())
        if name not in KINDS or KINDS[name].written != name:
            known = ", ".join(kind.name for kind in KINDS.values() if kind.written == kind.name)
            raise ValueError(f"format: expected one of {known}, got {format!r}.")
        return name
    return KINDS[photo.kind].written


def save(
    photo: Photo, path: str | Path, pixels=None, format: str | None = None, quality: int | None = None
) -> list[str]:
    """Write a photo.

    Args:
        photo: from `read_photo`.
        path: file to write; its suffix determines the format, if it is known and `format` is None.
        pixels: enhanced frames like `photo.frames`, or one array; None writes the frames as they were read.
        format: key of `KINDS`.
        quality: of JPEG, WebP and AVIF, 1 to 100; None means 95, or for JPEG the original's tables if they are finer.

    Returns:
        Notes on what the copy lacks, those of reading first.

    Raises:
        ValueError: the format is unknown, or is only read.
        OSError: the file cannot be written.
    """
    if format is None:
        format = SUFFIXES.get(Path(path).suffix.lower())
        if format and KINDS[format].written != format:
            raise ValueError(f"path: expected a format that can be written, got {path}. Name it .jpg, for example.")
    content, notes = encode(photo, pixels, format, quality)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
        if photo.metadata.times:
            with suppress(OSError):  # FAT and network shares cannot store every time and mode
                os.utime(temporary, ns=photo.metadata.times)
        if photo.metadata.mode is not None:
            with suppress(OSError):
                os.chmod(temporary, photo.metadata.mode)
    return notes


def encode(photo: Photo, pixels=None, format: str | None = None, quality: int | None = None) -> tuple[bytes, list[str]]:
    """Encode a photo as `save` does; return the content of the file and the notes."""
    frames = photo.frames if pixels is None else [pixels] if isinstance(pixels, np.ndarray) else pixels
    kind, notes = written_kind(photo, format), list(photo.notes)
    if photo.space is None or keeps_space(photo, kind):
        own = [own_pixels(photo, n, frame) for n, frame in enumerate(frames)]
    else:
        notes.append(f"{kind} cannot name the colour space of the photo; the copy is sRGB.")
        own = [color.as_depth(frame, old.dtype) for frame, old in zip(frames, photo.originals, strict=True)]
    alike = kind == "TIFF" or len({frame.shape[:2] for frame in own}) == 1  # as the frames of an animation are
    if len(own) > 1 and (kind not in ANIMATED or (kind == "TIFF" and photo.kind != "TIFF") or not alike):
        notes.append(f"{kind} holds one picture; the copy has the first of {len(own)}.")
        own = own[:1]
    if kind not in DEEP and any(frame.dtype != np.uint8 for frame in own):
        notes.append(f"{kind} holds 8 bits; the values were rounded.")
        own = [color.as_depth(color.as_float(frame), np.uint8) for frame in own]
    if kind == "AVIF" and own[0].dtype != np.uint8 and photo.bits == 8:
        notes.append("The AVIF has 10 bits; the values were rounded.")
    if kind != "TIFF" and own[0].dtype.kind == "f":
        notes.append(f"{kind} holds integers; the values were rounded to 16 bits.")
        own = [color.as_depth(frame, np.uint16) for frame in own]
    extras = photo.extras if kind == "TIFF" else [photo.alpha(n) for n in range(len(own))]
    if kind in ("JPEG", "BMP", "PPM"):
        if any(extra is not None for extra in extras):
            notes.append(f"{kind} cannot hold transparency; it was dropped.")
        extras = [None] * len(own)
    own = [_joined(frame, extra) for frame, extra in zip(own, extras, strict=False)]
    size = own[0].shape[1], own[0].shape[0]
    meta = photo.metadata
    block = meta.exif or (extract_exif(meta.tiff) if meta.tiff and kind != "TIFF" else b"")
    block = patch_exif(block, size, lambda length, old: _thumbnail(own[0], length, old)) if block else b""
    if kind == "JPEG" and len(block) + len(jpeg.EXIF) > jpeg.LARGEST:
        notes.append(f"EXIF of {len(block)} bytes does not fit into a JPEG and is not in the copy.")
        block = b""
    if lost := lost_parts(photo, kind):
        notes.append(f"Not in the copy, since {kind} cannot hold it: {', '.join(lost)}.")
    packet = metadata.patch_xmp(meta.xmp, size if photo.turned else None)
    return WRITERS[kind](photo, own, block, packet, quality), notes


def _joined(frame: np.ndarray, extra: np.ndarray | None) -> np.ndarray:
    if extra is None:
        return frame
    extra = color.as_depth(color.as_float(extra), frame.dtype) if extra.dtype != frame.dtype else extra
    return np.dstack((frame, extra))


def _picture(array: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(array))


def _thumbnail(array: np.ndarray, length: int, old: bytes) -> bytes:
    """Encode a JPEG of at most `length` bytes with the size of the old thumbnail; b"" if that is impossible."""
    if array.dtype != np.uint8:
        return b""
    try:
        with Image.open(io.BytesIO(old)) as picture:
            longest = max(picture.size)
    except (OSError, SyntaxError, ValueError):
        return b""
    small = _picture(
        array[..., :3] if array.ndim == 3 and array.shape[2] > 2 else array if array.ndim == 2 else array[..., 0]
    )
    small.thumbnail((longest, longest))
    for quality in (85, 70, 50, 30):
        encoded = io.BytesIO()
        small.save(encoded, "JPEG", quality=quality)
        if encoded.tell() <= length:
            return encoded.getvalue()
    return b""


def _write_jpeg(photo: Photo, frames: list, block: bytes, packet: bytes, quality: int | None) -> bytes:
    meta, icc = photo.metadata, photo.metadata.icc
    segments = []
    for marker, content in meta.segments:
        if marker == jpeg.APP1 and content.startswith(jpeg.EXIF):
            content, block = (jpeg.EXIF + block, b"") if block else (b"", b"")
        elif marker == jpeg.APP1 and content.startswith(jpeg.XMP):
            content, packet = (jpeg.XMP + packet, b"") if packet else (b"", b"")
        elif marker == jpeg.APP2 and content.startswith((jpeg.ICC, jpeg.MPF, jpeg.GAIN_MAP)):
            content = content if content.startswith(jpeg.ICC) and icc else b""
        elif marker == jpeg.APP13 and content.startswith(jpeg.IPTC):
            content = jpeg.IPTC + metadata.drop_thumbnails(content[len(jpeg.IPTC) :])
        elif marker in (jpeg.APP11, jpeg.APP14) or content.startswith(b"JFXX\0"):
            content = b""
        segments += [(marker, content)] if content or marker == jpeg.COMMENT else []
    if not meta.segments:
        step = jpeg.LARGEST - 14
        parts = [icc[n : n + step] for n in range(0, len(icc), step)]
        segments += [(jpeg.APP2, jpeg.ICC + bytes((n + 1, len(parts))) + part) for n, part in enumerate(parts)]
        segments += [(jpeg.COMMENT, meta.comment)] if 0 < len(meta.comment) <= jpeg.LARGEST else []
    segments = (jpeg.pack_xmp(packet) if packet else []) + segments
    segments = ([(jpeg.APP1, jpeg.EXIF + block)] if block else []) + segments
    if photo.kind == "JPEG":
        return jpeg.write_segments(jpeg.encode(_picture(frames[0]), photo.tables, quality), segments)
    content = jpeg.encode(_picture(frames[0]), photo.tables, quality, meta.dpi)
    return jpeg.write_segments(content, jpeg.read_segments(content)[0][:1] + segments)  # JFIF first


def _write_png(photo: Photo, frames: list, block: bytes, packet: bytes, quality: int | None) -> bytes:
    if frames[0].dtype == np.uint16 and frames[0].ndim == 3:
        content = bytes(require("imagecodecs", "formats").png_encode(np.ascontiguousarray(frames[0])))
    else:
        content = _by_pillow(photo, frames, "PNG")
    chunks = []
    for name, old, before in photo.metadata.chunks:
        if name == b"eXIf":
            old = block
        elif name == b"iTXt" and old.startswith(metadata.XMP_KEYWORD) and metadata.text_of(old) != packet:
            old = metadata.XMP_KEYWORD + b"\0\0\0\0\0" + packet if packet else b""
        chunks += [(name, old, before)] if old else []
    if photo.kind != "PNG":
        meta = photo.metadata
        own = metadata.Metadata(block, packet, meta.icc, meta.comment, meta.dpi)
        chunks = metadata.chunks_of(own)
    return metadata.write_chunks(content, chunks)


def _by_pillow(photo: Photo, frames: list, kind: str, **options) -> bytes:
    encoded, pictures = io.BytesIO(), [_picture(frame) for frame in frames]
    if len(pictures) > 1:
        durations = photo.durations[photo.default_image :] or 100  # pages of TIFF have none
        options |= {"save_all": True, "append_images": pictures[1:], "duration": durations}
        if photo.default_image and kind == "PNG":
            options["default_image"] = True
        if photo.loop is not None:
            options["loop"] = photo.loop
    pictures[0].save(encoded, kind, **options)
    return encoded.getvalue()


def _write_tiff(photo: Photo, frames: list, block: bytes, packet: bytes, quality: int | None) -> bytes:
    if photo.kind == "TIFF":
        pages = [None if index is None else frames[index] for index in photo.pages]
        blobs = {} if photo.metadata.icc else {tiff.ICC: b""}
        blobs |= {tiff.XMP: packet} if packet != photo.metadata.xmp else {}
        return tiff.replace_pixels(photo.metadata.tiff, pages, blobs)
    blobs = {tiff.ICC: photo.metadata.icc, tiff.XMP: packet}
    return tiff.replace_pixels(block or tiff.EMPTY, frames[:1], blobs)


def _write_modern(kind: str):
    def write(photo: Photo, frames: list, block: bytes, packet: bytes, quality: int | None) -> bytes:
        if frames[0].dtype == np.uint16:
            return _encode_avif(photo, frames[0], block, packet, quality)
        options = {"quality": quality or 95, "icc_profile": photo.metadata.icc, "exif": block, "xmp": packet}
        alone = kind == "AVIF" and len(frames) == 1
        if alone:  # Pillow would write EXIF anew, which makes maker notes unreadable
            options.pop("exif")
        options = {name: value for name, value in options.items() if value}
        if kind == "WEBP":
            options |= {"lossless": photo.lossless and not quality, "exact": True}
        content = _by_pillow(photo, frames, kind, **options)
        return add_metadata(content, block) if alone and block else content

    return write


def _encode_avif(photo: Photo, frame: np.ndarray, block: bytes, packet: bytes, quality: int | None) -> bytes:
    """Encode AVIF of 10 or 12 bits with the code points of sRGB, over which an ICC profile has precedence."""
    bits = 12 if photo.bits == 12 else 10
    values = color.as_depth(color.as_float(frame), np.uint16, (1 << bits) - 1)
    options = {"level": quality or 95, "speed": 6, "bitspersample": bits, "primaries": 1, "transfer": 13}
    content = bytes(require("imagecodecs", "formats").avif_encode(np.ascontiguousarray(values), **options))
    return add_metadata(content, block, packet, photo.metadata.icc)


def _write_jpeg2000(photo: Photo, frames: list, block: bytes, packet: bytes, quality: int | None) -> bytes:
    if frames[0].dtype == np.uint16 and frames[0].ndim == 3:
        content = bytes(
            require("imagecodecs", "formats").jpeg2k_encode(np.ascontiguousarray(frames[0]), codecformat="jp2", level=0)
        )
    else:
        content = _by_pillow(photo, frames, "JPEG2000", no_jp2=False)
    boxes = [(metadata.JP2_EXIF, block), (metadata.JP2_XMP, packet)]
    extra = b"".join(metadata.box(b"uuid", name + value) for name, value in boxes if value)
    parts = []
    for name, low, high in metadata.read_boxes(content):
        inner = content[low:high]
        if name == b"jp2h" and photo.metadata.icc:
            own = [(kind, inner[a:b]) for kind, a, b in metadata.read_boxes(inner)]
            profile = b"\2\0\0" + photo.metadata.icc
            inner = b"".join(metadata.box(kind, profile if kind == b"colr" else old) for kind, old in own)
        parts.append((extra if name == b"jp2c" else b"") + metadata.box(name, inner))
    return b"".join(parts)


def _write_ppm(photo: Photo, frames: list, block: bytes, packet: bytes, quality: int | None) -> bytes:
    frame = frames[0]
    if frame.dtype == np.uint16 and frame.ndim == 3:
        return b"P6\n%d %d\n65535\n" % frame.shape[1::-1] + frame.astype(">u2").tobytes()
    return _by_pillow(photo, frames, "PPM")


def _write_gif(photo: Photo, frames: list, block: bytes, packet: bytes, quality: int | None) -> bytes:
    content = _by_pillow(
        photo, frames, "GIF", **({"comment": photo.metadata.comment} if photo.metadata.comment else {})
    )
    if not packet:
        return content
    return content[:-1] + metadata.GIF_XMP + packet + metadata.GIF_XMP_END + b"\x3b"


def _write_bmp(photo: Photo, frames: list, block: bytes, packet: bytes, quality: int | None) -> bytes:
    return _by_pillow(photo, frames, "BMP", **({"dpi": photo.metadata.dpi} if photo.metadata.dpi else {}))


WRITERS = {
    "JPEG": _write_jpeg, "PNG": _write_png, "TIFF": _write_tiff, "WEBP": _write_modern("WEBP"), "BMP": _write_bmp,
    "AVIF": _write_modern("AVIF"), "GIF": _write_gif, "JPEG2000": _write_jpeg2000, "PPM": _write_ppm,
}  # fmt: skip
