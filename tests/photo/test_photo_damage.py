"""Damage beside the pixels costs no photo: PNG chunks, missing ends, data after the picture; depth that hides."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ssdie.photo import read_photo
from ssdie.photo.jpeg import read_segments

imagecodecs = pytest.importorskip("imagecodecs")
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(40, 200, (24, 32, 3)).astype(np.uint8)
DEEP = RANDOM.integers(0, 65535, (24, 32, 3)).astype(np.uint16)
ORIENTED = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + bytes(4)


def encoded(kind: str, array: np.ndarray = PIXELS, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


PLAIN = encoded("PNG")
CHUNKS = {
    "checksum": (chunk(b"tEXt", b"Title\0dust")[:-1] + b"?", "tEXt"),
    "checksum of the profile": (chunk(b"iCCP", b"a\0\0")[:-1] + b"?", "iCCP"),
    "text that does not unpack": (chunk(b"zTXt", b"Title\0\0no zlib"), "zTXt"),
    "text of 100 MB": (chunk(b"zTXt", b"Title\0\0" + zlib.compress(bytes(100 << 20), 9)), "zTXt"),
    "profile that does not unpack": (chunk(b"iCCP", b"icc\0\0no zlib"), "profile"),
    "profile of 100 MB": (chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(100 << 20), 9)), "profile"),
    "short gamma": (chunk(b"gAMA", b"\0"), "gAMA"),
    "short density": (chunk(b"pHYs", b"\0"), "pHYs"),
    "short primaries": (chunk(b"cHRM", b"\0"), "cHRM"),
    "no gamma": (chunk(b"gAMA", bytes(4)), ""),
    "short transparency": (chunk(b"tRNS", b"\0\1"), "tRNS"),
    "checksum of the transparency": (chunk(b"tRNS", bytes(6))[:-1] + b"?", "tRNS"),
}


@pytest.mark.parametrize("kind", CHUNKS)
def test_damaged_chunks_cost_no_png(kind, tmp_path):
    """Case B06 for PNG: what is damaged is dropped with a note, and other programs read the copy."""
    damaged, note = CHUNKS[kind]
    photo = read_photo(PLAIN[:33] + damaged + PLAIN[33:])
    notes = photo.save(tmp_path / "out.png")
    assert (photo.frames[0] == PIXELS).all() and (np.asarray(Image.open(tmp_path / "out.png")) == PIXELS).all()
    assert (len(notes) == 1 and note in notes[0]) if note else notes == []


@pytest.mark.parametrize("pixels, content", [(DEEP, b"\0\1"), (DEEP[..., 0].copy(), b"\1"), (DEEP, bytes(12))])
def test_transparency_of_a_wrong_length_is_dropped(pixels, content):
    """What follows a short chunk is no colour."""
    plain = bytes(imagecodecs.png_encode(pixels))
    photo = read_photo(plain[:33] + chunk(b"tRNS", content) + plain[33:])
    assert photo.alpha() is None and "tRNS" in photo.notes[0] and (photo.frames[0] == pixels).all()


def test_bytes_between_the_segments_of_a_jpeg_are_skipped(tmp_path):
    """Fill bytes, as T.81 allows them before a marker, and others, as decoders skip them."""
    content = encoded("JPEG", RANDOM.integers(0, 255, (300, 400, 3), np.uint8), quality=95, comment=b"dust")
    segments, scan = read_segments(content)
    assert len(content) > 1 << 16 and len(segments) == 2  # JFIF and the comment
    for filler in (b"\xff\xff", b"\0\1\2"):
        filled, place = content[:2], 2
        while place < scan:
            end = place + 2 + struct.unpack_from(">H", content, place + 2)[0]
            filled, place = filled + content[place:end] + filler, end
        photo = read_photo(filled + content[scan:])
        assert photo.notes == [] and photo.metadata.segments == segments
        assert (photo.frames[0] == read_photo(content).frames[0]).all()


def test_exif_of_png_is_found_wherever_it_is():
    """Behind the pixels, and with the header of JPEG before it, as some programs write it."""
    for content in (
        PLAIN[:33] + chunk(b"eXIf", b"Exif\0\0" + ORIENTED) + PLAIN[33:],
        PLAIN[:-12] + chunk(b"eXIf", ORIENTED) + PLAIN[-12:],
    ):
        photo = read_photo(content)
        assert photo.frames[0].shape == (32, 24, 3) and photo.notes == []


def test_png_that_ends_early_or_late():
    assert read_photo(PLAIN[:-12]).notes == [] and read_photo(PLAIN[:-4]).notes == []
    assert "50 bytes after" in read_photo(PLAIN + b"x" * 50).notes[0]


def test_progressive_jpeg_without_its_end_is_done():
    """Case B22: only a scan that is missing costs the photo."""
    content = encoded("JPEG", quality=90, progressive=True)
    assert "lacks its end" in read_photo(content[:-2]).notes[0]
    scans = [n for n in range(len(content) - 1) if content[n : n + 2] == b"\xff\xda"]
    with pytest.raises(ValueError, match="last scans"):
        read_photo(content[: scans[-1]])


def test_data_behind_a_jpeg_are_named():
    content = encoded("JPEG")
    assert "400 bytes after" in read_photo(content + b"junk" * 100).notes[0]
    assert read_photo(content + bytes(400)).notes == []


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_color_of_sixteen_bit_png_is_kept(channels, tmp_path):
    pixels = DEEP if channels == 3 else DEEP[..., 0].copy()
    content = bytes(imagecodecs.png_encode(pixels))
    clear = struct.pack(f">{channels}H", *np.atleast_1d(pixels[0, 0]))
    photo = read_photo(content[:33] + chunk(b"tRNS", clear) + content[33:])
    photo.save(tmp_path / "out.png")
    copy = read_photo(tmp_path / "out.png")
    assert copy.alpha()[0, 0] == 0 and (copy.alpha() == 65535).sum() > 700 and (copy.frames[0] == pixels).all()


def test_comment_in_a_ppm_hides_no_depth():
    """Case B11."""
    photo = read_photo(b"P6\n# made by 8 hands\n32 24\n# 255\n65535\n" + DEEP.astype(">u2").tobytes())
    assert (photo.frames[0] == DEEP).all()


def test_twelve_bit_jpeg2000_fills_its_range():
    twelve = (DEEP >> 4).astype(np.uint16)
    twelve[0, 0] = 4095
    content = bytes(imagecodecs.jpeg2k_encode(twelve, bitspersample=12, codecformat="jp2", level=0))
    values = read_photo(content).frames[0]
    assert values.max() == 65535 and np.abs(values - twelve * (65535 / 4095)).max() < 1


def test_default_image_of_an_apng_stays_outside_of_the_animation(tmp_path):
    frames = [Image.fromarray(np.roll(PIXELS, 3 * n, axis=1)) for n in range(3)]
    timing = {"duration": [100, 300], "default_image": True}
    frames[0].save(tmp_path / "in.png", save_all=True, append_images=frames[1:], **timing)
    read_photo(tmp_path / "in.png").save(tmp_path / "out.png")
    for name in ("in", "out"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.default_image and picture.n_frames == 3
            picture.seek(2)
            assert picture.info["duration"] == 300


@pytest.mark.parametrize(
    "content, name",
    [
        (b"PK\3\4" + bytes(50), "ZIP"),
        (b"SIMPLE  =  T" + bytes(50), "FITS"),
        (bytes(128) + b"DICM" + bytes(50), "DICOM"),
        (b"P7\nWIDTH 2\n", "PAM"),
        (bytes(imagecodecs.jpeg_encode(DEEP >> 4, bitspersample=12)), "12-bit JPEG"),
        (bytes(imagecodecs.jpegls_encode(PIXELS)), "JPEG-LS"),
        (encoded("JPEG").replace(b"\xff\xc0", b"\xff\xc5", 1), "hierarchical JPEG"),
    ],
)
def test_other_kinds_are_named(content, name):
    """Case B30."""
    with pytest.raises(ValueError, match=f"{name}.* is not supported"):
        read_photo(content)
