"""Run the notebooks headlessly, in order, each with the parameters that a profile has for it."""

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

import pandas as pd
import papermill
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ssdie.data.photos import fingerprint_splits
from ssdie.utils.paths import atomic, lock_folder, project_root
from ssdie.utils.provenance import FOLDERS, device_name, make_manifest, read_manifest, write_manifest
from ssdie.workbook.profiles import NEEDS, NOTEBOOKS, choose_parameters, notebook_path, read_defaults, select_notebooks

LOST = ("failed", "skipped")


@dataclass
class Outcome:
    """How a notebook fared: "done", "kept" from before, "failed", "skipped"; `message` says where and why not."""

    notebook: str
    status: str
    seconds: float = 0.0
    message: str = ""


def reproduce(
    profile: str = "quick",
    only: Sequence[str] | None = None,
    parameters: Mapping[str, object] | None = None,
    out: str | Path = "runs",
    resume: bool = False,
) -> list[Outcome]:
    """Run the notebooks of a profile one after the other; where one fails, those that need it are skipped.

    Args:
        profile: "quick" (minutes, to see that everything works), "released" (for released weights) or "paper".
        only: notebooks to run, each by the start of its name ("03"); None runs all.
        parameters: override the profile's; every notebook that has the parameter takes it.
        out: folder for results; `out/profile` gets the executed notebooks, their files, durations.csv and a manifest.
        resume: keep what is done there with the same parameters, code and photos.

    Returns:
        An outcome for each notebook.

    Raises:
        ValueError: a profile, notebook or parameter that is not known, or a value of another type.
        FileNotFoundError: there are no notebooks here.
        BlockingIOError: another run writes to the same folder.
    """
    names = select_notebooks(only)
    folder = Path(out) / profile
    chosen = choose_parameters(profile, names, parameters or {})
    jobs = {name: {**read_defaults(name), **chosen[name], "run": str(folder)} for name in names}
    return run_notebooks(jobs, folder, resume)


def run_notebooks(jobs: Mapping[str, Mapping[str, object]], folder: str | Path, resume: bool = False) -> list[Outcome]:
    """Run notebooks, each with its parameters, in a folder that no other run holds; arguments as for `reproduce`."""
    place = project_root() / folder
    outcomes: dict[str, Outcome] = {}
    with lock_folder(place), own_kernel():
        photos, device = fingerprint_splits(), device_name()
        for name, parameters in jobs.items():
            lost = [need for need in NEEDS.get(name, ()) if need in outcomes and outcomes[need].status in LOST]
            anew = any(outcomes[need].status != "kept" for need in NEEDS.get(name, ()) if need in outcomes)
            settings = {k: v for k, v in parameters.items() if k not in FOLDERS}
            record = make_manifest(settings, settings.get("seed", 0), photos, device)
            record["notebook"] = hashlib.sha256(notebook_path(name).read_bytes()).hexdigest()
            if lost:
                outcomes[name] = Outcome(name, "skipped", message=f"{name}: skipped, it needs {', '.join(lost)}")
            elif resume and not anew and _is_done(read_manifest(place).get(name, {}), record):
                outcomes[name] = Outcome(name, "kept")
            else:
                _record(place, name, {"status": "begun", **record})
                outcomes[name] = run_notebook(name, parameters, folder)
                _record(place, name, {"status": outcomes[name].status, **record})
            write_durations(folder, list(outcomes.values()))
    return list(outcomes.values())


def _is_done(before: Mapping, now: Mapping) -> bool:
    """Whether a notebook was run to its end, and nothing that makes its numbers has changed since."""
    keys = ("code", "notebook", "versions", "photos", "parameters", "device", "seed")
    return before.get("status") == "done" and all(before.get(key) == now[key] for key in keys)


def _record(place: Path, name: str, record: Mapping) -> None:
    """Write a notebook's part of the run's manifest."""
    write_manifest(place, {**read_manifest(place), name: record})


# Running ----------------------------------------------------------------------------------------------------


@contextmanager
def own_kernel(reader: bool = False) -> Iterator[None]:
    """Let the kernel `python3` be this interpreter, whatever else is installed.

    Args:
        reader: somebody looks on; otherwise without progress bars, and with figures in the place of sliders.
    """
    with tempfile.TemporaryDirectory(prefix="ssdie-kernel-") as folder:
        kernel = Path(folder) / "kernels" / "python3"
        kernel.mkdir(parents=True)
        environment = {
            "IPYTHONDIR": str(Path(folder) / "ipython"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            **({} if reader else {"TQDM_DISABLE": "1", "SSDIE_STATIC": "1"}),
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
    """Run a notebook in the checkout's folder; keep the executed copy, also when a cell fails.

    Args:
        name: without suffix.
        parameters: that it has.
        folder: for the executed copy.
    """
    copy = (project_root() / folder / f"{name}.ipynb").resolve()
    copy.parent.mkdir(parents=True, exist_ok=True)
    begin, message = time.perf_counter(), ""
    print(f"{name} ...", flush=True)
    figures = parameters.get("figures")  # a folder that runs share
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
    return Outcome(name, "failed" if message else "done", time.perf_counter() - begin, message)


def _last_line(error: PapermillExecutionError) -> str:
    """What the traceback ends with."""
    return f"{error.ename}: {error.evalue}".strip().splitlines()[-1]


def write_durations(folder: str | Path, outcomes: Sequence[Outcome]) -> None:
    """Write `durations.csv`; notebooks that were not asked for keep their rows."""
    path = project_root() / folder / "durations.csv"
    rows = {}
    if path.is_file():
        rows = {row["notebook"]: row for row in pd.read_csv(path, keep_default_na=False).to_dict("records")}
    rows |= {o.notebook: asdict(o) for o in outcomes if o.status not in ("kept", "skipped")}
    table = pd.DataFrame([rows[name] for name in NOTEBOOKS if name in rows])
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.1f")


def format_outcomes(outcomes: Sequence[Outcome]) -> str:
    """Lay out notebooks and durations as a table.

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
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}" if seconds else "-"


def print_outcomes(outcomes: Sequence[Outcome]) -> int:
    """Print how notebooks fared; 1 where one failed."""
    print(format_outcomes(outcomes))
    messages = [o.message for o in outcomes if o.message]
    print(*messages, sep="\n", end="\n" if messages else "", file=sys.stderr)
    if messages:
        print("What is done stays; `--resume` goes on with the others.", file=sys.stderr)
    return 1 if messages else 0
