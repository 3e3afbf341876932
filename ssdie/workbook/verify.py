"""Compare a rerun with the recorded numbers: `ssdie reproduce --verify RUN`."""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ssdie.utils.paths import project_root
from ssdie.utils.provenance import read_manifest
from ssdie.workbook.runner import print_outcomes, run_notebooks

# Largest absolute deviation of a rerun, in the unit of each metric. On the machine of the recorded run and with its
# packages, all numbers are equal; elsewhere, sums are rounded in another order, and training amplifies the difference.
TOLERANCES = {
    "psnr": 0.1, "ssim": 0.005, "ciede2000": 0.1, "niqe": 0.1, "cast": 0.5, "e": 0.05, "r": 0.05, "saturated": 0.1,
    "dark_channel": 0.005, "entropy": 0.05, "auc": 0.02,
}  # fmt: skip
RELATIVE = 0.02  # largest relative deviation of any other number: losses, gradients
UNCOMPARED = ("weights", "seconds")  # columns with paths and times
DIGEST = re.compile(r"-[0-9a-f]{8}$")  # at the end of a training folder's name, see session.with_config_hash
OLD_PARAMETERS = {"judge_steps": "dark_channel_steps"}  # of release 0.1.0: old name, new name
OLD_FOLDERS = {"judge_": "dark_channel_net_"}  # of release 0.1.0: old and new start of the name of a training folder


def verify(run: str | Path, resume: bool = False, processes: int = 1) -> int:
    """Repeat a recorded run with its parameters, in a folder beside it, and compare every number.

    Prints the differences between the manifests, a line for each file, and the total.

    Args:
        run: folder that `ssdie.workbook.runner.reproduce` wrote, such as "runs/quick"; it is not changed.
        resume: continue an earlier verification.
        processes: notebooks that run at once, as in the recorded run: sums depend on the number of threads.

    Returns:
        0 if every number is within `TOLERANCES`, 1 if one is not or a notebook failed.

    Raises:
        FileNotFoundError: the folder holds no manifest with a finished notebook.
        FileExistsError: there is an earlier verification, and `resume` is false.
    """
    run = (project_root() / run).resolve()
    recorded = {name: record for name, record in read_manifest(run).items() if record.get("status") == "done"}
    if not recorded:
        raise FileNotFoundError(f"run: expected a folder with a finished run, such as runs/quick, got {run}.")
    again = run.with_name(f"{run.name}-verify")
    if again.exists() and not resume:
        raise FileExistsError(f"{again} holds an earlier verification. Remove it, or continue it with --resume.")
    jobs = {}
    for name, record in recorded.items():
        jobs[name] = {**rename_parameters(record["parameters"]), "run": str(again)}
        if name.startswith("05"):
            jobs[name]["figures"] = str(again / "figures")
    outcomes = run_notebooks(jobs, again, resume, processes)
    failed = print_outcomes(outcomes)
    for line in compare_manifests(recorded, read_manifest(again)):
        print(line)
    table = compare_runs(run, again, list(recorded))
    print(table.to_string(index=False))
    off = int((table["verdict"] == "off").sum())
    same = int((table["numbers"] - table["differ"]).sum())
    print(f"{table['numbers'].sum()} numbers in {len(table)} files: {same} the same, {off} files off")
    if off:
        print(f"{off} files are outside the tolerances of ssdie/workbook/verify.py", file=sys.stderr)
    return int(bool(failed or off))


def rename_parameters(parameters: Mapping) -> dict:
    """Rename parameters of a recorded run to their current names.

    Example:
        >>> rename_parameters({"judge_steps": 16, "seed": 0})
        {'dark_channel_steps': 16, 'seed': 0}
    """
    return {OLD_PARAMETERS.get(name, name): value for name, value in parameters.items()}


def compare_manifests(recorded: dict, again: dict) -> list[str]:
    """List the differences between two runs in commit, code, packages, photos and device, one sentence each."""
    lines = []
    for name in recorded.keys() & again.keys():
        for key in ("commit", "code", "versions", "photos", "device"):
            before, now = recorded[name][key], again[name][key]
            if isinstance(before, dict):
                changed = [k for k in now if before.get(k) != now[k]]
                before, now = ({k: d.get(k) for k in changed} for d in (before, now))
            if before != now:
                lines.append(f"{key}: {before} recorded, {now} now")
    return sorted(set(lines))


