"""TIFF files: how a page is stored, and writing new pixels into an existing file.

A repaired TIFF is the original file with new pixels. All other tags, known or not, stay at their offsets, so that maker
notes, georeferences and offsets inside them remain valid.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from PIL import Image

from ssdie.photo.tags import Directory, TagBlock
from ssdie.utils.dependencies import require

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, ORIENTATION = 256, 257, 258, 259, 262, 273, 274
SAMPLES, ROWS, COUNTS, PLANAR, PREDICTOR, COLORS, TILE_WIDTH, TILE_HEIGHT = 277, 278, 279, 284, 317, 320, 322, 323
TILE_OFFSETS, TILE_COUNTS, SUBDIRECTORIES, EXTRA, FORMAT, TABLES = 324, 325, 330, 338, 339, 347
ICC, XMP, SUBFILE, EXIF_IFD, EXIF_SIZES = 34675, 700, 254, 0x8769, (0xA002, 0xA003)
EMPTY = b"II*\0\x08\0\0\0" + bytes(6)  # a file without tags
YCBCR = (529, 530, 531, 532)
NAMES = {
    1: "raw", 2: "CCITT", 3: "CCITT G3", 4: "CCITT G4", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate",
    32773: "PackBits", 32946: "Deflate", 34712: "JPEG 2000", 34887: "LERC", 50000: "Zstandard", 50001: "WebP",
    34925: "LZMA", 34933: "PNG", 34934: "JPEG XR", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
LOSSLESS = (1, 5, 8, 32773, 32946, 50000)  # compressions that a copy keeps, as it keeps JPEG; others become Deflate
PILLOW = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)  # compressions that Pillow reads everywhere
PHOTOMETRICS = {0: "grey", 1: "grey", 2: "colour", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}


def is_preview(block: TagBlock, directory: Directory) -> bool:
    """Return whether a page is a reduced version of another one (bit 0 of NewSubfileType) or a mask (bit 2)."""
    return bool(block.number(directory, SUBFILE) & 5) or block.number(directory, 255) == 2


def has_pixels(directory: Directory) -> bool:
    """Return whether a directory describes a picture."""
    return WIDTH in directory.entries and (OFFSETS in directory.entries or TILE_OFFSETS in directory.entries)


def describe_kind(block: TagBlock, directory: Directory) -> str:
    """Describe the pixels of a page, such as "uint16 colour TIFF"."""
    bits, form = block.number(directory, BITS, 1), block.number(directory, FORMAT, 1)
    number = {1: "uint", 2: "int", 3: "float"}.get(form, "unknown")
    color = PHOTOMETRICS.get(block.number(directory, PHOTOMETRIC), "other")
    compression = block.number(directory, COMPRESSION, 1)
    packed = f" with {NAMES.get(compression, f'compression {compression}')}" if compression not in PILLOW else ""
    return f"{number}{bits} {color} TIFF{packed}"


def reader_of(block: TagBlock, directory: Directory) -> str:
    """Return the library that can read a page: "pillow" or "tifffile".

    Raises:
        ValueError: the kind of page is not supported.
    """
    bits, form = block.number(directory, BITS, 1), block.number(directory, FORMAT, 1)
    samples, color = block.number(directory, SAMPLES, 1), block.number(directory, PHOTOMETRIC)
    compression, kind = block.number(directory, COMPRESSION, 1), describe_kind(block, directory)
    gray = samples == 1 and color in (0, 1)
    if compression not in NAMES or compression == 6 or color not in PHOTOMETRICS:
        raise ValueError(f"{kind} is not supported")
    planar = block.number(directory, PLANAR, 1) != 1 and color in (0, 1, 2)
    if form == 1 and bits in (1, 2, 4, 8) and samples <= 4 and compression in PILLOW and not planar:
        return "pillow"
    if gray and compression in PILLOW and (form, bits) in ((1, 16), (1, 32), (2, 32), (3, 32)):
        return "pillow"
    if (form, bits) not in ((1, 8), (1, 16), (3, 16), (3, 32)) or color not in (0, 1, 2, 6):
        raise ValueError(f"{kind} is not supported")
    return "tifffile"


def read_page(data: bytes, index: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a page with tifffile.

    Args:
        data: the file.
        index: number of the page.

    Returns:
        Colour (H, W, 3) or grey (H, W), and the further channels (H, W, n) or None.
    """
    tifffile = require("tifffile", "formats")
    require("imagecodecs", "formats")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[index]
        array = page.asarray(maxworkers=1)
        if page.planarconfig == 2 and array.ndim == 3:
            array = np.moveaxis(array, 0, -1)
        colors = 1 if page.photometric in (0, 1) else 3
        if page.photometric == 0:
            array = np.iinfo(array.dtype).max - array
    if array.ndim == 2:
        return array, None
    if array.ndim != 3 or array.shape[2] < colors:
        raise ValueError("it is damaged (its tags disagree about its channels)")
    pixels = array[..., 0] if colors == 1 else array[..., :3]
    extra = array[..., colors:] if array.shape[2] > colors else None
    return np.ascontiguousarray(pixels), extra


