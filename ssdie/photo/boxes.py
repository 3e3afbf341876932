"""Boxes of AVIF: add EXIF, XMP and a colour profile to a file that was encoded without them."""

import struct

from ssdie.photo.metadata import box, read_boxes

XMP_TYPE = b"application/rdf+xml\0"


def add_metadata(content: bytes, exif: bytes = b"", xmp: bytes = b"", icc: bytes = b"") -> bytes:
    """Add metadata to an AVIF with the structure that libavif writes: one `meta` box before one `mdat` box.

    Args:
        content: the file.
        exif: EXIF block, from its byte order mark on.
        xmp: XMP packet.
        icc: ICC profile.

    Returns:
        The new file.

    Raises:
        ValueError: the file has another structure.

    Source: ISO/IEC 14496-12, section 8.11; ISO/IEC 23008-12, annex A.
    """
    items = [(b"Exif", b"", bytes(4) + exif)] if exif else []
    items += [(b"mime", XMP_TYPE, xmp)] if xmp else []
    top = {name: (low, high) for name, low, high in read_boxes(content)}
    if b"meta" not in top:
        raise ValueError("expected an AVIF with a box `meta`, got one without")
    start, end = top[b"meta"]
    inner = {name: content[low:high] for name, low, high in read_boxes(content, start + 4, end)}
    if not {b"iloc", b"iinf", b"iprp", b"pitm"} <= set(inner) or inner[b"iloc"][:6] != b"\0\0\0\0\x44\0":
        raise ValueError("expected an AVIF as libavif writes it, got boxes of another version")
    (main,) = struct.unpack_from(">H", inner[b"pitm"], 4)
    (count,) = struct.unpack_from(">H", inner[b"iinf"], 4)
    inner[b"iinf"] = inner[b"iinf"][:4] + struct.pack(">H", count + len(items)) + inner[b"iinf"][6:]
    references = inner.get(b"iref", bytes(4))
    first = 1 + max(struct.unpack_from(">H", inner[b"iinf"], low + 4)[0] for _, low, _ in _entries(inner[b"iinf"]))
    for number, (name, kind, _) in enumerate(items, first):
        entry = b"\2\0\0\0" + struct.pack(">HH", number, 0) + name + b"\0" + kind
        inner[b"iinf"] += box(b"infe", entry)
        references += box(b"cdsc", struct.pack(">HHH", number, 1, main))
    if items:
        inner[b"iref"] = references
    if icc:
        inner[b"iprp"] = _add_profile(inner[b"iprp"], icc, main)
    locations = inner.pop(b"iloc")
    size = sum(len(value) + 8 for value in inner.values()) + len(locations) + 8 + 14 * len(items)
    moved = start + 4 + size - end
    inner[b"iloc"] = _moved(locations, moved, len(content) + moved + 8, [payload for *_, payload in items], first)
    meta = content[start : start + 4] + b"".join(box(name, value) for name, value in inner.items())
    payload = b"".join(value for *_, value in items)
    tail = box(b"mdat", payload) if payload else b""
    return content[: start - 8] + box(b"meta", meta) + content[end:] + tail


def _entries(iinf: bytes) -> list[tuple[bytes, int, int]]:
    return read_boxes(iinf, 6)


def _moved(iloc: bytes, moved: int, free: int, payloads: list[bytes], first: int) -> bytes:
    """Update the box `iloc`: offsets of the old items grow by `moved` bytes, new items are placed from `free` on."""
    (count,) = struct.unpack_from(">H", iloc, 6)
    result, place = iloc[:6] + struct.pack(">H", count + len(payloads)), 8
    for _ in range(count):
        extents = struct.unpack_from(">H", iloc, place + 4)[0]
        result += iloc[place : place + 6]
        place += 6
        for _ in range(extents):
            offset, length = struct.unpack_from(">II", iloc, place)
            result += struct.pack(">II", offset + moved, length)
            place += 8
    for number, payload in enumerate(payloads, first):
        result += struct.pack(">HHHII", number, 0, 1, free, len(payload))
        free += len(payload)
    return result


def _add_profile(iprp: bytes, icc: bytes, main: int) -> bytes:
    """Add a property `colr` with an ICC profile, and associate it with the main item."""
    boxes = {name: iprp[low:high] for name, low, high in read_boxes(iprp)}
    boxes[b"ipco"] += box(b"colr", b"prof" + icc)
    index = len(read_boxes(boxes[b"ipco"]))
    old = boxes[b"ipma"]
    if old[:4] != bytes(4) or index > 127:
        raise ValueError("expected an AVIF as libavif writes it, got properties of another version")
    result, place = old[:8], 8
    for _ in range(struct.unpack_from(">I", old, 4)[0]):
        item, count = struct.unpack_from(">HB", old, place)
        linked = old[place + 3 : place + 3 + count]
        place += 3 + count
        linked += bytes((index,)) if item == main else b""
        result += struct.pack(">HB", item, len(linked)) + linked
    return b"".join(box(name, value) for name, value in (boxes | {b"ipma": result}).items())
