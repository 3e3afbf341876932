"""Copies in another format: depth, colour and metadata that can go along do; the others are named in a note."""

import io
import shutil
import subprocess
import zlib

import numpy as np
import pytest
import tifffile
from photos import exif_block
from PIL import Image
from profiles import icc_profile

from ssdie.photo import color, read_photo
from ssdie.photo.conversion import PROFILES
from ssdie.photo.formats import KINDS
from ssdie.photo.jpeg import EXTENDED_XMP, read_segments
from ssdie.photo.jxl import read_color
from ssdie.photo.metadata import box

imagecodecs = pytest.importorskip("imagecodecs")
Y, X = np.mgrid[0:1:40j, 0:1:60j]
SMOOTH = np.stack((0.3 + 0.4 * X, 0.4 + 0.2 * Y, 0.5 - 0.2 * X), axis=-1)
EIGHT, SIXTEEN = color.as_depth(SMOOTH, np.uint8), color.as_depth(SMOOTH, np.uint16)
HEAD = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
XMP = HEAD + b'<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"/></rdf:RDF></x:xmpmeta>'
LONG = HEAD + (
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:source>%s</dc:source>'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>" % (b"dust and sand " * 9000)
)
SUFFIXES = {kind: KINDS[kind].suffixes[0] for kind in KINDS if KINDS[kind].written == kind}


