"""Faults that tests make: disks that are full or read-only, an ordinary user, a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}", "OMP_NUM_THREADS": "1"}
ENVIRONMENT = {k: v for k, v in ENVIRONMENT.items() if k not in ("RANK", "WORLD_SIZE", "SSDIE_DATA")}
SSDIE = [sys.executable, "-m", "ssdie"]


def run_child(command: list, timeout: float = 600, **options) -> subprocess.CompletedProcess:
    """Run a command, such as [*SSDIE, "enhance", ...], in a process of its own; a hang is an error."""
    command = [str(word) for word in command]
    options = {"env": ENVIRONMENT, "capture_output": True, "text": True, "errors": "backslashreplace"} | options
    return subprocess.run(command, timeout=timeout, **options)


def on_disk(folder: Path, command: list, options: str) -> list:
    """Command that runs another with a disk of its own mounted on `folder`, such as one of "size=64k", or of "ro".

    The mount is seen by that command alone and ends with it; what it left there is listed on standard output.
    """
    folder.mkdir(exist_ok=True)
    mounted = f'mount -t tmpfs -o {options} tmpfs "$0"'
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "sh", "-c", mounted, str(folder)]).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    return ["unshare", "-rm", "sh", "-c", f'{mounted}; "$@"; e=$?; find "$0" -type f; exit $e', folder, *command]


def as_ordinary_user(command: list) -> list:
    """Command that runs another without root's right to read and write whatever it likes."""
    if os.geteuid() != 0:
        return command
    if not shutil.which("setpriv"):
        pytest.skip("root cannot step down here: setpriv is missing")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
