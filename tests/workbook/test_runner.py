"""Running notebooks: kernel, folder, failures, resuming; with small generated notebooks."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from small_notebooks import PARAMETERS, write_notebook

import ssdie.workbook.execution
from ssdie.cli import main
from ssdie.utils.machine import usable_cores
from ssdie.workbook.execution import Outcome
from ssdie.workbook.runner import format_outcomes, reproduce, write_durations


def test_a_notebook_runs_in_the_checkout_with_this_interpreter(checkout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_PATH", "/elsewhere")
    outcomes = reproduce("quick", only=["03"], parameters={"sizes": [32, 64]})
    assert [(o.notebook, o.status) for o in outcomes] == [("03_semi_supervised_training", "done")]
    folder = checkout / "runs" / "quick"
    note = json.loads((folder / "note.json").read_text())
    assert note == {
        "cwd": str(checkout),
        "python": sys.executable,
        "steps": 5,
        "rate": 1.0,
        "sizes": [32, 64],
    }
    assert os.environ["JUPYTER_PATH"] == "/elsewhere"
    executed = nbformat.read(folder / "03_semi_supervised_training.ipynb", 4)
    assert all(cell.execution_count for cell in executed.cells)
    durations = pd.read_csv(folder / "durations.csv")
    assert durations["notebook"].tolist() == ["03_semi_supervised_training"] and durations["seconds"][0] > 0


FAILING = ("fine = 1", "def inner():\n    raise ValueError('too much dust')\ninner()", "more = 2")


def test_a_failing_notebook_does_not_stop_the_others_and_is_run_again_by_resume(checkout, capfd):
    failing = checkout / "notebooks" / "02_supervised_pretraining.ipynb"
    whole = failing.read_bytes()
    write_notebook(failing, PARAMETERS, *FAILING)
    assert main(["reproduce", "--only", "01", "02", "03"]) == 1
    out, err = capfd.readouterr()
    assert "02_supervised_pretraining, cell [4]: ValueError: too much dust" in err  # [2]: the injected parameters
    assert "03_semi_supervised_training: skipped, it needs 02_supervised_pretraining" in err
    assert re.findall(r"^0\d_\w+ +(\w+) ", out, re.MULTILINE) == ["done", "failed", "skipped"]
    folder = checkout / "runs" / "quick"
    assert (folder / "02_supervised_pretraining.ipynb").is_file()  # executed up to the failing cell
    assert pd.read_csv(folder / "durations.csv")["status"].tolist() == ["done", "failed"]

    failing.write_bytes(whole)
    (folder / "note.json").unlink()
    outcomes = reproduce("quick", ["01", "02", "03"], resume=True)
    assert [o.status for o in outcomes] == ["kept", "done", "done"]
    kept = json.loads((folder / "manifest.json").read_text())
    assert all(record["status"] == "done" for record in kept.values())


def test_resume_runs_notebooks_whose_inputs_changed(checkout, monkeypatch):
    ran = []
    monkeypatch.setattr(
        ssdie.workbook.execution, "run_notebook", lambda name, *_: ran.append(name[:2]) or Outcome(name, "done")
    )
    only = ["01", "02", "03", "05"]
    for parameters, expected in (({}, only), ({}, []), ({"features": "vgg19"}, ["03", "05"])):  # 05 needs 03
        reproduce("quick", only, parameters, resume=True)
        assert ran == expected
        ran.clear()
    monkeypatch.setattr("ssdie.utils.provenance.code_digest", lambda: "other code")
    reproduce("quick", ["01"], resume=True)
    assert ran == ["01"]


def test_a_folder_in_use_by_another_run_is_refused(checkout, capsys):
    folder = checkout / "runs" / "quick"
    code = f"with lock_folder({str(folder)!r}): print('locked', flush=True); input()"
    command = [sys.executable, "-c", f"from ssdie.utils.paths import lock_folder\n{code}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        assert main(["reproduce", "--only", "01"]) == 2
        other.communicate("\n")
    assert "quick is in use by another run. Wait until it ends, or use another folder." in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_durations_of_other_notebooks_are_kept(checkout):
    write_durations("runs/quick", [Outcome("00_enhance_a_photo", "done", 10.0), Outcome("03_x", "skipped")])
    write_durations("runs/quick", [Outcome("01_dust_synthesis", "failed", 2.0, "cell 3, line 2")])
    table = pd.read_csv(checkout / "runs" / "quick" / "durations.csv", keep_default_na=False)
    assert table["notebook"].tolist() == ["00_enhance_a_photo", "01_dust_synthesis"]
    assert table["message"].tolist() == ["", "cell 3, line 2"]


def test_total_is_the_sum_of_the_durations():
    text = format_outcomes([Outcome("a", "done", 61.0), Outcome("b", "failed", 60.0), Outcome("c", "skipped")])
    assert text.splitlines()[-1].split() == ["total", "2:01"] and len({len(line) for line in text.splitlines()}) == 1


MEET = """\
import os, pathlib, time
own, others = pathlib.Path(run, "NAME"), OTHERS
own.write_text(os.environ.get("OMP_NUM_THREADS", ""))
end = time.time() + 60
while not all(pathlib.Path(run, other).exists() for other in others):
    assert time.time() < end
    time.sleep(0.05)
"""


def test_notebooks_run_concurrently_after_their_dependencies(checkout):
    folder, names = checkout / "runs" / "quick", ("01_dust_synthesis", "02_supervised_pretraining")
    for name in names:  # each waits for the other
        text = MEET.replace("NAME", name).replace("OTHERS", repr(names))
        write_notebook(checkout / "notebooks" / f"{name}.ipynb", PARAMETERS, text)
    outcomes = reproduce("quick", ["01", "02", "03"], processes=2)
    assert [(o.notebook[:2], o.status) for o in outcomes] == [("01", "done"), ("02", "done"), ("03", "done")]
    assert all(o.cpu_seconds > 0 for o in outcomes)
    assert (folder / "note.json").stat().st_mtime > (folder / names[1]).stat().st_mtime  # 03 writes it after 02
    assert (folder / names[0]).read_text() == str(max(1, usable_cores() // 2))
    with pytest.raises(ValueError, match="processes: expected at least 1, got 0"):
        reproduce("quick", ["01"], processes=0)
