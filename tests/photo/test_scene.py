"""What is no scene stays as it was: bars, margins, flat pictures, grey; panoramas have no seam."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from ssdie import enhance
from ssdie.data.sample import read_pair
from ssdie.enhancement.result import enhance_photo, enhance_photo_file
from ssdie.photo import read_photo
from ssdie.photo.scene import LUMA, enhance_scene, find_scene, find_tone, is_gray, repair_weight
from ssdie.synthesis.dust import add_dust

RANDOM = np.random.default_rng(0)


def dusty(height: int = 120, width: int = 180) -> np.ndarray:
    """A smooth dusty scene with some detail."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    detail = 0.08 * np.sin(40 * x) * np.cos(30 * y) + 0.01 * RANDOM.standard_normal(x.shape)
    values = np.stack((0.75 - 0.2 * y, 0.6 - 0.2 * y, 0.4 - 0.1 * y), axis=-1) + detail[..., None]
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def sample() -> np.ndarray:
    """A dusty photo, uint8."""
    clear, depth = read_pair("scene_100003")
    pixels = add_dust(clear[None], depth[None], "reference", 0).dusty[0].permute(1, 2, 0).numpy()
    return np.rint(pixels * 255).astype(np.uint8)


def repair(photo):
    """Enhance at full strength, whatever the dust score of these drawn pictures."""
    return enhance_photo(photo, strength=1.0)


def as_photo(pixels: np.ndarray, kind: str = "PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return read_photo(file.getvalue())


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return deltaE_ciede2000(rgb2lab(first / 255), rgb2lab(second / 255)).mean()


@pytest.fixture(scope="module")
def plain():
    pixels = dusty()
    return pixels, repair(as_photo(pixels)).array


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("kind, options", [("PNG", {}), ("JPEG", {"quality": 90})])
@pytest.mark.parametrize("margins", [((30, 30), (0, 0)), ((0, 0), (50, 40)), ((20, 20), (20, 20))])
def test_bars_stay_and_the_scene_is_repaired_as_without(value, kind, options, margins, plain):
    """Case B09."""
    pixels, expected = plain
    photo = as_photo(np.pad(pixels, (*margins, (0, 0)), constant_values=value), kind, **options)
    result = repair(photo).array
    (top, bottom), (left, right) = margins
    inside = result[top : len(result) - bottom, left : result.shape[1] - right]
    if kind == "JPEG":  # the scene as it was decoded: without bars it would be coded a little differently
        scene = photo.frames[0][top : len(result) - bottom, left : result.shape[1] - right]
        expected = repair(as_photo(scene)).array
    assert difference(inside, expected) < 1.5
    changed = (result != photo.frames[0]).any(axis=-1)
    changed[max(0, top - 1) : len(result) - bottom + 1, max(0, left - 1) : result.shape[1] - right + 1] = False
    assert not changed.any()


def test_hidden_color_of_transparent_margins_does_not_matter(plain):
    pixels, expected = plain
    alpha = np.pad(np.full(pixels.shape[:2], 255, np.uint8), 20)
    alpha[40:60, 60:90] = 0  # a hole
    results = []
    for value in (0, 90, 255):
        hidden = np.pad(pixels, ((20, 20), (20, 20), (0, 0)), constant_values=value)
        hidden[40:60, 60:90] = value
        photo = as_photo(np.dstack((hidden, alpha)))
        result = repair(photo).array
        assert (result[alpha == 0] == value).all()
        results.append(result[alpha > 0])
    assert (results[0] == results[1]).all() and (results[0] == results[2]).all()
    assert difference(results[0][None], np.pad(expected, ((20, 20), (20, 20), (0, 0)))[alpha > 0][None]) < 1.5


@pytest.mark.parametrize("value", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 150, 90), (5, 5, 5)])
def test_flat_pictures_stay(value):
    """Case B19."""
    pixels = np.full((60, 80, 3), value, np.uint8)
    noise = np.clip(pixels + RANDOM.normal(0, 1, pixels.shape), 0, 255).astype(np.uint8)
    for picture in (pixels, noise):
        assert np.abs(repair(as_photo(picture)).array.astype(int) - picture).max() <= 1


