"""What made a result: code, packages, photos, parameters, device and seed; kept beside it and inside its figures.

A manifest holds no time, no path of this machine and no name of it: equal work gives equal manifests, byte for byte.
"""

import functools
import hashlib
import json
import platform
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from IPython import get_ipython

from ssdie.checkpoint import current_commit
from ssdie.data import Sources, find_photos
from ssdie.devices import resolve_precision
from ssdie.paths import PACKAGE, atomic, project_root
from ssdie.profiles import read_defaults

NAME = "manifest.json"
GIBIBYTE = 2**30
FOLDERS = ("run", "figures")  # parameters that change no number
PACKAGES = (
    "accelerate", "matplotlib", "numpy", "opencv-python", "pandas", "pillow", "scikit-image", "scipy", "torch",
    "torchvision",
)  # fmt: skip  those that change numbers or figures

_current: dict = {}  # of the notebook that runs


def make_manifest(
    parameters: Mapping, seed: int, photos: Mapping, device: str, commit: str | None = None
) -> dict[str, object]:
    """Say what makes a result.

    Args:
        parameters: that were chosen; plain values and paths.
        seed: of everything random.
        photos: as `fingerprint` gives it.
        device: such as "cpu", or the name of a GPU.
        commit: as `ssdie.checkpoint.current_commit` gives it; None asks for it.

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
    for path in sorted(PACKAGE.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def fingerprint(sources: Sources, limit: int = 0) -> dict[str, dict]:
    """Tell the photos of a split from others: by kind, their number and a digest of their files.

    Args:
        sources: as `ssdie.data.find_photos` gives it.
        limit: the files' bytes are read too where they are fewer in all; beyond, names and sizes must do.

    Example:
        >>> from ssdie.data import Photo
        >>> one, two = (fingerprint(Sources([Photo(name, None)])) for name in "ab")
        >>> one["clear"]["count"], one["clear"] == two["clear"], one["dusty"] == two["dusty"]
        (1, False, True)
    """
    found = {}
    for kind in ("clear", "dusty"):
        digest, photos = hashlib.sha256(), getattr(sources, kind)
        sizes = {path: path.stat().st_size for photo in photos for path in photo.files}
        whole = sum(sizes.values()) < limit
        digest.update("\n".join(photo.name for photo in photos).encode())
        for path, size in sizes.items():
            digest.update(f"\n{path.name} {size}\n".encode())
            if whole:
                digest.update(path.read_bytes())
        of = "contents" if whole else "names and sizes"
        found[kind] = {"count": len(photos), "sha256": digest.hexdigest(), "of": of}
    return found


# Beside the results --------------------------------------------------------------------------------------------------


def write_manifest(folder: str | Path, manifest: Mapping) -> None:
    """Write `manifest.json` into a folder, whole or not at all."""
    with atomic(Path(folder) / NAME) as temporary:
        temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


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
    if before and other_code(folder):
        warnings.warn(other_code(folder), stacklevel=2)
        keys = ("commit", "dirty", "code", "versions", "device")
        before.setdefault("continued", []).append({"step": step, **{k: manifest[k] for k in keys}})
    write_manifest(folder, before or manifest)


def other_code(folder: str | Path) -> str:
    """A sentence where what lies in a folder was made by other code than this; nothing where it was not.

    Each code that worked on a run is spoken of until another one goes on with it.
    """
    before = read_manifest(folder)
    last = before.get("continued", [before])[-1]
    if not before or last.get("code") == code_digest():
        return ""
    commit, name = last["commit"] + (" and changes" if last["dirty"] else ""), Path(folder).name
    return f"{name} was made by other code than today's (commit {commit}); remove the folder to make it anew."


@contextmanager
def alone(folder: str | Path) -> Iterator[None]:
    """Hold a folder: no other process writes there meanwhile. The system lets go of it when a process dies.

    Raises:
        BlockingIOError: another process holds it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock", timeout=0, is_singleton=True)  # a process may take what it has
        with lock:
            yield
    except Timeout:
        told = f"{folder} is in use by another run; wait for its end, or give another folder."
        raise BlockingIOError(told) from None


# Of notebooks ------------------------------------------------------------------------------------------------------


def begin_notebook(folder: str | Path, name: str, seed: int) -> dict:
    """Write the manifest of a notebook into its folder; figures that are saved from now on carry it."""
    manifest = make_manifest(_notebook_parameters(name), seed, find_fingerprints(), device_name())
    write_manifest(folder, manifest)
    _current.clear()
    _current.update(manifest)
    return manifest


def find_fingerprints() -> dict[str, dict]:
    """Fingerprints of the splits that notebooks look at, by contents where that is quickly read."""
    return {split: fingerprint(find_photos(split=split), GIBIBYTE) for split in ("train", "val")}


def _notebook_parameters(name: str) -> dict:
    """The parameters that a running notebook has, but for folders; none outside of one."""
    shell = get_ipython()
    if shell is None or not (project_root() / "notebooks" / f"{name}.ipynb").is_file():
        return {}
    return {k: shell.user_ns[k] for k in read_defaults(name) if k in shell.user_ns and k not in FOLDERS}


def figure_metadata() -> dict[str, str]:
    """What figures carry: the manifest of the notebook that runs, as JSON; nothing where none does."""
    return {"manifest": json.dumps(_current, sort_keys=True)} if _current else {}
