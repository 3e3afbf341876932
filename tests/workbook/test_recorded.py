"""Recorded tables in docs agree with their sources."""

import re

from ssdie.utils.paths import WEIGHTS
from ssdie.workbook.recorded import read_recorded


def test_the_recorded_releases_agree_with_runs_md():
    rows, step = [], 0
    for line in (WEIGHTS / "RUNS.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        updates = re.search(r"([\d,]+) updates", line)
        if cells[0].isdigit() and int(cells[0]) <= 6 and updates:
            step += int(updates[1].replace(",", ""))
            rows.append([int(cells[0]), step, *map(float, cells[4:7])])
    assert read_recorded("results/releases").values.tolist() == rows and len(rows) == 6
