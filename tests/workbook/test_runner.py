"""Running notebooks: parameters, kernel, folder, failures; on small notebooks made for the purpose."""

import json
import os
import re
import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest

import ssdie.workbook.profiles
import ssdie.workbook.runner
import ssdie.workbook.verify
from ssdie.cli import main
from ssdie.workbook.profiles import (
    NOTEBOOKS,
    check_type,
    choose_parameters,
    parse_text,
    read_defaults,
    select_notebooks,
    split_parameter,
)
from ssdie.workbook.runner import Outcome, format_outcomes, reproduce, write_durations
from ssdie.workbook.verify import compare_runs, compare_tables

PARAMETERS = """\
run: str = "runs/quick"  # folder for results
steps: int = 3  # updates
learning_rate: float = 1.0e-4  # of Adam
sizes: list = [64]  # of crops
"""
BODY = """\
import json, os, sys
note = {"cwd": os.getcwd(), "python": sys.executable, "steps": steps, "rate": learning_rate, "sizes": sizes}
json.dump(note, open(f"{run}/note.json", "w"))
"""


def write_notebook(path, parameters: str, *cells: str) -> None:
    """Write a notebook whose first cell is tagged `parameters`."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with nine small notebooks and a profile."""
    root = tmp_path / "checkout"
    (root / "notebooks").mkdir(parents=True)
    for name in NOTEBOOKS:
        extra = 'features: str = "auto"  # weights\n' if name.startswith("03") else ""
        write_notebook(root / "notebooks" / f"{name}.ipynb", PARAMETERS + extra, BODY)
    profile = "shared: {features: random}\n03_semi_supervised_training: {steps: 5, learning_rate: 1}\n"
    (root / "notebooks" / "quick.yaml").write_text(profile)
    for module in (ssdie.workbook.profiles, ssdie.workbook.runner, ssdie.workbook.verify):
        monkeypatch.setattr(module, "project_root", lambda: root)
    return root


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


FAILING = ("fine = 1", "def inner():\n    raise ValueError('the dust won')\ninner()", "more = 2")


def test_a_failing_notebook_leaves_the_others_and_resume_goes_on_with_it(checkout, capfd):
    failing = checkout / "notebooks" / "02_supervised_pretraining.ipynb"
    whole = failing.read_bytes()
    write_notebook(failing, PARAMETERS, *FAILING)
    assert main(["reproduce", "--only", "01", "02", "03"]) == 1
    out, err = capfd.readouterr()
    assert "02_supervised_pretraining, cell [4]: ValueError: the dust won" in err  # [2] holds the injected parameters
    assert "03_semi_supervised_training: skipped, it needs 02_supervised_pretraining" in err
    assert re.findall(r"^0\d_\w+ +(\w+) ", out, re.MULTILINE) == ["done", "failed", "skipped"]
    folder = checkout / "runs" / "quick"
    assert (folder / "02_supervised_pretraining.ipynb").is_file()  # as far as it came
    assert pd.read_csv(folder / "durations.csv")["status"].tolist() == ["done", "failed"]

    failing.write_bytes(whole)
    (folder / "note.json").unlink()
    outcomes = reproduce("quick", ["01", "02", "03"], resume=True)
    assert [o.status for o in outcomes] == ["kept", "done", "done"]
    kept = json.loads((folder / "manifest.json").read_text())
    assert all(record["status"] == "done" for record in kept.values())


def test_resume_runs_what_has_changed(checkout, monkeypatch):
    ran = []
    monkeypatch.setattr(
        ssdie.workbook.runner, "run_notebook", lambda name, *_: ran.append(name[:2]) or Outcome(name, "done")
    )
    only = ["01", "02", "03", "05"]
    for parameters, wanted in (({}, only), ({}, []), ({"features": "vgg19"}, ["03", "05"])):  # 05 needs 03
        reproduce("quick", only, parameters, resume=True)
        assert ran == wanted
        ran.clear()
    monkeypatch.setattr("ssdie.utils.provenance.code_digest", lambda: "other code")
    reproduce("quick", ["01"], resume=True)
    assert ran == ["01"]


