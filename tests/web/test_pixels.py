"""Photos repaired by the web page equal those of `ssdie.enhance` and keep their metadata."""

import functools
import io
import json
import subprocess
import zipfile

import numpy as np
import pytest
from app import choose, clear, dusty, entries, full_strength, save
from PIL import Image, ImageCms

import ssdie

pytestmark = pytest.mark.external
TOLERANCE, FRACTION = 2, 0.999  # levels; fraction of the pixels within them
ORIENTATION, MAKE, EXPOSURE = 0x0112, 0x010F, 0x829A
PACKET = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
xmp:Rating="4" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[ORIENTATION], block[MAKE] = orientation, "Sahara Optics"
    block.get_ifd(0x8769)[EXPOSURE] = 0.004
    block.get_ifd(0x8825)[2] = (36.0, 11.0, 28.0)
    return block


@functools.cache  # a profile contains its creation time
def wide_profile() -> bytes:
    """A matrix profile with other primaries than sRGB."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    tags = {bytes(profile[p : p + 4]): p for p in range(132, 132 + 12 * count, 12)}
    offsets = {name: int.from_bytes(profile[tags[name] + 4 : tags[name] + 8], "big") for name in (b"rXYZ", b"gXYZ")}
    red, green = (np.frombuffer(bytes(profile[at + 8 : at + 20]), ">i4") for at in offsets.values())
    for at, own, other in zip(offsets.values(), (red, green), (green, red), strict=True):
        profile[at + 8 : at + 20] = (0.85 * own + 0.15 * other).round().astype(">i4").tobytes()
    return bytes(profile)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eight photos of several sizes, orientations and kinds."""
    folder = tmp_path_factory.mktemp("photos")
    plain = {"quality": 95, "subsampling": 0}
    Image.fromarray(dusty(0, 640, 427)).save(folder / "upright.jpg", quality=90)
    Image.fromarray(dusty(1, 511, 340)).save(folder / "turned left.jpg", exif=exif(6), **plain)
    Image.fromarray(dusty(2, 300, 400)).save(folder / "upside down.jpg", exif=exif(3), **plain)
    Image.fromarray(dusty(3, 203, 97)).save(folder / "mirrored.jpg", exif=exif(5), **plain)
    Image.fromarray(dusty(4, 400, 300)).save(folder / "wide gamut.jpg", icc_profile=wide_profile(), **plain)
    Image.fromarray(dusty(5, 480, 320)).convert("L").save(folder / "gray.png", exif=exif(7))
    long = np.tile(dusty(6, 900, 40), (1, 10, 1))  # longer than the largest texture of WebGL in software
    Image.fromarray(long).save(folder / "long.png")
    framed = np.pad(dusty(7, 240, 160), ((30, 30), (0, 0), (0, 0)))
    alpha = np.full(framed.shape[:2], 255, np.uint8)
    alpha[:, :20] = 0
    Image.fromarray(np.dstack((framed, alpha))).save(folder / "bars.png")
    return sorted(folder.iterdir())


