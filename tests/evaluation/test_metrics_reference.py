"""Metrics compared with published values, and invariants for random images; see also test_calibration.py."""

import functools

import numpy as np
import pytest
import reference_metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.color import deltaE_ciede2000

from ssdie.data.sample import read_pair
from ssdie.evaluation.metrics import METRICS
from ssdie.evaluation.niqe import load_pristine, niqe
from ssdie.ops.images import fit_long_side
from ssdie.utils.paths import data_root

# Computed in float64 with BasicSR 1.4.2 and the published model on photos of scikit-image; BasicSR agrees with the
# authors' MATLAB program to four digits.
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


@pytest.mark.parametrize("one, two, expected", SHARMA)
def test_reference_implementations_of_ciede2000_equal_the_published_differences(one, two, expected):
    assert reference_metrics.delta_e(one, two) == pytest.approx(expected, abs=5e-5)
    assert deltaE_ciede2000(one, two) == pytest.approx(expected, abs=5e-5)


# NIQE ---------------------------------------------------------------------------------------------------------------


def photo(name: str) -> torch.Tensor:
    return torch.from_numpy(getattr(data, name)().copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name, expected", PUBLISHED_NIQE.items())
def test_niqe_with_the_published_model_equals_the_published_program(name, expected):
    root = data_root()
    if root is None or not (root / "models" / "niqe_pristine.npz").is_file():
        pytest.skip("the published model is not in the repository; SSDIE_DATA has it")
    assert niqe(photo(name), load_pristine("mittal2013"), rounded=True).item() == pytest.approx(expected, abs=1e-2)


def test_niqe_with_rounding_equals_the_reference_implementation():
    own, image = load_pristine("ssdie"), photo("chelsea")
    expected = reference_metrics.niqe(
        image[0].permute(1, 2, 0).double().numpy(), own.mean, own.covariance, rounded=True
    )
    assert niqe(image, own, rounded=True).item() == pytest.approx(expected, abs=1e-2)


# Properties ---------------------------------------------------------------------------------------------------------


@functools.cache
def small_scene(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Picture and depth of a scene of the embedded sample."""
    return tuple(fit_long_side(part[None], 160)[0] for part in read_pair(f"scene_{number:06d}"))


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
def test_an_image_against_itself(picture):
    for name, expected in WITH_ITSELF.items():
        assert METRICS[name].function(picture, picture).item() == pytest.approx(expected, abs=1e-9), name


@always
@given(pictures, pictures)
def test_full_reference_metrics_are_symmetric(one, two):
    for name in ("psnr", "ssim", "ciede2000"):
        function = METRICS[name].function
        assert function(one, two).item() == pytest.approx(function(two, one).item(), rel=1e-9), name


@always
@given(pictures)
def test_mirrored_images_have_the_same_values(picture):
    other = picture.roll(5, dims=3)
    for name, metric in METRICS.items():
        if name not in ("niqe", "fade"):  # they use neighbours on one side only
            others = (other,) if metric.needs else ()
            plain = metric.function(picture, *others).item()
            mirrored = metric.function(picture.flip(3), *(x.flip(3) for x in others)).item()
            assert plain == pytest.approx(mirrored, rel=1e-5, nan_ok=True), name


def under_dust(scene, veil, density: float) -> torch.Tensor:
    """J t + A (1 - t), the same airlight and depth at every density."""
    clear, depth = scene
    t = torch.exp(-density * (0.3 + depth[None]))
    return clear[None] * t + torch.tensor(veil).view(1, 3, 1, 1) * (1 - t)


# direction under growing dust; e and r are those of the clear against the dusty image
FALLS, RISES = ("psnr", "ssim", "entropy"), ("ciede2000",)


@always
@given(scenes, veils, densities)
def test_more_dust_is_worse(scene, veil, density):
    clear = scene[0][None]
    thin, thick = (under_dust(scene, veil, density * more) for more in (1.0, 1.5))
    for name in FALLS + RISES:
        metric = METRICS[name]
        others = (clear,) if metric.needs else ()
        gain = (metric.function(thick, *others) - metric.function(thin, *others)).item()
        assert gain > 0 if name in RISES else gain < 0, name
    for name in ("e", "r"):  # gained by removing the dust
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
