"""Files: whatever comes in comes out as it was, but enhanced; nothing is lost, and nothing is done twice."""

import csv
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from faults import ENVIRONMENT, SSDIE
from PIL import Image, ImageCms

from ssdie.batch.jobs import find_jobs
from ssdie.batch.journal import LOCAL_RANKS, RANKS, SIZES, HashSet, read_manifests, share_of_work
from ssdie.cli import main
from ssdie.enhancement import folder as files
from ssdie.enhancement.folder import enhance_files, take_in_turn
from ssdie.networks.generators import build_generator
from ssdie.networks.weights import save_weights
from ssdie.utils import paths

OPTIONS = {"width": 8, "head": "scattering"}


def make_model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_generator("msff", **OPTIONS).eval()
        torch.nn.init.normal_(model.output.weight, std=0.05)
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in (*RANKS, *SIZES, *LOCAL_RANKS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def weights(tmp_path, model):
    path = tmp_path / "model.safetensors"
    save_weights(path, model, {"generator": "msff", "options": OPTIONS})
    return path


def photo(size: tuple[int, int] = (40, 30), mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Dusty noise on a ramp: width x height."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(0.3, 0.8, size[0])[None, :, None] * np.array([1.0, 0.8, 0.5])
    values = ramp + 0.02 * random.standard_normal((size[1], size[0], 3))
    return Image.fromarray((values.clip(0, 1) * 255).astype(np.uint8)).convert(mode)


def run(inputs, out, model, **settings):
    settings = {"working_size": 32, "progress": False} | settings
    return enhance_files(inputs if isinstance(inputs, list) else [inputs], out, model, **settings)


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".csv")


# What a photo keeps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, mode, options",
    [
        ("a.JPG", "RGB", {}),
        ("a.jpeg", "L", {}),
        ("a.png", "RGB", {}),
        ("a.png", "RGBA", {}),
        ("a.png", "L", {}),
        ("a.png", "LA", {}),
        ("a.bmp", "RGB", {}),
        ("a.tif", "RGB", {"compression": "tiff_lzw"}),
        ("a.webp", "RGB", {}),
        ("dust storm, سنندج ☀.jpg", "RGB", {}),
    ],
)
def test_size_name_format_and_mode_stay(tmp_path, model, name, mode, options):
    before = photo(mode=mode)
    if "A" in mode:
        before.putalpha(Image.linear_gradient("L").resize(before.size))
    (tmp_path / "in").mkdir()
    before.save(tmp_path / "in" / name, **options)
    assert run(tmp_path / "in", tmp_path / "out", model) == []
    assert names(tmp_path / "out") == [name]
    with Image.open(tmp_path / "in" / name) as came, Image.open(tmp_path / "out" / name) as after:
        assert (after.size, after.format, after.mode) == (came.size, came.format, came.mode)
        assert after.info.get("compression") == came.info.get("compression")
        assert after.tobytes() != came.tobytes()
        if "A" in mode:
            assert after.getchannel("A").tobytes() == came.getchannel("A").tobytes()


def test_orientation_is_applied_and_the_other_exif_and_the_profile_stay(tmp_path, model):
    before, exif = photo((40, 30)), Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "a camera"  # lying on its side; model
    exif.get_ifd(0x8769)[0x9003] = "2020:03:18 12:00:00"  # time of the photo
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        before.save(tmp_path / name, exif=exif.tobytes(), icc_profile=profile)
        assert run(tmp_path / name, tmp_path / "out", model) == []
        with Image.open(tmp_path / "out" / name) as after:
            tags = after.getexif()
            assert after.size == (30, 40), name
            assert tags.get(0x0112, 1) == 1 and tags[0x0110] == "a camera", name
            assert tags.get_ifd(0x8769)[0x9003] == "2020:03:18 12:00:00", name
            assert after.info["icc_profile"] == profile, name


def test_orientation_turns_the_pixels(tmp_path, model):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().save(tmp_path / "turned.png", exif=exif)
    photo().transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png")
    assert run([tmp_path / "turned.png", tmp_path / "upright.png"], tmp_path / "out", model) == []
    with Image.open(tmp_path / "out/turned.png") as a, Image.open(tmp_path / "out/upright.png") as b:
        assert a.tobytes() == b.tobytes()


