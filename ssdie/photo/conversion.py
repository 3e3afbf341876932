"""What a photo loses when its copy is saved in another format."""

from ssdie.photo import jpeg, tiff
from ssdie.photo.metadata import COLOR_CHUNKS, XMP_KEYWORD
from ssdie.photo.reading import Photo
from ssdie.photo.tags import TagBlock

PROFILES = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "JPEG2000")  # formats that hold an ICC profile
EXIF_KINDS = PROFILES
COMMENTS = ("JPEG", "PNG", "GIF")
TIFF_PARTS = {33723: "IPTC", 34377: "Photoshop data", 33550: "GeoTIFF tags", 34264: "GeoTIFF tags"}


def keeps_space(photo: Photo, kind: str) -> bool:
    """Return whether a copy in another format can name the photo's colour space."""
    named_by_exif = photo.space is not None and photo.space.name == "Adobe RGB" and kind in EXIF_KINDS
    return photo.kind == kind or named_by_exif or (bool(photo.metadata.icc) and kind in PROFILES)


def lost_parts(photo: Photo, kind: str) -> list[str]:
    """List the metadata of a photo that a copy in another format cannot hold.

    Args:
        photo: from `ssdie.photo.read_photo`.
        kind: format of the copy, key of `ssdie.photo.formats.KINDS`.

    Example:
        >>> from ssdie.photo.metadata import Metadata
        >>> lost_parts(Photo("JPEG", [], [], Metadata(comment=b"dust", segments=[(0xE5, b"unknown")])), "WEBP")
        ['comment', 'segment APP5']
    """
    meta, lost = photo.metadata, set()
    if photo.kind == kind:
        return []
    for marker, content in meta.segments:
        carried = (jpeg.EXIF, jpeg.XMP, jpeg.ICC, jpeg.MPF, jpeg.GAIN_MAP)
        if marker in (jpeg.APP0, jpeg.APP11, jpeg.APP14, jpeg.COMMENT) or content.startswith(carried):
            continue
        names = {jpeg.IPTC: "IPTC", jpeg.EXTENDED_XMP: "extended XMP"}
        lost.add(
            next((name for start, name in names.items() if content.startswith(start)), f"segment APP{marker - 224}")
        )
    for name, content, _ in meta.chunks:
        if name in (b"tEXt", b"zTXt", b"iTXt"):
            lost |= set() if content.startswith(XMP_KEYWORD) else {"text"}
        elif name not in (*COLOR_CHUNKS, b"eXIf", b"pHYs"):
            lost.add(f"chunk {name.decode('ascii', 'replace')}")
    if meta.tiff:
        block = TagBlock(meta.tiff)
        first = block.directory(block.first)
        lost |= {name for tag, name in TIFF_PARTS.items() if tag in first.entries}
        lost |= {f"tag {tag}" for tag in first.entries if tag >= 65000}
        lost |= (
            {"channels beyond colour and alpha"} if len(block.numbers(first, tiff.EXTRA)) > photo.has_alpha else set()
        )
    if meta.comment and kind not in COMMENTS:
        lost.add("comment")
    if meta.exif and kind not in EXIF_KINDS:
        lost.add("EXIF")
    if meta.xmp and kind not in (*EXIF_KINDS, "GIF"):
        lost.add("XMP")
    return sorted(lost)
