"""Metadata never costs a photo, and what can be kept is kept.

What may differ between a photo and its copy at strength 0 (everything else may not):

| tags of exiftool | why |
|---|---|
| System:FileName, Directory, FileSize, FileAccessDate, FileInodeChangeDate | another file |
| ExifToolVersion | none of the photo |
| StripOffsets, StripByteCounts, RowsPerStrip, TileOffsets, TileByteCounts | places of the pixels |
| Orientation; ImageWidth and ImageHeight of turned photos | the copy is upright |
| EncodingProcess, YCbCrSubSampling | JPEG is encoded anew, without subsampling |
| ThumbnailImage, ThumbnailLength | shows the copy |
| Predictor, Compression | where the compression is not written |
"""

import io
import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
import tifffile
from photos import exif_block
from PIL import Image, PngImagePlugin

from ssdie.photo import read_photo
from ssdie.photo.formats import KINDS
from ssdie.photo.jpeg import read_segments

MAY_DIFFER = {
    "SourceFile", "FileName", "Directory", "FileSize", "FileAccessDate", "FileInodeChangeDate", "ExifToolVersion",
    "StripOffsets", "StripByteCounts", "RowsPerStrip", "TileOffsets", "TileByteCounts", "Orientation",
    "EncodingProcess", "YCbCrSubSampling", "ThumbnailImage", "ThumbnailLength", "Predictor",
}  # fmt: skip
PICTURE = Image.linear_gradient("L").convert("RGB").resize((60, 40))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' + (
    b'<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"/></rdf:RDF></x:xmpmeta>'
)
EXTRA_TAGS = [
    (33550, "d", 3, (10.0, 10.0, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 3.3e6, 0.0), True),
    (34735, "H", 8, (1, 1, 0, 1, 1024, 0, 1, 1), True),
    (65000, "s", 0, "a tag that nobody knows", True),
]


def jpeg_bytes(**options) -> bytes:
    encoded = io.BytesIO()
    PICTURE.save(encoded, "JPEG", quality=90, **options)
    return encoded.getvalue()


def test_exif_is_patched_in_place(tmp_path):
    """Case B14, B36: only orientation and sizes differ, byte for byte."""
    (tmp_path / "in.jpg").write_bytes(jpeg_bytes(exif=b"Exif\0\0" + exif_block()))
    photo = read_photo(tmp_path / "in.jpg")
    assert photo.frames[0].shape == (60, 40, 3)
    photo.save(tmp_path / "out.jpg")
    after = read_photo(tmp_path / "out.jpg").metadata.exif
    before = exif_block()
    places = [n for n in range(len(before)) if before[n] != after[n]]
    assert len(after) == len(before) and len(places) == 3
    with Image.open(tmp_path / "out.jpg") as copy:
        details = copy.getexif().get_ifd(0x8769)
        assert copy.getexif()[0x0112] == 1 and (details[0xA002], details[0xA003]) == copy.size == (40, 60)


def test_thumbnail_shows_the_copy(tmp_path):
    """An embedded thumbnail is replaced in place by one of the written pixels."""
    small = io.BytesIO()
    PICTURE.resize((30, 20)).save(small, "JPEG", quality=95)
    second = struct.pack("<HHHIIHHII", 2, 0x201, 4, 1, 56, 0x202, 4, 1, small.tell()) + bytes(4)
    first = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x112, 3, 1, 1, 26) + second
    (tmp_path / "in.jpg").write_bytes(jpeg_bytes(exif=b"Exif\0\0" + first.ljust(56, b"\0") + small.getvalue()))
    photo = read_photo(tmp_path / "in.jpg")
    photo.save(tmp_path / "out.jpg", np.full_like(photo.frames[0], 200))
    block = read_photo(tmp_path / "out.jpg").metadata.exif
    start = block.index(b"\xff\xd8")
    shown = Image.open(io.BytesIO(block[start:]))
    assert shown.size == (30, 20) and np.abs(np.asarray(shown).astype(int) - 200).max() <= 3


RESOLUTION = {
    "text": (0x011A, 2, 8, b"300300\x02\0"),
    "undefined": (0x011A, 7, 8, struct.pack("<II", 72, 1)),
    "negative": (0x011A, 10, 8, struct.pack("<ii", -72, 1)),
    "zero": (0x011A, 5, 8, struct.pack("<II", 1, 0)),
    "far": (0x8769, 4, 1, struct.pack("<I", 10**8)),
    "itself": (0x8769, 4, 1, struct.pack("<I", 8)),
    "unknown type": (0x010F, 99, 1, b"ab"),
    "long": (0x010F, 2, 2**31, struct.pack("<I", 50)),
}


