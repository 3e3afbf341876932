"""EXIF blocks, patched in place: no other byte moves, so that the offsets inside maker notes stay valid."""

import struct
from collections.abc import Callable
from contextlib import suppress

from ssdie.photo.tags import Directory, TagBlock

ORIENTATION, EXIF_IFD, INTEROPERABILITY, COLOR_SPACE = 0x0112, 0x8769, 0xA005, 0xA001
THUMBNAIL, THUMBNAIL_LENGTH = 0x0201, 0x0202
GPS_IFD, MAKER_NOTE = 0x8825, 0x927C
# document, description, make, model, resolution, software, time, artist, copyright, rating, the XP tags of Windows
DESCRIPTIVE = {
    269, 270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095
}  # fmt: skip
WIDTHS, HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)


def is_readable(exif: bytes) -> bool:
    """Return whether the header and the first directory of an EXIF block can be read."""
    try:
        block = TagBlock(exif)
        block.directory(block.first)
        return True
    except ValueError:
        return False


def read_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8; 0 if there is none, 1 if the value is invalid.

    Example:
        >>> read_orientation(b"no EXIF")
        0
    """
    try:
        block = TagBlock(exif)
        first = block.directory(block.first)
    except ValueError:
        return 0
    if ORIENTATION not in first.entries:
        return 0
    value = block.number(first, ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def is_adobe_rgb(exif: bytes) -> bool:
    """Return whether EXIF names Adobe RGB: colour space 2, or 0xFFFF with interoperability index R03 (DCF 2.0)."""
    try:
        block = TagBlock(exif)
        first = block.directory(block.first)
        details = block.directory(block.number(first, EXIF_IFD))
        space = block.number(details, COLOR_SPACE)
        if space == 2:
            return True
        index = block.number(details, INTEROPERABILITY)
        return space == 0xFFFF and block.raw(block.directory(index), 1).startswith(b"R03")
    except ValueError:
        return False


def patch_exif(exif: bytes, size: tuple[int, int], thumbnail: Callable[[int, bytes], bytes] | None = None) -> bytes:
    """Set orientation and sizes to those of an upright photo, and replace the thumbnail.

    Args:
        exif: the block, from its byte order mark on; returned unchanged if it cannot be read.
        size: width and height of the photo, pixels.
        thumbnail: function of the largest size in bytes and the old thumbnail, both of JPEG; returns the new one, or
            b"". If it is None, returns nothing or returns too much, the old thumbnail is erased, since it shows the
            photo before the enhancement.

    Returns:
        A block of the same length.
    """
    try:
        block = TagBlock(exif)
        first = block.directory(block.first)
    except ValueError:
        return exif
    block.set_numbers(first, ORIENTATION, 1)
    places = [first]
    if details := block.number(first, EXIF_IFD):
        with suppress(ValueError):  # the offset of the directory may be damaged; the other tags are still valid
            places.append(block.directory(details))
    for directory in places:
        for tags, value in ((WIDTHS, size[0]), (HEIGHTS, size[1])):
            for tag in tags:
                block.set_numbers(directory, tag, value)
    if first.next:
        _replace_thumbnail(block, first, thumbnail)
    return bytes(block.data)


def _replace_thumbnail(block: TagBlock, first, thumbnail: Callable[[int, bytes], bytes] | None) -> None:
    try:
        second = block.directory(first.next)
    except ValueError:
        second = None
    old = (block.number(second, THUMBNAIL), block.number(second, THUMBNAIL_LENGTH)) if second else (0, 0)
    start, length = old
    shown = bytes(block.data[start : start + length])
    inside = len(shown) == length and shown.startswith(b"\xff\xd8")  # otherwise the offset may be damaged
    new = thumbnail(length, shown) if thumbnail and inside else b""
    if new and len(new) <= length:
        block.data[start : start + length] = new.ljust(length, b"\0")
        block.set_numbers(second, THUMBNAIL_LENGTH, len(new))
        block.set_numbers(second, ORIENTATION, 1)
        return
    if inside:
        block.data[start : start + length] = bytes(length)
    block.pack(block.offset_code, first.next_place, 0)


def extract_exif(data: bytes, without: tuple[int, ...] = ()) -> bytes:
    """Make an EXIF block from the descriptive, EXIF and GPS tags of a TIFF file; empty if there are none.

    Args:
        data: a TIFF file, or a file of a RAW format that is based on TIFF.
        without: tags of the EXIF directory to leave out.

    Raises:
        ValueError: `data` is not a TIFF file.
    """
    block = TagBlock(data)
    first = block.directory(block.first)
    made = TagBlock(data[:2] + struct.pack(f"{block.order}HI", 42, 0))
    tags = _values(block, first, lambda tag: tag in DESCRIPTIVE)
    for pointer in (EXIF_IFD, GPS_IFD):
        try:
            details = block.directory(block.number(first, pointer))
        except ValueError:
            continue  # there is none, or it is damaged
        if not details.entries:
            continue
        inner = _values(block, details, lambda tag: tag != INTEROPERABILITY and tag not in without)
        tags[pointer] = (4, 1, struct.pack(f"{block.order}I", made.append_directory(inner)))
    if not tags:
        return b""
    made.pack("I", 4, made.append_directory(tags))
    return bytes(made.data)


def _values(block: TagBlock, directory: Directory, selected) -> dict[int, tuple[int, int, bytes]]:
    entries = directory.entries.values()
    return {e.tag: (e.type, e.count, block.raw(directory, e.tag)) for e in entries if selected(e.tag)}
