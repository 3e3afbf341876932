"""Parts of JPEG files: segments before the picture, data after it, quantisation tables."""

import hashlib
import io
import struct
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

EXIF, XMP, EXTENDED_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
ICC, IPTC, MPF = b"ICC_PROFILE\0", b"Photoshop 3.0\0", b"MPF\0"
GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
COMMENT, APP0, APP1, APP2, APP11, APP13, APP14 = 0xFE, 0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xEE
SCAN = 0xDA
LARGEST = 65533  # largest content of a segment, bytes
FEW = 0.01  # fraction of the pixels that may be missing at the end of a truncated file

Segments = list[tuple[int, bytes]]


def _headers(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, offset and end of each segment up to the first scan; other bytes are skipped, as decoders do."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker in (0, 1, 0xFF) or 0xD0 <= marker <= 0xD9:  # without content, or no marker
            place += 1 if marker == 0xFF else 2
            continue
        end = place + 2 + max(2, struct.unpack_from(">H", data, place + 2)[0])
        yield marker, place, end
        if marker == SCAN:
            return
        place = end


def read_segments(data: bytes) -> tuple[Segments, int]:
    """Return the application and comment segments (marker, content) before the first scan, and the scan's offset."""
    found = []
    for marker, place, end in _headers(data):
        if marker == SCAN:
            return found, place
        if 0xE0 <= marker <= 0xEF or marker == COMMENT:
            found.append((marker, data[place + 4 : end]))
    return found, len(data)


def write_segments(data: bytes, segments: Iterable[tuple[int, bytes]]) -> bytes:
    """Replace the application and comment segments of an encoded JPEG; Adobe's APP14 stays, since decoders need it."""
    kept, scan = b"", len(data)
    for marker, place, end in _headers(data):
        if marker == SCAN:
            scan = place
        elif marker == APP14 or not (0xE0 <= marker <= 0xEF or marker == COMMENT):
            kept += data[place:end]
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in segments)
    return data[:2] + head + kept + data[scan:]


def find_end(data: bytes) -> int:
    """Return the offset after the end marker of the first picture; -1 if there is none."""
    _, place = read_segments(data)
    while (place := data.find(b"\xff", place)) >= 0 and place + 1 < len(data):
        marker = data[place + 1]
        if marker == 0xD9:
            return place + 2
        if marker == 0 or 0xD0 <= marker <= 0xD7 or marker == 0xFF:
            place += 1 if marker == 0xFF else 2
        elif place + 4 <= len(data):  # another segment, between the scans of a progressive JPEG
            place += 2 + max(2, struct.unpack_from(">H", data, place + 2)[0])
        else:
            break
    return -1


