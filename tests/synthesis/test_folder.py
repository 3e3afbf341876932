import csv

import pytest
import torch

from ssdie.ops.depth_maps import read_depth
from ssdie.ops.images import read_image
from ssdie.photo.files import list_images
from ssdie.synthesis.depth import ramp_depth
from ssdie.synthesis.folder import dust_folder


def test_photos_keep_their_size_and_the_parameters_are_recorded(tmp_path, photo_folder):
    clear = photo_folder / "clear" / "train"
    written = dust_folder(clear, tmp_path / "a", photo_folder / "depth" / "train", seed=3)
    again = dust_folder(clear, tmp_path / "b", photo_folder / "depth" / "train", seed=3)
    other = dust_folder(clear, tmp_path / "c", photo_folder / "depth" / "train", seed=4)
    assert [p.name for p in written] == [p.name for p in list_images(clear)]
    assert read_image(written[0]).shape == read_image(list_images(clear)[0]).shape
    assert written[0].read_bytes() == again[0].read_bytes() != other[0].read_bytes()
    with (tmp_path / "a" / "dust.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["file"] for r in rows] == [p.name for p in written]
    assert float(rows[0]["beta_r"]) <= float(rows[0]["beta_b"])


def test_ramp_depth_is_far_at_the_top(tmp_path, photo_folder):
    dust_folder(photo_folder / "clear" / "train", tmp_path, ramp_depth, "reference")
    depth = read_depth(tmp_path / "depth" / "c0.png")
    assert depth[0, 0].min() > 0.99 and depth[0, -1].max() < 0.01


def test_depth_can_be_computed_by_a_function(tmp_path, photo_folder):
    clear = photo_folder / "clear" / "train"
    near = dust_folder(clear, tmp_path / "n", lambda photo: torch.zeros_like(photo[:, :1]), density=4.0)
    far = dust_folder(clear, tmp_path / "f", lambda photo: torch.ones_like(photo[:, :1]), density=4.0)
    detail = [read_image(p[0]).diff(dim=2).abs().mean() for p in (near, far)]
    assert detail[0] > 2 * detail[1]


def test_the_clear_photos_are_never_overwritten(photo_folder):
    folder = photo_folder / "clear" / "train"
    with pytest.raises(ValueError, match="overwritten"):
        dust_folder(folder, folder)
