"""Folders: structure and formats stay, failures cost themselves alone, a run is continued where it stopped."""

import os
from pathlib import Path

import pytest
from photos import StubModel, files_below, photo, photo_folder
from PIL import Image

from ssdie.batch.journal import CSV_COLUMNS, file_stamp, open_journal
from ssdie.enhancement.batch import RELEASE_010
from ssdie.enhancement.folder import enhance_files
from ssdie.enhancement.runtime import RELEASED_ONNX
from ssdie.enhancement.worker import Settings, Weights
from ssdie.utils.paths import file_digest


@pytest.fixture
def folder(tmp_path):
    return photo_folder(tmp_path / "photos")


def run(inputs, out, **settings):
    settings = {"model": StubModel(), "working_size": 32, "progress": False, "strength": 1.0} | settings
    return enhance_files(inputs if isinstance(inputs, list) else [inputs], out, **settings)


def times(folder: Path) -> dict[str, int]:
    """Time of each output's last change of status, which no writer can set."""
    return {name: (folder / name).stat().st_ctime_ns for name in files_below(folder)}


ALL = ["a.png", "b.jpg", "in/a.png", "in/deeper/c.JPG"]


def test_folders_keep_their_structure_and_twice_gives_the_same_bytes(folder, tmp_path):
    assert run(folder, tmp_path / "one", workers=1) == [] and run(folder, tmp_path / "two", workers=3) == []
    assert files_below(tmp_path / "one") == ALL
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == [".ssdie", "a.png", "b.jpg", "in"]
    for name in ALL:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
        with Image.open(folder / name) as before, Image.open(tmp_path / "one" / name) as after:
            assert (before.size, before.format) == (after.size, after.format)
            assert after.convert("RGB").getpixel((20, 15))[0] < 0.6 * before.convert("RGB").getpixel((20, 15))[0]


def test_every_file_is_done_failed_or_skipped(folder, tmp_path):
    whole = (folder / "b.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no picture")
    (folder / "notes.txt").write_text("no photo")
    outcomes = []
    failures = run([folder, tmp_path / "missing.jpg"], tmp_path / "out", report=outcomes.append)
    assert [failure.path.name for failure in failures] == ["cut.jpg", "text.png", "missing.jpg"]
    assert "not a picture" in failures[1].reason and "No such file" in failures[2].reason
    assert files_below(tmp_path / "out") == ALL
    counts = {kind: sum(o.outcome == kind for o in outcomes) for kind in ("done", "failed", "skipped")}
    assert counts == {"done": 4, "failed": 3, "skipped": 1}
    with open_journal(tmp_path / "out") as journal:
        assert sum(1 for _ in journal.rows()) == 8
        row = journal.find(str(folder / "a.png"))
    assert row.size == (folder / "a.png").stat().st_size and row.weights == "stub" and row.output == "a.png"
    assert row.output_stamp == file_stamp((tmp_path / "out" / "a.png").stat()) and row.seconds > 0


def test_output_inside_the_input_is_not_enhanced_again(folder):
    assert run(folder, folder / "out") == [] == run(folder, folder / "out")
    assert files_below(folder / "out") == ALL


def test_fail_fast_stops(tmp_path):
    folder = photo_folder(tmp_path / "photos", tuple(f"{k:02}.png" for k in range(20)))
    (folder / "00.png").write_text("no picture")
    assert len(run(folder, tmp_path / "out", fail_fast=True, workers=1)) == 1
    assert len(files_below(tmp_path / "out")) < 5


def test_child_processes_give_the_same_bytes(folder, tmp_path):
    (folder / "text.png").write_text("no picture")
    assert len(run(folder, tmp_path / "here", model=None)) == 1
    assert len(run(folder, tmp_path / "apart", model=Weights())) == 1
    for name in ALL:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "apart" / name).read_bytes(), name


# Resuming ----------------------------------------------------------------------------------------------------------


def test_resume_leaves_out_what_is_done_and_says_what_is_repeated(folder, tmp_path):
    out, outcomes = tmp_path / "out", []
    (folder / "text.png").write_text("no picture")
    assert len(run(folder, out)) == 1
    first = times(out)
    (out / "b.jpg").unlink()
    photo(seed=9).save(folder / "a.png")  # changed since
    photo().save(folder / "text.png")  # repaired
    assert run(folder, out, resume=True, report=outcomes.append) == []
    second = times(out)
    assert {n for n in second if second[n] != first.get(n)} == {"a.png", "b.jpg", "text.png"}
    repeated = [outcome.reason for outcome in outcomes if outcome.outcome == "repeated"]
    assert sorted(repeated) == [
        "1 file processed again: the input was changed",
        "1 file processed again: the output is missing or was changed",
    ]
    assert run(folder, out, resume=True) == [] and times(out) == second
    outcomes.clear()
    assert run(folder, out, resume=True, strength=0.5, report=outcomes.append) == []
    assert all(times(out)[name] != second[name] for name in second)
    assert outcomes[-1].reason == "5 files processed again: other settings (strength)"