def complete(data: bytes) -> bytes:
    """Append the missing end marker to a JPEG.

    Decoding with different data in place of the missing end shows how many pixels are lost.

    Raises:
        ValueError: more is missing: a scan, or more than the fraction `FEW` of the pixels.
    """
    if not has_all_scans(data):
        raise ValueError("it is damaged (it is a progressive JPEG that lacks its last scans)")
    try:
        pictures = []
        for filler in (b"", b"\x55\xb3\x2d" * 4096):
            with Image.open(io.BytesIO(data.rstrip(b"\xff") + filler + b"\xff\xd9"), formats=("JPEG",)) as picture:
                picture.draft("RGB", (picture.width // 2, picture.height // 2))
                pictures.append(np.asarray(picture.convert("RGB"), dtype=np.int16))
        missing = (np.abs(pictures[0] - pictures[1]).max(-1) > 8).mean()
    except OSError as error:
        raise ValueError("it is damaged (it ends before its picture does)") from error
    if missing > FEW:
        raise ValueError(f"it is damaged (the last {missing:.0%} of its picture is missing)")
    return data.rstrip(b"\xff") + b"\xff\xd9"


def check_frame(data: bytes) -> None:
    """Reject JPEG files that are not 8-bit, and those of rare processes.

    Raises:
        ValueError: names the format.
    """
    for marker, place, end in _headers(data):
        if marker == 0xF7:
            raise ValueError("JPEG-LS is not supported")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and end > place + 4:
            bits = data[place + 4 : place + 5]
            if marker not in (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA):
                name = "lossless arithmetic" if marker == 0xCB else "hierarchical"
                raise ValueError(f"{name} JPEG is not supported")
            if bits and bits[0] != 8:
                raise ValueError(f"{bits[0]}-bit JPEG is not supported")
            return


def has_all_scans(data: bytes) -> bool:
    """Return whether the scans of a JPEG contain every bit of every coefficient of each component (T.81, annex G)."""
    place, count, known = 2, 0, {}
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker == 0 or marker == 0xFF or 0xD0 <= marker <= 0xD9:
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        content = data[place + 4 : place + 2 + length]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(content) > 5:
            if marker not in (0xC2, 0xC6, 0xCA, 0xCE):
                return True  # not progressive
            count = content[5]
        elif marker == 0xDA and content and len(content) >= 4 + 2 * content[0]:
            first, last, bits = content[1 + 2 * content[0] :][:3]
            for n in range(content[0]):
                for k in range(first, min(last, 63) + 1):
                    known[content[1 + 2 * n], k] = bits & 15
        place += 2 + max(2, length)
    return sum(bit == 0 for bit in known.values()) >= 64 * count


def describe_tail(data: bytes, segments: Segments) -> list[str]:
    """Return notes on data after the picture, or referenced in its segments, that the repaired copy lacks."""
    end = find_end(data)
    tail = data[end:] if end > 0 else b""
    texts = b"".join(content for marker, content in segments if marker in (APP1, APP2))
    notes = []
    if b"hdrgm" in texts or b"hdrgainmap" in texts + tail or b"HDRGainMap" in texts + tail or GAIN_MAP in texts:
        notes.append("The gain map (HDR) is not in the copy.")
    if b"ftyp" in tail[:65536] or b"MicroVideo=" in texts or b"MotionPhoto=" in texts or b"MotionPhoto_Data" in tail:
        notes.append("The video of the motion photo is not in the copy.")
    elif not notes and any(marker == APP2 and content.startswith(MPF) for marker, content in segments):
        notes.append("The second picture in the file (another view or a preview) is not in the copy.")
    if not notes and tail.strip(b"\0\xff"):
        notes.append(f"{len(tail)} bytes after the end of the picture are not in the copy.")
    if any(marker == APP11 for marker, _ in segments):
        notes.append(
            "Content credentials (C2PA) or other JUMBF data are not in the copy, since they sign the original."
        )
    return notes


def pack_xmp(packet: bytes) -> Segments:
    """Split an XMP packet into segments; one that does not fit becomes "extended XMP" (XMP specification, part 3)."""
    if len(XMP + packet) <= LARGEST:
        return [(APP1, XMP + packet)]
    digest, step = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode(), LARGEST - 75
    head = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="'
    )
    parts = [
        EXTENDED_XMP + digest + struct.pack(">II", len(packet), n) + packet[n : n + step]
        for n in range(0, len(packet), step)
    ]
    return [(APP1, XMP + head + digest + b'"/></rdf:RDF></x:xmpmeta>'), *((APP1, part) for part in parts)]


def read_density(segments: Segments) -> tuple[float, float] | None:
    """Return the horizontal and vertical density in the JFIF segment, pixels per inch; None if there is none."""
    for marker, content in segments:
        if marker == APP0 and content.startswith(b"JFIF\0") and len(content) >= 12:
            unit, x, y = struct.unpack_from(">BHH", content, 7)
            scale = {1: 1.0, 2: 2.54}.get(unit, 0)
            return (x * scale, y * scale) if x * y * scale else None
    return None


def encode(picture: Image.Image, tables: dict | None, quality: int | None, dpi=None) -> bytes:
    """Encode a picture as JPEG without chroma subsampling.

    Args:
        picture: to encode.
        tables: quantisation tables of the original; of each step the finer one of these and of quality 95 is used.
        quality: 1 to 100; None means 95, or `tables`.
        dpi: pixels per inch, horizontal and vertical.
    """
    encoded = io.BytesIO()
    options = {"quality": quality or 95, "subsampling": 0}
    if tables and not quality:
        probe = io.BytesIO()
        picture.resize((8, 8)).save(probe, "JPEG", quality=95)
        with Image.open(probe) as default:
            options = {"qtables": _finer(list(tables.values()), list(default.quantization.values())), "subsampling": 0}
    picture.save(encoded, "JPEG", **options, **({"dpi": dpi} if dpi else {}))
    return encoded.getvalue()


def _finer(own: list, default: list) -> list[list[int]]:
    """Smallest quantisation steps of two sets of tables: luma first, then chroma, for which a set may have several."""
    chroma = own[1:] or own
    return [list(map(min, table, *(chroma if n else own[:1]))) for n, table in enumerate(default)]
