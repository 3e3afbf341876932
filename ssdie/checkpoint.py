"""Files that training leaves behind: checkpoints of everything, logs, weights for release."""

import csv
import json
import subprocess
from dataclasses import asdict, is_dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from ssdie.networks import Generator, build_generator
from ssdie.paths import atomic, project_root


def save_checkpoint(path: str | Path, state: dict) -> None:
    """Write tensors and plain values, whole or not at all; paths and dataclasses become text and dictionaries."""
    with atomic(path) as temporary:
        torch.save(_plain(state), temporary)


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint on the CPU, without running any code from it.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; give a checkpoint that `python -m ssdie train` wrote.")
    return torch.load(path, map_location="cpu", weights_only=True)


def _plain(value):
    """Tensors, numbers, text, and lists and dictionaries of them."""
    if is_dataclass(value):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def read_log(path: str | Path) -> list[dict[str, float]]:
    """Read `log.csv`: one dictionary of numbers a report."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


# Released weights --------------------------------------------------------------------------------------------------


def save_weights(path: str | Path, network: nn.Module, about: dict) -> None:
    """Write weights as safetensors, with what they are in the header.

    Args:
        path: file to write.
        network: whose state is written, as float32 on the CPU.
        about: at least "generator" and "options", as for `ssdie.networks.build_generator`; plain values only.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    with atomic(path) as temporary:
        save_file(state, temporary, metadata={"ssdie": json.dumps(_plain(about), sort_keys=True)})


def read_header(path: str | Path) -> dict:
    """What `save_weights` wrote into the header.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file was not written by ssdie.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; give weights that ssdie wrote (.safetensors).")
    with safe_open(path, "pt") as file:
        header = (file.metadata() or {}).get("ssdie")
    if header is None:
        raise ValueError(f"{path} has no ssdie header; give weights that `python -m ssdie train` wrote.")
    return json.loads(header)


def load_weights(path: str | Path) -> Generator:
    """Build the generator that the header names and load its weights; in evaluation mode, on the CPU."""
    header = read_header(path)
    network = build_generator(header["generator"], **header["options"])
    with safe_open(path, "pt") as file:
        network.load_state_dict({k: file.get_tensor(k) for k in file.keys()})  # noqa: SIM118  no dictionary
    return network.eval()


def current_commit() -> str:
    """Commit of the checkout, "unknown" outside of one; "+" where files differ from it."""
    command = ["git", "-C", str(project_root()), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
