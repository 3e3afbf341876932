"""Comparing a rerun with a recorded run, number by number."""

import numpy as np
import pandas as pd
import pytest
from small_notebooks import PARAMETERS, write_notebook

from ssdie.cli import main
from ssdie.workbook.verify import compare_runs, compare_tables


def test_verify_distinguishes_equal_close_and_different_numbers(checkout, capsys):
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


def test_training_logs_are_paired_although_hash_or_folder_name_has_changed(tmp_path):
    names = ("stage_3-01234567", "judge_each-01234567"), ("stage_3-89abcdef", "dark_channel_net_each-89abcdef")
    for run, name in ((run, name) for run, both in zip("ab", names, strict=True) for name in both):
        (tmp_path / run / "03_x" / name).mkdir(parents=True)
        (tmp_path / run / "03_x" / name / "log.csv").write_text("step,style\n1,2.0\n")
    (tmp_path / "a" / "03_x" / "comparison.csv").write_text("psnr\n20.0\n")
    table = compare_runs(tmp_path / "a", tmp_path / "b", ["03_x"]).set_index("file")
    assert [table.loc[f"03_x/{name}/log.csv", "verdict"] for name in names[0]] == ["same", "same"]
    assert table.loc["03_x/comparison.csv", "verdict"] == "off"  # missing in the rerun