def encoded(kind: str, array: np.ndarray = EIGHT, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def exif_of(make: str) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = make
    return exif.tobytes()


def exiftool(*words) -> str:
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    return subprocess.run(["exiftool", *words], capture_output=True, text=True).stdout.strip()


def p3_profile() -> bytes:
    return icc_profile(color.SRGB_TO_XYZ @ color.from_code_points(12, 13).matrix, 2.2)


@pytest.mark.external
@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_avif_keeps_its_depth_and_metadata(bits, channels, tmp_path):
    """Cases B11, B16: 10 and 12 bit stay; EXIF, XMP and profile are in the copy, as exiftool sees it."""
    values = color.as_depth(np.dstack((SMOOTH, X))[..., :channels].squeeze(), np.uint16, (1 << bits) - 1)
    photo = read_photo(bytes(imagecodecs.avif_encode(values, level=100, bitspersample=bits)))
    assert photo.frames[0].dtype == np.uint16
    photo.metadata.exif, photo.metadata.xmp = exif_of("Acme").removeprefix(b"Exif\0\0"), XMP
    photo.metadata.icc = p3_profile() if channels > 1 else b""
    assert photo.save(tmp_path / "out.avif") == []
    copy = read_photo(tmp_path / "out.avif")
    assert copy.bits == bits and np.abs(copy.originals[0].astype(int) - photo.frames[0]).max() < 600
    assert (copy.metadata.xmp, copy.metadata.icc) == (XMP, photo.metadata.icc)
    words = ("-s3", "-Make", "-XMP:Rating", "-ColorSpaceData", "-Warning", tmp_path / "out.avif")
    assert exiftool(*words).split() == ["Acme", "5"] + ["RGB"] * (channels > 1)
    with Image.open(tmp_path / "out.avif") as picture:
        assert picture.size == (60, 40) and picture.getexif()[0x010F] == "Acme"


def test_depth_of_heic_is_not_cut_to_eight_bit(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.from_bytes("RGB;16", (60, 40), SIXTEEN.tobytes()).save(tmp_path / "a.heic", quality=100)
    photo = read_photo(tmp_path / "a.heic")
    assert photo.frames[0].dtype == np.uint16 and np.abs(photo.frames[0].astype(int) - SIXTEEN).mean() < 200
    assert photo.save(tmp_path / "a.png") == []
    assert "8 bit" in photo.save(tmp_path / "a.jpg")[0]


def test_without_the_extra_deep_avif_is_refused(monkeypatch):
    import sys

    content = bytes(imagecodecs.avif_encode(SIXTEEN >> 6, level=90, bitspersample=10))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "ssdie\[formats\]"'):
        read_photo(content)


@pytest.mark.external
def test_long_xmp_becomes_extended_xmp(tmp_path):
    """A packet longer than a JPEG segment is split, and exiftool reads all of it."""
    photo = read_photo(encoded("WEBP", xmp=LONG, lossless=True))
    assert photo.save(tmp_path / "out.jpg") == []
    assert exiftool("-s3", "-XMP:Source", tmp_path / "out.jpg") == ("dust and sand " * 9000).strip()
    segments, _ = read_segments((tmp_path / "out.jpg").read_bytes())
    assert sum(content.startswith(EXTENDED_XMP) for _, content in segments) == 2
    read_photo(tmp_path / "out.jpg").save(tmp_path / "again.jpg")
    assert read_segments((tmp_path / "again.jpg").read_bytes())[0] == segments


@pytest.mark.external
@pytest.mark.parametrize("suffix", ["avif", "webp", "png", "jp2", "tif"])
def test_maker_notes_stay_readable(suffix, tmp_path):
    """Case B14: exiftool finds their values, whatever the format of the copy."""
    photo = read_photo(encoded("JPEG", exif=b"Exif\0\0" + exif_block(1)))
    assert photo.save(tmp_path / f"a.{suffix}") == []
    assert read_photo(tmp_path / f"a.{suffix}").save(tmp_path / f"b.{suffix}") == []
    for name in ("a", "b"):
        words = ("-s3", "-CanonFirmwareVersion", "-Orientation#", tmp_path / f"{name}.{suffix}")
        assert exiftool(*words) == "Firmware 1.23\n1"


def test_compressed_boxes_of_jpeg_xl_are_read(tmp_path):
    """EXIF and XMP, as encoders of JPEG XL store them by default."""
    stream = bytes(imagecodecs.jpegxl_encode(EIGHT, lossless=True, usecontainer=False))
    boxes = [box(b"JXL ", b"\r\n\x87\n"), box(b"ftyp", b"jxl \0\0\0\0jxl ")]
    for name, content in ((b"Exif", bytes(4) + exif_of("Acme").removeprefix(b"Exif\0\0")), (b"xml ", XMP)):
        boxes.append(box(b"brob", name + imagecodecs.brotli_encode(content)))
    photo = read_photo(b"".join([*boxes, box(b"jxlc", stream)]))
    assert (photo.frames[0] == EIGHT).all() and photo.metadata.xmp == XMP
    photo.save(tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as copy:
        assert copy.getexif()[0x010F] == "Acme"
    boxes[2] = box(b"brob", b"Exif" + b"no brotli")
    assert any("Damaged" in note for note in read_photo(b"".join([*boxes, box(b"jxlc", stream)])).notes)


def test_quality_is_no_worse_in_any_table(tmp_path):
    """Fine luma beside coarse chroma, and the other way round: of each step the finer one is taken."""
    for tables in ([[1] * 64, [60] * 64], [[60] * 64, [1] * 64]):
        read_photo(encoded("JPEG", qtables=tables)).save(tmp_path / "out.jpg")
        with Image.open(tmp_path / "out.jpg") as copy:
            for before, after in zip(tables, copy.quantization.values(), strict=True):
                assert all(new <= old for old, new in zip(before, after, strict=True)) and sum(after) < 700


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_floating_point_values_are_rounded_with_a_note(dtype, tmp_path):
    tifffile.imwrite(tmp_path / "in.tif", SMOOTH.astype(dtype), photometric="rgb")
    notes = read_photo(tmp_path / "in.tif").save(tmp_path / "out.png")
    assert len(notes) == 1 and "16 bits" in notes[0]
    copy = read_photo(tmp_path / "out.png").frames[0]
    assert copy.dtype == np.uint16 and np.abs(copy / 65535 - SMOOTH.astype(dtype)).max() < 1e-5


def test_long_exif_is_named(tmp_path):
    notes = read_photo(encoded("PNG", exif=exif_of("x" * 70000))).save(tmp_path / "out.jpg")
    assert len(notes) == 1 and "EXIF of 700" in notes[0]


@pytest.mark.parametrize("kind", [kind for kind in SUFFIXES if kind not in ("BMP", "PPM", "GIF", "TIFF")])
def test_tiff_gives_its_exif_to_copies_in_other_formats(kind, tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x8769] = "Acme", {0x8827: 100}
    read_photo(encoded("JPEG", exif=exif.tobytes())).save(tmp_path / "in.tif")
    assert read_photo(tmp_path / "in.tif").save(tmp_path / f"out{SUFFIXES[kind]}") == []
    copy = Image.Exif()
    copy.load(read_photo(tmp_path / f"out{SUFFIXES[kind]}").metadata.exif)
    assert copy[0x010F] == "Acme" and copy.get_ifd(0x8769)[0x8827] == 100 and 0x0100 not in copy


@pytest.mark.parametrize("kind", SUFFIXES)
def test_colors_are_right_in_every_format(kind, tmp_path):
    """Case B15: a copy without a profile is sRGB, with a note."""
    own = color.as_depth(color.from_icc(p3_profile()).from_srgb(SMOOTH), np.uint8)
    photo = read_photo(encoded("WEBP", own, icc_profile=p3_profile(), lossless=True))
    notes = photo.save(tmp_path / f"out{SUFFIXES[kind]}")
    copy = read_photo(tmp_path / f"out{SUFFIXES[kind]}")
    assert np.abs(color.as_float(copy.frames[0]) - SMOOTH).mean() < (0.02 if kind == "GIF" else 0.006)
    assert bool(copy.metadata.icc) == (kind in PROFILES) and bool(notes) == (kind not in PROFILES)


def test_colors_named_without_a_profile_are_right_too(tmp_path):
    """Case B16: PNG with cICP of Display P3, as JPEG."""
    own = color.as_depth(color.from_code_points(12, 13).from_srgb(SMOOTH), np.uint8)
    photo = read_photo(encoded("PNG", own))
    photo.metadata.chunks = [(b"cICP", bytes((12, 13, 0, 1)), True)]
    photo.save(tmp_path / "p3.png")
    photo = read_photo(tmp_path / "p3.png")
    assert "sRGB" in photo.save(tmp_path / "out.jpg")[0] and photo.save(tmp_path / "again.png") == []
    for name in ("out.jpg", "again.png"):
        assert np.abs(color.as_float(read_photo(tmp_path / name).frames[0]) - SMOOTH).mean() < 0.006


def test_colors_of_jpeg_xl_are_followed(tmp_path):
    """Case B16: a linear picture has its sRGB values; Display P3 and profiles are found in the head."""
    linear = color.as_depth(color.srgb_decode(SMOOTH), np.uint16)
    photo = read_photo(bytes(imagecodecs.jpegxl_encode(np.ascontiguousarray(linear), lossless=True)))
    assert np.abs(photo.frames[0] - SMOOTH).max() < 2e-3
    photo.save(tmp_path / "out.jpg")
    assert np.abs(color.as_float(read_photo(tmp_path / "out.jpg").frames[0]) - SMOOTH).mean() < 0.006

    def head(*fields: tuple[int, int]) -> bytes:
        """A codestream of 8 x 8 pixels, 8 bit, up to its colour encoding, of (value, bits), lowest bit first."""
        value, place = 0, 0
        size_and_depth = (1, 1), (0, 5), (1, 3), (0, 1), (0, 1), (0, 1), (0, 2), (1, 1), (0, 2), (0, 1), (0, 1)
        for number, bits in (*size_and_depth, *fields):
            value, place = value | number << place, place + bits
        return b"\xff\x0a" + value.to_bytes(20, "little")

    p3 = ((0, 1), (0, 2), (1, 2), (2, 2), (9, 4), (0, 1), (2, 2), (11, 4))
    assert read_color(head(*p3)) == (12, 13)
    with pytest.raises(ValueError, match="ICC"):
        read_color(head((1, 1)))


def test_what_a_format_does_not_hold_is_named(tmp_path):
    """Case B13: in one line."""
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0a\x1c\x02\x19\0\x05dust!"
    content = encoded("JPEG", comment=b"dust", xmp=XMP)
    content = content[:2] + b"\xff\xed" + (len(iptc) + 2).to_bytes(2, "big") + iptc + content[2:]
    photo = read_photo(content)
    assert photo.save(tmp_path / "a.png") == ["Not in the copy, since PNG cannot hold it: IPTC."]
    assert photo.save(tmp_path / "a.bmp") == ["Not in the copy, since BMP cannot hold it: IPTC, XMP, comment."]
    tifffile.imwrite(tmp_path / "geo.tif", EIGHT, photometric="rgb", extratags=[(33550, "d", 3, (1.0, 1.0, 0.0), True)])
    assert "GeoTIFF" in read_photo(tmp_path / "geo.tif").save(tmp_path / "geo.jpg")[0]


def test_turned_tiff_has_no_tag_that_turns_it_again(tmp_path):
    """Case B36: orientation and sizes in XMP and EXIF of a TIFF."""
    packet = XMP.replace(b"xmp:Rating", b'tiff:Orientation="6" tiff:ImageWidth="60" tiff:ImageLength="40" xmp:Rating')
    tags = [(274, "H", 1, 6, True), (700, "B", None, packet, True)]
    tifffile.imwrite(tmp_path / "in.tif", EIGHT, photometric="rgb", extratags=tags, metadata=None)
    read_photo(tmp_path / "in.tif").save(tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert (file.pages[0].imagewidth, file.pages[0].imagelength) == (40, 60)
        written = bytes(file.pages[0].tags[700].value)
        assert file.pages[0].tags[274].value == 1
    assert b'tiff:Orientation="1" tiff:ImageWidth="40" tiff:ImageLength="60"' in written


def test_grey_photos_have_colours_too(tmp_path):
    """A linear grey PNG is converted; the profile of a grey JPEG for RGB stays, though it says nothing of grey."""
    linear = color.as_depth(color.srgb_decode(SMOOTH[..., 1]), np.uint16)
    content = bytes(imagecodecs.png_encode(linear))
    chunk = b"gAMA" + (100000).to_bytes(4, "big")
    photo = read_photo(content[:33] + b"\0\0\0\4" + chunk + zlib.crc32(chunk).to_bytes(4, "big") + content[33:])
    assert np.abs(photo.frames[0] - SMOOTH[..., 1]).max() < 2e-3
    photo.save(tmp_path / "out.png")
    assert (read_photo(tmp_path / "out.png").originals[0] == linear).all()
    photo = read_photo(encoded("JPEG", EIGHT[..., 1].copy(), icc_profile=p3_profile()))
    assert photo.save(tmp_path / "out.jpg") == []
    assert read_photo(tmp_path / "out.jpg").metadata.icc == p3_profile()


def test_density_goes_along(tmp_path):
    for kind, suffix in (("JPEG", ".png"), ("PNG", ".jpg")):
        read_photo(encoded(kind, dpi=(300, 300))).save(tmp_path / f"out{suffix}")
        with Image.open(tmp_path / f"out{suffix}") as copy:
            assert np.allclose(copy.info["dpi"], 300, atol=0.1)
