"""Table of the photo formats: how each is recognised, read and written, and what a copy keeps and loses.

`python -m ssdie.photo.formats` prints docs/formats.md.
"""

import struct
from dataclasses import dataclass

from ssdie.photo.tags import TagBlock


@dataclass(frozen=True)
class Kind:
    """A photo format.

    Attributes:
        name: name in messages.
        suffixes: suffixes of its files.
        needs: name of the extra with its decoder, or "".
        written: format of the repaired copy.
        depths: bit depths that are read.
        kept: what the copy keeps.
        lost: what the copy loses.
    """

    name: str
    suffixes: tuple[str, ...]
    needs: str
    written: str
    depths: str
    kept: str
    lost: str


RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")
BLOCKS = "EXIF with maker notes, XMP, ICC profile"
KINDS = {
    kind.name: kind
    for kind in (
        Kind("JPEG", (".jpg", ".jpeg", ".jfif", ".jpe", ".mpo"), "", "JPEG", "8 bit",
             f"{BLOCKS}, IPTC, comments, density, other segments",
             "gain map, video of a motion photo, second picture of an MPO, JUMBF (content credentials): with a note; "
             "CMYK becomes RGB; chroma subsampling"),
        Kind("PNG", (".png", ".apng"), "", "PNG", "1 to 16 bit; 16-bit colour and grey with alpha need `formats`",
             f"{BLOCKS}, text, time, density, cICP, gAMA, cHRM, sRGB, unknown chunks; all frames of an APNG",
             "the palette (becomes RGB), sBIT, bKGD; interlacing"),
        Kind("TIFF", (".tif", ".tiff"), "", "TIFF",
             "1, 8 and 16 bit, 32-bit float grey; 16-bit and float colour, channels beyond colour and alpha, inverted "
             "16-bit grey, planar, BigTIFF tiles, Zstandard, LERC and WebP need `formats`",
             f"{BLOCKS}, IPTC, Photoshop, GeoTIFF and unknown tags at their places; tiles, planes, byte order, extra "
             "channels, every page; LZW, Deflate, PackBits, Zstandard and JPEG compression",
             "preview pages and SubIFDs (with a note); shared JPEG tables; CMYK, Lab and palette become RGB, "
             "1 bit becomes 8; other compressions become Deflate"),
        Kind("WEBP", (".webp",), "", "WEBP", "8 bit", f"{BLOCKS}; all frames; lossless stays lossless", ""),
        Kind("AVIF", (".avif", ".avifs"), "", "AVIF", "8 bit; 10 and 12 bit need `formats`",
             f"{BLOCKS}; 10 and 12 bit; all frames",
             "nclx colours (become sRGB, with a note); bits above 8 of an animation (with a note); chroma subsampling"),
        Kind("GIF", (".gif",), "", "GIF", "palette", "XMP, comment, durations, loops, all frames",
             "palette (computed anew)"),
        Kind("JPEG2000", (".jp2", ".j2k", ".jpx", ".j2c", ".jpf"), "", "JPEG2000",
             "8 bit, 16-bit grey; other depths need `formats`, 9 to 15 bit become 16",
             "EXIF, XMP, ICC profile", "other boxes; a bare codestream becomes JP2"),
        Kind("BMP", (".bmp", ".dib"), "", "BMP", "1 to 8 bit", "density", "the palette (becomes RGB)"),
        Kind("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), "", "PPM", "8 and 16 bit", "", "comments; 1 bit becomes 8"),
        Kind("HEIC", (".heic", ".heif", ".hif"), "formats", "JPEG", "8 to 12 bit", BLOCKS,
             "bits above 8 in JPEG (`--format png` keeps them), gain map, depth map, further pictures: with a note"),
        Kind("JPEG XL", (".jxl",), "formats", "JPEG", "8 and 16 bit", "EXIF, XMP",
             "bits above 8 in JPEG (`--format png` keeps them), ICC profiles: with a note"),
        Kind("RAW", RAW_SUFFIXES, "formats", "TIFF", "developed to 16 bit with the white balance of the camera",
             "EXIF without the maker note", "the maker note, the raw values"),
    )
}  # fmt: skip
SUFFIXES = {suffix: kind.name for kind in KINDS.values() for suffix in kind.suffixes}
WRITTEN_SUFFIXES = [suffix for suffix, name in SUFFIXES.items() if KINDS[name].written == name]
UNTESTED = (".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")
NOT_READ = {
    b"8BPS": "Photoshop (PSD)", b"%PDF": "PDF", b"%!PS": "PostScript", b"\0\0\1\0": "ICO", b"v/1\x01": "OpenEXR",
    b"#?RA": "Radiance HDR", b"II\xbc\x01": "JPEG XR", b"DDS ": "DDS", b"qoif": "QOI", b"\x1aE\xdf\xa3": "a video",
    b"P7\n": "PAM", b"PF\n": "PFM", b"Pf\n": "PFM", b"SIMPLE  =": "FITS", b"gimp xcf": "XCF", b"\x01\xda": "SGI",
    b"\x0a\x05\x01": "PCX", b"PK\3\4": "a ZIP archive", b"bplist": "a property list", b"icns": "ICNS",
    b"\x1f\x8b": "a gzip archive", b"FLIF": "FLIF",
}  # fmt: skip
BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": "RAW"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"
)
MAGIC = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"), (b"BM", "BMP"),
    (b"\0\0\0\x0cjP  ", "JPEG2000"), (b"\xff\x4f\xff\x51", "JPEG2000"), (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"FUJIFILMCCD-RAW", "RAW"), (b"IIU\0", "RAW"), (b"IIRO", "RAW"), (b"IIRS", "RAW"),
)  # fmt: skip
DNG_VERSION = 50706


