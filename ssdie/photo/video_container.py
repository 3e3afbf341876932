"""Checks of a video file's structure that FFmpeg does not make: files that are truncated or have a gap."""

import mmap
from pathlib import Path

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675  # elements of Matroska
LEVEL_1 = {0x114D9B74, 0x1549A966, 0x1654AE6B, CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC}
BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"sidx", b"styp", b"pnot"}  # of MP4 and MOV


def find_damage(path: str | Path) -> int | None:
    """Find the first byte at which the structure of a Matroska, MP4, MOV or AVI file is inconsistent.

    A decoder reports damaged frames, but a demultiplexer stops without an error at the end of a truncated file, and
    skips what it cannot parse. Durations and numbers of frames in the header are not considered.

    Args:
        path: a file of any format.

    Returns:
        Offset in bytes; the size of the file if it is truncated; None if the file is consistent or of another format.
    """
    if Path(path).stat().st_size < 16:
        return None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] == EBML.to_bytes(4):
            return _check_matroska(data)
        if data[:4] == b"RIFF":
            return _check_riff(data)
        if data[4:8] in BOXES:
            return _check_boxes(data)
    return None


def _check_boxes(data: mmap.mmap) -> int | None:
    """Follow the outermost boxes of MP4; bytes after them that are not a box are harmless."""
    place = 0
    while place + 16 <= len(data) and data[place + 4 : place + 8] in BOXES:
        size = int.from_bytes(data[place : place + 4])
        if size == 0:  # up to the end of the file
            return None
        size = int.from_bytes(data[place + 8 : place + 16]) if size == 1 else size
        if size < 8 or place + size > len(data):
            return len(data)
        place += size
    return None


def _check_riff(data: mmap.mmap) -> int | None:
    """Compare the size of each RIFF chunk with that of the file; recorders that lose power leave a size of 0."""
    place = 0
    while place + 8 <= len(data) and data[place : place + 4] == b"RIFF":
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        if size == 0:
            return None
        if place + 8 + size > len(data):
            return len(data)
        place += 8 + size + size % 2
    return None


def _check_matroska(data: mmap.mmap) -> int | None:
    """Follow the elements of the segment and of its clusters."""
    _, size, start = _read_element(data, 0)
    kind, size, start = _read_element(data, start + (size or 0))
    if kind != SEGMENT:
        return None
    cut = size is not None and start + size > len(data)
    limit, place = len(data) if cut or size is None else start + size, start
    cluster_end = None  # of the current cluster, where it has a size
    inside = False
    while place < limit:
        kind, size, start = _read_element(data, place)
        if kind is None:
            return place
        if kind in LEVEL_1 and not (inside and kind == 0xEC):
            inside = kind == CLUSTER
            if inside:
                cluster_end = None if size is None else start + size
                place = start
                continue
        elif not inside or (cluster_end is not None and place >= cluster_end):
            return place
        if size is None:
            return None  # elements of unknown size other than clusters cannot be skipped
        place = start + size
    return len(data) if cut or place > len(data) else None


def _read_element(data: mmap.mmap, place: int) -> tuple[int | None, int | None, int]:
    """Return an element's identifier (None if invalid), its size (None if unknown), and the offset of its content."""
    first = data[place] if place < len(data) else 0
    width = 9 - first.bit_length()
    if width > 4 or place + width >= len(data):
        return None, None, place
    kind, place = int.from_bytes(data[place : place + width]), place + width
    width = 9 - data[place].bit_length()
    if width > 8 or place + width > len(data):
        return None, None, place
    size = int.from_bytes(data[place : place + width]) & ((1 << 7 * width) - 1)
    return kind, None if size == (1 << 7 * width) - 1 else size, place + width
