"""Weight files: safetensors with the network, its options and a checksum in the header."""

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

FORMAT = 1  # version of checkpoints and weight files; newer versions are refused
EXPECTED = "Give a checkpoint that `ssdie train` wrote"


def check_format(path: Path, about: dict) -> None:
    """Check the format version of a file; a file without one has version 1.

    Args:
        path: file, for the message.
        about: its header or settings.

    Raises:
        ValueError: the file was written by a newer version of ssdie.
    """
    if about.get("format", 1) > FORMAT:
        got = f"format {about['format']}"
        raise ValueError(f"{path}: expected a format up to {FORMAT}, got {got}. Install a newer ssdie.")


def load_state(network: nn.Module, state: dict[str, torch.Tensor], path: str | Path) -> None:
    """Load a state dictionary into a network.

    Args:
        network: network to load into.
        state: tensors by name.
        path: file that the state was read from, for the message.

    Raises:
        ValueError: the state belongs to another architecture.
    """
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        kind = type(network).__name__
        detail = textwrap.shorten(str(error).split(":", 1)[-1], 200)
        raise ValueError(f"{path}: expected weights of this {kind}, got others ({detail}).") from error


def to_plain(value):
    """Convert dataclasses, tuples and paths, also nested ones, to dictionaries, lists and text."""
    if is_dataclass(value):
        return to_plain(asdict(value))
    if isinstance(value, dict):
        return {k: to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


# Released weights --------------------------------------------------------------------------------------------------


def save_weights(path: str | Path, network: nn.Module, about: dict) -> None:
    """Write the weights of a network as safetensors, atomically.

    Args:
        path: file to write.
        network: its state is copied to the CPU.
        about: stored in the header; at least "generator" and "options", as for `build_generator`; values are plain
            (numbers, text, lists and dictionaries of them).
    """
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    header = json.dumps(to_plain({"format": FORMAT, **about}), sort_keys=True)
    write_bytes(Path(path), save(state, metadata={"ssdie": header, "sha256": _digest(header, state)}))


def _digest(header: str, state: dict[str, torch.Tensor]) -> str:
    """SHA-256 of the header and of the names, types, shapes and values of all tensors."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(state):
        value = state[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def read_header(path: str | Path) -> dict:
    """Read the header that `save_weights` wrote.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is no safetensors file, is truncated or damaged, has no header of ssdie, or was written by
            a newer version.
    """
    return read_weights(Path(path), tensors=False)[0]


def read_weights(path: Path, tensors: bool = True) -> tuple[dict, dict[str, torch.Tensor]]:
    """Read and verify the header and, with `tensors`, the state of a weight file."""
    if not path.is_file():
        raise FileNotFoundError(f"weights: expected a .safetensors file that ssdie wrote, but {path} does not exist.")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            state = {k: file.get_tensor(k) for k in (file.keys() if tensors else ())}
    except SafetensorError as error:
        raise ValueError(f"{path}: expected a complete safetensors file ({error}). Copy it again.") from error
    if "ssdie" not in header:
        raise ValueError(f"{path}: expected weights that `ssdie train` wrote, got a file without their header.")
    if tensors and "sha256" in header and header["sha256"] != _digest(header["ssdie"], state):
        raise ValueError(f"{path} is damaged: its content does not match the SHA-256 in its header. Copy it again.")
    try:
        about = json.loads(header["ssdie"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: its header is not valid JSON. Copy it again.") from error
    check_format(path, about)
    return about, state


def load_weights(path: str | Path) -> Generator:
    """Load a generator from a weight file.

    Returns:
        The generator named in the header, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: as for `read_header`, or the weights do not fit the network named in the header.
    """
    header, state = read_weights(Path(path))
    try:
        network = build_generator(header["generator"], **header["options"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a network that this version can build ({error}). Update ssdie.") from error
    load_state(network, state, path)
    return network.eval()


def blend_weights(before: str | Path, after: str | Path, fraction: float, out: str | Path) -> None:
    r"""Interpolate linearly between the weights before and after fine-tuning.

    .. math:: \theta = (1 - \alpha)\, \theta_\text{before} + \alpha\, \theta_\text{after}

    Fine-tuning on real photos improves these and worsens synthetic pairs; an interpolation keeps most of the
    improvement at little of the cost. The header is that of `after`, with alpha as "blended".

    Args:
        before, after: weight files of the same architecture.
        fraction: alpha, the weight of `after`; [0, 1].
        out: file to write.

    Raises:
        ValueError: `fraction` is outside [0, 1], or the architectures differ.

    Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction: expected a number from 0 (before) to 1 (after), got {fraction}.")
    network, state = load_weights(after), load_weights(before).state_dict()
    tuned = network.state_dict()
    if {k: v.shape for k, v in tuned.items()} != {k: v.shape for k, v in state.items()}:
        raise ValueError(f"weights: expected two files of the same network, got {before} and {after}, which differ.")
    floats = (k for k, v in tuned.items() if v.is_floating_point())
    network.load_state_dict(tuned | {k: torch.lerp(state[k], tuned[k], fraction) for k in floats})
    save_weights(out, network, read_header(after) | {"blended": fraction})