def identify(data: bytes, suffix: str = "") -> str:
    """Identify the format of a photo from its first bytes; the suffix only distinguishes RAW from TIFF.

    Returns:
        Key of `KINDS`.

    Raises:
        ValueError: it is not a picture, or of a format that is not supported, which the message names.

    Example:
        >>> identify(b"GIF89a")
        'GIF'
    """
    for start, name in MAGIC:
        if data.startswith(start):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PPM"
    if data[4:8] == b"ftyp":
        brands = [data[8:12], *(data[n : n + 4] for n in range(16, min(64, struct.unpack(">I", data[:4])[0]), 4))]
        known = [BRANDS[brand] for brand in brands if brand in BRANDS]
        if known:
            return "AVIF" if "AVIF" in known else known[0]
        raise ValueError("it is a video, not a photo")
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "RAW" if suffix.lower() in RAW_SUFFIXES or _is_dng(data) else "TIFF"
    for start, name in NOT_READ.items():
        if data.startswith(start):
            raise ValueError(f"{name} is not supported")
    if data[128:132] == b"DICM":
        raise ValueError("DICOM is not supported")
    if suffix.lower() in (".tga", ".icb", ".vda"):
        raise ValueError("TGA is not supported")
    if b"<svg" in data[:1024]:
        raise ValueError("SVG is not supported")
    raise ValueError("it is not a picture, or of a format that cannot be read")


def _is_dng(data: bytes) -> bool:
    try:
        block = TagBlock(data)
        return DNG_VERSION in block.directory(block.first).entries
    except ValueError:
        return False


def formats_page() -> str:
    """Return the text of docs/formats.md."""
    lines = [
        "# Photo formats",
        "",
        "A repaired copy is upright, with the size, bit depth, colour space, file times and permissions of the photo.",
        'Formats with an entry under "needs" require `pip install "ssdie[formats]"`. Losses that concern more than the',
        "storage of the same pixels are reported as notes. An embedded thumbnail is replaced by one of the repaired",
        "photo, or removed.",
        "",
        "| format | suffixes | needs | repaired copy | read | kept | lost |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS.values():
        needs = f"`{kind.needs}`" if kind.needs else ""
        suffixes = " ".join(f"`{suffix}`" for suffix in kind.suffixes)
        cells = (kind.name, suffixes, needs, kind.written, kind.depths, kind.kept, kind.lost)
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Read by LibRaw, but not tested: {', '.join(f'`{suffix}`' for suffix in UNTESTED)}.",
        "",
        "Recognised, but not supported (the message names the format): "
        + ", ".join(sorted({*NOT_READ.values(), "SVG", "TGA", "DICOM", "JPEG-LS", "12-bit JPEG"}))
        + ".",
        "",
        "This page is generated: `python -m ssdie.photo.formats > docs/formats.md`.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(formats_page(), end="")
