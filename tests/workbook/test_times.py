"""Measured times go into the notebooks and README.md, and nowhere else."""

import json
import re
import shutil

import pandas as pd
import pytest

import ssdie.workbook.times as times
from ssdie.utils.paths import project_root
from ssdie.workbook.profiles import NOTEBOOKS
from ssdie.workbook.runner import hash_code


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the notebooks and README.md, and a run of 10, 11, 12, ... seconds."""
    source, root = project_root(), tmp_path / "checkout"
    shutil.copytree(source / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copy(source / "README.md", root)
    rows = [
        {"notebook": name, "status": "done", "seconds": 10.2 + n, "cpu_seconds": 20, "cpu": "Example CPU", "cores": 2}
        for n, name in enumerate(NOTEBOOKS)
    ]
    (root / "runs" / "quick").mkdir(parents=True)
    pd.DataFrame(rows).to_csv(root / "runs" / "quick" / "durations.csv", index=False)
    monkeypatch.setattr(times, "project_root", lambda: root)
    return root


def test_each_notebook_and_its_row_get_their_own_time(checkout):
    codes = [hash_code(name) for name in NOTEBOOKS]
    times.write_times("runs/quick")
    readme = (checkout / "README.md").read_text()
    for n, name in enumerate(NOTEBOOKS):
        head = json.loads((checkout / "notebooks" / f"{name}.ipynb").read_text())["cells"][0]["source"]
        assert f"{10 + n} s in the profile `quick`, on 2 cores of an Example CPU |" in "".join(head)
        assert re.search(rf"notebooks/{name}.ipynb.*\| {10 + n} s \|", readme)
    assert "Measured on 2 cores of an Example CPU, otherwise idle: 3.0 CPU-minutes in all." in readme
    assert [hash_code(name) for name in NOTEBOOKS] == codes


def test_incomplete_and_mixed_runs_are_refused(checkout):
    path = checkout / "runs" / "quick" / "durations.csv"
    table = pd.read_csv(path)
    before = (checkout / "README.md").read_text()
    table.iloc[1:].to_csv(path, index=False)
    with pytest.raises(ValueError, match="00_enhance_a_photo are not"):
        times.write_times("runs/quick")
    table.assign(cpu=["Other", *table["cpu"][1:]]).to_csv(path, index=False)
    with pytest.raises(ValueError, match="one machine, got Other, Example CPU"):
        times.write_times("runs/quick")
    with pytest.raises(FileNotFoundError, match="durations.csv"):
        times.write_times("runs/none")
    assert (checkout / "README.md").read_text() == before


def test_a_text_without_a_place_for_the_time_is_refused(checkout):
    readme = checkout / "README.md"
    readme.write_text(readme.read_text().replace("notebooks/04_ablations.ipynb", "notebooks/other.ipynb"))
    before = (checkout / "notebooks" / "00_enhance_a_photo.ipynb").read_text()
    with pytest.raises(ValueError, match="README.md: expected one place for a time, found 0"):
        times.write_times("runs/quick")
    assert (checkout / "notebooks" / "00_enhance_a_photo.ipynb").read_text() == before  # all or nothing
