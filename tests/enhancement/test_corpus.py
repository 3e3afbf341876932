"""Pictures of every kind through the command line: the good come back whole, each bad one costs one sentence."""

import os
import re
import sys

import cv2
import numpy as np
import pytest
import torch
from corpus import BAD, GOOD, photo
from faults import ENVIRONMENT, SSDIE, as_ordinary_user, on_disk, run_child
from PIL import Image, ImageOps

from ssdie import enhance
from ssdie.batch.journal import journal_path, read_journal
from ssdie.cli import main
from ssdie.networks.generators import build_generator
from ssdie.networks.weights import save_weights

LOSSY = {"JPEG", "WEBP", "GIF", "JPEG2000", "AVIF"}


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_generator("msff", width=8, head="scattering").eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, model, {"generator": "msff", "options": {"width": 8, "head": "scattering"}})
    return path


@pytest.fixture
def photos(tmp_path):
    """A folder of six good photos."""
    (tmp_path / "photos").mkdir()
    for seed in range(6):
        photo((60, 40), seed=seed).save(tmp_path / "photos" / f"{seed}.png")
    return tmp_path / "photos"


def command(weights, *words) -> list:
    return [*SSDIE, "enhance", *words, "--weights", weights, "--working-size", "32", "--device", "cpu"]


def failures(stderr: str) -> dict[str, str]:
    """Reason by path, as the command line told them; everything else on standard error but the bar is an error."""
    lines = re.split(r"[\r\n]+", stderr.replace("\x1b[A", ""))
    lines = [line for line in lines if line.strip() and not re.search(r"(file|frame)/s\]|s/(file|frame)\]", line)]
    assert all(line.startswith(("failed: ", "note: ", "skipped")) for line in lines), lines
    lines = [line for line in lines if line.startswith("failed: ")]
    told = dict(re.fullmatch(r"failed: (.+?): (.+)", line).groups() for line in lines)
    assert len(told) == len(lines), stderr
    return told


def written(folder) -> list[str]:
    """Files in a folder, hidden ones included, except those of the journal."""
    files = (p.relative_to(folder) for p in folder.rglob("*") if not p.is_dir())
    return sorted(path.as_posix() for path in files if path.parts[0] != ".ssdie")


def upright(path) -> Image.Image:
    with Image.open(path) as picture:
        return ImageOps.exif_transpose(picture)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_good_pictures_come_back_whole(tmp_path, weights):
    """With strength 0 a picture comes back as it was: size, format, depth, pixels."""
    assert len(GOOD) >= 60
    (tmp_path / "in").mkdir()
    for name, make in GOOD.items():
        make(tmp_path / "in" / name)
    # a folder is searched for the common suffixes alone
    rare = [tmp_path / "in" / name for name in GOOD if name.endswith(("ppm", "pgm", "jp2", "avif"))]
    done = run_child(command(weights, tmp_path / "in", *rare, "-o", tmp_path / "out", "--strength", "0"))
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


def test_each_bad_picture_costs_one_sentence_and_nothing_else(tmp_path, weights, photos):
    assert len(BAD) >= 60
    for name, make in BAD.items():
        make(photos / name)
    before = {p.name: os.lstat(p) for p in photos.iterdir()}
    limited = ["prlimit", f"--as={4 << 30}", *command(weights, photos, "-o", tmp_path / "out")]
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


# Arrays and tensors ------------------------------------------------------------------------------------------------

