"""Files that training leaves behind: checkpoints of everything, logs, weights for release."""

import hashlib
import json
import textwrap
from dataclasses import asdict, is_dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from ssdie.networks.generators import Generator, build_generator
from ssdie.utils.paths import write_bytes

FORMAT = 1  # of checkpoints and weights; those of a higher one are refused
EXPECTED = "give a checkpoint that `python -m ssdie train` wrote"


def check_format(path: Path, about: dict) -> None:
    """Refuse what a newer ssdie wrote; what has no format is of the first."""
    if about.get("format", 1) > FORMAT:
        got = f"format {about['format']}"
        raise ValueError(f"{path}: expected a format up to {FORMAT}, got {got}. Install a newer ssdie.")


def load_state(network: nn.Module, state: dict[str, torch.Tensor], path: str | Path) -> None:
    """Load a state that came from `path` into a network.

    Raises:
        ValueError: the state is that of another architecture.
    """
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        kind = type(network).__name__
        detail = textwrap.shorten(str(error).split(":", 1)[-1], 200)
        raise ValueError(f"{path} holds weights of another network than this {kind} ({detail}).") from error


def to_plain(value):
    """Tensors, numbers, text, and lists and dictionaries of them."""
    if is_dataclass(value):
        return to_plain(asdict(value))
    if isinstance(value, dict):
        return {k: to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


# Released weights --------------------------------------------------------------------------------------------------


def save_weights(path: str | Path, network: nn.Module, about: dict) -> None:
    """Write weights as safetensors, with what they are in the header.

    Args:
        path: file to write.
        network: whose state is written, as float32 on the CPU.
        about: at least "generator" and "options", as for `build_generator`; plain values only.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    header = json.dumps(to_plain({"format": FORMAT, **about}), sort_keys=True)
    write_bytes(Path(path), save(state, metadata={"ssdie": header, "sha256": _digest(header, state)}))


def _digest(header: str, state: dict[str, torch.Tensor]) -> str:
    """SHA-256 over header, names, types, shapes and values."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(state):
        value = state[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def read_header(path: str | Path) -> dict:
    """What `save_weights` wrote into the header.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no safetensors file, is cut short or damaged, or was written by another or a newer program.
    """
    return read_weights(Path(path), tensors=False)[0]


def read_weights(path: Path, tensors: bool = True) -> tuple[dict, dict[str, torch.Tensor]]:
    """Header and state of a file of weights, checked."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; give weights that ssdie wrote (.safetensors).")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            state = {k: file.get_tensor(k) for k in (file.keys() if tensors else ())}
    except SafetensorError as error:
        raise ValueError(f"{path} is cut short, damaged or no safetensors file ({error}).") from error
    if "ssdie" not in header:
        raise ValueError(f"{path} has no ssdie header; give weights that `python -m ssdie train` wrote.")
    if tensors and "sha256" in header and header["sha256"] != _digest(header["ssdie"], state):
        raise ValueError(f"{path} is damaged: its content has another sha256 than its header says.")
    try:
        about = json.loads(header["ssdie"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: its header is no JSON.") from error
    check_format(path, about)
    return about, state


def load_weights(path: str | Path) -> Generator:
    """Build the generator that the header names and load its weights; in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: see `read_header`; or the weights are not those of the network that the header names.
    """
    header, state = read_weights(Path(path))
    try:
        network = build_generator(header["generator"], **header["options"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} names a network that this ssdie cannot build ({error}).") from error
    load_state(network, state, path)
    return network.eval()


def blend_weights(before: str | Path, after: str | Path, share: float, out: str | Path) -> None:
    """Write weights between those before and after tuning: (1 - share) before + share after.

    Tuning on real photos gains there and loses some of what pairs taught; a part of the way has most of the gain for
    little of the loss. The header is that of `after`, with "blended": the share.

    Args:
        before, after: files of one architecture that `save_weights` wrote.
        share: of `after`; [0, 1].
        out: file to write.

    Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: expected a number from 0 (before) to 1 (after), got {share}.")
    network, state = load_weights(after), load_weights(before).state_dict()
    tuned = network.state_dict()
    if {k: v.shape for k, v in tuned.items()} != {k: v.shape for k, v in state.items()}:
        raise ValueError(f"{before} and {after} hold different networks; blend weights before and after one tuning.")
    floats = (k for k, v in tuned.items() if v.is_floating_point())
    network.load_state_dict(tuned | {k: torch.lerp(state[k], tuned[k], share) for k in floats})
    save_weights(out, network, read_header(after) | {"blended": share})
