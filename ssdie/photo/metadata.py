"""Metadata of photo files: blocks that every format can hold, and parts of the containers PNG, JPEG 2000, AVIF, GIF."""

import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
# PNG chunks that decoders need, and further ones that describe the pixels of the original
NEEDED_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT")
PIXEL_CHUNKS = (*NEEDED_CHUNKS, b"hIST", b"sPLT", b"bKGD", b"sBIT")
CHUNK_SIZES = {b"pHYs": 9, b"cHRM": 32, b"gAMA": 4, b"sRGB": 1, b"tIME": 7, b"cICP": 4}
TRANSPARENCY_SIZES = {0: (2,), 2: (6,), 3: range(1, 257)}  # of the chunk tRNS for each colour type
COLOR_CHUNKS = (b"iCCP", b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI")
LONGEST = 1 << 24  # largest size of a compressed text or profile after unpacking, bytes
JP2_EXIF = b"JpgTiffExif->JP2"
JP2_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
GIF_XMP = b"\x21\xff\x0bXMP DataXMP"
GIF_XMP_END = b"\1" + bytes(range(255, -1, -1)) + b"\0"  # readers that skip blocks inside the packet end here
THUMBNAILS = (1033, 1036)  # image resources of Photoshop
UUIDS = {JP2_EXIF: "exif", JP2_XMP: "xmp"}


@dataclass
class Metadata:
    """Metadata of a photo, as bytes."""

    exif: bytes = b""  # EXIF block, from its byte order mark on
    xmp: bytes = b""  # XMP packet
    icc: bytes = b""  # ICC profile
    comment: bytes = b""
    dpi: tuple[float, float] | None = None  # horizontal and vertical pixels per inch
    segments: list[tuple[int, bytes]] = field(default_factory=list)  # JPEG: marker and content
    chunks: list[tuple[bytes, bytes, bool]] = field(default_factory=list)  # PNG: type, content, whether before pixels
    tiff: bytes = b""  # TIFF: the whole file, in which the pixels are replaced
    mode: int | None = None  # permissions of the file
    times: tuple[int, int] | None = None  # access and modification, ns


def patch_xmp(xmp: bytes, turned: tuple[int, int] | None = None) -> bytes:
    """Set the orientation of an XMP packet to upright, and remove properties of gain maps and motion photos.

    Args:
        xmp: the packet.
        turned: new width and height of a photo whose sides were exchanged to turn it upright, pixels; else None.

    Example:
        >>> patch_xmp(b'<a tiff:Orientation="6" GCamera:MicroVideo="1" xmp:Rating="5"/>')
        b'<a tiff:Orientation="1" xmp:Rating="5"/>'
    """
    values = {b"tiff:Orientation": 1}
    if turned:
        values |= dict.fromkeys((b"tiff:ImageWidth", b"exif:PixelXDimension"), turned[0])
        values |= dict.fromkeys((b"tiff:ImageLength", b"exif:PixelYDimension"), turned[1])
    for name, value in values.items():
        xmp = re.sub(rb"(" + name + rb'(?:\s*=\s*["\']|>))\d+', rb"\g<1>%d" % value, xmp)
    parts = rb"(?:G?Camera:(?:MicroVideo|MotionPhoto)\w*|hdrgm:\w+)"
    xmp = re.sub(rb"\s" + parts + rb'\s*=\s*(?:"[^"]*"|\'[^\']*\')', b"", xmp)
    xmp = re.sub(rb"<(" + parts + rb")>[^<]*</\1>\s*", b"", xmp)
    return re.sub(rb"<(\w*Container:Directory)\b.*?</\1>\s*", b"", xmp, flags=re.DOTALL)


def xmp_orientation(xmp: bytes) -> int:
    """Return the orientation in an XMP packet, 1 to 8; 0 if there is none."""
    found = re.search(rb'tiff:Orientation(?:\s*=\s*["\']|>)([1-8])\b', xmp)
    return int(found[1]) if found else 0


def is_panorama(xmp: bytes) -> bool:
    """Return whether XMP (GPano) describes a 360-degree panorama, whose left and right sides meet."""
    if b"GPano:ProjectionType" not in xmp or b"equirectangular" not in xmp:
        return False

    def number(name: bytes) -> int:
        found = re.search(rb"GPano:" + name + rb'(?:\s*=\s*["\']|>)(\d+)', xmp)
        return int(found[1]) if found else 0

    full = number(b"FullPanoWidthPixels")
    return not full or number(b"CroppedAreaImageWidthPixels") in (0, full)


Chunks = list[tuple[bytes, bytes, bool]]


def read_chunks(data: bytes) -> tuple[Chunks, set[bytes], int]:
    """Read the chunks of a PNG that hold metadata.

    Returns:
        Type and content of each, and whether it comes before the pixels; types of damaged chunks; offset of the end of
        the last chunk.
    """
    found: Chunks = []
    damaged, place, before, name = set(), len(PNG_SIGNATURE), True, b""
    clear = TRANSPARENCY_SIZES.get(data[25] if len(data) > 25 else -1, ())
    while place + 12 <= len(data) and name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + length]
        if name == b"IDAT":
            before = False
        if name not in PIXEL_CHUNKS or name == b"tRNS":
            checksum = data[place + 8 + length : place + 12 + length]
            sound = length in clear if name == b"tRNS" else _is_sound(name, content)
            if not sound or checksum != struct.pack(">I", zlib.crc32(name + content)):
                damaged.add(name)
            elif name != b"tRNS":
                found.append((name, content, before))
        place += 12 + length
    return found, damaged, place if name == b"IEND" else len(data)