def test_jpeg_of_several_pictures_gives_the_first(tmp_path, model):
    photo().save(tmp_path / "a.mpo", save_all=True, append_images=[photo((20, 15), seed=1)])
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")  # as phones do
    assert run(tmp_path / "a.jpg", tmp_path / "out", model) == []
    with Image.open(tmp_path / "out/a.jpg") as after:
        assert after.format == "JPEG" and after.size == (40, 30)


def test_print_colours_become_rgb_without_their_profile(tmp_path, model):
    photo(mode="CMYK").save(tmp_path / "a.jpg", icc_profile=b"not a profile")
    assert run(tmp_path / "a.jpg", tmp_path / "out", model) == []
    with Image.open(tmp_path / "out/a.jpg") as after:
        assert after.mode == "RGB" and "icc_profile" not in after.info


def test_palette_becomes_rgb_and_keeps_transparency(tmp_path, model):
    photo().quantize(16).save(tmp_path / "a.png")
    photo().quantize(16).save(tmp_path / "b.png", transparency=0)
    assert run([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out", model) == []
    with Image.open(tmp_path / "out/a.png") as a, Image.open(tmp_path / "out/b.png") as b:
        assert (a.mode, b.mode) == ("RGB", "RGBA")
        assert b.getchannel("A").getextrema() == (0, 255)


def test_sixteen_bit_grey_stays_sixteen_bit(tmp_path, model):
    values = np.linspace(20000, 40000, 40 * 30).reshape(30, 40).astype(np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert run(tmp_path / name, tmp_path / "out", model) == []
        with Image.open(tmp_path / "out" / name) as after:
            assert after.mode == "I;16" and len(np.unique(np.asarray(after))) > 256


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 200), (500, 2)])
def test_narrow_photos(tmp_path, model, size):
    photo(size).save(tmp_path / "a.png")
    assert run(tmp_path / "a.png", tmp_path / "out", model) == []
    with Image.open(tmp_path / "out/a.png") as after:
        assert after.size == size


def test_jpeg_keeps_full_colour_resolution(tmp_path, model):
    photo().save(tmp_path / "a.jpg", quality=50)
    run(tmp_path / "a.jpg", tmp_path / "out", model)
    with Image.open(tmp_path / "out/a.jpg") as after:
        assert {component[1:3] for component in after.layer} == {(1, 1)}
        assert max(after.quantization[0]) <= 12  # quality 95