def test_page_of_text_stays_white():
    page = np.full((200, 150, 3), 255, np.uint8)
    page[20:180:10, 20:130:3] = 0
    assert (repair(as_photo(page)).array == page).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_areas_that_meet_are_no_bars(axis):
    halves = np.concatenate([np.full((40, 40, 3), value, np.uint8) for value in (90, 160)], axis=axis)
    assert find_scene(halves) == (slice(0, halves.shape[0]), slice(0, halves.shape[1]))
    assert enhance_photo(as_photo(halves), working_size=32).array.shape == halves.shape


def test_photos_get_the_full_repair():
    assert repair_weight(dusty()) == 1 and find_scene(dusty()) == (slice(0, 120), slice(0, 180))


def test_gray_stored_as_rgb_stays_gray():
    """Case B18: equal channels stay equal, and the result is that of the grey photo."""
    gray = dusty()[..., 1]
    stored = repair(as_photo(np.repeat(gray[..., None], 3, axis=2))).array
    assert is_gray(stored) and np.ptp(stored, axis=2).max() == 0
    assert (stored[..., 0] == repair(as_photo(gray)).array).all() and (stored[..., 0] != gray).any()


@pytest.mark.parametrize("kind, options", [("PNG", {}), ("JPEG", {"quality": 92}), ("JPEG", {"quality": 60})])
@pytest.mark.parametrize("tint", [(1.0, 0.89, 0.70), (0.85, 0.92, 1.0)])
def test_toned_photos_keep_their_tone(kind, options, tint):
    """Case B18, sepia and blue: the repair is that of the grey photo, and each level keeps its colour."""
    gray = dusty(240, 320)[..., 1]
    photo = as_photo(np.rint(gray[..., None] * tint).astype(np.uint8), kind, **options)
    assert find_tone(photo.frames[0]) and find_tone(dusty(240, 320)) is None
    result = enhance_photo(photo).array.astype(float)
    luma = np.rint(photo.frames[0] @ LUMA).astype(np.uint8)
    expected = enhance_photo(as_photo(luma)).array[..., None] * (np.array(tint) / (tint @ LUMA))
    assert np.abs(result - expected.clip(0, 255)).mean() < 3 and np.abs(result - photo.frames[0]).mean() > 4


def noisy(shape: tuple, value: int, spread: int) -> np.ndarray:
    return np.clip(value + RANDOM.integers(-spread, spread + 1, shape), 0, 255)


BARS = {  # value, noise, pixels of a soft edge, quality of JPEG or 0 for PNG, height and width of the bars
    "letterbox, black of video with noise": (16, 3, 0, 85, 24, 0),
    "pillars, near black with noise": (6, 2, 0, 0, 0, 30),
    "both, soft edge of 1 pixel": (0, 0, 1, 0, 24, 30),
    "letterbox, soft edge of 2 pixels": (0, 0, 2, 0, 24, 0),
    "both, coarse JPEG": (0, 0, 0, 40, 24, 30),
    "letterbox, grey": (128, 0, 0, 0, 24, 0),
    "white frame, JPEG": (255, 0, 0, 80, 21, 21),
    "thin black frame, JPEG": (0, 0, 0, 80, 5, 5),
}


