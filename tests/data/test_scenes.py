"""Scenes: the same for the same seed, exact in depth, like photos in their statistics."""

import numpy as np
import pytest
import torch

from ssdie.data import sample as scenes
from ssdie.data import terrain

SIZE = (96, 144)


def test_same_seed_gives_same_scene_and_another_seed_another():
    first, again, other = (scenes.render_scene(seed, SIZE) for seed in (5, 5, 6))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert (first[0] - other[0]).abs().mean() > 0.05


def test_other_random_state_does_not_matter():
    np.random.seed(1)  # noqa: NPY002
    first = scenes.render_scene(8, SIZE)
    np.random.seed(2)  # noqa: NPY002
    assert torch.equal(first[0], scenes.render_scene(8, SIZE)[0])


@pytest.mark.parametrize("seed", range(12))
def test_scene_is_a_picture_with_relative_depth(seed):
    clear, depth = scenes.render_scene(seed, SIZE)
    assert clear.shape == (3, *SIZE) and depth.shape == (1, *SIZE) and clear.dtype == depth.dtype == torch.float32
    assert torch.isfinite(clear).all() and clear.min() >= 0 and clear.max() <= 1
    assert 0 <= depth.min() <= 0.05 and depth.max() <= 1
    assert depth[depth < 1].max() <= 0.7
    assert depth[0, -1].min() < 0.2  # the ground at the camera's feet is near


def test_statistics_are_those_of_photos():
    pictures = torch.stack([scenes.render_scene(seed)[0] for seed in range(100, 112)])
    grey = pictures.mean(dim=1)
    saturation = 1 - pictures.amin(1) / pictures.amax(1).clamp(min=1e-3)
    step = (grey[:, 1:] - grey[:, :-1]).abs().mean()
    assert 0.35 < pictures.mean() < 0.55 and 0.15 < grey.std() < 0.3
    assert 0.15 < saturation.mean() < 0.5
    assert 0.02 < step < 0.12


def test_same_scene_at_another_size():
    small, large = scenes.render_scene(9, (64, 96)), scenes.render_scene(9, (128, 192))
    halved = torch.nn.functional.avg_pool2d(large[1], 2)
    assert (small[1] - halved).abs().mean() < 0.03


def test_ground_distance_is_that_of_the_pinhole_camera():
    light = terrain.Light(np.array([0.0, 1.0, 0.0]), np.ones(3), np.ones(3))
    canvas = terrain.Canvas((60, 80), focal=1.0, horizon=0.5, height=2.0, light=light)
    terrain.draw_ground(canvas, np.full(3, 0.2), np.full(3, 0.3), 0.3, 500, 0.0, np.zeros(2))
    row = 50
    assert canvas.z[row] == pytest.approx(2.0 / ((row + 0.5 - 30) / 80), rel=1e-5)
    assert np.isinf(canvas.z[:30]).all()


def test_near_things_hide_far_ones_in_any_order():
    light = terrain.Light(np.array([0.0, 1.0, 0.0]), np.ones(3), np.ones(3))
    canvas = terrain.Canvas((4, 4), focal=1.0, horizon=0.5, height=2.0, light=light)
    everywhere, full = (slice(None), slice(None)), np.ones((4, 4))
    canvas.paint(everywhere, np.array([1.0, 0.0, 0.0]), full, 5 * full)
    canvas.paint(everywhere, np.array([0.0, 1.0, 0.0]), full, 9 * full)
    assert (canvas.z == 5).all() and (canvas.colour[..., 0] == 1).all() and (canvas.colour[..., 1] == 0).all()


def test_noise_has_unit_variance_and_repeats():
    tile = terrain.noise_tile()
    assert abs(tile.mean()) < 1e-3 and tile.std() == pytest.approx(1, abs=1e-3)
    u = np.linspace(0, 0.99, 50)
    assert np.array_equal(terrain.noise(u, u * 0, octaves=1), terrain.noise(u + 1, u * 0 + 3, octaves=1))


def test_photo_depth_leans_away_and_motorcycle_is_measured():
    _, depth = scenes.read_photo("chelsea", (50, 70))
    inverse = 1 / depth[0, :, 0].double()
    assert torch.allclose(inverse.diff(), inverse.diff().mean().expand(49), rtol=0.2)
    clear, depth = scenes.read_photo("motorcycle", (100, 150))
    assert depth.min() >= 0.03 and depth.max() <= 0.71
    assert depth[0, 55:70, 30:60].mean() < depth[0, :20, :30].mean()  # the motorcycle is before the wall
    assert clear.shape == (3, 100, 150)


def test_embedded_sample_is_stable_and_splits_share_nothing():
    five, seven = scenes.embedded_sample(5, "train", SIZE), scenes.embedded_sample(7, "train", SIZE)
    assert [n for n, _, _ in five] == [n for n, _, _ in seven[:5]] and torch.equal(five[4][1], seven[4][1])
    assert sum(name.startswith("photo_") for name, _, _ in five) == 1
    val = {name for name, _, _ in scenes.embedded_sample(10, "val", (16, 24))}
    train = {name for name, _, _ in scenes.embedded_sample(30, "train", (16, 24))}
    assert len(val) == 10 and len(train) == 30 and not val & train
    assert sum(name.startswith("photo_") for name in train) == len(scenes.PHOTOS["train"])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: scenes.embedded_sample(1, "test"), "train, val"),
        (lambda: scenes.render_scene(0, (4, 4)), "at least 16"),
        (lambda: scenes.read_photo("cat"), "chelsea"),
    ],
)
def test_wrong_input_is_answered_with_a_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()
