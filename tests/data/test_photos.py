"""Photos of the two folder layouts and of the sample; crops and batches."""

import itertools

import pytest
import torch

from ssdie.data.photos import Photo, find_photos
from ssdie.data.sample import read_pair
from ssdie.ops.depth_maps import write_side_by_side
from ssdie.ops.images import write_image
from ssdie.training.batches import Crops, load_batches, random_crop
from ssdie.utils.devices import derive_seed


def test_research_layout(photo_folder):
    sources = find_photos(photo_folder, "train")
    assert [p.name for p in sources.clear] == ["c0", "c1", "c2", "c3"]
    assert [p.name for p in sources.dusty] == ["d0", "d1", "d2"]  # suffixes in capitals are accepted
    clear, depth = sources.clear[1].read().split((3, 1))
    expected, distance = read_pair("scene_000001", (48, 64))
    assert torch.allclose(clear, expected, atol=1 / 255) and torch.allclose(depth, distance, atol=1e-3)


def test_published_layout(tmp_path):
    clear, depth = read_pair("scene_000000", (256, 256))
    (tmp_path / "train" / "clean").mkdir(parents=True)
    write_side_by_side(tmp_path / "train" / "clean" / "1.png", clear, depth)
    write_image(tmp_path / "train" / "dust" / "2.jpg", clear)
    write_image(tmp_path / "test" / "3.jpg", clear)
    sources = find_photos(tmp_path)
    assert sources.counts == {"clear": 1, "dusty": 1}
    assert (sources.clear[0].read()[3:] - depth).abs().mean() < 0.02
    assert [p.name for p in find_photos(tmp_path, "test").dusty] == ["3"]


def test_missing_folders_and_depth_are_reported(tmp_path, photo_folder):
    with pytest.raises(FileNotFoundError, match="neither"):
        find_photos(tmp_path)
    write_image(tmp_path / "clear" / "train" / "no_depth.png", torch.rand(3, 8, 8))
    with pytest.raises(ValueError, match="no_depth.png"):
        find_photos(tmp_path)


def test_without_data_the_sample_is_used(monkeypatch):
    monkeypatch.delenv("SSDIE_DATA", raising=False)
    sources = find_photos(split="test")
    assert sources.origin == "embedded sample" and sources.clear and sources.dusty
    assert sources.clear[0].read().shape[0] == 4 and sources.dusty[0].read().shape[0] == 3
    assert sources.clear[0].name.startswith("photo_") and sources.dusty[0].name.startswith("photo_")
    used = {split: find_photos(split=split) for split in ("train", "val")}
    names = [photo.name for sources in used.values() for photo in (*sources.clear, *sources.dusty)]
    assert len(names) == len(set(names)) == sum(sum(sources.counts.values()) for sources in used.values()) == 60


def test_each_epoch_visits_every_photo_once_in_a_new_order():
    photos = [Photo(str(n), lambda n=n: torch.full((3, 9, 9), n / 10)) for n in range(5)]
    crops = Crops(photos, 8)
    shuffles = [[round(float(crops[k].mean()) * 10) for k in range(e * 5, e * 5 + 5)] for e in range(4)]
    assert all(sorted(s) == list(range(5)) for s in shuffles)
    assert len({tuple(s) for s in shuffles}) > 1


def test_a_crop_depends_on_seed_and_position_only(photo_folder):
    photos = find_photos(photo_folder).clear
    first, again, other = Crops(photos, 32, 1), Crops(photos, 32, 1, keep=False), Crops(photos, 32, 2)
    again[11], again[0]  # the order of access does not matter
    assert torch.allclose(first[7], again[7], atol=2 / 255)
    assert not torch.allclose(first[7], other[7], atol=0.05)
    assert derive_seed(1, 2, 3) != derive_seed(1, 3, 2)


def test_processes_split_the_batch_of_a_single_process(photo_folder):
    crops = Crops(find_photos(photo_folder).clear, 16, 0)
    one = next(load_batches(crops, 4, start=3))
    two = [next(load_batches(crops, 2, start=3, rank=r, processes=2)) for r in (0, 1)]
    assert torch.equal(one[0::2], two[0]) and torch.equal(one[1::2], two[1])


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_resume_from_any_step(photo_folder, workers):
    crops = Crops(find_photos(photo_folder).clear, 16, 0)
    straight = list(itertools.islice(load_batches(crops, 3, workers=workers), 5))
    resumed = list(itertools.islice(load_batches(crops, 3, start=3, workers=workers), 2))
    assert torch.equal(torch.stack(straight[3:]), torch.stack(resumed))


def test_crops_of_small_and_large_photos_have_the_requested_size(generator):
    for size in ((20, 30), (200, 90)):
        assert random_crop(torch.rand(4, *size), 64, generator).shape == (4, 64, 64)


def test_photos_are_cached_up_to_the_limit(monkeypatch):
    reads = []

    def photo(number):
        return Photo(str(number), lambda: (reads.append(number), torch.full((3, 20, 20), number / 4))[1])

    monkeypatch.setattr("ssdie.training.batches.CACHE_SIZE", 2 * 3 * 20 * 20)  # two of the three
    crops = Crops([photo(n) for n in range(3)], 16)
    first, second = ([crops[k] for k in range(start, start + 3)] for start in (0, 3))
    assert sorted(reads[:3]) == [0, 1, 2] and len(reads) == 4  # the third is read again
    cached = sorted(round(crop.mean().item() * 4) for crop in second)
    assert cached == [0, 1, 2]
    uncached = [Crops(crops.photos, 16, keep=False)[k] for k in range(3)]
    assert torch.equal(torch.stack(uncached), torch.stack(first))
