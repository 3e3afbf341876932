"""What a photo file holds beside its pixels: blocks that every format can carry, and the parts of each container."""

import re
import struct
import zlib
from dataclasses import dataclass, field

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
# chunks that belong to the pixels of the original, or to its frames
PIXEL_CHUNKS = (
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"hIST",
    b"sPLT",
    b"bKGD",
    b"sBIT",
    b"acTL",
    b"fcTL",
    b"fdAT",
)
COLOR_CHUNKS = (b"iCCP", b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI")
JP2_EXIF = b"JpgTiffExif->JP2"
JP2_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
UUIDS = {JP2_EXIF: "exif", JP2_XMP: "xmp"}


@dataclass
class Metadata:
    """Metadata of a photo, as bytes."""

    exif: bytes = b""  # from the byte order mark on
    xmp: bytes = b""  # a packet
    icc: bytes = b""  # a profile
    comment: bytes = b""
    dpi: tuple[float, float] | None = None
    segments: list[tuple[int, bytes]] = field(default_factory=list)  # of JPEG: marker and content
    chunks: list[tuple[bytes, bytes, bool]] = field(default_factory=list)  # of PNG: type, content, before the pixels
    tiff: bytes = b""  # of TIFF: the whole file, in which the pixels are replaced
    mode: int | None = None  # permissions of the file
    times: tuple[int, int] | None = None  # access and modification, ns


def patch_xmp(xmp: bytes) -> bytes:
    """Set the orientation of an XMP packet to upright, and remove the properties of parts that are not in the copy.

    Example:
        >>> patch_xmp(b'<a tiff:Orientation="6" GCamera:MicroVideo="1" xmp:Rating="5"/>')
        b'<a tiff:Orientation="1" xmp:Rating="5"/>'
    """
    xmp = re.sub(rb'(tiff:Orientation(?:\s*=\s*["\']|>))\d+', rb"\g<1>1", xmp)
    parts = rb"(?:G?Camera:(?:MicroVideo|MotionPhoto)\w*|hdrgm:\w+)"
    xmp = re.sub(rb"\s" + parts + rb'\s*=\s*(?:"[^"]*"|\'[^\']*\')', b"", xmp)
    xmp = re.sub(rb"<(" + parts + rb")>[^<]*</\1>\s*", b"", xmp)
    return re.sub(rb"<(\w*Container:Directory)\b.*?</\1>\s*", b"", xmp, flags=re.DOTALL)


def xmp_orientation(xmp: bytes) -> int:
    """Orientation that an XMP packet names, 1 to 8; 0 without one."""
    found = re.search(rb'tiff:Orientation(?:\s*=\s*["\']|>)([1-8])\b', xmp)
    return int(found[1]) if found else 0


def is_panorama(xmp: bytes) -> bool:
    """Whether XMP (GPano) names a panorama of the full circle, whose left and right sides meet."""
    if b"GPano:ProjectionType" not in xmp or b"equirectangular" not in xmp:
        return False

    def number(name: bytes) -> int:
        found = re.search(rb"GPano:" + name + rb'(?:\s*=\s*["\']|>)(\d+)', xmp)
        return int(found[1]) if found else 0

    full = number(b"FullPanoWidthPixels")
    return not full or number(b"CroppedAreaImageWidthPixels") in (0, full)


def read_chunks(data: bytes) -> list[tuple[bytes, bytes, bool]]:
    """List the chunks of a PNG that are not about its pixels: type, content, whether it stands before them."""
    found, place, before = [], len(PNG_SIGNATURE), True
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + length]
        if name == b"IDAT":
            before = False
        if name not in PIXEL_CHUNKS and len(content) == length:
            (checksum,) = struct.unpack_from(">I", data.ljust(place + 12 + length, b"\0"), place + 8 + length)
            if checksum == zlib.crc32(name + content):
                found.append((name, content, before))
        place += 12 + length
    return found


def write_chunks(data: bytes, chunks: list[tuple[bytes, bytes, bool]]) -> bytes:
    """Put chunks into an encoded PNG, in place of those of colour and text that it has."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if name == b"IEND":
            parts += [_chunk(*chunk[:2]) for chunk in chunks if not chunk[2]]
        if name in PIXEL_CHUNKS:
            parts.append(data[place:end])
        if name == b"IHDR":
            parts += [_chunk(*chunk[:2]) for chunk in chunks if chunk[2]]
        place = end
    return b"".join(parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def chunks_of(metadata: Metadata) -> list[tuple[bytes, bytes, bool]]:
    """Express metadata of another format as chunks of PNG."""
    found = []
    if metadata.icc:
        found.append((b"iCCP", b"icc\0\0" + zlib.compress(metadata.icc), True))
    if metadata.dpi:
        found.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in metadata.dpi), 1), True))
    if metadata.exif:
        found.append((b"eXIf", metadata.exif, True))
    if metadata.xmp:
        found.append((b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp, True))
    if metadata.comment:
        found.append((b"tEXt", b"Comment\0" + metadata.comment, True))
    return found


def text_of(chunk: bytes) -> bytes:
    """Text of a chunk iTXt, unpacked if it is compressed; empty if it is damaged."""
    try:
        _, rest = chunk.split(b"\0", 1)
        text = rest[2:].split(b"\0", 2)[2]
        return zlib.decompressobj().decompress(text, 1 << 24) if rest[0] else text
    except (ValueError, IndexError, zlib.error):
        return b""


def read_boxes(data: bytes, place: int = 0, end: int | None = None) -> list[tuple[bytes, int, int]]:
    """List the boxes of JPEG 2000, HEIF, AVIF or JPEG XL: type, start and end of the content."""
    found, end = [], len(data) if end is None else end
    while place + 8 <= end:
        length, name = struct.unpack_from(">I4s", data, place)
        head = 8
        if length == 1 and place + 16 <= end:
            (length,), head = struct.unpack_from(">Q", data, place + 8), 16
        length = length or end - place
        if length < head or place + length > end:
            break
        found.append((name, place + head, place + length))
        place += length
    return found


def box(name: bytes, content: bytes) -> bytes:
    """Make one box."""
    return struct.pack(">I4s", len(content) + 8, name) + content


def read_nclx(data: bytes) -> tuple[int, int] | None:
    """Give the code points (primaries, transfer) that an AVIF names in a box colr of type nclx."""
    for name, start, end in read_boxes(data):
        if name != b"meta":
            continue
        for inner, low, high in read_boxes(data, start + 4, end):
            if inner == b"iprp":
                found = data.find(b"colrnclx", low, high)
                if found >= 0:
                    return struct.unpack_from(">HH", data, found + 8)
    return None
