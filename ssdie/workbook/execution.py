"""Execute notebooks with papermill, in this process or several at once, each with its own share of the cores."""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import papermill
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ssdie.utils.paths import lock_folder


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


@contextmanager
def own_kernel(interactive: bool = False, threads: int | None = None) -> Iterator[None]:
    """Make this interpreter the Jupyter kernel `python3`, whatever kernels are installed.

    Args:
        interactive: show progress bars and widgets; otherwise no progress bars, and static figures instead of widgets.
        threads: of PyTorch and ONNX Runtime in each kernel; None: as many as they choose.
    """
    with tempfile.TemporaryDirectory(prefix="ssdie-kernel-") as folder:
        kernel = Path(folder) / "kernels" / "python3"
        kernel.mkdir(parents=True)
        environment = {
            "IPYTHONDIR": str(Path(folder) / "ipython"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            **({} if interactive else {"TQDM_DISABLE": "1", "SSDIE_STATIC": "1"}),
            **({"OMP_NUM_THREADS": str(threads)} if threads else {}),
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


def run_notebook(name: str, parameters: Mapping[str, object], folder: str | Path, root: Path) -> Outcome:
    """Run a notebook with the checkout as working directory; the executed copy is kept even if a cell fails.

    Args:
        name: name of the notebook without suffix.
        parameters: values of its parameters.
        folder: folder of the executed copy; relative paths start at the checkout.
        root: the checkout.

    Returns:
        Its outcome, "done" or "failed".
    """
    copy = (root / folder / f"{name}.ipynb").resolve()
    copy.parent.mkdir(parents=True, exist_ok=True)
    begin, cpu, message = time.perf_counter(), _cpu_of_children(), ""
    print(f"{name} ...", flush=True)
    figures = parameters.get("figures")  # a folder shared by several runs
    try:
        with lock_folder(root / figures) if figures else nullcontext():
            papermill.execute_notebook(
                root / "notebooks" / f"{name}.ipynb", copy, dict(parameters), cwd=root, kernel_name="python3",
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


@contextmanager
def notebook_pool(processes: int) -> Iterator[Callable[..., Future]]:
    """Yield a function that starts `run_notebook` with its arguments and returns the future outcome.

    Args:
        processes: notebooks that run at once; with 1, the function runs the notebook before it returns.

    If the block is left by an exception, such as KeyboardInterrupt, the notebooks that are running are stopped.
    """
    if processes == 1:
        yield _run_now
        return
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])  # papermill is imported once
    surroundings = dict(os.environ)  # the server that forks keeps those of its start
    with ProcessPoolExecutor(processes, context, _set_environment, (surroundings,)) as pool:
        try:
            yield lambda *arguments: pool.submit(run_notebook, *arguments)
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _set_environment(variables: Mapping[str, str]) -> None:
    """Set environment variables."""
    os.environ.update(variables)


def _run_now(*arguments) -> Future:
    """Run a notebook in this process; return its outcome as a future that is done."""
    future = Future()
    future.set_result(run_notebook(*arguments))
    return future