def test_resume_sees_other_weights_and_ignores_settings_of_other_kinds(folder, tmp_path):
    out, other = tmp_path / "out", StubModel()
    run(folder, out)
    before = times(out)
    run(folder, out, resume=True, every=9, crf=20)  # of videos
    assert times(out) == before
    other.digest = "other"
    run(folder, out, resume=True, model=other)
    assert all(times(out)[name] != before[name] for name in before)


def test_resume_knows_inputs_however_they_are_spelled(folder, tmp_path, monkeypatch):
    run(folder, tmp_path / "out")
    before = times(tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    for spelled, out in (("photos", "out"), ("./photos/", f"../{tmp_path.name}/out"), (folder, "out")):
        assert run(spelled, out, resume=True) == [] and times(tmp_path / "out") == before


def test_only_failed_files_are_retried(folder, tmp_path):
    out = tmp_path / "out"
    (folder / "text.png").write_text("no picture")
    run(folder, out)
    photo(seed=9).save(folder / "a.png")
    photo().save(folder / "text.png")
    before = times(out)
    assert run(folder, out, retry_failed=True) == []
    assert times(out) == before | {"text.png": (out / "text.png").stat().st_ctime_ns}


def test_no_overwrite_and_resume_replace_their_own_outputs_alone(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.jpg").write_bytes(b"of somebody else")
    for strength in (1.0, 1.0, 0.5):  # twice: a failure in the journal makes no file ours
        failures = run(folder, out, overwrite=False, resume=True, strength=strength)
        assert [f.path.name for f in failures] == ["b.jpg"] and "already" in failures[0].reason
    assert run(folder / "a.png", tmp_path / "half", strength=0.5) == []
    assert (out / "a.png").read_bytes() == (tmp_path / "half" / "a.png").read_bytes()
    (out / "a.png").write_bytes(b"retouched")
    failures = run(folder, out, overwrite=False, resume=True)
    assert [f.path.name for f in failures] == ["a.png", "b.jpg"]
    assert (out / "a.png").read_bytes() == b"retouched" and (out / "b.jpg").read_bytes() == b"of somebody else"


def test_resume_removes_what_a_killed_run_left(folder, tmp_path):
    out = tmp_path / "out"
    run(folder, out)
    left, live = out / "in" / ".a-0123abcd.part.png", out / ".b-0123abcd.part.jpg"
    left.touch()
    os.utime(left, (0, 0))
    live.touch()
    assert run(folder, out, resume=True) == []
    assert live.exists() and not left.exists()


def test_journals_of_release_010_still_resume(folder, tmp_path):
    """The outputs of the released weights with the same settings are kept; others are processed again."""
    out = tmp_path / "out"
    run(folder, out)
    for path in (out / ".ssdie").iterdir():
        path.unlink()
    lines = [",".join(CSV_COLUMNS)]
    for name, strength in zip(ALL, (1.0, 1.0, 1.0, 0.5), strict=True):
        settings = {"strength": strength, "working_size": 32, "touch": True, "every": 5, "model": RELEASE_010[6:]}
        stamps = [file_stamp((place / name).stat()) for place in (folder, out)]
        lines.append(f'{folder / name},{stamps[0]},"{settings}",{name},{stamps[1]},0.1,done')
    (out / "manifest-1.csv").write_text("\n".join(lines) + "\n")
    model = StubModel()
    model.digest = file_digest(RELEASED_ONNX)
    before = times(out)
    before.pop("manifest-1.csv")
    assert run(folder, out, model=model, resume=True) == []
    after = times(out)
    assert [name for name in before if after[name] != before[name]] == ["in/deeper/c.JPG"]
    assert sorted(after) == ALL  # the old journal has moved out of sight


def test_settings_that_matter_for_a_file():
    settings = Settings(quality=80, crf=20)
    assert settings.of("a.jpg") == {"strength": "auto", "working_size": 128, "postprocess": True, "quality": 80}
    assert settings.of("a.MP4") == {"strength": "auto", "working_size": 128, "postprocess": True, "every": 8, "crf": 20}


def test_streamed_files_never_replace_an_input_or_each_other(folder, tmp_path, monkeypatch):
    """With addresses, files are listed while the work goes on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    there = f"file://{tmp_path / 'out'}"
    with pytest.raises(ValueError, match="Give another folder with -o"):
        run(f"file://{folder}", f"file://{folder}")
    photo(seed=9).save(tmp_path / "a.png")
    failures = run([folder, tmp_path / "a.png"], there)
    assert [str(failure.path) for failure in failures] == [str(tmp_path / "a.png")]
    assert "is the output of" in failures[0].reason and files_below(tmp_path / "out") == ALL