# Folders -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Photos in a folder and in a folder in it."""
    for seed, name in enumerate(("b.jpg", "a.png", "in/a.png", "in/deeper/c.JPG")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(seed=seed).save(path)
    (tmp_path / "photos/notes.txt").write_text("no photo")
    (tmp_path / "photos/.hidden.jpg").write_bytes(b"")
    return tmp_path / "photos"


def test_folders_keep_their_structure(folder, tmp_path, model):
    assert run(folder, tmp_path / "out", model) == []
    assert names(tmp_path / "out") == ["a.png", "b.jpg", "in/a.png", "in/deeper/c.JPG"]


def test_twice_gives_the_same_bytes_whatever_the_number_of_workers(folder, tmp_path, model):
    run(folder, tmp_path / "one", model, workers=1)
    run(folder, tmp_path / "two", model, workers=3)
    for name in names(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_failures_are_listed_and_the_rest_is_done(folder, tmp_path, model):
    whole = (folder / "b.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    photo().save(folder / "moving.webp", save_all=True, append_images=[photo(seed=1)])
    failures = run([folder, tmp_path / "missing.jpg"], tmp_path / "out", model)
    assert [f.path.name for f in failures] == ["cut.jpg", "empty.jpg", "moving.webp", "text.png", "missing.jpg"]
    assert "truncated" in failures[0].reason.lower() and "2 pictures" in failures[2].reason
    assert "no picture" in failures[3].reason and "No such file" in failures[4].reason
    assert names(tmp_path / "out") == ["a.png", "b.jpg", "in/a.png", "in/deeper/c.JPG"]


def test_inputs_are_never_overwritten(folder, model):
    before = (folder / "b.jpg").read_bytes()
    for inputs, out in ((folder, folder), (folder / "b.jpg", folder), (folder / "in", folder / "deeper" / ".." / "in")):
        with pytest.raises(ValueError, match="another folder"):
            run(inputs, out, model)
    assert (folder / "b.jpg").read_bytes() == before
    assert not (folder / "manifest.csv").exists()


def test_output_inside_the_input_is_not_enhanced_again(folder, model):
    run(folder, folder / "out", model)
    assert run(folder, folder / "out", model) == []
    assert len(names(folder / "out")) == 4


def test_same_name_from_two_folders(tmp_path, model):
    for seed, place in enumerate(("spring/a.png", "autumn/a.png", "autumn/b.png")):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        photo(seed=seed).save(tmp_path / place)
    assert run([tmp_path / "spring", tmp_path / "autumn"], tmp_path / "out", model) == []
    assert names(tmp_path / "out") == ["autumn/a.png", "b.png", "spring/a.png"]


def test_a_photo_named_twice_is_done_once(folder, tmp_path):
    jobs = find_jobs([folder, folder / "b.jpg", folder / "in" / ".." / "b.jpg"], tmp_path / "out")
    assert [source.name for source, _ in jobs] == ["a.png", "b.jpg", "a.png", "c.JPG"]


def test_order_is_that_of_the_names_in_each_folder(tmp_path):
    names = ["a/z.png", "a.png", "a-b/c.jpg", "a/b/x.JPG", "B.bmp", "b.webp", "é.png", "a/b.png", "c.jpg/d.png"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "in" / "a")  # a link to a folder is not followed
    jobs = find_jobs([tmp_path / "in"], tmp_path / "out")
    assert [source for source, _ in jobs] == sorted(tmp_path / "in" / name for name in names)
    assert [target for _, target in jobs] == sorted(tmp_path / "out" / name for name in names)


def test_a_link_to_a_listed_photo_is_done_once(folder, tmp_path):
    (folder / "c.png").symlink_to(folder / "in" / "a.png")
    (folder / "in" / "z.png").symlink_to(folder / "a.png")
    (tmp_path / "elsewhere.png").touch()
    (folder / "z.png").symlink_to(tmp_path / "elsewhere.png")
    jobs = find_jobs([folder], tmp_path / "out")
    placed = [target.relative_to(tmp_path / "out").as_posix() for _, target in jobs]
    assert placed == ["a.png", "b.jpg", "c.png", "in/deeper/c.JPG", "z.png"]


def test_links_in_the_output_folder_lead_to_no_loss(folder, tmp_path, model):
    out = tmp_path / "out"
    out.mkdir()
    (out / "in").symlink_to(folder / "in")
    with pytest.raises(ValueError, match=r"out/in/a.png is one of the inputs and would be lost"):
        find_jobs([folder], out)
    (out / "in").unlink()
    (folder / "again" / "deeper").mkdir(parents=True)
    photo().save(folder / "again" / "deeper" / "c.JPG", "jpeg")
    (out / "again").mkdir()
    (out / "in").symlink_to(out / "again")
    with pytest.raises(ValueError, match="would become the same file"):
        find_jobs([folder], out)
    (out / "in").unlink()
    (out / "b.jpg").symlink_to(folder / "b.jpg")
    before = (folder / "b.jpg").read_bytes()
    assert run(folder, out, model) == []
    assert (folder / "b.jpg").read_bytes() == before != (out / "b.jpg").read_bytes()


def test_listing_takes_few_bytes_a_file(tmp_path):
    for place in range(20):
        (tmp_path / f"{place:02}").mkdir()
        for n in range(500):
            (tmp_path / f"{place:02}" / f"IMG_20200318_{n:06}.jpg").touch()
    find_jobs([tmp_path], tmp_path / "out")  # whatever is made once
    tracemalloc.start()
    jobs = find_jobs([tmp_path], tmp_path / "out")
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(jobs) == 10_000 and held / len(jobs) < 150 and most / len(jobs) < 250


def test_nothing_to_do_is_said(tmp_path, model):
    with pytest.raises(ValueError, match="no photo"):
        run(tmp_path, tmp_path / "out", model)


def test_overwriting_can_be_refused(folder, tmp_path, model):
    run(folder / "a.png", tmp_path / "out", model)
    failures = run(folder, tmp_path / "out", model, overwrite=False)
    assert [f.path.name for f in failures] == ["a.png"] and "already" in failures[0].reason
    assert len(names(tmp_path / "out")) == 4


def test_no_overwrite_and_resume_replace_their_own_outputs_alone(folder, tmp_path, model):
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.jpg").write_bytes(b"of somebody else")
    for strength in (1.0, 1.0, 0.5):  # twice: a failure in the manifest makes no file ours
        failures = run(folder, out, model, overwrite=False, resume=True, strength=strength)
        assert [f.path.name for f in failures] == ["b.jpg"] and "already" in failures[0].reason
    assert run(folder / "a.png", tmp_path / "half", model, strength=0.5) == []
    assert (out / "a.png").read_bytes() == (tmp_path / "half" / "a.png").read_bytes()
    (out / "a.png").write_bytes(b"retouched")
    failures = run(folder, out, model, overwrite=False, resume=True)
    assert [f.path.name for f in failures] == ["a.png", "b.jpg"]
    assert (out / "a.png").read_bytes() == b"retouched" and (out / "b.jpg").read_bytes() == b"of somebody else"


@pytest.mark.parametrize("name", ["manifest.csv", "manifest-3.csv"])
@pytest.mark.parametrize("resume", [True, False])
def test_a_manifest_of_somebody_else_is_refused_and_kept(folder, tmp_path, model, name, resume):
    (tmp_path / "out").mkdir()
    for content in ("name,year\na.png,2020\n", "input\na.png\n", "\n"):
        (tmp_path / "out" / name).write_text(content)
        with pytest.raises(
            ValueError, match=rf"{name} begins with .*; wanted is a manifest of ssdie; rename or move it"
        ):
            run(folder, tmp_path / "out", model, resume=resume)
        assert [p.name for p in (tmp_path / "out").iterdir()] == [name]
        assert (tmp_path / "out" / name).read_text() == content
    (tmp_path / "out" / name).rename(tmp_path / "out" / "manifest of my photos.csv")
    assert run(folder, tmp_path / "out", model, resume=resume) == []


def test_manifests_of_earlier_versions_and_cut_ones_are_begun_anew(folder, tmp_path, model):
    (tmp_path / "out").mkdir()
    manifest = tmp_path / "out" / "manifest.csv"
    for content in (
        "input,fingerprint,settings,output,seconds,status\n/a.png,1-1,{},a.png,0.1,done\n",
        "input,fin",
        "",
    ):
        manifest.write_text(content)
        assert run(folder, tmp_path / "out", model, resume=True) == []
        assert len(list(csv.DictReader(manifest.open()))) == 4


def test_videos_go_the_same_way(tmp_path, model):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (40, 30))
    for seed in range(3):
        writer.write(np.asarray(photo(seed=seed))[..., ::-1].copy())
    writer.release()
    assert run(tmp_path, tmp_path / "out", model) == []
    assert names(tmp_path / "out") == ["a.avi"]


# Resuming and sharing ----------------------------------------------------------------------------------------------


def times(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mtime_ns for name in names(folder)}


def test_resume_leaves_out_what_is_done(folder, tmp_path, model):
    out = tmp_path / "out"
    (folder / "text.png").write_text("no picture")
    assert len(run(folder, out, model)) == 1
    first = times(out)
    (out / "b.jpg").unlink()
    photo(seed=9).save(folder / "a.png")  # changed since
    photo().save(folder / "text.png")  # repaired
    assert run(folder, out, model, resume=True) == []
    second = times(out)
    assert {n for n in second if second[n] != first.get(n)} == {"a.png", "b.jpg", "text.png"}
    assert run(folder, out, model, resume=True) == [] and times(out) == second
    assert run(folder, out, model, resume=True, strength=0.5) == []
    assert all(times(out)[n] != second[n] for n in second)


@pytest.mark.parametrize("first", [1, 2])
def test_resume_sees_that_an_output_is_of_other_settings(folder, tmp_path, model, monkeypatch, first):
    """Strength 1 (by one process or two), then 0.2, then 1 again."""
    out = tmp_path / "out"
    for rank in range(first):
        with monkeypatch.context() as launcher:
            launcher.setenv("RANK", str(rank))
            launcher.setenv("WORLD_SIZE", str(first))
            run(folder, out, model)
    whole = {name: (out / name).read_bytes() for name in names(out)}
    run(folder, out, model, resume=True, strength=0.2)
    assert all((out / name).read_bytes() != whole[name] for name in whole)
    run(folder, out, model, resume=True)
    assert {name: (out / name).read_bytes() for name in names(out)} == whole
    before = times(out)
    assert run(folder, out, model, resume=True) == [] and times(out) == before


def test_resume_knows_inputs_however_they_are_spelled(folder, tmp_path, model, monkeypatch):
    run(folder, tmp_path / "out", model)
    before = times(tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    for spelled, out in (("photos", "out"), ("./photos/", "../" + tmp_path.name + "/out"), (folder, "out")):
        assert run(spelled, out, model, resume=True) == []
        assert times(tmp_path / "out") == before


def test_a_line_cut_by_a_kill_is_done_again(folder, tmp_path, model):
    out = tmp_path / "out"
    run(folder, out, model)
    manifest = out / "manifest.csv"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    assert len(list(read_manifests(out))) == 3
    assert run(folder, out, model, resume=True) == []
    assert len(list(read_manifests(out))) == 4


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_files_without_overlap(folder, tmp_path, model, monkeypatch, processes):
    out = tmp_path / "out"
    for rank in range(processes):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        assert run(folder, out, model) == []
    rows = [row for path in out.glob("manifest-*.csv") for row in list(csv.reader(path.open()))[1:]]
    assert sorted(row[3] for row in rows) == names(out) == ["a.png", "b.jpg", "in/a.png", "in/deeper/c.JPG"]
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    before = times(out)
    assert run(folder, out, model, resume=True) == [] and times(out) == before  # by another number of processes


@pytest.mark.parametrize(
    "rank, size",
    [
        ("RANK", "WORLD_SIZE"),
        ("PMI_RANK", "PMI_SIZE"),
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ],
)
def test_rank_and_number_are_those_of_the_launcher(monkeypatch, rank, size):
    assert share_of_work() == (0, 1)
    monkeypatch.setenv(rank, "3")
    monkeypatch.setenv(size, "5")
    assert share_of_work() == (3, 5)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert share_of_work() == (1, 2)  # torchrun's go before mpirun's


@pytest.mark.parametrize("name", [None, "LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK"])
def test_processes_of_a_machine_share_its_gpus(monkeypatch, name):
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr("ssdie.enhancement.runtime.load_model", lambda weights, device: taken.append(device))
    monkeypatch.setattr(files, "enhance_files", lambda *values, **settings: [])
    if name:
        monkeypatch.setenv(name, "6")
    assert main(["enhance", "a.jpg", "-o", "out"]) == 0
    assert taken == ["cuda:2" if name else "cuda:0"]


def test_impossible_rank_is_refused(folder, tmp_path, model, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, came in ((None, "not set"), ("2", "2"), ("-1", "not set")):
        if rank:
            monkeypatch.setenv("RANK", rank)
        with pytest.raises(ValueError, match=f"RANK is {came} and WORLD_SIZE 2; wanted is"):
            run(folder, tmp_path / "out", model)
    assert not (tmp_path / "out").exists()


def test_few_files_are_taken_before_their_turn():
    taken, given = 0, 0

    def items():
        nonlocal taken
        for item in range(200):
            taken += 1
            yield item

    results = []
    with ThreadPoolExecutor(3) as pool:
        for result in take_in_turn(pool, lambda item: item * item, items(), 6):
            assert taken - given <= 6
            given += 1
            results.append(result)
    assert sorted(results) == [item * item for item in range(200)]


def test_hashes_hold_what_was_put_in_and_nothing_else():
    members = [(f"{n}.png", "done") for n in range(1000)]
    hashes = HashSet(members)
    assert all(member in hashes for member in members) and hashes.sorted.nbytes == 8 * len(members)
    assert not any((f"{n}.png", "failed") in hashes for n in range(1000)) and "a" not in HashSet([])


def test_one_process_sweeps_by_the_clock_of_the_disk(folder, tmp_path, model, monkeypatch):
    out = tmp_path / "out"
    run(folder, out, model)
    left, live = out / "in" / ".a-0123abcd.part.png", out / ".b-0123abcd.part.jpg"
    left.touch()
    os.utime(left, (0, 0))
    live.touch()
    monkeypatch.setattr(paths.time, "time", lambda: live.stat().st_mtime + 3600)  # this machine's clock is fast
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, swept in (("1", False), ("0", True)):
        monkeypatch.setenv("RANK", rank)
        assert run(folder, out, model, resume=True) == []
        assert live.exists() and left.exists() != swept


def command_line(folder: Path, out: Path, weights: Path) -> list[str]:
    options = ["-o", str(out), "--weights", str(weights), "--working-size", "32", "--workers", "1", "--device", "cpu"]
    return [*SSDIE, "enhance", str(folder), *options, "--resume"]


def start(command: list[str], processes: int) -> list[subprocess.Popen]:
    """Start all processes of a launcher at once."""
    return [
        subprocess.Popen(
            command,
            env=ENVIRONMENT | {"RANK": str(rank), "WORLD_SIZE": str(processes)},
            stderr=subprocess.DEVNULL,
        )
        for rank in range(processes)
    ]


def many_photos(folder: Path, number: int = 40) -> list[str]:
    folder.mkdir()
    for seed in range(number):
        photo((300, 200), seed=seed).save(folder / f"{seed:02}.png")
    return names(folder)


@pytest.mark.parametrize("launcher", ["environment", "accelerate"])
def test_processes_at_once_do_every_file_once(tmp_path, weights, launcher):
    wanted, out = many_photos(tmp_path / "photos", 20), tmp_path / "out"
    command = command_line(tmp_path / "photos", out, weights)
    if launcher == "accelerate":
        launch = ["--multi_gpu", "--num_processes", "2", "--main_process_port", "0", *command[1:]]
        command = [sys.executable, "-m", "accelerate.commands.launch", *launch]
        done = [subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)]
    else:
        done = start(command, 2)
    assert [process.wait(timeout=300) for process in done] == [0] * len(done)
    rows = {path.name: [row["output"] for row in csv.DictReader(path.open())] for path in out.glob("*.csv")}
    assert rows == {"manifest-0.csv": rows["manifest-0.csv"], "manifest-1.csv": rows["manifest-1.csv"]}
    assert sorted(rows["manifest-0.csv"]) == wanted[::2] and sorted(rows["manifest-1.csv"]) == wanted[1::2]
    assert names(out) == wanted


def test_killed_and_resumed_gives_the_same_as_never_killed(tmp_path, weights):
    """Of two processes one is killed, the other ends; three go on."""
    folder, out = tmp_path / "photos", tmp_path / "out"
    wanted = many_photos(folder)
    ends, killed = start(command_line(folder, out, weights), 2)
    while killed.poll() is None and not any("1.png" in row.output for row in read_manifests(out)):
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL and ends.wait(timeout=300) == 0
    first = [row.output for row in read_manifests(out)]
    assert set(wanted[::2]) < set(first) < set(wanted)
    kept = {name: stamp for name, stamp in times(out).items() if name in first}
    assert [process.wait(timeout=300) for process in start(command_line(folder, out, weights), 3)] == [0, 0, 0]
    assert Counter(row.output for row in read_manifests(out)) == dict.fromkeys(wanted, 1)  # none is done twice
    assert {n: t for n, t in times(out).items() if n in first} == kept
    assert [n for n in names(out) if not n.startswith(".")] == wanted
    (alone,) = start(command_line(folder, tmp_path / "whole", weights), 1)
    assert alone.wait(timeout=300) == 0
    assert all((out / n).read_bytes() == (tmp_path / "whole" / n).read_bytes() for n in wanted)


def test_command_line(folder, tmp_path, weights, capsys):
    (folder / "text.png").write_text("no picture")
    options = ["-o", str(tmp_path / "out"), "--weights", str(weights), "--working-size", "32"]
    assert main(["enhance", str(folder / "a.png"), *options]) == 0
    assert main(["enhance", str(folder), *options]) == 1
    assert "text.png: it is no picture" in capsys.readouterr().err


def test_interrupted_command_says_how_to_go_on(folder, tmp_path, weights, monkeypatch, capsys):
    def interrupt(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "enhance_files", interrupt)
    assert main(["enhance", str(folder), "-o", str(tmp_path), "--weights", str(weights)]) == 130
    assert "--resume" in capsys.readouterr().err
