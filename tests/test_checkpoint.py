from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ssdie.checkpoint import (
    current_commit,
    load_checkpoint,
    load_weights,
    read_header,
    read_log,
    save_checkpoint,
    save_weights,
)
from ssdie.config import TrainConfig
from ssdie.log import Log
from ssdie.networks import MSFF


def test_a_checkpoint_holds_plain_types_and_loads_without_running_code(tmp_path):
    state = {"config": TrainConfig("supervised", Path("run")), "tensors": (torch.ones(2), {"a": 1.5}), "none": None}
    save_checkpoint(tmp_path / "new" / "c.pt", state)
    loaded = load_checkpoint(tmp_path / "new" / "c.pt")
    assert loaded["config"]["run"] == "run" and loaded["config"]["weights"]["reconstruction"] == 100.0
    assert torch.equal(loaded["tensors"][0], torch.ones(2)) and loaded["none"] is None
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        load_checkpoint(tmp_path / "none.pt")


def test_weights_round_trip_with_their_header(tmp_path):
    torch.manual_seed(0)
    network = MSFF(width=8, head="scattering").eval()
    about = {"generator": "msff", "options": {"width": 8, "head": "scattering"}}
    save_weights(tmp_path / "w.safetensors", network, about)
    loaded, dusty = load_weights(tmp_path / "w.safetensors"), torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded(dusty), network(dusty)) and not loaded.training
    assert read_header(tmp_path / "w.safetensors")["options"]["width"] == 8


def test_foreign_weights_are_refused(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no ssdie header"):
        load_weights(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "none.safetensors")


def test_the_log_drops_what_comes_after_the_step_and_takes_new_columns(tmp_path):
    log = Log(tmp_path)
    for step in (1, 2, 3):
        report = {"step": step, "loss": step / 2}
        log.write(report)
        report.clear()  # what the caller does with it later is the caller's affair
    log.close()
    again = Log(tmp_path, step=2)
    again.write({"step": 3, "loss": 9.0, "new": 1.0})
    again.close()
    rows = read_log(tmp_path / "log.csv")
    assert rows == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 1.0}, {"step": 3, "loss": 9.0, "new": 1.0}]


def test_the_commit_is_told():
    assert len(current_commit()) >= 7
