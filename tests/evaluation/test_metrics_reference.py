"""Metrics against other implementations, written here from the formulas, and what must hold for any picture."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.signal import convolve2d
from scipy.special import gamma
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ssdie.data.sample import draw_embedded
from ssdie.evaluation.metrics import METRICS, ciede2000, psnr, ssim
from ssdie.evaluation.niqe import load_pristine, niqe
from ssdie.ops.images import fit_long_side
from ssdie.utils.paths import data_root, project_root

# By BasicSR 1.4.2, which gives what the authors' MATLAB program does to four digits, with the published model,
# evaluated in float64 on the photos inside scikit-image.
PUBLISHED_NIQE = {"chelsea": 2.62552, "astronaut": 3.09159, "coffee": 4.11533, "rocket": 6.97093}

# L, a, b of two colours and their difference: Sharma, Wu, Dalal 2005, table 1
SHARMA = [
    ((50.0000, 2.6772, -79.7751), (50.0000, 0.0000, -82.7485), 2.0425),
    ((50.0000, -1.3802, -84.2814), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, 0.0000, 0.0000), (50.0000, -1.0000, 2.0000), 2.3669),
    ((50.0000, 2.5000, 0.0000), (73.0000, 25.0000, -18.0000), 27.1492),
    ((50.0000, 2.5000, 0.0000), (61.0000, -5.0000, 29.0000), 22.8977),
    ((50.0000, 2.5000, 0.0000), (56.0000, -27.0000, -3.0000), 31.9030),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@functools.cache
def committed() -> tuple[torch.Tensor, torch.Tensor]:
    """Two parts of the picture of the README, dusty above and enhanced below; (1, 3, 250, 1500) in [0, 1]."""
    page = np.asarray(Image.open(project_root() / "figures" / "readme.png").convert("RGB"))
    page = torch.from_numpy(page.copy()).permute(2, 0, 1)[None].float() / 255
    return page[..., 30:280, 50:1550], page[..., 310:560, 50:1550]


def array(picture: torch.Tensor) -> np.ndarray:
    return picture[0].permute(1, 2, 0).double().numpy()


# Against other implementations --------------------------------------------------------------------------------------


def test_psnr_ssim_and_ciede2000_are_scikit_images():
    dusty, enhanced = committed()
    one, two = array(dusty), array(enhanced)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    wanted = {
        psnr: peak_signal_noise_ratio(one, two, data_range=1),
        ssim: structural_similarity(one, two, data_range=1, channel_axis=2, **window),
        ciede2000: deltaE_ciede2000(rgb2lab(one), rgb2lab(two)).mean(),
    }
    for metric, value in wanted.items():
        assert metric(enhanced, dusty).item() == pytest.approx(value, abs=1e-6)


def test_psnr_is_the_formula():
    dusty, enhanced = committed()
    error = np.mean((array(dusty) - array(enhanced)) ** 2)
    assert psnr(enhanced, dusty).item() == pytest.approx(-10 * np.log10(error), abs=1e-6)


def test_ssim_is_the_formula():
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2, values = 0.01**2, 0.03**2, []
    dusty, enhanced = (array(p[..., :200, :300]) for p in committed())
    for x, y in zip(dusty.transpose(2, 0, 1), enhanced.transpose(2, 0, 1), strict=True):
        mean = functools.partial(convolve2d, in2=window, mode="valid")
        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        values.append(((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    given = ssim(*(p[..., :200, :300] for p in committed())).item()
    assert given == pytest.approx(np.mean(values), abs=1e-6)


def delta_e(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """CIEDE2000 of Lab colours (..., 3), term by term."""
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(x, dtype=float), -1, 0) for x in (one, two))
    chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1 + 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + 25.0**7)))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180
    turn = np.where(np.isclose(np.abs(h2 - h1), 180), h2 - h1, turn)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    far = np.abs(h1 - h2) > 180
    hue = np.where(far, (h1 + h2 + np.where(h1 + h2 < 360, 360, -360)) / 2, (h1 + h2) / 2)
    hue = np.where(c1 * c2 == 0, h1 + h2, hue)
    t = 1 - 0.17 * np.cos(np.radians(hue - 30)) + 0.24 * np.cos(np.radians(2 * hue))
    t += 0.32 * np.cos(np.radians(3 * hue + 6)) - 0.20 * np.cos(np.radians(4 * hue - 63))
    sl = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    rotation = 2 * np.sqrt(c**7 / (c**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    parts = (dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 - rotation * (dc / sc) * (dh / sh)
    return np.sqrt(np.maximum(parts, 0))


def lab(picture: np.ndarray) -> np.ndarray:
    """SRGB (H, W, 3) in [0, 1] to CIE Lab, white D65."""
    linear = np.where(picture > 0.04045, ((picture + 0.055) / 1.055) ** 2.4, picture / 12.92)
    matrix = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    x, y, z = np.moveaxis(linear @ np.array(matrix).T / (0.95047, 1.0, 1.08883), -1, 0)
    f = [np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116) for v in (x, y, z)]
    return np.stack((116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])), axis=-1)


@pytest.mark.parametrize("one, two, wanted", SHARMA)
def test_the_reference_for_ciede2000_gives_the_published_differences(one, two, wanted):
    assert delta_e(one, two) == pytest.approx(wanted, abs=5e-5)
    assert deltaE_ciede2000(one, two) == pytest.approx(wanted, abs=5e-5)


def test_ciede2000_is_the_formula():
    dusty, enhanced = committed()
    wanted = delta_e(lab(array(dusty)), lab(array(enhanced))).mean()
    assert ciede2000(enhanced, dusty).item() == pytest.approx(wanted, abs=1e-6)


# NIQE ---------------------------------------------------------------------------------------------------------------


def photo(name: str) -> torch.Tensor:
    return torch.from_numpy(getattr(data, name)().copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name, wanted", PUBLISHED_NIQE.items())
def test_niqe_with_the_published_model_is_that_of_the_published_program(name, wanted):
    root = data_root()
    if root is None or not (root / "models" / "niqe_pristine.npz").is_file():
        pytest.skip("the published model is not in the repository; SSDIE_DATA has it")
    assert niqe(photo(name), load_pristine("mittal2013"), rounded=True).item() == pytest.approx(wanted, abs=1e-2)


def fit_one(values: np.ndarray) -> tuple[float, float, float]:
    """Shape by looking through a table, scales by moments; one block at a time."""
    shapes = np.arange(0.2, 10.001, 0.001)
    ratios = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    left, right = (np.sqrt(np.mean(side**2)) for side in (values[values < 0], values[values > 0]))
    skew, ratio = left / right, np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    shape = shapes[np.argmin(np.abs(ratios - ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2))]
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale


def reference_niqe(picture: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    """NIQE block by block, from the paper; half size by Pillow."""
    offsets = np.arange(-3, 4)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    luma = np.rint(16 + picture @ (65.481, 128.553, 24.966))
    luma = luma[: luma.shape[0] // 96 * 96, : luma.shape[1] // 96 * 96]
    half = Image.fromarray(luma.astype(np.float32)).resize((luma.shape[1] // 2, luma.shape[0] // 2), Image.BICUBIC)
    features = []
    for plane, side in ((luma, 96), (np.asarray(half, dtype=float), 48)):
        blur = lambda x: convolve2d(np.pad(x, 3, mode="edge"), window, mode="valid")  # noqa: E731
        local = blur(plane)
        plane = (plane - local) / (np.sqrt(np.abs(blur(plane**2) - local**2)) + 1)
        rows = []
        for top in range(0, plane.shape[0], side):
            for left in range(0, plane.shape[1], side):
                block = plane[top : top + side, left : left + side]
                shape, low, high = fit_one(block)
                row = [shape, (low + high) / 2]
                for offset in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    shape, low, high = fit_one(block * np.roll(block, offset, axis=(0, 1)))
                    row += [shape, (high - low) * gamma(2 / shape) / gamma(1 / shape), low, high]
                rows.append(row)
        features.append(rows)
    features = np.concatenate(features, axis=1)
    gap, spread = features.mean(axis=0) - mean, np.cov(features, rowvar=False)
    return float(np.sqrt(gap @ np.linalg.pinv((spread + covariance) / 2) @ gap))


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_niqe_is_the_formula(name):
    own, picture = load_pristine("ssdie"), photo(name)
    wanted = reference_niqe(array(picture), own.mean, own.covariance)
    assert niqe(picture, own, rounded=True).item() == pytest.approx(wanted, abs=1e-2)


# For any picture ----------------------------------------------------------------------------------------------------


@functools.cache
def small_scene(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Picture and depth of a scene of the embedded sample."""
    return tuple(fit_long_side(part[None], 160)[0] for part in draw_embedded(f"scene_{number:06d}"))


