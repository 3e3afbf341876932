"""`ssdie enhance` and `ssdie report` from the command line: output, exit status, pipes and signals."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from faults import ENVIRONMENT, SSDIE, run_child
from photos import StubModel, files_below, photo, photo_folder
from PIL import Image

from ssdie.batch.pool import run_here
from ssdie.cli import main
from ssdie.enhancement.worker import Weights


@pytest.fixture
def folder(tmp_path):
    return photo_folder(tmp_path / "photos", ("a.png", "b.jpg", "in/c.png"))


@pytest.fixture
def stub(monkeypatch):
    """Run the commands in this process, with a stub network."""
    monkeypatch.setattr(Weights, "load", lambda self: StubModel())
    monkeypatch.setattr("ssdie.enhancement.folder.run_in_processes", run_here)


def command(*words) -> int:
    return main(["enhance", *map(str, words)])


def test_summary_exit_status_and_report(folder, tmp_path, stub, capsys):
    out = tmp_path / "out"
    for name in ("a.txt", "b.txt", "c.icloud"):
        (folder / name).touch()
    assert command(folder, "-o", out) == 0
    assert "skipped: 3 files of other kinds (2 .txt, 1 .icloud)" in capsys.readouterr().err
    assert command(folder, "-o", out, "--strict") == 1
    (folder / "text.png").write_text("no picture")
    assert command(folder, "-o", out, "--resume") == 1
    assert "text.png: it is not a picture" in capsys.readouterr().err
    assert main(["report", str(out)]) == 0
    assert "3 done, 1 failed, 3 skipped" in capsys.readouterr().out
    assert main(["report", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == {"done": 3, "failed": 1, "skipped": 3}
    photo().save(folder / "text.png")
    assert command(folder, "-o", out, "--retry-failed") == 0
    assert files_below(out) == ["a.png", "b.jpg", "in/c.png", "text.png"]


def test_json_lines_list_every_file(folder, tmp_path, stub, capsys):
    (folder / "a.txt").touch()
    (folder / "text.png").write_text("no picture")
    assert command(folder, "-o", tmp_path / "out", "--json") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(line["outcome"] for line in lines) == ["done", "done", "done", "failed", "skipped"]
    assert {line["source"] for line in lines} == {str(p) for p in folder.rglob("*") if p.is_file()}


def test_a_dry_run_lists_times_and_writes_nothing(folder, tmp_path, stub, capsys):
    (folder / "a.txt").touch()
    assert command(folder, "-o", tmp_path / "out", "--dry-run") == 0
    listed = capsys.readouterr()
    assert sorted(line.split(":")[0] for line in listed.out.splitlines()) == ["planned"] * 3 + ["skipped"]
    assert "to do: 3, done and unchanged: 0, of other kinds: 1" in listed.err and "hours with 2 workers" in listed.err
    assert not (tmp_path / "out").exists()
    assert command(folder / "a.png", folder / "b.jpg", "-o", tmp_path / "out") == 0
    before = (tmp_path / "out" / ".ssdie" / "journal.sqlite").read_bytes()
    capsys.readouterr()
    assert command(folder, "-o", tmp_path / "out", "--dry-run", "--resume", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["outcome"] for line in lines[:-1]].count("kept") == 2 and lines[-1]["planned"] == 1
    assert (tmp_path / "out" / ".ssdie" / "journal.sqlite").read_bytes() == before


def test_one_file_to_one_file_leaves_no_journal(folder, tmp_path, stub):
    target = tmp_path / "new" / "repaired.webp"
    assert command(folder / "a.png", "-o", target, "--quality", "60") == 0
    assert os.listdir(target.parent) == ["repaired.webp"]
    with Image.open(target) as written:
        assert written.format == "WEBP" and written.size == (40, 30)
    before = (folder / "a.png").read_bytes()
    assert command(folder / "a.png", "-o", folder / "a.png") == 2 and (folder / "a.png").read_bytes() == before
    assert command(folder, "-o", target) == 2 and command(folder / "a.png", folder / "b.jpg", "-o", target) == 2


def test_suffix_format_and_quality(folder, tmp_path, stub):
    assert command(folder, "-o", folder, "--suffix=-x", "--format", "jpg", "--quality", "30") == 0
    written = [name for name in files_below(folder) if "-x" in name]
    assert written == ["a-x.jpg", "b-x.jpg", "in/c-x.jpg"]
    with Image.open(folder / "a-x.jpg") as small:
        assert small.format == "JPEG" and max(small.quantization[0]) > 50
    assert command(folder, "-o", folder, "--suffix=-x", "--format", "jpg") == 0  # its outputs are not taken as inputs
    assert [name for name in files_below(folder) if "-x" in name] == written


def test_standard_input_to_standard_output(folder):
    done = subprocess.run(
        [*SSDIE, "enhance", "-", "-o", "-"], input=(folder / "b.jpg").read_bytes(), capture_output=True,
        env=ENVIRONMENT, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as written:
        assert written.format == "JPEG" and written.size == (40, 30)


def test_standard_input_in_a_format_that_needs_an_extra(monkeypatch, tmp_path, stub, capsys):
    """The format is recognised by its content; the output has the suffix of the format written."""
    imagecodecs = pytest.importorskip("imagecodecs")
    content = bytes(imagecodecs.jpegxl_encode(np.full((30, 40, 3), 90, np.uint8)))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert command("-", "-o", tmp_path / "new", "--json") == 0 and os.listdir(tmp_path / "new") == ["stdin.jpg"]
    assert json.loads(capsys.readouterr().out)["source"] == "-"
    (tmp_path / "a.jxl").write_bytes(content)
    assert command(tmp_path / "a.jxl", "-o", tmp_path / "b.jxl") == 1 and not (tmp_path / "b.jxl").exists()


@pytest.mark.parametrize("name", ["xyz", "heic", "mp4"])
def test_formats_that_are_not_written_are_refused(name, folder, tmp_path, stub, capsys):
    assert command(folder, "-o", tmp_path / "out", "--format", name) == 2 and not (tmp_path / "out").exists()
    assert f"got {name}" in capsys.readouterr().err


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-", "2>/dev/full"])
def test_closed_streams_do_not_stop_the_run(folder, tmp_path, closed):
    (folder / "text.png").write_text("no picture")
    line = f'"$@" {closed}'
    done = run_child(["sh", "-c", line, "sh", *SSDIE, "enhance", folder, "-o", tmp_path / "out", "--json"])
    assert done.returncode == 1 and files_below(tmp_path / "out") == ["a.png", "b.jpg", "in/c.png"]


def test_a_closed_pipe_does_not_stop_the_run(folder, tmp_path):
    done = run_child(["sh", "-c", '"$@" --json | true', "sh", *SSDIE, "enhance", folder, "-o", tmp_path / "out"])
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
    assert files_below(tmp_path / "out") == ["a.png", "b.jpg", "in/c.png"]


def test_enhance_imports_only_packages_of_the_base_installation(folder, tmp_path):
    """Checked for a folder on the CPU."""
    words = ["enhance", str(folder), "-o", str(tmp_path / "out"), "--device", "cpu"]
    code = f"""