def replace_pixels(tiff: bytes, pages: list[np.ndarray | None], blobs: dict[int, bytes] | None = None) -> bytes:
    """Write new pixels into a TIFF file or an EXIF block.

    Args:
        tiff: the file, or an EXIF block, whose first directory then describes the picture.
        pages: (H, W) or (H, W, C) for each directory of the chain; None removes the directory from the chain.
        blobs: tags with a value of bytes, such as `ICC`; an empty value removes the tag.

    Returns:
        The new file.
    """
    block = TagBlock(tiff)
    chain, free = block.directories(), []
    for _, directory in chain:
        free += _segments(block, directory)
    for start, size in free:
        block.data[start : start + size] = bytes(size)
    free, following = _merged(free), 0
    for (_, directory), pixels in reversed(list(zip(chain, pages, strict=False))):
        if pixels is None:
            continue
        tags = {e.tag: (e.type, e.count, block.raw(directory, e.tag)) for e in directory.entries.values()}
        tags.pop(SUBDIRECTORIES, None)
        for tag, value in (blobs or {}).items():
            tags.pop(tag, None)
            tags |= {tag: (7 if tag == ICC else 1, len(value), value)} if value else {}
        _set_layout(block, tags, directory, pixels, free)
        with suppress(ValueError):  # sizes in EXIF; its offset may be damaged
            details = block.directory(block.number(directory, EXIF_IFD))
            for tag, size in zip(EXIF_SIZES, pixels.shape[1::-1], strict=True):
                block.set_numbers(details, tag, size)
        following = block.append_directory(tags, following)
    block.pack(block.offset_code, block.first_place, following)
    return bytes(block.data)


def _segments(block: TagBlock, directory: Directory) -> list[tuple[int, int]]:
    """Offsets and sizes of the compressed pixels."""
    tags = (TILE_OFFSETS, TILE_COUNTS) if TILE_OFFSETS in directory.entries else (OFFSETS, COUNTS)
    pairs = zip(*(block.numbers(directory, tag) for tag in tags), strict=False)
    return [(start, size) for start, size in pairs if start >= 8 and start + size <= len(block.data)]


def _merged(free: list[tuple[int, int]]) -> list[list[int]]:
    """Join adjacent free ranges (offset, size)."""
    found: list[list[int]] = []
    for start, size in sorted(free):
        if found and start <= sum(found[-1]) + 1:
            found[-1][1] = max(found[-1][1], start + size - found[-1][0])
        else:
            found.append([start, size])
    return found


def _place(block: TagBlock, content: bytes, free: list[list[int]]) -> int:
    """Write bytes into the first free range that is large enough, or at the end; return their offset."""
    for hole in free:
        start = hole[0] + hole[0] % 2
        if start + len(content) <= sum(hole):
            block.data[start : start + len(content)] = content
            hole[1] -= start + len(content) - hole[0]
            hole[0] = start + len(content)
            return start
    return block.append(content)


