"""Simulated faults: full or read-only disks, an unprivileged user, child processes and signals."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}", "OMP_NUM_THREADS": "1"}
ENVIRONMENT = {k: v for k, v in ENVIRONMENT.items() if k not in ("RANK", "WORLD_SIZE", "SSDIE_DATA")}
SSDIE = [sys.executable, "-m", "ssdie"]


def default_interrupt() -> None:
    """Restore the default handling of SIGINT; pass as `preexec_fn` to a child that a test interrupts.

    A shell starts background jobs with SIGINT ignored, and children inherit this.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_child(command: list, timeout: float = 600, **options) -> subprocess.CompletedProcess:
    """Run a command, such as [*SSDIE, "enhance", ...], in a child process; a timeout is an error."""
    command = [str(word) for word in command]
    options = {"env": ENVIRONMENT, "capture_output": True, "text": True, "errors": "backslashreplace"} | options
    return subprocess.run(command, timeout=timeout, **options)


def on_disk(folder: Path, command: list, options: str) -> list:
    """Wrap a command so that a tmpfs with `options` ("size=64k", "ro") is mounted on `folder` while it runs.

    Only that command sees the mount; the files that it leaves there are listed on standard output.
    """
    folder.mkdir(exist_ok=True)
    mounted = f'mount -t tmpfs -o {options} tmpfs "$0"'
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "sh", "-c", mounted, str(folder)]).returncode:
        pytest.skip("mounting a tmpfs needs user namespaces")
    return ["unshare", "-rm", "sh", "-c", f'{mounted}; "$@"; e=$?; find "$0" -type f; exit $e', folder, *command]


def as_ordinary_user(command: list) -> list:
    """Wrap a command so that root's right to bypass file permissions is dropped."""
    if os.geteuid() != 0:
        return command
    if not shutil.which("setpriv"):
        pytest.skip("dropping root's rights needs setpriv")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
