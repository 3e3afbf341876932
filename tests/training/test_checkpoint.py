"""Checkpoints: content, settings that must match, and writing that survives signals and full disks."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from faults import on_disk, run_child

from ssdie.losses import LossWeights
from ssdie.training.checkpoint import load_checkpoint, load_matching_checkpoint, save_checkpoint
from ssdie.training.config import TrainConfig


def test_checkpoint_holds_plain_types_only(tmp_path):
    state = {"config": TrainConfig("supervised", Path("run")), "tensors": (torch.ones(2), {"a": 1.5}), "none": None}
    save_checkpoint(tmp_path / "new" / "c.pt", state)
    loaded = load_checkpoint(tmp_path / "new" / "c.pt")
    assert loaded["config"]["run"] == "run" and loaded["config"]["weights"]["reconstruction"] == 100.0
    assert torch.equal(loaded["tensors"][0], torch.ones(2)) and loaded["none"] is None
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        load_checkpoint(tmp_path / "none.pt")


def test_settings_of_a_checkpoint_are_compared_by_value(tmp_path):
    path, settings = tmp_path / "c.pt", {"betas": (0.5, 0.999), "weights": LossWeights(style=0), "precision": "fp32"}
    save_checkpoint(path, {"config": asdict(TrainConfig("supervised", tmp_path, Path("data"), **settings))})
    equal = {"betas": [0.5, 0.999], "weights": LossWeights(style=0.0), "precision": "no", "workers": 3}
    assert load_matching_checkpoint(path, TrainConfig("supervised", tmp_path, Path("data"), **equal), "fp32")
    other = TrainConfig("supervised", tmp_path, Path("data"), **equal | {"weights": LossWeights(style=0.5)})
    with pytest.raises(ValueError, match="c.pt.*weights was .* and is .*another run folder"):
        load_matching_checkpoint(path, other, "fp32")
    other.weights, other.precision = LossWeights(style=0), "auto"
    assert load_matching_checkpoint(path, other, "bf16")  # "auto" accepts any precision
    assert load_matching_checkpoint(tmp_path / "none.pt", other, "bf16") is None


def test_checkpoints_without_a_format_still_load(tmp_path):
    torch.save({"config": {}, "step": 3}, tmp_path / "old.pt")
    assert load_checkpoint(tmp_path / "old.pt")["step"] == 3


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from ssdie.training.checkpoint import load_checkpoint, save_checkpoint

torch.set_num_threads(1)
path, random = Path(sys.argv[1]), random.Random(0)
values = torch.arange(300_000.0)
for kill in range(25):
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        for step in range(10**9):
            save_checkpoint(path, {"config": {}, "step": step, "kill": kill, "values": values + step})
            os.write(writer, step.to_bytes(8, "little"))
    os.read(reader, 8)  # the first checkpoint is written
    time.sleep(random.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(writer)
    steps = os.read(reader, 8 * 100_000)
    newest = int.from_bytes(steps[-8:], "little")
    state = load_checkpoint(path)
    complete = torch.equal(state["values"], values + state["step"])
    print(int(state["kill"] == kill and newest <= state["step"] <= newest + 1 and complete))
"""


def test_newest_checkpoint_loads_after_sigkill_at_any_moment(tmp_path):
    done = run_child([sys.executable, "-c", KILLS, tmp_path / "checkpoint.pt"])
    assert done.stdout.split() == ["1"] * 25, done.stderr
    left = [p for p in tmp_path.iterdir() if p.name != "checkpoint.pt"]
    for path in left:
        os.utime(path, (0, 0))  # long ago
    save_checkpoint(tmp_path / "checkpoint.pt", {"config": {}})
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


FULL = """
import sys
from pathlib import Path
import torch
from ssdie.networks.generators import MSFF
from ssdie.networks.weights import load_weights, save_weights
from ssdie.training.checkpoint import load_checkpoint, save_checkpoint

folder = Path(sys.argv[1])
small, large = MSFF(width=8), MSFF(width=48)
about = {"generator": "msff", "options": {"width": 8}}
save_checkpoint(folder / "c.pt", {"config": {}, "step": 1, "networks": small.state_dict()})
save_weights(folder / "w.safetensors", small, about)
for save in (
    lambda: save_checkpoint(folder / "c.pt", {"config": {}, "step": 2, "networks": large.state_dict()}),
    lambda: save_weights(folder / "w.safetensors", large, about),
):
    try:
        save()
    except OSError as error:
        print(error)
assert load_checkpoint(folder / "c.pt")["step"] == 1
load_weights(folder / "w.safetensors")
"""


def test_full_disk_keeps_the_old_files(tmp_path):
    disk = tmp_path / "disk"
    done = run_child(on_disk(disk, [sys.executable, "-c", FULL, disk], "size=1m"))
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert f"No space left on device: '{disk / 'c.pt'}'" in lines[0]
    assert f"No space left on device: '{disk / 'w.safetensors'}'" in lines[1]
    assert sorted(lines[2:]) == [str(disk / "c.pt"), str(disk / "w.safetensors")]