@pytest.mark.parametrize("kind", BARS)
def test_bars_as_they_come(kind):
    """Case B09: noise, ringing, soft edges, other colours; letterbox, pillars, both, a thin frame."""
    value, spread, soft, quality, high, wide = BARS[kind]
    scene = sample()
    height, width = scene.shape[:2]
    frame = np.empty((height + 2 * high, width + 2 * wide, 3))
    frame[:] = noisy(frame.shape[:2], value, spread)[..., None]
    inside, rows, columns = np.s_[high : high + height, wide : wide + width], soft * bool(high), soft * bool(wide)
    frame[inside] = scene
    for n in range(soft):
        share = (soft - n) / (soft + 1)
        for side in [np.s_[high + n], np.s_[high + height - 1 - n]] if high else []:
            frame[side] = share * value + (1 - share) * frame[side]
        for side in [np.s_[:, wide + n], np.s_[:, wide + width - 1 - n]] if wide else []:
            frame[side] = share * value + (1 - share) * frame[side]
    options = ("JPEG", {"quality": quality}) if quality else ("PNG", {})
    photo = as_photo(np.rint(frame).astype(np.uint8), options[0], **options[1])
    before, result = photo.frames[0], enhance_photo(photo, working_size=64).array
    scene = np.s_[high + rows : high + height - rows, wide + columns : wide + width - columns]
    assert difference(result[scene], enhance_photo(as_photo(before[scene]), working_size=64).array) < 1.5
    bars = np.ones(before.shape[:2], bool)
    bars[inside] = False
    assert (result[bars] == before[bars]).all()


def test_panoramas_have_no_seam(plain):
    """Case B26: a panorama that closes on itself still does."""
    half = plain[0]
    pixels = np.roll(np.concatenate((half, half[:, ::-1]), axis=1), 77, axis=1)
    tag = b'<x GPano:ProjectionType="equirectangular"/>'
    result = repair(as_photo(pixels, "JPEG", quality=95, xmp=tag)).array.astype(float)
    inside = np.abs(np.diff(result, axis=1)).mean()
    assert np.abs(result[:, 0] - result[:, -1]).mean() < 1.5 * inside + 1
    step = lambda pixels: pixels + np.linspace(0, 0.2, pixels.shape[1], dtype=np.float32)[:, None]  # noqa: E731
    ramp = enhance_scene(half.astype(np.float32) / 400, None, step, wraps=True)
    wrapped = enhance_scene(
        np.full((8, 40, 3), 0.3, np.float32) + 0.1 * RANDOM.random((8, 40, 3), np.float32), None, step, True
    )
    assert np.isfinite(ramp).all() and np.abs(wrapped[:, 0].mean() - wrapped[:, -1].mean()) < 0.05


def test_documented_lines_keep_everything(tmp_path):
    """Case B08: profile, EXIF, density and quality of a file are in its copy; grey-level depth too."""
    exif = Image.Exif()
    exif[0x010F] = "Acme"
    Image.fromarray(dusty()).save(tmp_path / "in.jpg", quality=98, exif=exif.tobytes(), dpi=(300, 300))
    enhanced = enhance(tmp_path / "in.jpg")
    enhanced.save(tmp_path / "out.jpg")
    with Image.open(tmp_path / "in.jpg") as before, Image.open(tmp_path / "out.jpg") as after:
        assert after.getexif()[0x010F] == "Acme" and after.info["dpi"] == (300, 300)
        assert sum(after.quantization[0]) <= sum(before.quantization[0])
        assert np.abs(np.asarray(after).astype(int) - enhanced.array).mean() < 2
    assert enhanced.image.size == (180, 120) and enhanced._repr_png_().startswith(b"\x89PNG")


def test_strength_zero_changes_no_pixel(tmp_path):
    deep = RANDOM.integers(20000, 50000, (40, 60)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "in.png")
    assert enhance_photo_file(tmp_path / "in.png", tmp_path / "out.png", strength=0.0) == []
    assert np.abs(np.asarray(Image.open(tmp_path / "out.png")).astype(int) - deep).max() <= 1


def test_opaque_dust_is_no_tone():
    """In a storm each level has one colour, as in a sepia photo, but a strong one: it is repaired as dust."""
    gray = dusty(240, 320)[..., 1]
    storm = np.rint(gray[..., None] * np.array((0.95, 0.62, 0.3))).astype(np.uint8)
    assert find_tone(storm) is None
    before, after = storm.astype(float), repair(as_photo(storm)).array.astype(float)
    cast = [np.ptp(pixels.mean(axis=(0, 1))) for pixels in (before, after)]
    assert cast[1] < 0.5 * cast[0]
