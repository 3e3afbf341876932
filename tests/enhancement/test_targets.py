"""Output paths: no input is overwritten, and on a full or read-only disk only the affected files fail."""

import os
import re
import sys

import cv2
import numpy as np
import pytest
from corpus import photo
from enhance_command import command, failures, make_photos, written
from faults import ENVIRONMENT, SSDIE, as_ordinary_user, on_disk, run_child
from PIL import Image

from ssdie.cli import main


@pytest.fixture
def photos(tmp_path):
    return make_photos(tmp_path / "photos")


@pytest.fixture
def run_command(capsys):
    """Run the command in this process; return exit status and standard error without the progress bar, by line."""

    def run(*words) -> tuple[int, list[str]]:
        status = main([str(word) for word in command(*words)[len(SSDIE) :]])
        lines = re.split(r"[\r\n]+", capsys.readouterr().err)
        return status, [line for line in lines if line.strip() and not line.startswith("enhance: ")]

    return run


def test_output_that_is_an_input_is_refused(photos, tmp_path, run_command):
    content = {p.name: p.read_bytes() for p in photos.iterdir()}
    (tmp_path / "link").symlink_to(photos)
    for words in ([photos], [photos / "0.png", photos / "1.png"], [photos / ".." / "photos"]):
        for out in (photos, tmp_path / "link", photos / ".." / "photos"):
            status, messages = run_command(*words, "-o", out)
            lost = {p.name: p.read_bytes() for p in photos.iterdir()} != content
            assert status == 2 and not lost
            assert len(messages) == 1 and str(out / "0.png") in messages[0] and "would be lost" in messages[0]


def test_hard_linked_input_survives(photos, tmp_path, run_command):
    (tmp_path / "out").mkdir()
    os.link(photos / "0.png", tmp_path / "out" / "0.png")
    content = (photos / "0.png").read_bytes()
    status, _ = run_command(photos, "-o", tmp_path / "out")
    assert status == 0 and (photos / "0.png").read_bytes() == content


def test_inputs_of_the_same_name_are_all_kept(tmp_path, run_command):
    for seed, season in enumerate(("spring", "summer", "autumn")):
        (tmp_path / season).mkdir()
        photo(seed=seed).save(tmp_path / season / "a.png")
    folders = [tmp_path / season for season in ("spring", "summer", "autumn")]
    status, _ = run_command(*folders, "-o", tmp_path / "out", "--strength", "0")
    kept = written(tmp_path / "out")
    assert status == 0 and kept == ["autumn/a.png", "spring/a.png", "summer/a.png"]
    for name in kept:
        a, b = (np.asarray(Image.open(tmp_path / season / name), dtype=int) for season in (".", "out"))
        assert np.abs(a - b).max() <= 1


def test_targets_that_cannot_be_written_fail_without_affecting_others(photos, tmp_path):
    out = tmp_path / "out"
    (out / "0.png").mkdir(parents=True)
    (out / "1.png").write_text("kept")
    (out / "1.png").chmod(0o444)
    (photos / "in").mkdir()
    photo().save(photos / "in" / "a.png")
    (out / "in").mkdir(mode=0o555)
    done = run_child(as_ordinary_user(command(photos, "-o", out)))
    messages = failures(done.stderr)
    kept = (out / "1.png").read_text() == "kept" and written(out) == [f"{n}.png" for n in range(1, 6)]
    assert done.returncode == 1 and kept
    assert messages == {
        str(photos / "0.png"): f"{out / '0.png'}: Is a directory",
        str(photos / "1.png"): f"{out / '1.png'}: the file exists and is read-only",
        str(photos / "in" / "a.png"): f"{out / 'in' / 'a.png'}: Permission denied",
    }


def test_output_folders_that_cannot_be_written_are_refused(photos, tmp_path, run_command):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "locked").mkdir(mode=0o555)
    for reason, out in (
        ("Not a directory", tmp_path / "file"),
        ("Not a directory", tmp_path / "file" / "out"),
        ("File name too long", tmp_path / ("long" * 100)),
    ):
        status, messages = run_command(photos, "-o", out)
        assert status == 2 and len(messages) == 1 and str(out) in messages[0] and reason in messages[0]
    for reason, out, words in (
        ("Permission denied", tmp_path / "locked", as_ordinary_user),
        ("Read-only", tmp_path / "disk", lambda command: on_disk(tmp_path / "disk", command, "ro")),
    ):
        done = run_child(words(command(photos, "-o", out)))
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert str(out) in done.stderr and reason in done.stderr
    assert (tmp_path / "file").read_text() == "kept" and not any((tmp_path / "locked").iterdir())


def test_on_a_full_disk_only_photos_that_do_not_fit_fail(tmp_path):
    """Photos that fit are complete, the others are reported, no partial file remains."""
    photos, disk = tmp_path / "photos", tmp_path / "disk"
    photos.mkdir()
    for seed in range(10):
        photo((150, 100), seed=seed).save(photos / f"{seed}.png")
    size = 16 * 1024 + 5 * (photos / "0.png").stat().st_size
    check = "import sys; from PIL import Image; [Image.open(p).load() for p in sys.argv[1:]]"
    words = ["sh", "-c", '"$@"; e=$?; "$0" -c "$CHECK" "$OUT"/*.png; exit $e', sys.executable]
    words += command(photos, "-o", disk)
    done = run_child(on_disk(disk, words, f"size={size}"), env=ENVIRONMENT | {"CHECK": check, "OUT": str(disk)})
    messages, present = failures(done.stderr), [line for line in done.stdout.splitlines() if line.endswith(".png")]
    assert done.returncode == 1 and 1 <= len(present) <= 8
    assert sorted([*messages, *(line.replace(str(disk), str(photos)) for line in present)]) == sorted(
        str(photos / f"{seed}.png") for seed in range(10)
    )
    assert all("No space left on device" in reason for reason in messages.values())


@pytest.mark.parametrize("suffix, codec", [("avi", "MJPG"), ("mp4", "mp4v")])
def test_a_video_that_does_not_fit_fails_and_leaves_no_file(tmp_path, suffix, codec):
    video, disk, random = tmp_path / f"video.{suffix}", tmp_path / "disk", np.random.default_rng(0)
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*codec), 10, (160, 120))
    for _ in range(30):
        writer.write(random.integers(0, 255, (120, 160, 3), dtype=np.uint8))
    writer.release()
    done = run_child(on_disk(disk, command(video, "-o", disk), f"size={video.stat().st_size // 3}"))
    left = [line for line in done.stdout.splitlines() if line.endswith(suffix)]
    assert done.returncode == 1 and left == []
    assert f"failed: {video}: " in done.stderr and "No space left on device" in done.stderr