pictures = st.integers(0, 2**32 - 1).map(
    lambda seed: torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(seed))
)
scenes = st.integers(0, 9).map(lambda n: small_scene(n))
veils = st.sampled_from([(0.9, 0.6, 0.3), (0.8, 0.8, 0.8), (0.85, 0.65, 0.45), (0.95, 0.75, 0.3)])
densities = st.floats(0.2, 1.5)
always = settings(max_examples=20, deadline=None, derandomize=True)

WITH_ITSELF = {"psnr": np.inf, "ssim": 1.0, "ciede2000": 0.0, "e": 0.0, "r": 1.0, "saturated": 0.0}


@always
@given(pictures)
def test_a_picture_and_itself(picture):
    for name, wanted in WITH_ITSELF.items():
        assert METRICS[name].function(picture, picture).item() == pytest.approx(wanted, abs=1e-9), name


@always
@given(pictures, pictures)
def test_both_ways_are_the_same_where_a_difference_is_measured(one, two):
    for name in ("psnr", "ssim", "ciede2000"):
        function = METRICS[name].function
        assert function(one, two).item() == pytest.approx(function(two, one).item(), rel=1e-9), name


@always
@given(pictures)
def test_mirrored_pictures_measure_the_same(picture):
    other = picture.roll(5, dims=3)
    for name, metric in METRICS.items():
        if name != "niqe":  # it needs larger ones, and looks at the neighbour to the right
            beside = (other,) if metric.needs else ()
            plain = metric.function(picture, *beside).item()
            mirrored = metric.function(picture.flip(3), *(x.flip(3) for x in beside)).item()
            assert plain == pytest.approx(mirrored, rel=1e-6), name


