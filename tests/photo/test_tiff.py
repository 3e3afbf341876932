"""TIFF of unusual layouts: channels, alpha, polarity, bit order and pages of different kinds are what they were."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from profiles import icc_profile

from ssdie.photo import color, read_photo
from ssdie.photo.tags import TagBlock

imagecodecs, tifffile = pytest.importorskip("imagecodecs"), pytest.importorskip("tifffile")
Y, X = np.mgrid[0.2:0.8:40j, 0.3:1:60j]
EIGHT = color.as_depth(np.stack((0.4 + 0.4 * X, Y, X * Y), axis=-1), np.uint8)
SIXTEEN = EIGHT.astype(np.uint16) * 257
ALPHA = color.as_depth(X, np.uint8)
GRAY, NONE, ASSOCIATED = EIGHT[..., 1].copy(), "unspecified", "assocalpha"


def multiplied(pixels: np.ndarray) -> np.ndarray:
    return color.as_depth(color.as_float(pixels) * X.reshape(X.shape + (1,) * (pixels.ndim - 2)), pixels.dtype)


LAYOUTS = {  # pixels, photometric interpretation, kinds of the channels beyond grey or RGB
    "near infrared": (np.dstack((EIGHT, ALPHA)), "rgb", [NONE]),
    "associated alpha": (np.dstack((multiplied(EIGHT), ALPHA)), "rgb", [ASSOCIATED]),
    "associated alpha, 16 bit": (np.dstack((multiplied(SIXTEEN), ALPHA * np.uint16(257))), "rgb", [ASSOCIATED]),
    "grey and a band": (np.dstack((GRAY, ALPHA)), "minisblack", [NONE]),
    "grey and two bands": (np.dstack((GRAY, ALPHA, ALPHA)), "minisblack", [NONE] * 2),
    "grey and associated alpha": (np.dstack((multiplied(GRAY), ALPHA)), "minisblack", [ASSOCIATED]),
    "inverted and alpha": (np.dstack((GRAY, ALPHA)), "miniswhite", ["unassalpha"]),
    "inverted, 8 bit": (GRAY, "miniswhite", None),
    "inverted, 16 bit": (SIXTEEN[..., 1].copy(), "miniswhite", None),
    "inverted, float": (Y.astype(np.float32), "miniswhite", None),
}


def tiff_bytes(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_channels_and_polarity_are_kept(name, order, tmp_path):
    """Case B28: the stored values come back, and the tags that explain them."""
    pixels, photometric, extra = LAYOUTS[name]
    options = {"photometric": photometric, "byteorder": order, "planarconfig": "contig", "extrasamples": extra}
    photo = read_photo(tiff_bytes(pixels, **options))
    assert photo.save(tmp_path / "out.tif") == []
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        page, copy = file.pages[0], file.asarray()
        assert page.photometric.name.lower() == photometric and len(page.extrasamples) == len(extra or ())
        assert [kind.name.lower() for kind in page.extrasamples] == (extra or [])
    tolerance = 1e-6 if pixels.dtype.kind == "f" else int(name == "associated alpha")  # Pillow rounds there
    assert copy.dtype == pixels.dtype and np.abs(copy.astype(float) - pixels).max() <= tolerance


def test_the_scene_is_what_viewers_show():
    """Inverted grey is positive, and colours are not darkened by their alpha."""
    top = {np.uint8: 255, np.uint16: 65535, np.float32: 1}
    for name in ("inverted, 8 bit", "inverted, 16 bit", "inverted, float"):
        pixels = LAYOUTS[name][0]
        shown = read_photo(tiff_bytes(pixels, photometric="miniswhite")).frames[0]
        assert np.abs(shown.astype(float) - (top[pixels.dtype.type] - pixels.astype(float))).max() < 1e-6
    for name, expected in (("associated alpha", EIGHT), ("associated alpha, 16 bit", SIXTEEN)):
        photo = read_photo(tiff_bytes(LAYOUTS[name][0], photometric="rgb", extrasamples=[ASSOCIATED]))
        assert photo.has_alpha and np.abs(color.as_float(photo.frames[0]) - color.as_float(expected)).max() < 0.02


def test_reversed_bits_are_not_claimed_for_the_copy(tmp_path):
    """The tag FillOrder of a fax would make its 8-bit copy unreadable."""
    file = io.BytesIO()
    Image.fromarray(GRAY > 128).save(file, "TIFF", compression="group4")
    block = TagBlock(file.getvalue())
    directory = block.directory(block.first)
    turned = bytes(int(f"{n:08b}"[::-1], 2) for n in range(256))
    start, size = block.number(directory, 273), block.number(directory, 279)
    block.data[start : start + size] = block.data[start : start + size].translate(turned)
    tags = {e.tag: (e.type, e.count, block.raw(directory, e.tag)) for e in directory.entries.values()}
    block.pack("I", 4, block.append_directory(tags | {266: (3, 1, struct.pack("<H", 2))}))
    read_photo(bytes(block.data)).save(tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as copy:
        assert (np.asarray(copy) == np.where(GRAY > 128, 255, 0)).all()


def pages(*written: tuple[np.ndarray, dict]) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for pixels, options in written:
            writer.write(pixels, metadata=None, photometric="rgb" if pixels.ndim == 3 else "minisblack", **options)
    return file.getvalue()


def test_each_page_keeps_its_kind_and_profile(tmp_path):
    """Colour, grey, 8 and 16 bit, of different sizes; the profile of one page is not that of another."""
    profile = icc_profile(color.SRGB_TO_XYZ @ color.from_code_points(12, 13).matrix, 2.2)
    tag = {"extratags": [(34675, "B", len(profile), profile, True)]}
    stored = [(EIGHT, tag), (SIXTEEN[::2].copy(), {}), (GRAY, {}), (SIXTEEN[..., 0].copy(), {})]
    for chosen in (stored, stored[::-1]):
        assert read_photo(pages(*chosen)).save(tmp_path / "out.tif") == []
        with tifffile.TiffFile(tmp_path / "out.tif") as file:
            for page, (pixels, options) in zip(file.pages, chosen, strict=True):
                assert page.dtype == pixels.dtype and (page.asarray() == pixels).all()
                assert (34675 in page.tags) == bool(options)


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "avif"])
def test_pages_of_different_sizes_are_no_animation(suffix, tmp_path):
    notes = read_photo(pages((EIGHT, {}), (EIGHT[::2].copy(), {}))).save(tmp_path / f"out.{suffix}")
    assert any("the first of 2" in note for note in notes)
    assert read_photo(tmp_path / f"out.{suffix}").frames[0].shape == EIGHT.shape


def resource(number: int, content: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + bytes(len(content) % 2)


def test_thumbnails_of_photoshop_are_not_in_the_copy(tmp_path):
    """They show the photo before the repair; IPTC beside them is kept."""
    iptc = resource(0x0404, b"\x1c\x02\x19\0\x05dust!")
    resources = iptc + resource(1036, bytes(28) + b"the old photo") + resource(0x0425, bytes(16))
    tags = [(34377, "B", len(resources), resources, True)]
    (tmp_path / "in.tif").write_bytes(tiff_bytes(EIGHT, photometric="rgb", extratags=tags))
    file = io.BytesIO()
    Image.fromarray(EIGHT).save(file, "JPEG")
    segment = b"Photoshop 3.0\0" + resources
    content = file.getvalue()
    head = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    (tmp_path / "in.jpg").write_bytes(content[:2] + head + content[2:])
    for name in ("in.tif", "in.jpg"):
        read_photo(tmp_path / name).save(tmp_path / f"out-{name}")
    with tifffile.TiffFile(tmp_path / "out-in.tif") as copy:
        kept = bytes(copy.pages[0].tags[34377].value)
    assert kept == iptc + resource(0x0425, bytes(16)) and kept in (tmp_path / "out-in.jpg").read_bytes()
    assert b"the old photo" not in (tmp_path / "out-in.jpg").read_bytes()


def test_further_inks_are_named():
    content = tiff_bytes(np.dstack((EIGHT, EIGHT[..., :2])), photometric="separated", extrasamples=[NONE])
    with pytest.raises(ValueError, match="uint8 CMYK TIFF with further channels is not supported"):
        read_photo(content)
