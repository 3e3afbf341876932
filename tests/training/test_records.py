"""Recorded inputs of a run: photos, which must be complete and unchanged, seed, code and precision."""

import dataclasses
import shutil
from importlib import metadata
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from training_runs import SMALL, same_weights

from ssdie.training.checkpoint import load_checkpoint
from ssdie.training.config import TrainConfig
from ssdie.training.stages import train
from ssdie.utils.provenance import read_manifest


@pytest.fixture
def reset_accelerate():
    """Return a function that resets accelerate, which otherwise keeps the first precision of a process."""
    yield AcceleratorState._reset_state
    AcceleratorState._reset_state()


@pytest.fixture
def photos(photo_folder, tmp_path):
    """Return a copy of the photos that a test may damage."""
    return Path(shutil.copytree(photo_folder, tmp_path / "photos"))


def test_folder_without_photos_is_named(photos, tmp_path, dark_channel_net):
    for stage, kind in (("supervised", "clear"), ("dark-channel", "dusty"), ("semi-supervised", "dusty")):
        root = tmp_path / stage
        shutil.copytree(photos, root)
        for path in (root / kind / "train").iterdir():
            path.unlink()
        with pytest.raises(ValueError, match=f"{stage}: expected {kind} photos"):
            list(train(TrainConfig(stage, tmp_path / "run", root, dark_channel_net=dark_channel_net, steps=1, **SMALL)))


def test_photo_without_depth_is_named(photos, tmp_path):
    (photos / "depth" / "train" / "c2.png").unlink()
    with pytest.raises(ValueError, match=r"depth.*c2\.png"):
        list(train(TrainConfig("supervised", tmp_path / "run", photos, steps=1, **SMALL)))


@pytest.mark.parametrize("name, workers", [("clear/train/c1.png", 0), ("depth/train/c1.png", 1)])
def test_corrupt_file_is_named_in_one_line(photos, tmp_path, workers, name):
    intact = (photos / name).read_bytes()
    for content in (intact[: len(intact) // 2], b"no picture", b""):
        (photos / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"\A[^\n]*{name} cannot be read[^\n]*\Z"):
            list(train(TrainConfig("supervised", tmp_path / "run", photos, steps=4, workers=workers, **SMALL)))


def test_photos_changed_since_the_checkpoint_are_refused(photos, tmp_path):
    config = TrainConfig("supervised", tmp_path / "run", photos, steps=1, **SMALL)
    list(train(config))
    more = dataclasses.replace(config, save_every=7)
    photo, depth = (photos / kind / "train" / "c1.png" for kind in ("clear", "depth"))
    intact = photo.read_bytes()
    photo.write_bytes(intact + b"\0")
    with pytest.raises(ValueError, match="clear photos .* changed .* step 1: .*sizes"):
        list(train(more))
    photo.unlink()
    with pytest.raises(ValueError, match="expected 4 photos, got 3"):
        list(train(more))
    photo.write_bytes(intact)
    (photos / "clear" / "train" / "new.png").write_bytes(intact)
    shutil.copy(depth, depth.with_name("new.png"))
    with pytest.raises(ValueError, match="expected 4 photos, got 5"):
        list(train(more))
    (photos / "clear" / "train" / "new.png").unlink()
    (photos / "dusty" / "train" / "d0.PNG").unlink()  # this stage does not read them
    list(train(more))


def test_runs_with_the_same_seed_are_equal_and_with_another_seed_differ(tmp_path, photo_folder):
    logs = []
    for run, seed in (("a", 3), ("b", 3), ("c", 4)):
        logs.append(list(train(TrainConfig("supervised", tmp_path / run, photo_folder, steps=2, seed=seed, **SMALL))))
    assert logs[0] == logs[1] and same_weights(tmp_path / "a", tmp_path / "b")
    assert logs[0] != logs[2]


def test_run_writes_a_manifest_and_warns_of_changed_code(tmp_path, photo_folder, monkeypatch):
    config = TrainConfig("supervised", tmp_path / "run", photo_folder, steps=2, **SMALL)
    broken = train(config)
    next(broken), next(broken)
    broken.close()  # step 1 is saved
    manifest = read_manifest(config.run)
    assert manifest["seed"] == 0 and manifest["parameters"]["steps"] == 2 and manifest["photos"]["clear"]["count"] == 4
    assert manifest["versions"]["torch"] == metadata.version("torch") and manifest["device"] == "cpu"
    monkeypatch.setattr("ssdie.utils.provenance.code_digest", lambda: "another")
    with pytest.warns(UserWarning, match="run"):
        list(train(config))
    assert read_manifest(config.run)["continued"][0]["step"] == 1


def test_run_records_its_precision_and_resumes_on_a_cpu_without_bfloat16(
    tmp_path, photo_folder, monkeypatch, reset_accelerate
):
    settings = SMALL | {"precision": "auto"}
    config = TrainConfig("supervised", tmp_path / "run", photo_folder, steps=2, **settings)
    monkeypatch.setattr("ssdie.utils.devices.fast_bfloat16", lambda: True)
    reset_accelerate()
    broken = train(config)
    next(broken), next(broken)
    broken.close()
    assert load_checkpoint(config.run / "checkpoint.pt")["config"]["precision"] == "bf16"
    assert read_manifest(config.run)["parameters"]["precision"] == "bf16"
    with pytest.raises(ValueError, match="precision was bf16 and is fp32"):
        next(train(dataclasses.replace(config, precision="no")))
    monkeypatch.setattr("ssdie.utils.devices.fast_bfloat16", lambda: False)
    reset_accelerate()
    assert len(list(train(config))) == 1
    assert load_checkpoint(config.run / "checkpoint.pt")["config"]["precision"] == "fp32"
