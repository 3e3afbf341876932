"""Files that training writes: complete checkpoints, and the moving average that becomes the released weights."""

import io
import itertools
import pickle
import zipfile
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ssdie.networks.weights import EXPECTED, FORMAT, check_format, to_plain
from ssdie.training.config import TrainConfig
from ssdie.utils.devices import resolve_precision
from ssdie.utils.paths import remove_stale_parts, write_bytes

# Settings that may change when a run is resumed, since they do not affect the steps already done.
RESUMABLE_CHANGES = {"run", "workers", "report_every", "save_every", "nonfinite"}
OLD_SETTINGS = {"apart": "sequential_copies", "judge": "dark_channel_net"}  # names in release 0.1.0


def save_checkpoint(path: str | Path, state: dict) -> None:
    """Write a dictionary of tensors and plain values atomically; paths become text, dataclasses dictionaries.

    Raises:
        OSError: the file cannot be written; an earlier file is kept.
    """
    path = Path(path)
    encoded = io.BytesIO()  # torch.save to a full disk raises "unexpected pos" instead of OSError
    torch.save(to_plain({"format": FORMAT, **state}), encoded)
    remove_stale_parts(path.parent.glob(f".{path.stem[:40]}-*"))
    write_bytes(path, encoded.getvalue())


def load_checkpoint(path: str | Path) -> dict:
    """Load a checkpoint to the CPU, without running any code that the file may contain.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is truncated, damaged, not a checkpoint, of a newer version, or holds pickled objects.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. {EXPECTED}.")
    with path.open("rb") as file:
        start = file.read(4)
    if start[:1] == b"\x80":
        raise ValueError(f"{path} is a bare pickle, which could run code, and was not loaded. {EXPECTED}.")
    if start != b"PK\x03\x04":
        reason = "is not a checkpoint" if start else "is empty"
        raise ValueError(f"{path} {reason}. {EXPECTED}.")
    remedy = "Use an earlier checkpoint, or train again."
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch.load does not verify the checksums
    except Exception as error:  # a damaged directory raises many kinds of errors
        raise ValueError(f"{path} is truncated or damaged ({error}). {remedy}") from error
    if damaged:
        raise ValueError(f"{path} is damaged: the checksum of {damaged} differs. {remedy}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds objects that could run code, and was not loaded. {EXPECTED}.") from error
    except Exception as error:  # a zip archive of another program
        raise ValueError(f"{path} is not a checkpoint. {EXPECTED}.") from error
    if not isinstance(state, dict) or not {"format", "config"} & set(state):
        raise ValueError(f"{path} is not a checkpoint of ssdie. {EXPECTED}.")
    check_format(path, state)
    state["config"] = {OLD_SETTINGS.get(name, name): value for name, value in state.get("config", {}).items()}
    return state


def load_matching_checkpoint(path: str | Path, config: TrainConfig, precision: str) -> dict | None:
    """Load the checkpoint from which a run resumes, if there is one.

    Args:
        path: file that the run writes.
        config: settings of the run; `RESUMABLE_CHANGES` may differ from the checkpoint's. With `precision="auto"` a
            checkpoint of any precision matches.
        precision: precision that `config.precision` resolves to on this machine.

    Returns:
        The checkpoint, or None if the file does not exist.

    Raises:
        ValueError: the file is not a checkpoint, or was written with other settings.
    """
    if not Path(path).is_file():
        return None
    checkpoint = load_checkpoint(path)
    old = checkpoint["config"] | {"precision": resolve_precision(checkpoint["config"].get("precision", "fp32"))}
    new = to_plain(asdict(config)) | {"precision": precision}
    ignored = RESUMABLE_CHANGES | ({"precision"} if config.precision == "auto" else set())
    # A checkpoint of an earlier version lacks newer settings, whose defaults have no effect.
    defaults = to_plain(asdict(TrainConfig(config.stage, config.run)))
    old = defaults | old | {"weights": defaults["weights"] | old.get("weights", {})}
    changed = [name for name in new if name not in ignored and new[name] != old.get(name)]
    if changed:
        changes = ", ".join(f"{name} was {old.get(name)} and is {new[name]}" for name in changed)
        raise ValueError(f"{path} has other settings ({changes}). Use another run folder, or remove the checkpoint.")
    return checkpoint


class MovingAverage(AveragedModel):
    r"""Exponential moving average of a network's parameters and buffers; `module` is the averaged network.

    .. math:: a \leftarrow d \, a + (1 - d) \, p

    with decay :math:`d`. The first update copies the parameters. AveragedModel keeps its counter on the GPU, which
    synchronises at each update; here it stays on the CPU.

    Args:
        network: network to average; it is copied.
        decay: d, in [0, 1].

    Example:
        >>> network = nn.PReLU(init=1.0)
        >>> average = MovingAverage(network, decay=0.5)
        >>> average.update_parameters(network)
        >>> average.update_parameters(nn.PReLU(init=0.0))
        >>> average.module.weight.item()
        0.5
    """

    def __init__(self, network: nn.Module, decay: float):
        super().__init__(network, use_buffers=True)
        self.follow = get_ema_multi_avg_fn(decay)

    def update_parameters(self, model: nn.Module) -> None:
        """Update the average with the parameters of `model`, which has the same architecture and device."""
        averages, values = (
            [x.detach() for x in itertools.chain(network.parameters(), network.buffers())]
            for network in (self.module, model)
        )
        if self.n_averaged == 0:
            for averaged, value in zip(averages, values, strict=True):
                averaged.copy_(value)
        else:
            for floating in (True, False):
                pairs = [p for p in zip(averages, values, strict=True) if p[0].is_floating_point() == floating]
                if pairs:
                    self.follow(*map(list, zip(*pairs, strict=True)), 0)
        self.n_averaged += 1
