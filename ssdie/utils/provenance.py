"""Provenance of a result: code, packages, photos, parameters, device and seed, in a manifest and in figures.

A manifest contains no time, host name or absolute path, so that equal runs have byte-equal manifests.
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
FOLDERS = ("run", "figures")  # path parameters, which do not affect results
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
current_manifest: dict = {}  # manifest of the running notebook


def make_manifest(
    parameters: Mapping, seed: int, photos: Mapping, device: str, commit: str | None = None
) -> dict[str, object]:
    """Build the manifest of a result.

    Args:
        parameters: settings of the run; plain values and paths.
        seed: seed of all random numbers.
        photos: result of `ssdie.data.photos.fingerprint`.
        device: "cpu" or the name of a GPU.
        commit: result of `current_commit`; None calls it.

    Returns:
        commit; dirty, whether files differ from it; code, the digest of the package; versions; photos; parameters;
        device; seed. Plain values only.
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
    """Return a path relative to the checkout, or only its name if it lies outside."""
    path, root = Path(path), project_root()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def device_name() -> str:
    """Return the name of the GPU, or "cpu"."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


@functools.cache
def code_digest() -> str:
    """Compute the digest of the package's code, which also covers uncommitted changes."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


# Manifest files ------------------------------------------------------------------------------------------------------


def write_manifest(folder: str | Path, manifest: Mapping) -> None:
    """Write `manifest.json` into a folder, atomically."""
    write_text(Path(folder) / NAME, json.dumps(manifest, indent=2) + "\n")


def read_manifest(folder: str | Path) -> dict:
    """Read `manifest.json` of a folder; return an empty dictionary if there is none."""
    path = Path(folder) / NAME
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def begin_manifest(folder: str | Path, manifest: dict, step: int = 0) -> None:
    """Write the manifest of a new run; when resuming one, warn if the code has changed and record the change.

    Args:
        folder: folder of the run.
        manifest: result of `make_manifest`.
        step: training step at which the run resumes; 0 for a new run.
    """
    before = read_manifest(folder) if step else {}
    if before and describe_other_code(folder):
        warnings.warn(describe_other_code(folder), stacklevel=2)
        keys = ("commit", "dirty", "code", "versions", "device")
        before.setdefault("continued", []).append({"step": step, **{k: manifest[k] for k in keys}})
    write_manifest(folder, before or manifest)


def describe_other_code(folder: str | Path) -> str:
    """Return a sentence on the code that last wrote to a folder, if it differs from the current code; else ""."""
    before = read_manifest(folder)
    last = before.get("continued", [before])[-1]
    if not before or last.get("code") == code_digest():
        return ""
    commit, name = last["commit"] + (" and changes" if last["dirty"] else ""), Path(folder).name
    return f"{name} was made by another version of the code (commit {commit}); remove the folder to make it again."


def figure_metadata() -> dict[str, str]:
    """Return the metadata of figures: the manifest of the running notebook as JSON; empty outside of a notebook."""
    return {"manifest": json.dumps(current_manifest, sort_keys=True)} if current_manifest else {}


def current_commit() -> str:
    """Return the commit of the checkout, followed by "+" if files differ from it; "unknown" outside of a checkout."""
    command = ["git", "-C", str(project_root()), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
