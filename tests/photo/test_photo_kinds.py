"""Photos of every kind: depth, colour, frames, completeness, and what is refused."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from profiles import icc_profile, scanner_profile
from skimage.color import deltaE_ciede2000, rgb2lab

from ssdie.photo import color, read_photo
from ssdie.photo.files import explain
from ssdie.photo.formats import KINDS, formats_page
from ssdie.utils.paths import project_root

imagecodecs = pytest.importorskip("imagecodecs")
RANDOM = np.random.default_rng(0)
SMOOTH = np.stack(np.broadcast_arrays(*np.ogrid[0.2:0.8:40j, 0.3:0.7:60j], 0.5), axis=-1)


def encoded(kind: str, array=None, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(color.as_depth(SMOOTH, np.uint8) if array is None else array).save(file, kind, **options)
    return file.getvalue()


SPACES = {
    "Display P3": color.from_code_points(12, 13),
    "Adobe RGB": color.adobe_rgb(),
    "Rec. 2020": color.from_code_points(9, 4),
}


def test_formats_page_is_current():
    assert (project_root() / "docs" / "formats.md").read_text() == formats_page()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000", "PPM"])
def test_depth_is_kept(kind, dtype, tmp_path):
    """Case B11: colour of 8 and 16 bit comes back exactly."""
    suffix = KINDS[kind].suffixes[0]
    pixels = RANDOM.integers(0, np.iinfo(dtype).max, (40, 60, 3)).astype(dtype)
    source = read_photo(encoded("PNG", color.as_depth(SMOOTH, np.uint8)))
    source.frames = source.originals = [pixels]
    source.save(tmp_path / f"a{suffix}")
    photo = read_photo(tmp_path / f"a{suffix}")
    photo.save(tmp_path / f"b{suffix}")
    again = read_photo(tmp_path / f"b{suffix}").frames[0]
    assert photo.kind == kind and again.dtype == dtype and (again == pixels).all()


def test_sixteen_bit_gray_with_alpha_is_kept(tmp_path):
    pixels = RANDOM.integers(0, 65535, (40, 60, 2)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    photo = read_photo(tmp_path / "a.png")
    assert photo.frames[0].shape == (40, 60) and (photo.alpha() == pixels[..., 1]).all()
    photo.save(tmp_path / "b.png")
    assert (imagecodecs.png_decode((tmp_path / "b.png").read_bytes()) == pixels).all()


def test_missing_extra_is_named(monkeypatch):
    """Without the extra 16 bit is refused with the command that installs it, never cut."""
    content = bytes(imagecodecs.png_encode(np.zeros((4, 5, 3), np.uint16)))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "ssdie\[formats\]"'):
        read_photo(content)


@pytest.mark.parametrize("name", SPACES)
def test_colors_are_those_that_are_seen(name, tmp_path):
    """Case B15: a photo in another space has the same sRGB values, and comes back in its own."""
    space = SPACES[name]
    own = color.as_depth(space.from_srgb(SMOOTH), np.uint8)
    profile = icc_profile(color.SRGB_TO_XYZ @ space.matrix, {"Adobe RGB": 2.19921875}.get(name, 2.2))
    source = encoded("PNG", own, icc_profile=profile)
    photo = read_photo(source)
    if name != "Display P3":  # whose curve is not a power
        assert deltaE_ciede2000(rgb2lab(photo.frames[0]), rgb2lab(SMOOTH)).mean() < 0.7
    photo.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as copy:
        assert copy.info["icc_profile"] == profile and (np.asarray(copy) == own).all()
    brighter = np.clip(photo.frames[0] + 0.05, 0, 1)
    photo.save(tmp_path / "out.png", brighter)
    assert np.abs(read_photo(tmp_path / "out.png").frames[0] - brighter).max() < 0.01


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_profile_that_cannot_be_applied_costs_no_photo(kind):
    """Case B06: one whose tags of colours are damaged, which then seems to consist of lookup tables."""
    profile = icc_profile(color.SRGB_TO_XYZ @ SPACES["Rec. 2020"].matrix, 2.2).replace(b"rXYZ", b"rXY?")
    photo = read_photo(encoded(kind, icc_profile=profile))
    assert photo.frames[0].shape == SMOOTH.shape and photo.space is None and not photo.metadata.icc
    assert len(photo.notes) == 1 and "profile" in photo.notes[0]


def test_profile_of_a_scanner_is_applied(tmp_path):
    """Its lookup table has one direction: the copy is sRGB, with a note, and looks as the photo does."""
    cube = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1)
    profile = scanner_profile(rgb2lab(0.2 + 0.6 * cube))
    for kind, suffix in (("PNG", "png"), ("TIFF", "tif"), ("JPEG", "jpg")):
        content = encoded(kind, icc_profile=profile)
        expected = ImageCms.profileToProfile(
            Image.open(io.BytesIO(content)), io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        notes = read_photo(content).save(tmp_path / f"out.{suffix}")
        assert len(notes) == 1 and "sRGB" in notes[0]
        with Image.open(tmp_path / f"out.{suffix}") as copy:
            assert "icc_profile" not in copy.info and np.abs(np.subtract(copy, expected, dtype=float)).max() < 6


def test_own_conversion_agrees_with_littlecms():
    profile = icc_profile(color.SRGB_TO_XYZ @ SPACES["Rec. 2020"].matrix, 2.2)
    own = color.as_depth(RANDOM.random((40, 60, 3)) * 0.4 + 0.3, np.uint8)
    reference = ImageCms.profileToProfile(
        Image.fromarray(own), ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), 1, "RGB"
    )
    ours = np.clip(color.from_icc(profile).to_srgb(own), 0, 1)
    assert np.abs(ours * 255 - np.asarray(reference)).max() < 2


def test_png_chunks_of_color_are_followed():
    """cICP before all others; gAMA of a linear picture."""
    linear = color.as_depth(color.srgb_decode(SMOOTH), np.uint16)
    content = bytes(imagecodecs.png_encode(linear))

    def chunk(name, value):
        return struct.pack(">I", len(value)) + name + value + struct.pack(">I", zlib.crc32(name + value))

    for extra in (chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"cICP", bytes((1, 8, 0, 1)))):
        photo = read_photo(content[:33] + extra + content[33:])
        assert np.abs(photo.frames[0] - SMOOTH).max() < 2e-3
    photo = read_photo(content[:33] + chunk(b"cICP", bytes((9, 16, 0, 1))) + content[33:])
    assert "PQ" in photo.notes[0] and photo.space is None


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_every_frame_is_kept(kind, tmp_path):
    """Case B12."""
    frames = [Image.fromarray(np.full((40, 60, 3), 60 * n + 20, np.uint8)) for n in range(4)]
    suffix, timing = KINDS[kind].suffixes[0], {} if kind == "TIFF" else {"duration": [100, 200, 100, 300]}
    frames[0].save(tmp_path / f"a{suffix}", kind, save_all=True, append_images=frames[1:], **timing)
    photo = read_photo(tmp_path / f"a{suffix}")
    assert len(photo.frames) == 4
    photo.save(tmp_path / f"b{suffix}")
    copy = read_photo(tmp_path / f"b{suffix}")
    assert [round(frame.mean() / 10) for frame in copy.frames] == [2, 8, 14, 20]
    assert copy.durations == photo.durations and copy.loop == photo.loop


def test_preview_page_is_no_page(tmp_path):
    """Case B29."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(color.as_depth(SMOOTH, np.uint8), photometric="rgb")
        file.write(color.as_depth(SMOOTH[::4, ::4], np.uint8), photometric="rgb", subfiletype=1)
    notes = read_photo(tmp_path / "a.tif").save(tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert len(file.pages) == 1 and len(notes) == 1 and "preview" in notes[0]


def test_jpeg_without_its_end_is_done_with_a_note():
    """Case B22; half a photo is refused."""
    content = encoded("JPEG", RANDOM.integers(0, 255, (120, 160, 3), np.uint8), quality=90)
    for missing in (2, 20):
        assert any("end" in note for note in read_photo(content[:-missing]).notes)
    with pytest.raises(ValueError, match="damaged"):
        read_photo(content[: len(content) // 2])


def test_second_parts_are_named():
    """Case B17: the video of a motion photo, the second picture of an MPO, a gain map."""
    plain = encoded("JPEG")
    assert "video" in read_photo(plain + b"\0\0\0\x18ftypmp42" + bytes(2000)).notes[0]
    other = Image.fromarray(color.as_depth(SMOOTH, np.uint8)[::-1])
    assert "second picture" in read_photo(encoded("MPO", save_all=True, append_images=[other])).notes[0]
    gain = b'<x hdrgm:Version="1.0" GCamera:MotionPhoto="1"/>'
    photo = read_photo(encoded("JPEG", xmp=gain))
    assert "gain map" in photo.notes[0]


def test_large_photos_are_no_bombs(monkeypatch):
    """Case B23: the limit is by pixels per byte; a file that declares too many is refused."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_photo(encoded("JPEG")).frames[0].shape == (40, 60, 3)
    content = bytearray(encoded("JPEG"))
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, 60000, 60000)
    with pytest.raises(ValueError, match="60000 x 60000 pixels"):
        read_photo(bytes(content))


def test_unsupported_kinds_are_named(tmp_path):
    """Cases B07, B30: what a file is stands in the message."""
    tifffile.imwrite(tmp_path / "a.tif", SMOOTH[..., 0])
    named = {
        (tmp_path / "a.tif").read_bytes(): "float64 grey TIFF is not supported",
        encoded("ICO"): "ICO is not supported",
    }
    named |= {b"8BPS" + bytes(50): "PSD", b"\0\0\0\x18ftypmp42" + bytes(50): "video", b"text": "not a picture"}
    for content, message in named.items():
        with pytest.raises(ValueError, match=message.replace("(", r"\(")):
            read_photo(content)


def test_heic_becomes_jpeg(tmp_path):
    """Case B07: HEIC is read; its copy is a JPEG with its EXIF."""
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x010F] = "Acme"
    picture = Image.fromarray(color.as_depth(SMOOTH, np.uint8))
    heif.from_pillow(picture).save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    photo = read_photo(tmp_path / "a.heic")
    photo.save(tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as copy:
        assert copy.format == "JPEG" and copy.getexif()[0x010F] == "Acme"
        assert np.abs(np.asarray(copy).astype(int) - np.asarray(picture)).mean() < 4


def test_dng_is_developed_to_sixteen_bit(tmp_path):
    """Case B07: camera white balance, EXIF of the camera, a TIFF as the copy."""
    pytest.importorskip("rawpy")
    identity = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)
    tags = [(50706, "B", 4, (1, 4, 0, 0)), (50708, "s", 0, "Acme One"), (271, "s", 0, "Acme"), (33421, "H", 2, (2, 2))]
    tags += [(33422, "B", 4, (0, 1, 1, 2)), (50721, "2i", 9, identity), (50728, "2I", 3, (1, 2, 1, 1, 1, 2))]
    values = RANDOM.integers(500, 3500, (96, 128)).astype(np.uint16)
    extra = [(*tag, True) for tag in (*tags, (50717, "H", 1, 4095))]
    tifffile.imwrite(tmp_path / "a.dng", values, photometric=32803, extratags=extra, metadata=None)
    photo = read_photo(tmp_path / "a.dng")
    assert len(photo.save(tmp_path / "b.tif")) == 1
    with tifffile.TiffFile(tmp_path / "b.tif") as copy:
        assert copy.asarray().dtype == np.uint16 and copy.asarray().shape == (96, 128, 3)
        assert copy.pages[0].tags["Make"].value == "Acme"


def test_jpeg_xl_is_read():
    values = color.as_depth(SMOOTH, np.uint8)
    assert (read_photo(bytes(imagecodecs.jpegxl_encode(values, lossless=True))).frames[0] == values).all()


def test_mutated_files_raise_only_what_is_explained():
    """Damage anywhere: a photo, or an error that `explain` puts in one sentence."""
    originals = [encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + bytes(30)), encoded("TIFF", compression="tiff_lzw")]
    originals += [bytes(imagecodecs.png_encode(color.as_depth(SMOOTH, np.uint16))), encoded("JPEG2000")]
    file = io.BytesIO()
    tifffile.imwrite(file, color.as_depth(SMOOTH, np.uint16), photometric="rgb")
    done = 0
    for n in range(300):
        content = bytearray((originals + [file.getvalue()])[n % 5])
        for place in RANDOM.integers(0, min(len(content), 600), 3):
            content[place] = RANDOM.integers(256)
        try:
            read_photo(bytes(content))
            done += 1
        except Exception as error:
            assert isinstance(error, OSError | ValueError | MemoryError), repr(error)
            assert "\n" not in explain(error)
    assert done > 30