def compare_runs(recorded: str | Path, again: str | Path, notebooks: list[str]) -> pd.DataFrame:
    """Compare the tables and training logs of two runs.

    Args:
        recorded, again: folders of the two runs.
        notebooks: names of the notebooks to compare.

    Returns:
        A row per file with the columns file, numbers (count), differ (how many are not equal), largest (deviation in
        units of the tolerance) and verdict: "same", "within" or "off".
    """
    rows = []
    for before, now in _pairs(Path(recorded), Path(again), notebooks):
        file = before.relative_to(recorded).as_posix()
        if not now.is_file():
            rows.append({"file": file, "numbers": 0, "differ": 0, "largest": np.inf, "verdict": "off"})
            continue
        count, differ, largest = compare_tables(pd.read_csv(before), pd.read_csv(now))
        verdict = "same" if not differ else "within" if largest <= 1 else "off"
        row = {"file": file, "numbers": count, "differ": differ, "largest": round(largest, 4)}
        rows.append({**row, "verdict": verdict})
    return pd.DataFrame(rows, columns=["file", "numbers", "differ", "largest", "verdict"])


def compare_tables(before: pd.DataFrame, now: pd.DataFrame) -> tuple[int, int, float]:
    """Count the numbers of a table and those that differ, and find the largest deviation in units of the tolerance.

    A different number of rows, another column or another text is an infinite deviation.

    Example:
        >>> one, two = pd.DataFrame({"psnr": [20.0, 21.0]}), pd.DataFrame({"psnr": [20.0, 21.05]})
        >>> count, differ, largest = compare_tables(one, two)
        >>> count, differ, round(largest, 3)
        (2, 1, 0.5)
    """
    names = [name for name in before if name not in UNCOMPARED]
    if len(before) != len(now) or names != [name for name in now if name not in UNCOMPARED]:
        return before[names].size, before[names].size, np.inf
    count = differ = 0
    largest = 0.0
    for name in names:
        if not pd.api.types.is_numeric_dtype(before[name]):
            if before[name].astype(str).tolist() != now[name].astype(str).tolist():
                return count, differ + 1, np.inf
            continue
        one, two = before[name].to_numpy(float), now[name].to_numpy(float)
        same = (one == two) | (np.isnan(one) & np.isnan(two))
        deviation = np.abs(one - two)[~same] / np.broadcast_to(_tolerance(name, one), one.shape)[~same]
        count, differ = count + len(one), differ + int((~same).sum())
        largest = max(largest, *np.nan_to_num(deviation, nan=np.inf), 0.0)
    return count, differ, float(largest)


def _tolerance(column: str, values: np.ndarray) -> np.ndarray | float:
    """Tolerance of a column, such as "paired_psnr_low"."""
    name = re.sub(r"^(un)?paired_|_(low|high|spread)$", "", column)
    return TOLERANCES.get(name, RELATIVE * np.maximum(np.abs(values), 1e-12))


def _pairs(recorded: Path, again: Path, notebooks: list[str]) -> Iterator[tuple[Path, Path]]:
    """Pair tables and training logs of two runs; hashes in the names of training folders may differ."""
    for name in notebooks:
        yield from ((path, again / name / path.name) for path in sorted((recorded / name).glob("*.csv")))
        reruns = sorted((again / name).glob("*/log.csv"))
        for path in sorted((recorded / name).glob("*/log.csv")):
            exact = again / path.relative_to(recorded)
            kind = _strip_hash(path.parent.name)
            candidates = [p for p in reruns if _strip_hash(p.parent.name) == kind]
            alike = [p for p in path.parent.parent.glob("*/log.csv") if _strip_hash(p.parent.name) == kind]
            if exact in reruns:
                yield path, exact
            elif len(candidates) == len(alike) == 1:
                yield path, candidates[0]


def _strip_hash(folder: str) -> str:
    """Name of a training folder without its hash, with the current names of folders of release 0.1.0.

    Example:
        >>> _strip_hash("judge_each-01234567")
        'dark_channel_net_each'
    """
    name = DIGEST.sub("", folder)
    for old, new in OLD_FOLDERS.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
    return name
