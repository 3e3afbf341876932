"""Each file of a folder is listed or skipped with a reason, and no output overwrites an input."""

import tracemalloc

import pytest

from ssdie.batch.jobs import Naming, count_kinds, find_jobs


@pytest.fixture
def folder(tmp_path):
    """Photos in a folder and in its subfolders."""
    for name in ("b.jpg", "a.png", "in/a.png", "in/deeper/c.JPG"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def outputs(jobs, out) -> list[str]:
    return [target.relative_to(out).as_posix() for _, target in jobs]


def test_files_of_other_kinds_are_skipped_with_their_kind(folder, tmp_path):
    for name in ("notes.txt", "IMG_3.jpg.icloud", "in/LICENSE", ".hidden.jpg", "a.jfif", "a.MTS"):
        (folder / name).touch()
    (folder / "link.jpg").symlink_to(folder / "in")
    jobs = find_jobs([folder], tmp_path / "out")
    kinds = sorted(kind for _, kind in jobs.skipped)
    assert kinds == [".icloud", ".txt", "hidden", "link to a folder", "without suffix"]
    assert outputs(jobs, tmp_path / "out") == ["a.mp4", "a.jfif", "a.png", "b.jpg", "in/a.png", "in/deeper/c.JPG"]
    assert count_kinds([".a", ".b", ".a"]) == "2 .a, 1 .b"


def test_a_folder_without_photos_is_refused_with_the_kinds_found(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="expected photos or videos, got other files only .1 .txt."):
        find_jobs([tmp_path], tmp_path / "out")


def test_files_are_sorted_by_path(tmp_path):
    names = ["a/z.png", "a.png", "a-b/c.jpg", "a/b/x.JPG", "B.bmp", "b.webp", "é.png", "a/b.png", "c.jpg/d.png"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    jobs = find_jobs([tmp_path / "in"], tmp_path / "out")
    assert [source for source, _ in jobs] == sorted(tmp_path / "in" / name for name in names)
    assert [target for _, target in jobs] == sorted(tmp_path / "out" / name for name in names)


def test_a_file_named_twice_or_linked_is_listed_once(folder, tmp_path):
    (folder / "c.png").symlink_to(folder / "in" / "a.png")
    (folder / "in" / "z.png").symlink_to(folder / "a.png")
    (tmp_path / "elsewhere.png").touch()
    (folder / "z.png").symlink_to(tmp_path / "elsewhere.png")
    jobs = find_jobs([folder, folder / "b.jpg", folder / "in" / ".." / "b.jpg"], tmp_path / "out")
    assert outputs(jobs, tmp_path / "out") == ["a.png", "b.jpg", "c.png", "in/deeper/c.JPG", "z.png"]
    assert jobs.skipped == [(str(folder / "in" / "z.png"), "link to another input")]


def test_inputs_are_never_overwritten(folder, tmp_path):
    for inputs, out in ((folder, folder), (folder / "b.jpg", folder), (folder / "in", folder / "deeper/../in")):
        with pytest.raises(ValueError, match="one of the inputs, which would be lost. Give another folder"):
            find_jobs([inputs], out)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "in").symlink_to(folder / "in")
    with pytest.raises(ValueError, match=r"out/in/a.png: expected a new file"):
        find_jobs([folder], tmp_path / "out")


def test_outputs_that_a_link_maps_to_one_file_are_refused(folder, tmp_path):
    out = tmp_path / "out"
    (folder / "again" / "deeper").mkdir(parents=True)
    (folder / "again" / "deeper" / "c.JPG").touch()
    (out / "again").mkdir(parents=True)
    (out / "in").symlink_to(out / "again")
    with pytest.raises(ValueError, match="several inputs with the same output"):
        find_jobs([folder], out)


def test_files_of_the_same_name_keep_their_distinct_folders(tmp_path):
    for place in ("spring/a.png", "autumn/a.png", "autumn/b.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    jobs = find_jobs([tmp_path / "spring", tmp_path / "autumn"], tmp_path / "out")
    assert sorted(outputs(jobs, tmp_path / "out")) == ["autumn/a.png", "b.png", "spring/a.png"]


def test_outputs_are_named_by_suffix_and_format(folder, tmp_path):
    (folder / "a.jpg").touch()
    jobs = find_jobs([folder], tmp_path / "out", Naming("-x", "png"))
    expected = ["a.jpg-x.png", "a.png-x.png", "b-x.png", "in/a-x.png", "in/deeper/c-x.png"]
    assert sorted(outputs(jobs, tmp_path / "out")) == expected
    jobs = find_jobs([folder], tmp_path / "out", Naming("", "png"))  # a.png keeps its name, a.jpg gets a longer one
    assert sorted(outputs(jobs, tmp_path / "out")) == ["a.jpg.png", "a.png", "b.png", "in/a.png", "in/deeper/c.png"]


def test_outputs_beside_the_inputs_are_not_inputs_of_the_next_run(folder):
    (folder / "b-repaired.jpg").touch()
    jobs = find_jobs([folder / "b.jpg", folder], folder, Naming("-repaired"))
    assert outputs(jobs, folder)[0] == "b-repaired.jpg" and len(jobs) == 4
    assert [kind for _, kind in jobs.skipped] == ["enhanced before"]


def test_listing_takes_few_bytes_per_file(tmp_path):
    for place in range(4):
        (tmp_path / f"{place:02}").mkdir()
        for n in range(500):
            (tmp_path / f"{place:02}" / f"IMG_20200318_{n:06}.jpg").touch()
    found = []
    for _ in range(3):  # the least of three: caches are filled once, and other threads allocate
        tracemalloc.start()
        jobs = find_jobs([tmp_path], tmp_path / "out")
        current, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        found.append((current / len(jobs), peak / len(jobs)))
    current, peak = map(min, zip(*found, strict=True))
    assert len(jobs) == 2000 and current < 160 and peak < 300
