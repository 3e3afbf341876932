"""TIFF files: how a page is stored, and writing new pixels into an existing file.

A repaired TIFF is the original file with new pixels. All other tags, known or not, stay at their offsets, so that maker
notes, georeferences and offsets inside them remain valid.
"""

import io
import struct
from contextlib import suppress

import numpy as np

from ssdie.photo.metadata import drop_thumbnails
from ssdie.photo.tags import SIZES, Directory, TagBlock
from ssdie.photo.tiff_strips import cut, encode, find_codec, multiply_alpha, negative
from ssdie.utils.dependencies import require

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, ORIENTATION = 256, 257, 258, 259, 262, 273, 274
SAMPLES, ROWS, COUNTS, PLANAR, PREDICTOR, COLORS, TILE_WIDTH, TILE_HEIGHT = 277, 278, 279, 284, 317, 320, 322, 323
TILE_OFFSETS, TILE_COUNTS, SUBDIRECTORIES, EXTRA, FORMAT, TABLES = 324, 325, 330, 338, 339, 347
ICC, XMP, PHOTOSHOP, SUBFILE, EXIF_IFD, EXIF_SIZES = 34675, 700, 34377, 254, 0x8769, (0xA002, 0xA003)
EMPTY = b"II*\0\x08\0\0\0" + bytes(6)  # a file without tags
YCBCR = (529, 530, 531, 532)
FILL_ORDER, INKS = 266, (332, 333, 334, 336)
OPTIONS = (FILL_ORDER, 292, 293)  # of bilevel compressions
RANGES = (280, 281, 290, 291, 301)  # tags that hold values of the stored depth
NAMES = {
    1: "raw", 2: "CCITT", 3: "CCITT G3", 4: "CCITT G4", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate",
    32773: "PackBits", 32946: "Deflate", 34712: "JPEG 2000", 34887: "LERC", 50000: "Zstandard", 50001: "WebP",
    34925: "LZMA", 34933: "PNG", 34934: "JPEG XR", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
LOSSLESS = (1, 5, 8, 32773, 32946, 50000)  # compressions that a copy keeps, as it keeps JPEG; others become Deflate
PILLOW = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)  # compressions that Pillow reads everywhere
PHOTOMETRICS = {0: "grey", 1: "grey", 2: "colour", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
CHANNELS = {2: 3, 5: 4, 6: 3, 8: 3}  # of each photometric interpretation; 1 for others
ASSOCIATED = 1  # kind of further channel: alpha with which the colours are multiplied
ALPHA = {1: (2,), 2: (1, 2), 3: (2,)}  # kinds of alpha that Pillow reads


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
    if compression not in NAMES or compression == 6 or color not in PHOTOMETRICS:
        raise ValueError(f"{kind} is not supported")
    planar = block.number(directory, PLANAR, 1) != 1 and color in (0, 1, 2)
    extra = samples - CHANNELS.get(color, 1)
    alpha = extra == 1 and block.number(directory, EXTRA) in ALPHA.get(color, ())
    if form == 1 and bits in (1, 2, 4, 8) and (extra <= 0 or alpha) and compression in PILLOW and not planar:
        return "pillow"
    if samples == color == 1 and compression in PILLOW and (form, bits) in ((1, 16), (1, 32), (2, 32), (3, 32)):
        return "pillow"
    if (form, bits) not in ((1, 8), (1, 16), (3, 16), (3, 32)) or color not in (0, 1, 2, 6):
        more = " with further channels" if extra > 0 and (form, bits) == (1, 8) else ""
        raise ValueError(f"{kind}{more} is not supported")
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
        inverted = page.photometric == 0
        associated = tuple(page.extrasamples)[:1] == (ASSOCIATED,)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] < colors:
        raise ValueError("it is damaged (its tags disagree about its channels)")
    pixels = array[..., 0] if colors == 1 else array[..., :3]
    extra = array[..., colors:] if array.shape[2] > colors else None
    if inverted:
        pixels = negative(pixels)
    if associated and extra is not None:
        pixels = multiply_alpha(pixels, extra[..., 0], -1)
    return np.ascontiguousarray(pixels), extra


def replace_pixels(tiff: bytes, pages: list[np.ndarray | None], blobs: dict[int, bytes] | None = None) -> bytes:
    """Write new pixels into a TIFF file or an EXIF block.

    Args:
        tiff: the file, or an EXIF block, whose first directory then describes the picture.
        pages: (H, W) or (H, W, C) for each directory of the chain; None removes the directory from the chain.
        blobs: tags of the first directory with a value of bytes, such as `ICC`; an empty value removes the tag.

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
        kind, _, resources = tags.pop(PHOTOSHOP, (1, 0, b""))
        if resources := drop_thumbnails(resources):
            tags[PHOTOSHOP] = (kind, len(resources) // SIZES[kind], resources)
        for tag, value in (blobs or {}).items() if directory is chain[0][1] else ():
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
    defaults = ((COMPRESSION, 8), (PLANAR, 1), (PHOTOMETRIC, 1), (SAMPLES, 1))
    old = {tag: block.number(directory, tag, default) for tag, default in defaults}
    color = samples >= 3 and not (old[PHOTOMETRIC] in (0, 1) and old[SAMPLES] == samples)
    extra, known = samples - (3 if color else 1), block.numbers(directory, EXTRA)
    compression = old[COMPRESSION] if old[COMPRESSION] in (*LOSSLESS, 7) else 8
    jpeg = compression == 7 and pixels.dtype == np.uint8 and not extra
    if not jpeg and (compression == 7 or (compression in (5, 32773, 50000) and not find_codec(compression))):
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
    gray = np.s_[..., : samples - extra] if pixels.ndim == 3 else np.s_[...]  # or colours
    white_is_zero = old[PHOTOMETRIC] == 0 and not color
    associated = extra > 0 and known[:1] == (ASSOCIATED,)
    if white_is_zero or associated:
        pixels = pixels.copy()
    if associated:
        pixels[gray] = multiply_alpha(pixels[gray], pixels[..., -extra], 1)
    if white_is_zero:
        pixels[gray] = negative(pixels[gray])
    places, sizes = [], []
    for segment in cut(pixels, tile if tiled else None, rows, planar):
        content = encode(segment, compression, predictor, block.order)
        places.append(_place(block, content, free))
        sizes.append(len(content))
    stale = [OFFSETS, COUNTS, ROWS, TILE_OFFSETS, TILE_COUNTS, COLORS, TABLES, *YCBCR]
    stale += OPTIONS if old[COMPRESSION] in (2, 3, 4) or block.number(directory, FILL_ORDER) == 2 else ()
    stale += RANGES if block.number(directory, BITS, 1) != 8 * pixels.dtype.itemsize else ()
    stale += (ICC, *INKS) if old[PHOTOMETRIC] in (5, 8) else ()  # CMYK and Lab became RGB
    for tag in stale:
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
    tags.pop(EXTRA, None)
    if extra:
        put(EXTRA, "H", *(known if len(known) == extra else [2] + [0] * (extra - 1)))