def _is_sound(name: bytes, content: bytes) -> bool:
    """Return whether a chunk has a valid length and does not unpack to more than `LONGEST`; decoders reject others."""
    if name in CHUNK_SIZES:
        return len(content) == CHUNK_SIZES[name]
    if name in (b"zTXt", b"iTXt"):
        decoder, packed = zlib.decompressobj(), content[content.find(b"\0") + 2 :]
        if name == b"iTXt":  # after its method: language and translated keyword
            packed = packed[1:].split(b"\0", 2)[-1] if content[content.find(b"\0") + 1 :][:1] == b"\1" else b""
        try:
            decoder.decompress(packed, LONGEST)
        except zlib.error:
            return False
        return not decoder.unconsumed_tail
    return True


def write_chunks(data: bytes, chunks: Chunks, without: Iterable[bytes] = ()) -> bytes:
    """Replace the metadata chunks of an encoded PNG; chunks that a decoder needs stay, except those `without`."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if name == b"IEND":
            parts += [_chunk(*chunk[:2]) for chunk in chunks if not chunk[2]]
        if name in NEEDED_CHUNKS and name not in without:
            parts.append(data[place:end])
        if name == b"IHDR":
            parts += [_chunk(*chunk[:2]) for chunk in chunks if chunk[2]]
        place = end
    return b"".join([*parts, data[place:]])


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def chunks_of(metadata: Metadata) -> list[tuple[bytes, bytes, bool]]:
    """Convert metadata of another format to PNG chunks."""
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
    """Return the text of an iTXt chunk, decompressed if necessary; empty if it is damaged."""
    try:
        _, rest = chunk.split(b"\0", 1)
        text = rest[2:].split(b"\0", 2)[2]
        return unpack(text) if rest[0] else text
    except (ValueError, IndexError):
        return b""


def unpack(packed: bytes) -> bytes:
    """Decompress the content of a chunk, at most 16 MiB; empty if it is damaged or longer."""
    decoder = zlib.decompressobj()
    try:
        content = decoder.decompress(packed, LONGEST)
    except zlib.error:
        return b""
    return content if decoder.eof else b""


def read_boxes(data: bytes, place: int = 0, end: int | None = None) -> list[tuple[bytes, int, int]]:
    """List the boxes of JPEG 2000, HEIF, AVIF or JPEG XL: type, and start and end of the content.

    Args:
        data: the file.
        place: offset of the first box.
        end: offset of the end; None means the end of the file.
    """
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
    """Build a box."""
    return struct.pack(">I4s", len(content) + 8, name) + content


def read_nclx(data: bytes) -> tuple[int, int] | None:
    """Return the code points (primaries, transfer function) in the nclx `colr` box of an AVIF; None without one."""
    for name, start, end in read_boxes(data):
        if name != b"meta":
            continue
        for inner, low, high in read_boxes(data, start + 4, end):
            if inner == b"iprp":
                found = data.find(b"colrnclx", low, high)
                if found >= 0:
                    return struct.unpack_from(">HH", data, found + 8)
    return None


def av1_bits(data: bytes) -> int:
    """Return the bit depth of an AVIF, 8, 10 or 12, from the configuration of its first AV1 picture."""
    place = data.find(b"av1C", 0, 1 << 16)
    flags = data[place + 6] if 0 <= place < len(data) - 6 else 0
    return 12 if flags & 0x60 == 0x60 else 10 if flags & 0x40 else 8


def read_gif_xmp(data: bytes) -> bytes:
    """Return the XMP packet of a GIF, an application extension that ends with `GIF_XMP_END`."""
    start = data.find(GIF_XMP)
    end = data.find(GIF_XMP_END[:8], start) if start >= 0 else -1
    return data[start + len(GIF_XMP) : end] if end > 0 else b""


def drop_thumbnails(resources: bytes) -> bytes:
    """Remove the thumbnails from Photoshop's image resources, since they show the photo before the enhancement.

    Args:
        resources: blocks of "8BIM"; returned unchanged if they are damaged or continue elsewhere.
    """
    kept, place = b"", 0
    while place < len(resources):
        head = resources[place : place + 7]
        name = place + 6 + (head[6] // 2 + 1) * 2 if len(head) == 7 else len(resources)  # end of the padded name
        if not head.startswith(b"8BIM") or name + 4 > len(resources):
            return resources
        (size,) = struct.unpack_from(">I", resources, name)
        end = name + 4 + size + size % 2
        if name + 4 + size > len(resources):
            return resources
        kept += b"" if struct.unpack_from(">H", head, 4)[0] in THUMBNAILS else resources[place:end]
        place = end
    return kept
