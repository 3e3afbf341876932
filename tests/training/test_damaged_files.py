"""Damaged and malicious checkpoints and weight files, and those of other programs, are refused."""

import pickle
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ssdie.enhancement.runtime import load_model
from ssdie.networks.generators import MSFF
from ssdie.networks.weights import load_weights, save_weights
from ssdie.training.checkpoint import load_checkpoint, save_checkpoint
from ssdie.training.config import TrainConfig
from ssdie.training.stages import load_dark_channel_net, make_generator


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    torch.manual_seed(0)
    state = {"config": {"stage": "supervised"}, "step": 7, "networks": {"generator": MSFF(width=8).state_dict()}}
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    return tmp_path / "checkpoint.pt"


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.manual_seed(0)
    options = {"width": 8, "head": "scattering"}
    about = {"generator": "msff", "options": options}
    save_weights(tmp_path / "weights.safetensors", MSFF(**options), about)
    return tmp_path / "weights.safetensors"


def equal(a, b) -> bool:
    """Compare states, bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def refusal(load, path: Path) -> str:
    """Return the message with which `load` refuses a file; it names the file in one line."""
    with pytest.raises(ValueError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 600
    return message


def test_malicious_pickles_are_refused_and_execute_nothing(tmp_path):
    created, path = tmp_path / "created", tmp_path / "evil.pt"
    pickle.loads(pickle.dumps(Evil(created)))
    assert created.exists()  # the pickle does execute code
    created.unlink()
    state = {"format": 1, "config": {}, "step": 1, "networks": {"dark_channel_net": {}}}
    writers = [
        lambda: path.write_bytes(pickle.dumps(Evil(created))),
        lambda: path.write_bytes(pickle.dumps(Evil(created), protocol=0)),
        lambda: torch.save(Evil(created), path),
        lambda: torch.save(Evil(created), path, _use_new_zipfile_serialization=False),
        lambda: torch.save(state | {"config": Evil(created)}, path),
        lambda: torch.save(state | {"networks": {"dark_channel_net": [Evil(created)]}}, path),
    ]
    dark_channel_net = TrainConfig("semi-supervised", tmp_path / "run", dark_channel_net=path)
    loaders = (load_checkpoint, load_weights, load_model, lambda p: load_dark_channel_net(dark_channel_net))
    for write, load in product(writers, loaders):
        write()
        refusal(load, path)
        assert not created.exists()


def test_truncated_files_are_refused(checkpoint, weights):
    for path, load in ((checkpoint, load_checkpoint), (weights, load_weights)):
        intact = path.read_bytes()
        for length in [0, 1, 3, 4, 30, *range(100, len(intact), len(intact) // 20), len(intact) - 1]:
            path.write_bytes(intact[:length])
            assert re.search("complete safetensors|truncated|empty|not? a? ?checkpoint", refusal(load, path))


def test_flipped_bits_are_detected(checkpoint, weights):
    """Most bits are in tensor values, which neither torch nor safetensors verifies."""
    random = np.random.default_rng(0)
    for path, load in ((checkpoint, load_checkpoint), (weights, lambda p: load_weights(p).state_dict())):
        intact, state, refused = path.read_bytes(), load(path), 0
        for bit in random.integers(0, 8 * len(intact), 150):
            changed = bytearray(intact)
            changed[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(changed)
            try:
                wrong = not equal(load(path), state)  # some bits affect nothing
            except ValueError as error:
                wrong, refused = False, refused + 1
                assert str(path) in str(error)
            assert not wrong, bit
        assert refused > 130


def test_foreign_files_are_refused_with_a_specific_message(tmp_path):
    path = tmp_path / "foreign"
    network = {"a": torch.ones(2)}
    cases = {
        "is empty": lambda: path.touch(),
        "is not a checkpoint": lambda: path.write_text("not at all"),
        "is not a checkpoint.": lambda: Image.new("RGB", (5, 5)).save(path, "PNG"),
        "is not a checkpoint. ": lambda: np.savez(path.open("wb"), a=np.ones(3)),
        "is not a checkpoint of ssdie": lambda: torch.save(network, path),
        "not a checkpoint of ssdie": lambda: torch.save(torch.ones(3), path),
        "bare pickle": lambda: torch.save(network, path, _use_new_zipfile_serialization=False),
        "could run code": lambda: torch.save(MSFF(width=8), path),
        "newer ssdie": lambda: torch.save({"format": 2, "config": {}}, path),
    }
    for message, write in cases.items():
        write()
        assert message in refusal(load_checkpoint, path)
    about = {"generator": "msff", "options": {"width": 8}}
    other = MSFF(width=16)
    cases = {
        "complete safetensors": lambda: path.write_text("not at all"),
        "expected a complete safetensors file": lambda: torch.save(network, path),
        "without their header": lambda: save_file(network, path),
        "not valid JSON": lambda: save_file(network, path, {"ssdie": "{"}),
        "newer ssdie": lambda: save_weights(path, other, about | {"format": 2}),
        "got others": lambda: save_weights(path, other, about),
        "this version can build": lambda: save_weights(path, other, about | {"generator": "transformer"}),
        "network that this version can build": lambda: save_weights(path, other, about | {"options": {"depth": 3}}),
        "can build (": lambda: save_weights(path, other, {}),
    }
    for message, write in cases.items():
        write()
        assert message in refusal(load_weights, path)
    for load in (load_checkpoint, load_weights):
        with pytest.raises(FileNotFoundError, match="does not exist"):
            load(tmp_path)


def test_other_architectures_are_refused(checkpoint, weights, tmp_path):
    message = refusal(lambda p: make_generator(TrainConfig("supervised", tmp_path / "run", init=p)), weights)
    assert "got others" in message
    message = refusal(
        lambda p: load_dark_channel_net(TrainConfig("semi-supervised", tmp_path / "run", dark_channel_net=p)),
        checkpoint,
    )
    assert "expected dc-Net" in message
    save_checkpoint(checkpoint, {"config": {}, "networks": {"dark_channel_net": MSFF(width=8).state_dict()}})
    message = refusal(
        lambda p: load_dark_channel_net(TrainConfig("semi-supervised", tmp_path / "run", dark_channel_net=p)),
        checkpoint,
    )
    assert "got others" in message
