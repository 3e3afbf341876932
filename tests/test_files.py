"""Files: whatever comes in comes out as it was, but enhanced; nothing is lost, and nothing is done twice."""

import argparse
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from ssdie import files
from ssdie.checkpoint import save_weights
from ssdie.files import enhance_files, find_jobs, read_manifests
from ssdie.networks import build_generator

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


def test_nothing_to_do_is_said(tmp_path, model):
    with pytest.raises(ValueError, match="no photo"):
        run(tmp_path, tmp_path / "out", model)


def test_overwriting_can_be_refused(folder, tmp_path, model):
    run(folder / "a.png", tmp_path / "out", model)
    failures = run(folder, tmp_path / "out", model, overwrite=False)
    assert [f.path.name for f in failures] == ["a.png"] and "already" in failures[0].reason
    assert len(names(tmp_path / "out")) == 4


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


def test_a_line_cut_by_a_kill_is_done_again(folder, tmp_path, model):
    out = tmp_path / "out"
    run(folder, out, model)
    manifest = out / "manifest.csv"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    assert len(read_manifests(out)) == 3
    assert run(folder, out, model, resume=True) == []
    assert len(read_manifests(out)) == 4


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


def test_impossible_rank_is_refused(folder, tmp_path, model, monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="RANK is 2"):
        run(folder, tmp_path / "out", model)


def command_line(folder: Path, out: Path, weights: Path) -> list[str]:
    code = "import sys; from ssdie.__main__ import main; sys.exit(main())"
    options = ["-o", str(out), "--weights", str(weights), "--working-size", "32", "--workers", "1", "--device", "cpu"]
    return [sys.executable, "-c", code, "enhance", str(folder), *options, "--resume"]


def test_killed_and_resumed_gives_the_same_as_never_killed(tmp_path, model):
    folder, out, weights = tmp_path / "photos", tmp_path / "out", tmp_path / "model.safetensors"
    folder.mkdir()
    for seed in range(30):
        photo((300, 200), seed=seed).save(folder / f"{seed:02}.png")
    save_weights(weights, model, {"generator": "msff", "options": OPTIONS})
    command = command_line(folder, out, weights)
    environment = os.environ | {"PYTHONPATH": str(Path(files.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not (done := read_manifests(out)) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = {row.output for row in read_manifests(out).values()}
    assert done and len(first) < 30
    kept = {name: stamp for name, stamp in times(out).items() if name in first}
    assert run(folder, out, model, resume=True) == []
    assert {n: t for n, t in times(out).items() if n in first} == kept  # none is done twice
    assert [n for n in names(out) if not n.startswith(".")] == [f"{seed:02}.png" for seed in range(30)]
    assert run(folder, tmp_path / "whole", model) == []
    assert all((out / n).read_bytes() == (tmp_path / "whole" / n).read_bytes() for n in names(tmp_path / "whole"))


def test_command_line(folder, tmp_path, model, capsys):
    weights = tmp_path / "model.safetensors"
    save_weights(weights, model, {"generator": "msff", "options": OPTIONS})
    (folder / "text.png").write_text("no picture")
    parser = argparse.ArgumentParser()
    files.add_arguments(parser)
    options = ["-o", str(tmp_path / "out"), "--weights", str(weights), "--working-size", "32"]
    assert files.run(parser.parse_args([str(folder / "a.png"), *options])) == 0
    assert files.run(parser.parse_args([str(folder), *options])) == 1
    assert "text.png: it is no picture" in capsys.readouterr().err
