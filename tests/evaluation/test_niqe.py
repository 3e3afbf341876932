"""NIQE: each step against its formula, the model fit, and the ranking of intact and degraded images."""

import numpy as np
import pytest
import torch
from skimage import data

from ssdie.evaluation.niqe import (
    Pristine,
    _blocks,
    fit_aggd,
    fit_pristine,
    load_pristine,
    niqe,
    normalise_contrast,
    patch_features,
    read_pristine,
)
from ssdie.ops.filters import gaussian_blur
from ssdie.ops.images import read_image, write_image
from ssdie.photo.files import list_images


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    """A sharp photo, (1, 3, 300, 451)."""
    return torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def own() -> Pristine:
    return load_pristine("ssdie")


def texture(seed: int, size: tuple[int, int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    grain = gaussian_blur(torch.randn((1, 1, *size), generator=generator), 1.0)
    return (0.5 + 0.3 * grain).clamp(0, 1).expand(-1, 3, -1, -1)


@pytest.mark.parametrize("shape, left, right", [(2, 1, 1), (1, 0.5, 0.5), (0.8, 0.3, 0.6), (3, 2, 1)])
def test_fit_aggd_recovers_the_distribution(shape, left, right):
    """Samples: |x| / b is Gamma(1 / a)^(1 / a); the probability of a sign is proportional to its scale."""
    rng = np.random.default_rng(0)
    size = rng.gamma(1 / shape, size=400_000) ** (1 / shape)
    negative = rng.random(size.size) < left / (left + right)
    found = fit_aggd(np.where(negative, -left * size, right * size)[None])
    assert np.concatenate(found) == pytest.approx([shape, left, right], rel=0.03)


def test_normalise_contrast_is_the_formula_at_a_pixel():
    luma = np.random.default_rng(1).uniform(0, 255, (11, 13))
    offsets = np.arange(-3, 4)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    around = luma[2:9, 4:11]
    mean = (window * around).sum()
    deviation = np.sqrt((window * (around - mean) ** 2).sum())
    normalised, sigma = normalise_contrast(luma)
    assert sigma[5, 7] == pytest.approx(deviation)
    assert normalised[5, 7] == pytest.approx((luma[5, 7] - mean) / (deviation + 1))


def test_normalised_luma_ignores_brightness():
    luma = np.random.default_rng(2).uniform(50, 150, (20, 20))
    np.testing.assert_allclose(normalise_contrast(luma)[0], normalise_contrast(luma + 60)[0], atol=1e-9)


def test_blocks_are_cut_row_by_row():
    plane = np.arange(24).reshape(4, 6)
    expected = [plane[:2, :2], plane[:2, 2:4], plane[2:, :2]]
    np.testing.assert_array_equal(_blocks(plane, 2)[[0, 1, 3]], expected)


def test_features_of_a_patch_do_not_depend_on_far_patches(photo):
    """36 features per patch; only the 3-pixel margin of the window crosses patch borders."""
    features, deviation = patch_features(photo)
    assert features.shape == (3 * 4, 36) and deviation.shape == (12,)
    changed = photo.clone()
    changed[..., 200:288, 300:384] = 0.5
    np.testing.assert_allclose(patch_features(changed)[0][:3], features[:3])
    assert not np.allclose(patch_features(changed)[0][11], features[11], equal_nan=True)


def test_features_of_pairs_depend_on_the_direction_of_the_neighbour():
    """Vertical stripes: neighbours below have positive products, those to the right do not."""
    generator = torch.Generator().manual_seed(3)
    row = 0.5 + 0.2 * torch.randn(96, generator=generator)
    grain = 0.02 * torch.randn((96, 96), generator=generator)
    striped = (row + grain).clamp(0, 1).expand(1, 3, 96, 96)
    right_mean, below_mean = patch_features(striped)[0][0, [3, 7]]
    assert below_mean > 0.3 > right_mean


def test_niqe_is_zero_for_the_image_s_own_model_and_grows_with_distance(photo, own):
    features = patch_features(photo)[0]
    mean, covariance = features.mean(axis=0), np.cov(features, rowvar=False)
    assert niqe(photo, Pristine(mean, covariance, 96, "own")).item() == pytest.approx(0, abs=1e-6)
    step = np.zeros(36)
    step[0] = 0.5
    wide = Pristine(mean + step, 2 * np.eye(36) - covariance, 96, "own")  # the mean of both covariances is 1
    assert niqe(photo, wide).item() == pytest.approx(0.5, rel=1e-6)


def test_niqe_of_damaged_copies_is_higher(photo, own):
    generator = torch.Generator().manual_seed(4)
    score = niqe(photo, own).item()
    assert 1 < score < 8
    for damaged in (
        gaussian_blur(photo, 2.5).clamp(0, 1),
        (photo + 0.1 * torch.randn(photo.shape, generator=generator)).clamp(0, 1),
        0.8 + 0.1 * photo,
    ):
        assert niqe(damaged, own).item() > score + 0.3


def test_niqe_ignores_pixels_beyond_whole_patches(photo, own):
    assert niqe(photo[..., :288, :384], own).item() == niqe(photo, own).item()


def test_niqe_is_nan_for_a_flat_image_and_an_error_for_a_small_one(own):
    assert niqe(torch.full((1, 3, 96, 96), 0.5), own).isnan().all()
    with pytest.raises(ValueError, match="at least 96 pixels, got 95 x 200"):
        niqe(torch.rand(1, 3, 200, 95), own)


def test_flat_patches_are_left_out(photo, own):
    """A flat sky beside the photo changes the score little."""
    sky = torch.full((1, 3, 288, 96), 0.7)
    with_sky = torch.cat((photo[..., :288, :384], sky), dim=3)
    assert niqe(with_sky, own).item() == pytest.approx(niqe(photo, own).item(), abs=0.8)


def test_the_shipped_model_is_a_gaussian(own):
    assert own.mean.shape == (36,) and own.patch == 96 and own.name == "ssdie"
    np.testing.assert_allclose(own.covariance, own.covariance.T)
    assert np.linalg.eigvalsh(own.covariance).min() > 0


def test_the_published_model_is_used_if_available(tmp_path, monkeypatch):
    monkeypatch.delenv("SSDIE_DATA", raising=False)
    assert load_pristine().name == "ssdie"
    with pytest.raises(FileNotFoundError, match="Set SSDIE_DATA"):
        load_pristine("mittal2013")
    published = tmp_path / "models" / "niqe_pristine.npz"
    published.parent.mkdir()
    np.savez(published, mu_pris_param=np.ones((1, 36)), cov_pris_param=np.eye(36))
    monkeypatch.setenv("SSDIE_DATA", str(tmp_path))
    assert load_pristine().name == "mittal2013" and load_pristine().mean.shape == (36,)
    assert load_pristine("ssdie").name == "ssdie"
    with pytest.raises(ValueError, match='expected "mittal2013" or "ssdie"'):
        load_pristine("koniq")


def test_fit_pristine_is_mean_and_covariance_of_the_sharp_patches(tmp_path):
    sharp = [texture(seed, (192, 384)) for seed in range(6)]
    for index, picture in enumerate(sharp):
        blurred = 0.5 + 0.1 * (picture[..., :192] - 0.5)  # four patches of a tenth of the contrast: not sharp
        write_image(tmp_path / f"{index}.png", torch.cat((picture, blurred), dim=3))
    write_image(tmp_path / "small.png", texture(9, (95, 300)))
    fitted = fit_pristine(tmp_path, out=tmp_path / "model.npz")
    kept = []
    for path in list_images(tmp_path)[:6]:
        features, deviation = patch_features(read_image(path)[None])
        chosen = deviation > 0.75 * deviation.max()
        assert chosen.sum() == 8
        kept.append(features[chosen])
    np.testing.assert_allclose(fitted.mean, np.concatenate(kept).mean(axis=0))
    np.testing.assert_allclose(fitted.covariance, np.cov(np.concatenate(kept), rowvar=False))
    stored = read_pristine(tmp_path / "model.npz")
    np.testing.assert_array_equal(stored.mean, fitted.mean)
    np.testing.assert_array_equal(stored.covariance, fitted.covariance)
    assert niqe(sharp[0], fitted).item() < niqe(gaussian_blur(sharp[0], 1.5), fitted).item()


def test_fit_pristine_with_too_few_patches_is_an_error(tmp_path):
    write_image(tmp_path / "one.png", texture(0, (96, 192)))
    with pytest.raises(ValueError, match="at least 37 sharp patches"):
        fit_pristine(tmp_path)
