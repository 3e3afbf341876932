"""Images of every kind through the command line: valid ones are preserved, each invalid one fails with a sentence."""

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
def test_valid_images_are_preserved_at_strength_zero(tmp_path):
    """Compares size, format, bit depth and pixels of input and output."""
    assert len(GOOD) >= 60
    (tmp_path / "in").mkdir()
    for name, make in GOOD.items():
        make(tmp_path / "in" / name)
    # in a folder only the common suffixes are found
    rare = [tmp_path / "in" / name for name in GOOD if name.endswith(("ppm", "pgm", "jp2", "avif"))]
    done = run_child(command(tmp_path / "in", *rare, "-o", tmp_path / "out", "--strength", "0"))
    assert done.returncode == 0 and failures(done.stderr) == {}, done.stderr
    assert written(tmp_path / "out") == sorted(GOOD)
    for name in GOOD:
        with Image.open(tmp_path / "in" / name) as source, Image.open(tmp_path / "out" / name) as after:
            assert after.format == ("JPEG" if source.format == "MPO" else source.format), name
            assert after.getexif().get(0x0112, 1) == 1, name
            source, before = upright(tmp_path / "in" / name), source.format
            assert after.size == source.size, name
            if name == "large.jpg":
                assert after.size == (8664, 5776)
                continue
            if source.mode.startswith(("I", "F")):
                a, b = (np.asarray(p, dtype=float) for p in (source, after))
                assert np.abs(a - b).max() <= (1e-4 if source.mode == "F" else 1), name
            elif source.mode not in ("CMYK", "LAB"):
                mode = "RGBA" if source.has_transparency_data else "RGB"
                a, b = (np.asarray(p.convert(mode), dtype=float) for p in (source, after))
                difference = np.abs(a - b)[a[..., -1] > 0] if mode == "RGBA" else np.abs(a - b)
                assert difference.mean() <= (6 if before in LOSSY | {"MPO"} or "jpeg." in name else 1), name


def test_each_invalid_image_fails_with_one_sentence_and_affects_no_other(tmp_path, photos):
    assert len(BAD) >= 60
    for name, make in BAD.items():
        make(photos / name)
    before = {p.name: os.lstat(p) for p in photos.iterdir()}
    limited = ["prlimit", f"--as={4 << 30}", *command(photos, "-o", tmp_path / "out")]
    done = run_child(as_ordinary_user(limited))
    good = [f"{seed}.png" for seed in range(6)]
    messages = failures(done.stderr)
    assert done.returncode == 1
    assert sorted(messages) == sorted(str(photos / name) for name in BAD)
    assert all(len(reason) < 250 for reason in messages.values()), messages
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
        assert reason in messages[str(photos / name)], name
    photos.joinpath("unlisted").chmod(0o700)  # so that pytest can remove it


def test_wrong_settings_are_refused_once(photos, tmp_path, capsys):
    wrong = {"--strength": ("2", "nan"), "--working-size": ("0",), "--workers": ("0",), "--every": ("0",)}
    for option in [(name, value) for name, values in wrong.items() for value in values]:
        status = main(["enhance", str(photos), "-o", str(tmp_path / "out"), *option])
        messages = capsys.readouterr().err
        assert status == 2 and messages.count("\n") == 1 and "expected" in messages and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["empty.png", "half.jpg", "text.tif", "lying.bmp", "nan.tif", "pipe.jpg"])
def test_other_commands_name_the_invalid_file(name, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    BAD[name](folder / name)
    for words in (["evaluate", "--dusty", folder, "--methods", "input"], ["dust", folder, "-o", tmp_path / "out"]):
        status = main([str(word) for word in words])
        messages = capsys.readouterr().err.strip().splitlines()[-1]
        assert status == 2 and str(folder / name) in messages