def test_eight_photos_equal_those_of_the_python_package(page, photos, tmp_path):
    choose(page, *photos)
    assert [entry.get_attribute("data-state") for entry in entries(page).all()] == ["done"] * 8
    full_strength(page)
    with zipfile.ZipFile(save(page, "#save-all", lossless=True)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == [f"{path.stem}.png" for path in photos]
        archive.extractall(tmp_path)
    for path in photos:
        expected_file = tmp_path / f"{path.stem} expected.png"
        expected_file.write_bytes(ssdie.enhance(path, strength=1.0).encode("PNG"))
        with Image.open(expected_file) as expected, Image.open(tmp_path / f"{path.stem}.png") as got:
            assert got.size == expected.size, path.name
            mode = "RGBA" if expected.has_transparency_data else "RGB"
            pair = [np.asarray(picture.convert(mode)).astype(int) for picture in (expected, got)]
        if mode == "RGBA":
            assert (pair[0][..., 3] == pair[1][..., 3]).all()
            pair = [pixels[pair[0][..., 3] > 0] for pixels in pair]
        close = (np.abs(pair[0] - pair[1]) <= TOLERANCE).all(axis=-1).mean()
        assert close >= FRACTION, f"{path.name}: {close:.4%} within {TOLERANCE}"
    clear(page)
    assert page.locator("#welcome").is_visible()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_icc_and_xmp_are_kept(page, suffix, tmp_path):
    photo = tmp_path / f"Oasis 7.{suffix}"
    options = {"exif": exif(6), "icc_profile": wide_profile(), "quality": 92}
    if suffix != "png":
        options["xmp"] = PACKET
    Image.fromarray(dusty(3, 300, 200)).save(photo, **options)
    choose(page, photo)
    full_strength(page)
    copy = save(page)
    assert copy.name == photo.name
    command = ["exiftool", "-j", "-G1", "-n", "-a", photo, copy]
    before, after = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    kept = {name for name in before if name.split(":")[0].startswith(("IFD0", "Exif", "GPS", "ICC", "XMP"))}
    assert len(kept) > 20
    assert {name: after.get(name) for name in kept} | {name: 1 for name in kept if name.endswith(":Orientation")} == {
        name: 1 if name.endswith(":Orientation") else before[name] for name in kept
    }
    assert "ExifTool:Warning" not in after
    repaired = io.BytesIO(ssdie.enhance(photo, strength=1.0).encode("PNG"))
    with Image.open(copy) as picture, Image.open(repaired) as expected:
        assert picture.size == (200, 300) and picture.info["icc_profile"] == wide_profile()
        assert picture.mode == "RGB"
        assert np.abs(np.asarray(picture).astype(int) - np.asarray(expected)).mean() < 4  # lossy, but upright
    clear(page)


def test_the_thumbnail_of_the_dusty_photo_is_not_in_the_copy(page, tmp_path):
    photo, thumbnail = tmp_path / "thumb.jpg", tmp_path / "small.jpg"
    Image.fromarray(dusty(1, 300, 200)).save(photo, exif=exif(1))
    Image.fromarray(dusty(1, 60, 40)).save(thumbnail)
    subprocess.run(["exiftool", "-q", "-overwrite_original", f"-ThumbnailImage<={thumbnail}", photo], check=True)
    assert thumbnail.read_bytes() in photo.read_bytes()
    choose(page, photo)
    copy = save(page)
    assert thumbnail.read_bytes() not in copy.read_bytes()
    command = ["exiftool", "-validate", "-s3", copy]
    report = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert report.startswith("OK") or "warning" in report.lower() and "error" not in report.lower(), report
    clear(page)


def test_photos_of_the_same_name_get_distinct_names_in_the_zip(page, tmp_path):
    for folder, seed in (("a", 0), ("b", 1)):
        (tmp_path / folder).mkdir()
        Image.fromarray(dusty(seed, 120, 80)).save(tmp_path / folder / "same.jpg")
    choose(page, tmp_path / "a" / "same.jpg", tmp_path / "b" / "same.jpg")
    with zipfile.ZipFile(save(page, "#save-all")) as archive:
        assert archive.namelist() == ["same.jpg", "same (2).jpg"]
        assert archive.read("same.jpg") != archive.read("same (2).jpg")
    clear(page)


def test_strength_0_changes_no_pixel(page, tmp_path):
    photo = tmp_path / "as it was.png"
    Image.fromarray(dusty(2, 160, 120)).save(photo)
    choose(page, photo)
    page.locator("#strength").press("Home")
    with Image.open(save(page)) as got, Image.open(photo) as before:
        assert (np.asarray(got.convert("RGB")) == np.asarray(before)).all()
    page.locator("#strength").press("End")
    with Image.open(save(page)) as got, Image.open(photo) as before:
        assert np.abs(np.asarray(got.convert("RGB")).astype(int) - np.asarray(before)).mean() > 10
    clear(page)
