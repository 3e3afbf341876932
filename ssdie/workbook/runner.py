"""Run the notebooks non-interactively, in order, with the parameters of a profile."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from ssdie.data.photos import fingerprint_splits
from ssdie.utils.machine import cpu_model, usable_cores
from ssdie.utils.paths import atomic, lock_folder, project_root
from ssdie.utils.provenance import FOLDERS, device_name, make_manifest, read_manifest, write_manifest
from ssdie.workbook.execution import Outcome, notebook_pool, own_kernel
from ssdie.workbook.profiles import NEEDS, NOTEBOOKS, choose_parameters, read_cells, read_defaults, select_notebooks

NO_RESULT = ("failed", "skipped")


def reproduce(
    profile: str = "quick",
    only: Sequence[str] | None = None,
    parameters: Mapping[str, object] | None = None,
    out: str | Path = "runs",
    resume: bool = False,
    processes: int = 1,
) -> list[Outcome]:
    """Run the notebooks of a profile in order; notebooks that need the result of a failed one are skipped.

    Args:
        profile: "quick" (minutes, checks that everything works), "released" (for released weights) or "paper".
        only: starts of the names of notebooks to run ("03"); None runs all.
        parameters: values that replace those of the profile in every notebook that has the parameter.
        out: folder for results; the executed notebooks, their files, durations.csv and a manifest go to `out/profile`.
        resume: keep finished notebooks whose parameters, code and photos have not changed.
        processes: notebooks that run at once, see `run_notebooks`.

    Returns:
        An outcome for each notebook.

    Raises:
        ValueError: unknown profile, notebook or parameter, or a value of another type.
        FileNotFoundError: there are no notebooks here.
        BlockingIOError: another run writes to the same folder.
    """
    names = select_notebooks(only)
    folder = Path(out) / profile
    chosen = choose_parameters(profile, names, parameters or {})
    jobs = {name: {**read_defaults(name), **chosen[name], "run": str(folder)} for name in names}
    return run_notebooks(jobs, folder, resume, processes)


def run_notebooks(
    jobs: Mapping[str, Mapping[str, object]], folder: str | Path, resume: bool = False, processes: int = 1
) -> list[Outcome]:
    """Run notebooks while holding the lock of the output folder.

    Args:
        jobs: parameters by name of the notebook, in the order of execution.
        folder: output folder; relative paths start at the checkout.
        resume: as for `reproduce`.
        processes: notebooks that run at once, each on its share of the cores and after those it needs. With more than
            one, those that others need start first.

    Returns:
        An outcome for each notebook.

    Raises:
        BlockingIOError: another run writes to the same folder.
        ValueError: `processes` is less than 1.
    """
    if processes < 1:
        raise ValueError(f"processes: expected at least 1, got {processes}.")
    place, threads = project_root() / folder, max(1, usable_cores() // processes)
    waiting = list(jobs) if processes == 1 else sorted(jobs, key=_count_dependants, reverse=True)
    running: dict[Future, tuple[str, dict]] = {}
    outcomes: dict[str, Outcome] = {}
    with lock_folder(place), own_kernel(threads=threads if processes > 1 else None), notebook_pool(processes) as start:
        photos, device = fingerprint_splits(), device_name()
        while waiting or running:
            unfinished = {*waiting, *(name for name, _ in running.values())}
            ready = [name for name in waiting if unfinished.isdisjoint(NEEDS.get(name, ()))]
            for name in ready[: processes - len(running)]:
                waiting.remove(name)
                settings = {k: v for k, v in jobs[name].items() if k not in FOLDERS}
                record = make_manifest(settings, settings.get("seed", 0), photos, device)
                record["notebook"] = hash_code(name)
                needs = [outcomes[need] for need in NEEDS.get(name, ()) if need in outcomes]
                missing = [outcome.notebook for outcome in needs if outcome.status in NO_RESULT]
                rerun = any(outcome.status != "kept" for outcome in needs)
                if missing:
                    outcomes[name] = Outcome(name, "skipped", message=f"{name}: skipped, it needs {', '.join(missing)}")
                elif resume and not rerun and _is_done(read_manifest(place).get(name, {}), record):
                    outcomes[name] = Outcome(name, "kept")
                else:
                    _record(place, name, {"status": "begun", **record})
                    running[start(name, jobs[name], folder, project_root())] = (name, record)
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                name, record = running.pop(future)
                outcomes[name] = future.result()
                _record(place, name, {"status": outcomes[name].status, **record})
            write_durations(folder, list(outcomes.values()))
    return [outcomes[name] for name in jobs]


def _count_dependants(name: str) -> int:
    """Count the notebooks that need the results of a notebook."""
    return sum(name in needs for needs in NEEDS.values())


def _is_done(before: Mapping, now: Mapping) -> bool:
    """Return whether a notebook has finished and nothing that affects its numbers has changed since."""
    keys = ("code", "notebook", "versions", "photos", "parameters", "device", "seed")
    return before.get("status") == "done" and all(before.get(key) == now[key] for key in keys)


def _record(place: Path, name: str, record: Mapping) -> None:
    """Update the entry of a notebook in the manifest of the run."""
    write_manifest(place, {**read_manifest(place), name: record})


def hash_code(name: str) -> str:
    """Return the SHA-256 of a notebook's code cells: new words in it do not make its results old."""
    code = [cell["source"] for cell in read_cells(name) if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def write_durations(folder: str | Path, outcomes: Sequence[Outcome]) -> None:
    """Update `durations.csv` in a folder; the rows of other notebooks are kept."""
    path = project_root() / folder / "durations.csv"
    rows = {}
    if path.is_file():
        rows = {row["notebook"]: row for row in pd.read_csv(path, keep_default_na=False).to_dict("records")}
    machine = {"cpu": cpu_model(), "cores": usable_cores()}
    rows |= {o.notebook: asdict(o) | machine for o in outcomes if o.status not in ("kept", "skipped")}
    table = pd.DataFrame([rows[name] for name in NOTEBOOKS if name in rows])
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.1f")


def format_outcomes(outcomes: Sequence[Outcome]) -> str:
    """Format notebooks, outcomes and durations as a text table.

    Example:
        >>> print(format_outcomes([Outcome("00_enhance_a_photo", "done", 61.0)]))
        notebook                      status    min:s
        00_enhance_a_photo            done       1:01
        total                                    1:01
    """
    lines = [("notebook", "status", "min:s"), *((o.notebook, o.status, _clock(o.seconds)) for o in outcomes)]
    lines.append(("total", "", _clock(sum(o.seconds for o in outcomes))))
    return "\n".join(f"{name:<30}{status:<8}{duration:>7}" for name, status, duration in lines)


def _clock(seconds: float) -> str:
    """Format a duration as minutes:seconds, or "-" for 0."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}" if seconds else "-"


def print_outcomes(outcomes: Sequence[Outcome]) -> int:
    """Print the outcomes; return the exit status, 1 if a notebook failed or was skipped."""
    print(format_outcomes(outcomes))
    messages = [o.message for o in outcomes if o.message]
    print(*messages, sep="\n", end="\n" if messages else "", file=sys.stderr)
    if messages:
        print("Finished notebooks are kept; run the others with `--resume`.", file=sys.stderr)
    return 1 if messages else 0
