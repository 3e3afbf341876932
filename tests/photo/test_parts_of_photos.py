"""Captions, logos and rounded corners are no part of the scene; arrays and PIL images are treated as files are."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from profiles import icc_profile
from skimage.color import deltaE_ciede2000, rgb2lab

from ssdie import enhance
from ssdie.data.sample import read_pair
from ssdie.enhancement.result import enhance_photo
from ssdie.photo import color, read_photo
from ssdie.photo.scene import find_scene, is_gray
from ssdie.synthesis.dust import add_dust

SETTINGS = {"strength": 1.0, "working_size": 64}


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A dusty photo, uint8."""
    clear, depth = read_pair("scene_100003")
    pixels = add_dust(clear[None], depth[None], "reference", 0).dusty[0].permute(1, 2, 0).numpy()
    return color.as_depth(pixels, np.uint8)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return deltaE_ciede2000(rgb2lab(first / 255), rgb2lab(second / 255)).mean()


@pytest.mark.parametrize("background, ink", [(0, "white"), (0, "yellow"), (255, "black")])
@pytest.mark.parametrize("quality", [0, 50, 85])
def test_captions_in_bars_stay(background, ink, quality, scene):
    """Case B09: the bars end where the photo begins, not at the caption."""
    height, width = scene.shape[:2]
    framed = Image.new("RGB", (width, height + 120), (background,) * 3)
    framed.paste(Image.fromarray(scene), (0, 60))
    draw, font = ImageDraw.Draw(framed), ImageFont.load_default(16)
    draw.text((0.2 * width, height + 76), "Sand storm,\nsecond line", fill=ink, font=font)
    draw.text((20, 8), "12:04", fill=ink, font=font)
    file = io.BytesIO()
    framed.save(file, *(("JPEG",) if quality else ("PNG",)), **({"quality": quality} if quality else {}))
    photo = read_photo(file.getvalue())
    result, inside = enhance_photo(photo, **SETTINGS).array, np.s_[60 : 60 + height]
    expected = enhance(np.ascontiguousarray(photo.frames[0][inside]), **SETTINGS)
    assert difference(result[inside], expected) < 1.5
    changed = (result != photo.frames[0]).any(axis=(1, 2))
    assert not changed[:59].any() and not changed[height + 61 :].any() and changed[61:-61].any()


def test_lights_at_night_are_no_captions():
    """A row of lights that reaches the sides ends the bar that a black sky looks like."""
    night = np.zeros((120, 160, 3), np.uint8)
    night[60:] = np.random.default_rng(0).integers(40, 120, (60, 160, 3))
    assert find_scene(night) == (slice(60, 120), slice(0, 160))
    night[20:24, ::9] = 220
    assert find_scene(night)[0] == slice(20, 120)


def test_a_coloured_logo_makes_no_grey_photo_coloured(scene):
    """Case B18: trail cameras write a strip in colour on infrared photos."""
    gray = np.repeat(scene[..., 1:2], 3, axis=2)
    gray[-8:, 10:40] = (250, 120, 0)
    assert is_gray(gray)
    result = enhance(gray, **SETTINGS)
    assert np.ptp(result[:-8], axis=2).max() == 0 and (result != gray).any()
    assert np.abs(np.ptp(result[-8:, 10:40].astype(int), axis=2) - 250).max() <= 5  # it keeps its colour
    assert not is_gray(scene)


def test_hidden_colours_of_round_corners_do_not_matter(scene):
    """Random, black and white colours behind an oval give the same repair of what is seen."""
    height, width = scene.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    alpha = np.where(x**2 + y**2 < 1, 255, 0).astype(np.uint8)
    noise, seen = np.random.default_rng(0).integers(0, 256, scene.shape, np.uint8), []
    for hidden in (noise, 0, 255):
        pixels = np.dstack((np.where(alpha[..., None] > 0, scene, hidden).astype(np.uint8), alpha))
        result = enhance(pixels, **SETTINGS)
        assert (result[alpha == 0] == pixels[alpha == 0]).all()
        seen.append(result[alpha > 0])
    assert (seen[0] == seen[1]).all() and (seen[0] == seen[2]).all() and (seen[0] != pixels[alpha > 0]).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_arrays_and_pictures_are_treated_as_files(dtype, scene):
    """Cases B09, B18, B19: bars, grey and flat pictures, whatever holds them; inputs are not touched."""
    bars = color.as_depth(np.pad(scene, ((30, 30), (0, 0), (0, 0))) / 255, dtype)
    kept = bars.copy()
    result = enhance(bars, **SETTINGS)
    inside = enhance(np.ascontiguousarray(bars[30:-30]), **SETTINGS)
    assert (result[30:-30] == inside).all() and not result[:30].any() and (bars == kept).all()
    flat = color.as_depth(np.full((30, 40, 3), 0.5), dtype)
    assert (enhance(flat, **SETTINGS) == flat).all() and enhance(flat, **SETTINGS) is not flat
    gray = np.repeat(bars[30:-30, :, 1:2], 3, axis=2)
    assert np.ptp(enhance(gray, **SETTINGS), axis=2).max() == 0
    if dtype == np.uint8:
        assert (np.asarray(enhance(Image.fromarray(bars), **SETTINGS)) == result).all()
        assert (np.asarray(enhance(Image.fromarray(gray), **SETTINGS)) == enhance(gray, **SETTINGS)).all()


@pytest.mark.parametrize("primaries", [12, 9])
def test_pictures_with_a_profile_are_repaired_as_they_look(primaries, scene):
    """Case B15: a PIL image in Display P3 or Rec. 2020 gets the repair of the same picture in sRGB, in its space."""
    space = color.from_code_points(primaries, 4)
    profile = icc_profile(color.SRGB_TO_XYZ @ space.matrix, 2.2)
    picture = Image.fromarray(color.as_depth(space.from_srgb(scene / np.float32(255)), np.uint8))
    picture.info["icc_profile"] = profile
    result = enhance(picture, strength=1.0)
    assert result.info["icc_profile"] == profile
    shown = color.from_icc(profile).to_srgb(np.asarray(result)).clip(0, 1) * 255
    assert difference(shown, enhance(scene, strength=1.0)) < 0.7
