"""Run the notebooks non-interactively, in order, with the parameters of a profile."""

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import pandas as pd
import papermill
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ssdie.data.photos import fingerprint_splits
from ssdie.utils.machine import cpu_model, usable_cores
from ssdie.utils.paths import atomic, lock_folder, project_root
from ssdie.utils.provenance import FOLDERS, device_name, make_manifest, read_manifest, write_manifest
from ssdie.workbook.profiles import NEEDS, NOTEBOOKS, choose_parameters, notebook_path, read_defaults, select_notebooks

NO_RESULT = ("failed", "skipped")


@dataclass
class Outcome:
    """Result of running a notebook.

    Args:
        notebook: name of the notebook.
        status: "done"; "kept", the result of an earlier run; "failed"; or "skipped", since a notebook it needs failed.
        seconds: duration.
        message: for "failed" and "skipped": where and why.
    """

    notebook: str
    status: str
    seconds: float = 0.0
    message: str = ""
    cpu_seconds: float = 0.0  # of all its processes


def reproduce(
    profile: str = "quick",
    only: Sequence[str] | None = None,
    parameters: Mapping[str, object] | None = None,
    out: str | Path = "runs",
    resume: bool = False,
) -> list[Outcome]:
    """Run the notebooks of a profile in order; notebooks that need the result of a failed one are skipped.

    Args:
        profile: "quick" (minutes, checks that everything works), "released" (for released weights) or "paper".
        only: starts of the names of notebooks to run ("03"); None runs all.
        parameters: values that replace those of the profile in every notebook that has the parameter.
        out: folder for results; the executed notebooks, their files, durations.csv and a manifest go to `out/profile`.
        resume: keep finished notebooks whose parameters, code and photos have not changed.

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
    return run_notebooks(jobs, folder, resume)


def run_notebooks(jobs: Mapping[str, Mapping[str, object]], folder: str | Path, resume: bool = False) -> list[Outcome]:
    """Run notebooks while holding the lock of the output folder.

    Args:
        jobs: parameters by name of the notebook, in the order of execution.
        folder: output folder; relative paths start at the checkout.
        resume: as for `reproduce`.

    Returns:
        An outcome for each notebook.

    Raises:
        BlockingIOError: another run writes to the same folder.
    """
    place = project_root() / folder
    outcomes: dict[str, Outcome] = {}
    with lock_folder(place), own_kernel():
        photos, device = fingerprint_splits(), device_name()
        for name, parameters in jobs.items():
            missing = [n for n in NEEDS.get(name, ()) if n in outcomes and outcomes[n].status in NO_RESULT]
            rerun = any(outcomes[need].status != "kept" for need in NEEDS.get(name, ()) if need in outcomes)
            settings = {k: v for k, v in parameters.items() if k not in FOLDERS}
            record = make_manifest(settings, settings.get("seed", 0), photos, device)
            record["notebook"] = hash_code(name)
            if missing:
                outcomes[name] = Outcome(name, "skipped", message=f"{name}: skipped, it needs {', '.join(missing)}")
            elif resume and not rerun and _is_done(read_manifest(place).get(name, {}), record):
                outcomes[name] = Outcome(name, "kept")
            else:
                _record(place, name, {"status": "begun", **record})
                outcomes[name] = run_notebook(name, parameters, folder)
                _record(place, name, {"status": outcomes[name].status, **record})
            write_durations(folder, list(outcomes.values()))
    return list(outcomes.values())


def _is_done(before: Mapping, now: Mapping) -> bool:
    """Return whether a notebook has finished and nothing that affects its numbers has changed since."""
    keys = ("code", "notebook", "versions", "photos", "parameters", "device", "seed")
    return before.get("status") == "done" and all(before.get(key) == now[key] for key in keys)


def _record(place: Path, name: str, record: Mapping) -> None:
    """Update the entry of a notebook in the manifest of the run."""
    write_manifest(place, {**read_manifest(place), name: record})


def hash_code(name: str) -> str:
    """Return the SHA-256 of a notebook's code cells: new words in it do not make its results old."""
    cells = nbformat.read(notebook_path(name), as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


# Running ----------------------------------------------------------------------------------------------------


@contextmanager
def own_kernel(interactive: bool = False) -> Iterator[None]:
    """Make this interpreter the Jupyter kernel `python3`, whatever kernels are installed.

    Args:
        interactive: show progress bars and widgets; otherwise no progress bars, and static figures instead of widgets.
    """
    with tempfile.TemporaryDirectory(prefix="ssdie-kernel-") as folder:
        kernel = Path(folder) / "kernels" / "python3"
        kernel.mkdir(parents=True)
        environment = {
            "IPYTHONDIR": str(Path(folder) / "ipython"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            **({} if interactive else {"TQDM_DISABLE": "1", "SSDIE_STATIC": "1"}),
        }
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        command.append("--log-level=CRITICAL")
        spec = {"argv": command, "display_name": "Python 3", "language": "python", "env": environment}
        (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield
        finally:
            os.environ.pop("JUPYTER_PATH")
            if before is not None:
                os.environ["JUPYTER_PATH"] = before


def run_notebook(name: str, parameters: Mapping[str, object], folder: str | Path) -> Outcome:
    """Run a notebook with the checkout as working directory; the executed copy is kept even if a cell fails.

    Args:
        name: name of the notebook without suffix.
        parameters: values of its parameters.
        folder: folder of the executed copy; relative paths start at the checkout.

    Returns:
        Its outcome, "done" or "failed".
    """
    copy = (project_root() / folder / f"{name}.ipynb").resolve()
    copy.parent.mkdir(parents=True, exist_ok=True)
    begin, cpu, message = time.perf_counter(), _cpu_of_children(), ""
    print(f"{name} ...", flush=True)
    figures = parameters.get("figures")  # a folder shared by several runs
    try:
        with lock_folder(project_root() / figures) if figures else nullcontext():
            papermill.execute_notebook(
                notebook_path(name), copy, dict(parameters), cwd=project_root(), kernel_name="python3",
                progress_bar=False, start_timeout=180,
            )  # fmt: skip
    except PapermillExecutionError as error:
        message = f"{name}, cell [{error.exec_count}]: {_last_line(error)}"
    except (CellExecutionError, CellTimeoutError, DeadKernelError, BlockingIOError) as error:
        message = f"{name}: {str(error).strip().splitlines()[-1]}"
    status, seconds = "failed" if message else "done", time.perf_counter() - begin
    return Outcome(name, status, seconds, message, _cpu_of_children() - cpu)


def _cpu_of_children() -> float:
    """Return the CPU seconds of all child processes that have ended; 0 on Windows, which does not count them."""
    times = os.times()
    return times.children_user + times.children_system


def _last_line(error: PapermillExecutionError) -> str:
    """Last line of the traceback."""
    return f"{error.ename}: {error.evalue}".strip().splitlines()[-1]


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