@pytest.mark.parametrize("kind", RESOLUTION)
def test_damaged_tags_never_cost_the_photo(kind, tmp_path):
    """Case B06: the block is carried over as it is."""
    tag, code, count, value = RESOLUTION[kind]
    count = 1 if code in (5, 10) else count
    entry = struct.pack("<HHI", tag, code, count) + (struct.pack("<I", 26) if len(value) > 4 else value.ljust(4, b"\0"))
    block = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + (value if len(value) > 4 else b"")
    (tmp_path / "in.jpg").write_bytes(jpeg_bytes(exif=b"Exif\0\0" + block))
    read_photo(tmp_path / "in.jpg").save(tmp_path / "out.jpg")
    assert b"Exif\0\0" + block in (tmp_path / "out.jpg").read_bytes()


def test_damaged_offset_of_a_thumbnail_costs_no_other_tag(tmp_path):
    """What lies there is no JPEG: only the reference to it is removed."""
    second = struct.pack("<HHHIIHHII", 2, 0x201, 4, 1, 8, 0x202, 4, 1, 18) + bytes(4)
    block = b"II*\0" + struct.pack("<IHHHI4sI", 8, 1, 0x10F, 2, 4, b"Abc\0", 26) + second
    (tmp_path / "in.jpg").write_bytes(jpeg_bytes(exif=b"Exif\0\0" + block))
    read_photo(tmp_path / "in.jpg").save(tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as copy:
        assert copy.getexif()[0x10F] == "Abc" and not copy.getexif().get_ifd(1)


def test_unreadable_exif_is_dropped_with_a_note(tmp_path):
    (tmp_path / "in.jpg").write_bytes(jpeg_bytes(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05broken"))
    notes = read_photo(tmp_path / "in.jpg").save(tmp_path / "out.jpg")
    assert len(notes) == 1 and "EXIF" in notes[0] and b"broken" not in (tmp_path / "out.jpg").read_bytes()


def test_jpeg_keeps_its_segments(tmp_path):
    """Case B13: XMP, IPTC, comment, density and unknown segments."""
    content = jpeg_bytes(exif=b"Exif\0\0" + exif_block(1), xmp=XMP, comment=b"a comment", dpi=(300, 300))
    segments = [(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0a\x1c\x02\x19\0\x05dust!"), (0xE5, b"unknown")]
    head = b"".join(struct.pack(">BBH", 0xFF, m, len(c) + 2) + c for m, c in segments)
    (tmp_path / "in.jpg").write_bytes(content[:2] + head + content[2:])
    assert read_photo(tmp_path / "in.jpg").save(tmp_path / "out.jpg") == []
    before, after = (read_segments((tmp_path / f"{name}.jpg").read_bytes())[0] for name in ("in", "out"))
    assert before == after and len(after) == 6


def test_png_keeps_its_chunks(tmp_path):
    """Case B13: text, compressed text, XMP, time, density, EXIF and unknown chunks."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "Dust")
    info.add_text("Comment", "long " * 50, zip=True)
    info.add_itxt("Author", "Sand ☀ " * 20, "de", "Autor", zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    info.add(b"tIME", bytes.fromhex("07e40501000000"))
    info.add(b"prVt", b"unknown")
    PICTURE.save(tmp_path / "in.png", pnginfo=info, dpi=(300, 300), exif=b"Exif\0\0" + exif_block(1))
    read_photo(tmp_path / "in.png").save(tmp_path / "out.png")
    before, after = (sorted(read_photo(tmp_path / f"{name}.png").metadata.chunks) for name in ("in", "out"))
    assert before == after and len(after) == 8
    assert read_photo(tmp_path / "out.png").metadata.xmp == XMP


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000", "PNG", "TIFF"])
def test_other_formats_take_over_exif_and_xmp(kind, tmp_path):
    """A JPEG that is saved in another format keeps its EXIF, with the maker note, and its XMP; and so does a copy."""
    (tmp_path / "in.jpg").write_bytes(jpeg_bytes(exif=b"Exif\0\0" + exif_block(1), xmp=XMP))
    suffix = KINDS[kind].suffixes[0]
    read_photo(tmp_path / "in.jpg").save(tmp_path / f"out{suffix}")
    copy = read_photo(tmp_path / f"out{suffix}")
    assert copy.kind == kind
    copy.save(tmp_path / f"again{suffix}")
    content = (tmp_path / f"again{suffix}").read_bytes()
    assert b"Firmware 1.23" in content and b'xmp:Rating="5"' in content


TIFFS = {
    "lzw": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "zlib"},
    "packbits": {"compression": "packbits"},
    "raw": {},
    "big": {"bigtiff": True},
    "tiled": {"tile": (16, 16), "compression": "zlib"},
    "big-endian": {"byteorder": ">"},
    "zstd": {"compression": "zstd"},
    "sixteen": {"dtype": np.uint16, "compression": "lzw", "predictor": True},
    "sixteen-big-endian": {"dtype": np.uint16, "byteorder": ">"},
    "float": {"dtype": np.float32},
    "planar": {"planarconfig": "separate"},
    "bands": {"bands": 5, "extrasamples": ["unspecified", "unspecified"]},
}


def write_tiff(path, dtype=np.uint8, bands=3, **options) -> np.ndarray:
    values = np.random.default_rng(0).random((40, 60, bands))
    values = values.astype(dtype) if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)
    stored = np.moveaxis(values, -1, 0).copy() if "planarconfig" in options else values
    tifffile.imwrite(path, stored, photometric="rgb", extratags=EXTRA_TAGS, metadata=None, **options)
    return values


@pytest.mark.parametrize("kind", TIFFS)
def test_tiff_keeps_pixels_and_tags(kind, tmp_path):
    """Cases B04, B10, B11, B28: every compression and layout; georeference, unknown tags and further bands."""
    before = write_tiff(tmp_path / "in.tif", **TIFFS[kind])
    assert read_photo(tmp_path / "in.tif").save(tmp_path / "out.tif") == []
    with tifffile.TiffFile(tmp_path / "in.tif") as old, tifffile.TiffFile(tmp_path / "out.tif") as new:
        after = new.asarray()
        after = np.moveaxis(after, 0, -1) if kind == "planar" else after
        assert after.dtype == before.dtype and (after == before).all()
        assert (old.is_bigtiff, old.byteorder) == (new.is_bigtiff, new.byteorder)
        for tag in old.pages[0].tags:
            if tag.name not in MAY_DIFFER:
                assert new.pages[0].tags[tag.code].value == tag.value, tag.name
    assert (tmp_path / "out.tif").stat().st_size < 1.2 * (tmp_path / "in.tif").stat().st_size + 1000


def test_mode_and_times_are_kept(tmp_path):
    """Case B36."""
    import os

    path = tmp_path / "in.png"
    PICTURE.save(path)
    path.chmod(0o600)
    os.utime(path, (1.5e9, 1.5e9))
    read_photo(path).save(tmp_path / "out.png")
    status = (tmp_path / "out.png").stat()
    assert status.st_mode & 0o777 == 0o600 and status.st_mtime == 1.5e9


def test_a_disk_that_keeps_no_mode_and_time_costs_no_photo(tmp_path, monkeypatch):
    """FAT and network shares refuse chmod."""

    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    PICTURE.save(tmp_path / "in.png")
    photo = read_photo(tmp_path / "in.png")
    monkeypatch.setattr("os.chmod", refuse)
    monkeypatch.setattr("os.utime", refuse)
    photo.save(tmp_path / "out.png")
    assert (read_photo(tmp_path / "out.png").frames[0] == photo.frames[0]).all()


@pytest.mark.external
def test_exiftool_sees_no_other_difference(tmp_path):
    """The whole list of tags but those of the table above; warnings of exiftool count."""
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes(exif=b"Exif\0\0" + exif_block(1), xmp=XMP, comment=b"a comment"))
    write_tiff(tmp_path / "b.tif", compression="lzw")
    for name in ("c.png", "d.webp", "e.jp2", "f.avif"):
        read_photo(tmp_path / "a.jpg").save(tmp_path / name)
    Image.fromarray(np.asarray(PICTURE)).save(tmp_path / "g.gif")
    Image.fromarray(np.asarray(PICTURE)).save(tmp_path / "h.jpg", progressive=True, quality=80)
    for name, tags in (
        ("g.gif", ["-XMP:Title=dust", "-Comment=sand"]),
        ("h.jpg", ["-n", "-Orientation=6", "-IPTC:Keywords=x"]),
    ):
        subprocess.run(["exiftool", "-q", "-overwrite_original", *tags, tmp_path / name], check=True)
    words = ["-q", "-overwrite_original", "-ISO=100", "-ExposureTime=1/250", "-GPSLatitude=30.1", "-GPSLatitudeRef=N"]
    words += ["-Make=Acme", "-XMP:Rating=4"]
    subprocess.run(["exiftool", *words, tmp_path / "b.tif", tmp_path / "c.png"], check=True)
    for path in sorted(tmp_path.iterdir()):
        target = tmp_path / "out" / path.name
        read_photo(path).save(target)
        lists = [
            json.loads(subprocess.run(["exiftool", "-j", "-a", p], capture_output=True).stdout)[0]
            for p in (path, target)
        ]
        before, after = ({k: v for k, v in tags.items() if k not in MAY_DIFFER} for tags in lists)
        if path.name == "h.jpg":  # which was turned
            assert (after.pop("ImageWidth"), after.pop("ImageHeight"), after.pop("ImageSize")) == (40, 60, "40x60")
            before = {k: v for k, v in before.items() if k not in ("ImageWidth", "ImageHeight", "ImageSize")}
        if path.suffix in (".avif", ".webp"):  # sizes of the coded data
            before, after = ({k: v for k, v in tags.items() if "Data" not in k} for tags in (before, after))
        assert before == after, path.name
