import os
import pickle
import re
import sys
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from faults import on_disk, run_child
from PIL import Image
from safetensors.torch import save_file

from ssdie.enhancement.runtime import load_model
from ssdie.losses import LossWeights
from ssdie.networks.generators import MSFF
from ssdie.networks.weights import blend_weights, load_weights, read_header, save_weights
from ssdie.training.checkpoint import load_checkpoint, load_matching_checkpoint, save_checkpoint
from ssdie.training.config import TrainConfig
from ssdie.training.log import Log, read_log
from ssdie.training.stages import load_dark_channel_net, make_generator
from ssdie.utils.provenance import current_commit


def test_checkpoint_holds_plain_types_only(tmp_path):
    state = {"config": TrainConfig("supervised", Path("run")), "tensors": (torch.ones(2), {"a": 1.5}), "none": None}
    save_checkpoint(tmp_path / "new" / "c.pt", state)
    loaded = load_checkpoint(tmp_path / "new" / "c.pt")
    assert loaded["config"]["run"] == "run" and loaded["config"]["weights"]["reconstruction"] == 100.0
    assert torch.equal(loaded["tensors"][0], torch.ones(2)) and loaded["none"] is None
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        load_checkpoint(tmp_path / "none.pt")


def test_weights_are_saved_and_loaded_with_their_header(tmp_path):
    torch.manual_seed(0)
    network = MSFF(width=8, head="scattering").eval()
    about = {"generator": "msff", "options": {"width": 8, "head": "scattering"}}
    save_weights(tmp_path / "w.safetensors", network, about)
    loaded, dusty = load_weights(tmp_path / "w.safetensors"), torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded(dusty), network(dusty)) and not loaded.training
    assert read_header(tmp_path / "w.safetensors")["options"]["width"] == 8


def test_blended_weights_interpolate_two_files(tmp_path):
    paths = [tmp_path / name for name in ("before.safetensors", "after.safetensors", "out.safetensors")]
    for path in paths[:2]:
        save_weights(path, MSFF(width=8), {"generator": "msff", "options": {"width": 8}, "commit": path.stem})
    blend_weights(*paths[:2], 0.25, paths[2])
    before, after, out = (load_weights(path).state_dict() for path in paths)
    assert all(torch.allclose(out[k], 0.75 * before[k] + 0.25 * after[k], atol=1e-6) for k in out if "num" not in k)
    assert read_header(paths[2]) | {"commit": ""} == read_header(paths[0]) | {"commit": "", "blended": 0.25}
    blend_weights(*paths[:2], 0.0, paths[2])
    assert all(torch.equal(v, before[k]) for k, v in load_weights(paths[2]).state_dict().items())
    with pytest.raises(ValueError, match="share: expected a number from 0"):
        blend_weights(*paths[:2], 2, paths[2])
    save_weights(paths[1], MSFF(width=4), {"generator": "msff", "options": {"width": 4}})
    with pytest.raises(ValueError, match="different networks"):
        blend_weights(*paths[:2], 0.5, paths[2])


def test_foreign_weights_are_refused(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no ssdie header"):
        load_weights(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "none.safetensors")


def test_log_removes_rows_after_the_resumed_step_and_adds_columns(tmp_path):
    log = Log(tmp_path)
    for step in (1, 2, 3):
        report = {"step": step, "loss": step / 2}
        log.write(report)
        report.clear()  # the log keeps its own copy
    log.close()
    again = Log(tmp_path, step=2)
    again.write({"step": 3, "loss": 9.0, "new": 1.0})
    again.close()
    rows = read_log(tmp_path / "log.csv")
    assert rows == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 1.0}, {"step": 3, "loss": 9.0, "new": 1.0}]


def test_incomplete_last_line_of_a_log_is_ignored(tmp_path):
    (tmp_path / "log.csv").write_text("step,style\n1,0.5\n2,0.4\n3,0.")
    assert read_log(tmp_path / "log.csv") == [{"step": 1, "style": 0.5}, {"step": 2, "style": 0.4}]
    assert read_log(tmp_path / "none.csv", missing_ok=True) == []
    with pytest.raises(FileNotFoundError):
        read_log(tmp_path / "none.csv")


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


def test_current_commit_is_recorded():
    assert len(current_commit()) >= 7


# Damaged and foreign files ------------------------------------------------------------------------------------------


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
            assert re.search("cut short|truncated|empty|not? a? ?checkpoint", refusal(load, path))


def test_flipped_bits_are_found(checkpoint, weights):
    """Above all in the values, which neither torch nor safetensors verifies."""
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
        "is not a checkpoint;": lambda: Image.new("RGB", (5, 5)).save(path, "PNG"),
        "is not a checkpoint; ": lambda: np.savez(path.open("wb"), a=np.ones(3)),
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
        "no safetensors file": lambda: path.write_text("not at all"),
        "or no safetensors": lambda: torch.save(network, path),
        "no ssdie header": lambda: save_file(network, path),
        "is no JSON": lambda: save_file(network, path, {"ssdie": "{"}),
        "newer ssdie": lambda: save_weights(path, other, about | {"format": 2}),
        "another network": lambda: save_weights(path, other, about),
        "cannot build": lambda: save_weights(path, other, about | {"generator": "transformer"}),
        "this ssdie cannot build": lambda: save_weights(path, other, about | {"options": {"depth": 3}}),
        "cannot build (": lambda: save_weights(path, other, {}),
    }
    for message, write in cases.items():
        write()
        assert message in refusal(load_weights, path)
    for load in (load_checkpoint, load_weights):
        with pytest.raises(FileNotFoundError, match="no file|does not exist"):
            load(tmp_path)


def test_other_architectures_are_refused(checkpoint, weights, tmp_path):
    message = refusal(lambda p: make_generator(TrainConfig("supervised", tmp_path / "run", init=p)), weights)
    assert "another network" in message
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
    assert "another network" in message


def test_checkpoints_without_a_format_still_load(tmp_path):
    torch.save({"config": {}, "step": 3}, tmp_path / "old.pt")
    assert load_checkpoint(tmp_path / "old.pt")["step"] == 3


# Writing -----------------------------------------------------------------------------------------------------------

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
