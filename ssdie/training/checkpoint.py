"""Files that training leaves behind: checkpoints of everything, logs, weights for release."""

import io
import itertools
import pickle
import zipfile
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ssdie.networks.weights import EXPECTED, FORMAT, check_format, to_plain
from ssdie.utils.paths import remove_stale_parts, write_bytes

OLD_SETTINGS = {"apart": "sequential_copies", "judge": "dark_channel_net"}  # names in release 0.1.0


def save_checkpoint(path: str | Path, state: dict) -> None:
    """Write tensors and plain values, whole or not at all; paths and dataclasses become text and dictionaries.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    path = Path(path)
    encoded = io.BytesIO()  # writing to the disk itself, torch says "unexpected pos" where it is full
    torch.save(to_plain({"format": FORMAT, **state}), encoded)
    remove_stale_parts(path.parent.glob(f".{path.stem[:40]}-*"))
    write_bytes(path, encoded.getvalue())


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint on the CPU, without running any code from it.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is cut short, damaged, foreign, of a newer ssdie, or holds objects; says which.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; give a checkpoint that `python -m ssdie train` wrote.")
    with path.open("rb") as file:
        start = file.read(4)
    if start[:1] == b"\x80":
        raise ValueError(f"{path} is a bare pickle, which could run code: nothing of it was read; {EXPECTED}.")
    if start != b"PK\x03\x04":
        told = "is empty" if not start else "is no checkpoint"
        raise ValueError(f"{path} {told}; {EXPECTED}.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch itself does not look at the checksums
    except Exception as error:  # whatever a damaged directory makes of it
        raise ValueError(f"{path} is cut short or damaged ({error}); take an earlier one, or train again.") from error
    if damaged:
        raise ValueError(f"{path} is damaged: {damaged} has another checksum; take an earlier one, or train again.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds objects that could run code and was refused; {EXPECTED}.") from error
    except Exception as error:  # an archive of something else
        raise ValueError(f"{path} is no checkpoint; {EXPECTED}.") from error
    if not isinstance(state, dict) or not {"format", "config"} & set(state):
        raise ValueError(f"{path} is no checkpoint of ssdie; {EXPECTED}.")
    check_format(path, state)
    state["config"] = {OLD_SETTINGS.get(name, name): value for name, value in state.get("config", {}).items()}
    return state


class MovingAverage(AveragedModel):
    """A copy of a network, `module`, that follows it: a <- decay a + (1 - decay) p, buffers included.

    PyTorch's class sends its count to the device in each update, for which a GPU has to finish all that it has to do.
    Here the count stays where it is.

    Args:
        network: to follow; its values are the average after the first update.
        decay: in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float):
        super().__init__(network, use_buffers=True)
        self.follow = get_ema_multi_avg_fn(decay)

    def update_parameters(self, model: nn.Module) -> None:
        """Move towards the values of `model`, a network of the same kind on the same device."""
        mine, theirs = (
            [x.detach() for x in itertools.chain(network.parameters(), network.buffers())]
            for network in (self.module, model)
        )
        if self.n_averaged == 0:
            for averaged, value in zip(mine, theirs, strict=True):
                averaged.copy_(value)
        else:
            for floating in (True, False):
                pairs = [p for p in zip(mine, theirs, strict=True) if p[0].is_floating_point() == floating]
                if pairs:
                    self.follow(*map(list, zip(*pairs, strict=True)), 0)
        self.n_averaged += 1