def under_dust(scene, veil, density: float) -> torch.Tensor:
    """J t + A (1 - t), the same airlight and depth at every density."""
    clear, depth = scene
    t = torch.exp(-density * (0.3 + depth[None]))
    return clear[None] * t + torch.tensor(veil).view(1, 3, 1, 1) * (1 - t)


# by direction under growing dust: what falls and what rises; e and r are those of the dusty against the clear picture
FALLS, RISES = ("psnr", "ssim", "entropy"), ("ciede2000",)


@always
@given(scenes, veils, densities)
def test_more_dust_is_worse(scene, veil, density):
    clear = scene[0][None]
    thin, thick = (under_dust(scene, veil, density * more) for more in (1.0, 1.5))
    for name in FALLS + RISES:
        metric = METRICS[name]
        beside = (clear,) if metric.needs else ()
        gain = (metric.function(thick, *beside) - metric.function(thin, *beside)).item()
        assert gain > 0 if name in RISES else gain < 0, name
    for name in ("e", "r"):  # what is gained by lifting the dust
        function = METRICS[name].function
        assert function(clear, thick) > function(clear, thin), name


@always
@given(scenes, densities)
def test_the_cast_grows_with_orange_dust_and_the_dark_channel_with_grey(scene, density):
    for name, veil in (("cast", (0.9, 0.55, 0.2)), ("dark_channel", (0.8, 0.8, 0.8))):
        thin, thick = (METRICS[name].function(under_dust(scene, veil, d)).item() for d in (density, 1.5 * density))
        assert thin < thick, name


@always
@given(scenes, st.floats(1.5, 3.0))
def test_more_contrast_saturates_more(scene, gain):
    dusty = under_dust(scene, (0.7, 0.6, 0.5), 0.5)
    stretched = [(0.5 + g * (dusty - 0.5)).clamp(0, 1) for g in (gain, 2 * gain)]
    little, much = (METRICS["saturated"].function(x, dusty).item() for x in stretched)
    assert little <= much


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.sampled_from(["chelsea", "astronaut", "coffee", "rocket"]), veils)
def test_niqe_rises_with_dust(name, veil):
    picture, own = photo(name), load_pristine("ssdie")
    depth = torch.ones(1, *picture.shape[-2:])
    scores = [niqe(under_dust((picture[0], depth), veil, d), own).item() for d in (0.0, 1.2, 2.4)]
    assert scores[0] < scores[1] < scores[2]