def test_two_runs_do_not_write_over_each_other(checkout, capsys):
    folder = checkout / "runs" / "quick"
    hold = f"with lock_folder({str(folder)!r}): print('held', flush=True); input()"
    command = [sys.executable, "-c", f"from ssdie.utils.paths import lock_folder\n{hold}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert main(["reproduce", "--only", "01"]) == 2
        other.communicate("\n")
    assert "quick is in use by another run; wait for its end, or give another folder." in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == [".lock"]


# Verifying --------------------------------------------------------------------------------------------------


def test_verify_finds_equal_numbers_equal_and_others_not(checkout, capsys):
    numbers = """\
import random, pathlib
random.seed(learning_rate)
folder = pathlib.Path(run, "01_dust_synthesis")
folder.mkdir(parents=True)
(folder / "realism.csv").write_text(f"recipe,auc\\nmeasured,{random.random()}\\n")
"""
    write_notebook(checkout / "notebooks" / "01_dust_synthesis.ipynb", PARAMETERS, numbers)
    assert main(["reproduce", "--only", "01", "-p", "learning_rate=0.25"]) == 0
    capsys.readouterr()
    assert main(["reproduce", "--verify", "runs/quick"]) == 0
    assert "1 numbers in 1 files: 1 the same, 0 files off" in capsys.readouterr().out
    assert main(["reproduce", "--verify", "runs/quick"]) == 2
    assert "earlier verification" in capsys.readouterr().err
    table = checkout / "runs" / "quick" / "01_dust_synthesis" / "realism.csv"
    value = float(table.read_text().split(",")[-1])
    for change, status, verdict in ((0.01, 0, "within"), (0.03, 1, "off")):
        table.write_text(f"recipe,auc\nmeasured,{value + change}\n")
        assert main(["reproduce", "--verify", "runs/quick", "--resume"]) == status
        assert verdict in capsys.readouterr().out
    assert main(["reproduce", "--verify", "runs/none"]) == 2


def test_tables_are_compared_number_by_number():
    one = pd.DataFrame({"method": ["a", "b"], "paired_psnr_low": [20.0, np.nan], "style": [1.0, 2.0], "weights": "x"})
    assert compare_tables(one, one.assign(weights="elsewhere")) == (4, 0, 0.0)
    count, differ, largest = compare_tables(one, one.assign(style=[1.01, 2.0]))
    assert (count, differ) == (4, 1) and largest == pytest.approx(0.5)
    others = [one[:1], one.assign(method=["a", "c"]), one.assign(paired_psnr_low=[20.0, 1.0])]
    others.append(one.drop(columns="style"))
    for other in others:
        assert compare_tables(one, other)[2] == np.inf


def test_logs_of_trainings_are_compared_though_their_digest_has_changed(tmp_path):
    for run, name in (("a", "stage_3-01234567"), ("b", "stage_3-89abcdef")):
        (tmp_path / run / "03_x" / name).mkdir(parents=True)
        (tmp_path / run / "03_x" / name / "log.csv").write_text("step,style\n1,2.0\n")
    (tmp_path / "a" / "03_x" / "comparison.csv").write_text("psnr\n20.0\n")
    table = compare_runs(tmp_path / "a", tmp_path / "b", ["03_x"]).set_index("file")
    assert table.loc["03_x/stage_3-01234567/log.csv", "verdict"] == "same"
    assert table.loc["03_x/comparison.csv", "verdict"] == "off"  # it is not there


# Parameters -------------------------------------------------------------------------------------------------


def test_unknown_parameter_is_refused_with_the_known_ones_before_anything_runs(checkout, capsys):
    assert main(["reproduce", "--only", "03", "-p", "stepz=4"]) == 2
    told = capsys.readouterr().err
    assert "stepz" in told and "learning_rate" in told and "steps" in told and "features" in told
    assert not (checkout / "runs").exists()


def test_an_override_must_be_known_to_a_notebook_that_runs(checkout):
    assert choose_parameters("quick", ["03_semi_supervised_training"], {"features": "vgg19"})
    with pytest.raises(ValueError, match="features"):
        choose_parameters("quick", ["00_enhance_a_photo"], {"features": "vgg19"})


def test_shared_own_and_override_in_this_order(checkout):
    name = "03_semi_supervised_training"
    assert choose_parameters("quick", [name], {})[name] == {
        "features": "random",
        "steps": 5,
        "learning_rate": 1.0,
    }
    assert choose_parameters("quick", [name], {"steps": 7})[name]["steps"] == 7
    assert choose_parameters("quick", ["00_enhance_a_photo"], {}) == {"00_enhance_a_photo": {}}


@pytest.mark.parametrize(
    "content, told",
    [
        ("shared: {fetures: random}", "fetures"),
        ("03_semi_supervised_training: {stepz: 1}", "stepz"),
        ("03_semi: {steps: 1}", "03_semi"),
        ("03_semi_supervised_training: {learning_rate: 1e-4}", "1.0e-4"),
        ("03_semi_supervised_training: {sizes: 64}", "list"),
    ],
)
def test_a_wrong_profile_is_refused(checkout, content, told):
    (checkout / "notebooks" / "quick.yaml").write_text(content)
    with pytest.raises(ValueError, match=told):
        choose_parameters("quick", ["03_semi_supervised_training"], {})


def test_defaults_are_read_with_their_types(checkout):
    assert read_defaults("00_enhance_a_photo") == {
        "run": "runs/quick",
        "steps": 3,
        "learning_rate": 1.0e-4,
        "sizes": [64],
    }


@pytest.mark.parametrize("value, default", [("3", 3), (3.5, 3), (True, 3), (1, "a"), (None, 1.0), ((1,), [1])])
def test_other_types_are_refused(value, default):
    with pytest.raises(ValueError, match="expected"):
        check_type("x", value, default)


@pytest.mark.parametrize(
    "text, default, value",
    [
        ("a=no", "auto", "no"),  # not False, as YAML reads it
        ("a=1e-4", 0.1, 1e-4),
        ("a=7", 3, 7),
        ("a=true", False, True),
        ("a=[1, 2]", [], [1, 2]),
        ("a={b: 1}", {}, {"b": 1}),
        ("a=b=c", "", "b=c"),
        ("a=", "x", ""),
    ],
)
def test_a_value_is_parsed_by_the_type_of_the_parameter(text, default, value):
    name, given = split_parameter(text)
    parsed = parse_text(name, given, default)
    assert name == "a" and parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize("text, default", [("a=x", 3), ("a=1.5", 3), ("a=no", False), ("a=3", []), ("a=[", [])])
def test_a_value_of_another_type_is_refused(text, default):
    with pytest.raises(ValueError, match=f"parameter a: expected {type(default).__name__}"):
        parse_text(*split_parameter(text), default)


@pytest.mark.parametrize("text", ["steps", "=3", "a b=3"])
def test_what_is_no_assignment_is_refused(checkout, text):
    with pytest.raises(SystemExit):
        main(["reproduce", "-p", text])


def test_unknown_notebook_and_profile_are_refused(checkout):
    with pytest.raises(ValueError, match="05_paper_figures"):
        select_notebooks(["06"])
    with pytest.raises(ValueError, match="quick"):
        reproduce("slow")
    with pytest.raises(FileNotFoundError, match="checkout"):
        reproduce("paper")  # known, but has no file here


def test_order_is_that_of_the_workbook():
    assert select_notebooks(["explore", "01"]) == ["01_dust_synthesis", *NOTEBOOKS[-3:]]
    assert select_notebooks() == list(NOTEBOOKS)


# Tables -----------------------------------------------------------------------------------------------------


def test_durations_of_other_notebooks_stay(checkout):
    write_durations("runs/quick", [Outcome("00_enhance_a_photo", "done", 10.0), Outcome("03_x", "skipped")])
    write_durations("runs/quick", [Outcome("01_dust_synthesis", "failed", 2.0, "why, of course")])
    table = pd.read_csv(checkout / "runs" / "quick" / "durations.csv", keep_default_na=False)
    assert table["notebook"].tolist() == ["00_enhance_a_photo", "01_dust_synthesis"]
    assert table["message"].tolist() == ["", "why, of course"]


def test_total_is_the_sum():
    text = format_outcomes([Outcome("a", "done", 61.0), Outcome("b", "failed", 60.0), Outcome("c", "skipped")])
    assert text.splitlines()[-1].split() == ["total", "2:01"] and len({len(line) for line in text.splitlines()}) == 1
