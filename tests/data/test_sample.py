"""The sample: its index and files agree, photographs come first, depth is plausible, splits are disjoint."""

import hashlib

import pytest
import torch

from ssdie.data.sample import FOLDER, SPLITS, list_sample, read_pair, sample_pair

PHOTOGRAPHS = [picture for picture in list_sample() if picture.depth != "exact"]
SCENES = [picture for picture in list_sample() if picture.depth == "exact"]


def test_index_and_files_agree():
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.iterdir()}
    files.pop("index.csv")
    listed = {f"{picture.name}.jpg": picture.sha256 for picture in list_sample()}
    listed |= {f"{picture.name}_depth.png": picture.depth_sha256 for picture in list_sample()}
    assert {name: digest for name, digest in listed.items() if digest} == files
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 5e6


@pytest.mark.parametrize("split", SPLITS)
def test_photographs_come_first(split):
    kinds = [picture.name.split("_")[0] for picture in list_sample(split)]
    assert set(kinds) == {"photo", "scene"} and kinds == sorted(kinds)


def test_splits_are_disjoint_and_every_picture_has_credit_and_licence():
    names = [picture.name for split in SPLITS for picture in list_sample(split)]
    assert len(names) == len(set(names)) == len(list_sample())
    assert all(picture.credit and picture.licence for picture in list_sample())


@pytest.mark.parametrize("picture", [*PHOTOGRAPHS, *SCENES[::8]], ids=lambda picture: picture.name)
def test_picture_and_depth_have_one_size_and_lie_in_the_unit_interval(picture):
    clear, depth = read_pair(picture.name)
    assert clear.shape == (3, *depth.shape[-2:]) and depth.shape[0] == 1 and clear.dtype == depth.dtype == torch.float32
    assert clear.min() >= 0 and clear.max() <= 1 and depth.min() >= 0 and depth.max() <= 1
    assert clear.std() > 0.1 and depth.std() > 0.05
    assert depth[0, -10:].mean() < depth[0, :10].mean()  # the foreground is at the bottom


def test_sky_is_farther_than_every_solid_surface():
    depth = torch.cat([read_pair(picture.name)[1].flatten() for picture in SCENES[:8]])
    assert depth[depth < 1].max() <= 0.7 and (depth == 1).any()
    _, depth = read_pair("photo_china")
    sky, pagoda = depth[0, :40, 350:], depth[0, 200:300, 150:250]
    assert sky.min() > 0.95 and pagoda.max() < 0.3


def test_motorcycle_is_nearer_than_the_wall():
    _, depth = read_pair("photo_motorcycle", (100, 150))
    assert depth[0, 55:70, 30:60].mean() < depth[0, :20, :30].mean()


def test_a_pair_is_cropped_to_the_aspect_and_resized():
    clear, depth = sample_pair(0)
    small, distance = sample_pair(0, (64, 64))
    assert small.shape == (3, 64, 64) and distance.shape == (1, 64, 64)
    side, left = clear.shape[1], (clear.shape[2] - clear.shape[1]) // 2
    crop = clear[:, :, left : left + side]
    assert (small.mean((1, 2)) - crop.mean((1, 2))).abs().max() < 0.01
    large, _ = sample_pair(0, (900, 1200))
    assert large.shape == (3, 900, 1200)


def test_unknown_split_and_name_are_refused():
    with pytest.raises(ValueError, match="train, val"):
        list_sample("test")
    with pytest.raises(ValueError, match="photo_cat"):
        read_pair("photo_cat")
