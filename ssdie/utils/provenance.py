"""What made a result: code, packages, photos, parameters, device and seed; kept beside it and inside its figures.

A manifest holds no time, no path of this machine and no name of it: equal work gives equal manifests, byte for byte.
"""

import functools
import hashlib
import json
import platform
import subprocess
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from ssdie.utils.devices import resolve_precision
from ssdie.utils.paths import PACKAGE, project_root, write_text

NAME = "manifest.json"
FOLDERS = ("run", "figures")  # parameters that change no number
PACKAGES = (
    "accelerate",
    "matplotlib",
    "numpy",
    "opencv-python",
    "pandas",
    "pillow",
    "scikit-image",
    "scipy",
    "torch",
    "torchvision",
)  # fmt: skip  those that change numbers or figures
current_manifest: dict = {}  # of the notebook that runs


def make_manifest(
    parameters: Mapping, seed: int, photos: Mapping, device: str, commit: str | None = None
) -> dict[str, object]:
    """Say what makes a result.

    Args:
        parameters: that were chosen; plain values and paths.
        seed: of everything random.
        photos: as `fingerprint` gives it.
        device: such as "cpu", or the name of a GPU.
        commit: as `ssdie.utils.provenance.current_commit` gives it; None asks for it.

    Returns:
        commit; dirty, whether files differ from it; code, the package's digest; versions; photos; parameters; device;
        seed. Plain values only.
    """
    commit = current_commit() if commit is None else commit
    if "precision" in parameters:  # "auto" differs between machines: record what was used
        kind = "cpu" if device == "cpu" else torch.accelerator.current_accelerator()
        parameters = {**parameters, "precision": resolve_precision(parameters["precision"], kind)}
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {
        "commit": commit.rstrip("+"),
        "dirty": commit.endswith("+"),
        "code": code_digest(),
        "versions": versions,
        "photos": dict(photos),
        "parameters": json.loads(json.dumps(dict(parameters), default=_name)),
        "device": device,
        "seed": seed,
    }


def _name(path: Path) -> str:
    """A path from the checkout on; of one outside, its last part."""
    path, root = Path(path), project_root()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def device_name() -> str:
    """Name of the GPU, or "cpu"."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


@functools.cache
def code_digest() -> str:
    """Digest of the package's code: what the commit does not tell where files differ from it."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


# Beside the results --------------------------------------------------------------------------------------------------


def write_manifest(folder: str | Path, manifest: Mapping) -> None:
    """Write `manifest.json` into a folder, whole or not at all."""
    write_text(Path(folder) / NAME, json.dumps(manifest, indent=2) + "\n")


def read_manifest(folder: str | Path) -> dict:
    """Read `manifest.json` of a folder; an empty one where there is none."""
    path = Path(folder) / NAME
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def begin_manifest(folder: str | Path, manifest: dict, step: int = 0) -> None:
    """Write the manifest of a run that begins; note in it who goes on with a run, and warn of other code.

    Args:
        folder: of the run.
        manifest: as `make_manifest` gives it.
        step: at which the run goes on; 0 begins it.
    """
    before = read_manifest(folder) if step else {}
    if before and describe_other_code(folder):
        warnings.warn(describe_other_code(folder), stacklevel=2)
        keys = ("commit", "dirty", "code", "versions", "device")
        before.setdefault("continued", []).append({"step": step, **{k: manifest[k] for k in keys}})
    write_manifest(folder, before or manifest)


def describe_other_code(folder: str | Path) -> str:
    """A sentence where what lies in a folder was made by other code than this; nothing where it was not.

    Each code that worked on a run is spoken of until another one goes on with it.
    """
    before = read_manifest(folder)
    last = before.get("continued", [before])[-1]
    if not before or last.get("code") == code_digest():
        return ""
    commit, name = last["commit"] + (" and changes" if last["dirty"] else ""), Path(folder).name
    return f"{name} was made by other code than today's (commit {commit}); remove the folder to make it anew."


def figure_metadata() -> dict[str, str]:
    """What figures carry: the manifest of the notebook that runs, as JSON; nothing where none does."""
    return {"manifest": json.dumps(current_manifest, sort_keys=True)} if current_manifest else {}


def current_commit() -> str:
    """Commit of the checkout, "unknown" outside of one; "+" where files differ from it."""
    command = ["git", "-C", str(project_root()), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
