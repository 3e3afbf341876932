"""Pictures of every kind through the command line: the good come back whole, each bad one costs one sentence."""

import os

import numpy as np
import pytest
from corpus import BAD, GOOD
from enhance_command import command, failures, make_photos, written
from faults import as_ordinary_user, run_child
from PIL import Image, ImageOps

from ssdie.batch.journal import journal_path, read_journal
from ssdie.cli import main

LOSSY = {"JPEG", "WEBP", "GIF", "JPEG2000", "AVIF"}


@pytest.fixture
def photos(tmp_path):
    return make_photos(tmp_path / "photos")


def upright(path) -> Image.Image:
    with Image.open(path) as picture:
        return ImageOps.exif_transpose(picture)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_good_pictures_come_back_whole(tmp_path):
    """With strength 0 a picture comes back as it was: size, format, depth, pixels."""
    assert len(GOOD) >= 60
    (tmp_path / "in").mkdir()
    for name, make in GOOD.items():
        make(tmp_path / "in" / name)
    # a folder is searched for the common suffixes alone
    rare = [tmp_path / "in" / name for name in GOOD if name.endswith(("ppm", "pgm", "jp2", "avif"))]
    done = run_child(command(tmp_path / "in", *rare, "-o", tmp_path / "out", "--strength", "0"))
    assert done.returncode == 0 and failures(done.stderr) == {}, done.stderr
    assert written(tmp_path / "out") == sorted(GOOD)
    for name in GOOD:
        with Image.open(tmp_path / "in" / name) as came, Image.open(tmp_path / "out" / name) as after:
            assert after.format == ("JPEG" if came.format == "MPO" else came.format), name
            assert after.getexif().get(0x0112, 1) == 1, name
            came, before = upright(tmp_path / "in" / name), came.format
            assert after.size == came.size, name
            if name == "large.jpg":
                assert after.size == (8664, 5776)
                continue
            if came.mode.startswith(("I", "F")):
                a, b = (np.asarray(p, dtype=float) for p in (came, after))
                assert np.abs(a - b).max() <= (1e-4 if came.mode == "F" else 1), name
            elif came.mode not in ("CMYK", "LAB"):
                mode = "RGBA" if came.has_transparency_data else "RGB"
                a, b = (np.asarray(p.convert(mode), dtype=float) for p in (came, after))
                away = np.abs(a - b)[a[..., -1] > 0] if mode == "RGBA" else np.abs(a - b)
                assert away.mean() <= (6 if before in LOSSY | {"MPO"} or "jpeg." in name else 1), name


def test_each_bad_picture_costs_one_sentence_and_nothing_else(tmp_path, photos):
    assert len(BAD) >= 60
    for name, make in BAD.items():
        make(photos / name)
    before = {p.name: os.lstat(p) for p in photos.iterdir()}
    limited = ["prlimit", f"--as={4 << 30}", *command(photos, "-o", tmp_path / "out")]
    done = run_child(as_ordinary_user(limited))
    good = [f"{seed}.png" for seed in range(6)]
    told = failures(done.stderr)
    assert done.returncode == 1
    assert sorted(told) == sorted(str(photos / name) for name in BAD)
    assert all(len(reason) < 250 for reason in told.values()), told
    assert written(tmp_path / "out") == good
    assert {p.name: os.lstat(p).st_mtime_ns for p in photos.iterdir()} == {n: s.st_mtime_ns for n, s in before.items()}
    outcomes = [row.outcome for row in read_journal(journal_path(tmp_path / "out")).rows()]
    assert outcomes.count("done") == 6 and len(outcomes) == 6 + len(BAD)
    for name, reason in {
        "text.png": "not a picture",
        "postscript.jpg": "PostScript is not supported",
        "half.jpg": "damaged",
        "huge.png": "declares 20000 x 20000 pixels",
        "lying.png": "9000 x 9000 pixels in",
        "nan.tif": "nan",
        "broken-link.jpg": "No such file",
        "pipe.jpg": "a pipe",
        "unreadable.jpg": "Permission denied",
        "unlisted": "Permission denied",
    }.items():
        assert reason in told[str(photos / name)], name
    photos.joinpath("unlisted").chmod(0o700)  # for pytest to remove


def test_wrong_settings_are_refused_once(photos, tmp_path, capsys):
    wrong = {"--strength": ("2", "nan"), "--working-size": ("0",), "--workers": ("0",), "--every": ("0",)}
    for option in [(name, value) for name, values in wrong.items() for value in values]:
        status = main(["enhance", str(photos), "-o", str(tmp_path / "out"), *option])
        told = capsys.readouterr().err
        assert status == 2 and told.count("\n") == 1 and "expected" in told and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["empty.png", "half.jpg", "text.tif", "lying.bmp", "nan.tif", "pipe.jpg"])
def test_other_commands_name_the_file_too(name, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    BAD[name](folder / name)
    for words in (["evaluate", "--dusty", folder, "--methods", "input"], ["dust", folder, "-o", tmp_path / "out"]):
        status = main([str(word) for word in words])
        told = capsys.readouterr().err.strip().splitlines()[-1]
        assert status == 2 and str(folder / name) in told