import sys
from ssdie.batch.pool import run_here
from ssdie.cli import main
if __name__ == "__main__":
    status = main({words})
    heavy = ("torch", "accelerate", "IPython", "pandas", "cv2", "scipy", "distributed", "fsspec")
    print(status, sorted(set(heavy) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=100)
    assert done.stdout == "0 []\n", done.stderr


def test_a_killed_and_resumed_run_equals_an_uninterrupted_run(tmp_path):
    folder = photo_folder(tmp_path / "photos", tuple(f"{k:02}.png" for k in range(60)))
    words = [*SSDIE, "enhance", str(folder), "--workers", "2", "-o"]
    killed = subprocess.Popen([*words, str(tmp_path / "out")], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while killed.poll() is None and len(files_below(tmp_path / "out")) < 5:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert run_child([*words, tmp_path / "out", "--resume"]).returncode == 0
    assert run_child([*words, tmp_path / "whole"]).returncode == 0
    names = files_below(tmp_path / "whole")
    assert len(names) == 60 and [name for name in files_below(tmp_path / "out") if not name.startswith(".")] == names
    assert all((tmp_path / "out" / n).read_bytes() == (tmp_path / "whole" / n).read_bytes() for n in names)


def test_ctrl_c_prints_one_sentence_and_leaves_no_partial_file(tmp_path):
    folder = photo_folder(tmp_path / "photos", tuple(f"{k:03}.png" for k in range(300)))
    process = subprocess.Popen(
        [*SSDIE, "enhance", str(folder), "-o", str(tmp_path / "out")], env=ENVIRONMENT, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    while process.poll() is None and len(files_below(tmp_path / "out")) < 5:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "--resume" in message and "Traceback" not in message
    assert not [name for name in files_below(tmp_path / "out") if name.startswith(".")]


def test_a_second_client_of_an_output_folder_is_refused(folder, tmp_path):
    from ssdie.batch.journal import open_journal

    with open_journal(tmp_path / "out"):
        done = run_child([*SSDIE, "enhance", folder, "-o", tmp_path / "out"])
    assert done.returncode == 2 and "in use" in done.stderr and done.stderr.count("\n") == 1