def _set_layout(block: TagBlock, tags: dict, directory: Directory, pixels: np.ndarray, free: list) -> None:
    """Write pixels into a file, and update the tags that describe them."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    old = {
        tag: block.number(directory, tag, default) for tag, default in ((COMPRESSION, 8), (PLANAR, 1), (PHOTOMETRIC, 1))
    }
    compression = old[COMPRESSION] if old[COMPRESSION] in (*LOSSLESS, 7) else 8
    jpeg = compression == 7 and pixels.dtype == np.uint8 and samples in (1, 3)
    if not jpeg and (compression == 7 or (compression in (5, 32773, 50000) and not _codec(compression))):
        compression = 8
    predictor = (
        2
        if block.number(directory, PREDICTOR, 1) == 2
        and compression in (5, 8, 32946, 50000)
        and pixels.dtype.kind == "u"
        else 1
    )
    tile = block.number(directory, TILE_WIDTH), block.number(directory, TILE_HEIGHT)
    rows = min(height, block.number(directory, ROWS, 64) or 64)
    tiled = all(tile) and TILE_OFFSETS in directory.entries
    if jpeg:
        rows += -rows % 8
    planar = old[PLANAR] == 2 and samples > 1 and not jpeg
    color = samples >= 3
    white_is_zero = old[PHOTOMETRIC] == 0 and not color and pixels.dtype.kind == "u"
    if white_is_zero:
        pixels = pixels ^ np.array(np.iinfo(pixels.dtype).max, pixels.dtype)
    places, sizes = [], []
    for segment in _cut(pixels, tile if tiled else None, rows, planar):
        content = _encode(segment, compression, predictor, block.order)
        places.append(_place(block, content, free))
        sizes.append(len(content))
    for tag in (OFFSETS, COUNTS, ROWS, TILE_OFFSETS, TILE_COUNTS, COLORS, TABLES, *YCBCR):
        tags.pop(tag, None)

    def put(tag: int, code: str, *values: int) -> None:
        kind = {"H": 3, "I": 4, "Q": 16}[code]
        tags[tag] = (kind, len(values), struct.pack(f"{block.order}{len(values)}{code}", *values))

    put(WIDTH, "I", width)
    put(HEIGHT, "I", height)
    put(BITS, "H", *[8 * pixels.dtype.itemsize] * samples)
    put(COMPRESSION, "H", compression)
    put(PHOTOMETRIC, "H", (6 if jpeg else 2) if color else 0 if white_is_zero else 1)
    put(SAMPLES, "H", samples)
    if samples > 1 or PLANAR in tags:
        put(PLANAR, "H", 2 if planar else 1)
    put(TILE_OFFSETS if tiled else OFFSETS, block.offset_code, *places)
    put(TILE_COUNTS if tiled else COUNTS, block.offset_code, *sizes)
    if ORIENTATION in tags:
        put(ORIENTATION, "H", 1)
    if not tiled:
        put(ROWS, "I", rows)
    if jpeg and color:
        put(530, "H", 1, 1)
    for tag, value, needed in ((PREDICTOR, predictor, predictor > 1), (FORMAT, 3, pixels.dtype.kind == "f")):
        tags.pop(tag, None)
        if needed:
            put(tag, "H", *([value] * (samples if tag == FORMAT else 1)))
    extra = samples - (3 if color else 1)
    known = block.numbers(directory, EXTRA)
    tags.pop(EXTRA, None)
    if extra:
        put(EXTRA, "H", *(known if len(known) == extra else [2] + [0] * (extra - 1)))


def _cut(pixels: np.ndarray, tile: tuple[int, int] | None, rows: int, planar: bool) -> Iterator[np.ndarray]:
    """Cut pixels into tiles or strips, plane by plane if the channels are stored separately."""
    if planar:
        for n in range(pixels.shape[2]):
            yield from _cut(np.ascontiguousarray(pixels[..., n]), tile, rows, False)
        return
    wide, high = tile or (pixels.shape[1], rows)
    for top in range(0, pixels.shape[0], high):
        for left in range(0, pixels.shape[1], wide):
            part = pixels[top : top + high, left : left + wide]
            if tile:
                missing = [(0, high - part.shape[0]), (0, wide - part.shape[1])] + [(0, 0)] * (part.ndim - 2)
                part = np.pad(part, missing, mode="edge")
            yield part


def _codec(compression: int):
    """Return the encoder of a compression from imagecodecs, or None if that is not installed."""
    try:
        codecs = require("imagecodecs", "formats")
    except ModuleNotFoundError:
        return None
    return {5: codecs.lzw_encode, 32773: codecs.packbits_encode, 50000: codecs.zstd_encode}[compression]


def _encode(part: np.ndarray, compression: int, predictor: int, order: str) -> bytes:
    if compression == 7:
        encoded = io.BytesIO()
        Image.fromarray(part).save(encoded, "JPEG", quality=95, subsampling=0)
        return encoded.getvalue()
    if predictor == 2:
        part = part.copy()
        part[:, 1:] -= part[:, :-1].copy()
    content = part.astype(part.dtype.newbyteorder(order), copy=False).tobytes()
    if compression == 1:
        return content
    if compression in (8, 32946):
        return zlib.compress(content)
    if compression == 32773:  # PackBits encodes each row separately
        encode, step = _codec(compression), len(content) // len(part)
        return b"".join(encode(content[n : n + step]) for n in range(0, len(content), step))
    return bytes(_codec(compression)(content))