PLAIN = np.full((9, 9, 3), 0.5, np.float32)
WRONG = {
    "nan": (np.where(PLAIN == 0.5, np.nan, 1), "got nan to nan"),
    "one nan": (np.concatenate((PLAIN, np.full((1, 9, 3), np.nan, np.float32))), "got nan to nan"),
    "infinite": (np.full_like(PLAIN, np.inf), "got inf to inf"),
    "0 to 255": (PLAIN * 510, "got 255 to 255"),
    "-1 to 1": (PLAIN - 1, "got -0.5 to -0.5"),
    "nan tensor": (torch.full((3, 9, 9), torch.nan), "got nan to nan"),
    "tensor of 0 to 255": (torch.full((3, 9, 9), 255.0), "got 255 to 255"),
    **{f"{t.__name__}": (PLAIN.astype(t), t.__name__) for t in (np.int64, np.bool_, np.complex64, np.uint32)},
    "objects": (PLAIN.astype(object), "object"),
    "text": (PLAIN.astype(str), "<U"),
    "other byte order": (PLAIN.astype(">f4"), ">f4"),
    "extended precision": (PLAIN.astype(np.longdouble), str(np.dtype(np.longdouble))),
    "no pixel": (PLAIN[:0], r"\(0, 9, 3\)"),
    "one axis": (PLAIN[0, 0], r"\(3,\)"),
    "two channels": (PLAIN[..., :2], r"\(9, 9, 2\)"),
    "channels first": (PLAIN.transpose(2, 0, 1), r"\(3, 9, 9\)"),
    "a batch": (PLAIN[None], r"\(1, 9, 9, 3\)"),
    "uint8 tensor": (torch.zeros(3, 9, 9, dtype=torch.uint8), "torch.uint8"),
    "channels last": (torch.zeros(9, 9, 3), r"\(9, 9, 3\)"),
    "empty tensor": (torch.zeros(3, 0, 9), r"\(3, 0, 9\)"),
    "empty batch": (torch.zeros(0, 3, 9, 9), r"\(0, 3, 9, 9\)"),
    "bytes": (b"picture", "bytes"),
    "nothing": (None, "NoneType"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_arrays_are_refused_with_what_came_and_what_is_wanted(kind, model):
    value, came = WRONG[kind]
    if kind == "extended precision" and value.dtype == np.float64:
        value, came = PLAIN.astype(">f8"), ">f8"  # machines that have none
    with pytest.raises((TypeError, ValueError), match=came) as caught:
        enhance(value, model, working_size=32)
    assert "expected " in str(caught.value)


def test_wrong_settings_are_refused_once(photos, tmp_path, weights, capsys):
    wrong = {"--strength": ("2", "nan"), "--working-size": ("0",), "--workers": ("0",), "--every": ("0",)}
    for option in [(name, value) for name, values in wrong.items() for value in values]:
        status = main(["enhance", str(photos), "-o", str(tmp_path / "out"), "--weights", str(weights), *option])
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


# Where it is written -----------------------------------------------------------------------------------------------


@pytest.fixture
def say(weights, capsys):
    """Run the command in this process; give its exit status and what it said on standard error, but for the bar."""

    def run(*words) -> tuple[int, list[str]]:
        status = main([str(word) for word in command(weights, *words)[len(SSDIE) :]])
        lines = re.split(r"[\r\n]+", capsys.readouterr().err)
        return status, [line for line in lines if line.strip() and not line.startswith("enhance: ")]

    return run


def test_output_that_is_an_input_is_refused(photos, tmp_path, say):
    content = {p.name: p.read_bytes() for p in photos.iterdir()}
    (tmp_path / "link").symlink_to(photos)
    for words in ([photos], [photos / "0.png", photos / "1.png"], [photos / ".." / "photos"]):
        for out in (photos, tmp_path / "link", photos / ".." / "photos"):
            status, told = say(*words, "-o", out)
            lost = {p.name: p.read_bytes() for p in photos.iterdir()} != content
            assert status == 2 and not lost
            assert len(told) == 1 and str(out / "0.png") in told[0] and "would be lost" in told[0]


def test_hard_linked_input_survives(photos, tmp_path, say):
    (tmp_path / "out").mkdir()
    os.link(photos / "0.png", tmp_path / "out" / "0.png")
    content = (photos / "0.png").read_bytes()
    status, _ = say(photos, "-o", tmp_path / "out")
    assert status == 0 and (photos / "0.png").read_bytes() == content


def test_inputs_of_the_same_name_are_all_kept(tmp_path, say):
    for seed, place in enumerate(("spring", "summer", "autumn")):
        (tmp_path / place).mkdir()
        photo(seed=seed).save(tmp_path / place / "a.png")
    folders = [tmp_path / place for place in ("spring", "summer", "autumn")]
    status, _ = say(*folders, "-o", tmp_path / "out", "--strength", "0")
    kept = written(tmp_path / "out")
    assert status == 0 and kept == ["autumn/a.png", "spring/a.png", "summer/a.png"]
    for name in kept:
        a, b = (np.asarray(Image.open(tmp_path / place / name), dtype=int) for place in (".", "out"))
        assert np.abs(a - b).max() <= 1


def test_targets_that_cannot_be_written_cost_themselves_alone(photos, tmp_path, weights):
    out = tmp_path / "out"
    (out / "0.png").mkdir(parents=True)
    (out / "1.png").write_text("kept")
    (out / "1.png").chmod(0o444)
    (photos / "in").mkdir()
    photo().save(photos / "in" / "a.png")
    (out / "in").mkdir(mode=0o555)
    done = run_child(as_ordinary_user(command(weights, photos, "-o", out)))
    told = failures(done.stderr)
    kept = (out / "1.png").read_text() == "kept" and written(out) == [f"{n}.png" for n in range(1, 6)]
    assert done.returncode == 1 and kept
    assert told == {
        str(photos / "0.png"): f"{out / '0.png'}: Is a directory",
        str(photos / "1.png"): f"{out / '1.png'}: the file exists and is read-only",
        str(photos / "in" / "a.png"): f"{out / 'in' / 'a.png'}: Permission denied",
    }


def test_output_folders_that_cannot_be_written_are_refused(photos, tmp_path, weights, say):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "locked").mkdir(mode=0o555)
    for reason, out in (
        ("Not a directory", tmp_path / "file"),
        ("Not a directory", tmp_path / "file" / "out"),
        ("File name too long", tmp_path / ("long" * 100)),
    ):
        status, told = say(photos, "-o", out)
        assert status == 2 and len(told) == 1 and str(out) in told[0] and reason in told[0]
    for reason, out, words in (
        ("Permission denied", tmp_path / "locked", as_ordinary_user),
        ("Read-only", tmp_path / "disk", lambda command: on_disk(tmp_path / "disk", command, "ro")),
    ):
        done = run_child(words(command(weights, photos, "-o", out)))
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert str(out) in done.stderr and reason in done.stderr
    assert (tmp_path / "file").read_text() == "kept" and not any((tmp_path / "locked").iterdir())


def test_a_full_disk_costs_what_does_not_fit(tmp_path, weights):
    """Some photos fit and are whole, the others are told, nothing half-written stays."""
    photos, disk = tmp_path / "photos", tmp_path / "disk"
    photos.mkdir()
    for seed in range(10):
        photo((150, 100), seed=seed).save(photos / f"{seed}.png")
    size = 16 * 1024 + 5 * (photos / "0.png").stat().st_size
    check = "import sys; from PIL import Image; [Image.open(p).load() for p in sys.argv[1:]]"
    words = ["sh", "-c", '"$@"; e=$?; "$0" -c "$CHECK" "$OUT"/*.png; exit $e', sys.executable]
    words += command(weights, photos, "-o", disk)
    done = run_child(on_disk(disk, words, f"size={size}"), env=ENVIRONMENT | {"CHECK": check, "OUT": str(disk)})
    told, there = failures(done.stderr), [line for line in done.stdout.splitlines() if line.endswith(".png")]
    assert done.returncode == 1 and 1 <= len(there) <= 8
    assert sorted([*told, *(line.replace(str(disk), str(photos)) for line in there)]) == sorted(
        str(photos / f"{seed}.png") for seed in range(10)
    )
    assert all("No space left on device" in reason for reason in told.values())


@pytest.mark.parametrize("suffix, codec", [("avi", "MJPG"), ("mp4", "mp4v")])
def test_a_video_that_does_not_fit_is_no_success(tmp_path, weights, suffix, codec):
    film, disk, random = tmp_path / f"film.{suffix}", tmp_path / "disk", np.random.default_rng(0)
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*codec), 10, (160, 120))
    for _ in range(30):
        writer.write(random.integers(0, 255, (120, 160, 3), dtype=np.uint8))
    writer.release()
    done = run_child(on_disk(disk, command(weights, film, "-o", disk), f"size={film.stat().st_size // 3}"))
    left = [line for line in done.stdout.splitlines() if line.endswith(suffix)]
    assert done.returncode == 1 and left == []
    assert f"failed: {film}: " in done.stderr and "No space left on device" in done.stderr
