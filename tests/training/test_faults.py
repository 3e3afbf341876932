"""What may happen to a training: killed, interrupted, losses that are not finite, lost workers, bad photos."""

import dataclasses
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import ssdie.training.batches
import ssdie.training.objective
import ssdie.training.stages
from ssdie.cli import main
from ssdie.data.photos import Photo, find_photos
from ssdie.losses import LossWeights
from ssdie.training.batches import Crops, load_batches
from ssdie.training.checkpoint import load_checkpoint
from ssdie.training.config import STAGES, TrainConfig
from ssdie.training.log import read_log
from ssdie.training.run import Run
from ssdie.training.stages import train
from ssdie.utils.provenance import read_manifest

PLAIN = LossWeights(perceptual=0, style=0)
SMALL = {
    "options": {"width": 4}, "batch": 2, "size": 32, "weights": PLAIN, "report_every": 1, "save_every": 1, "copies": 1,
    "precision": "fp32",
}  # fmt: skip


@pytest.fixture(scope="module")
def dark_channel_net(tmp_path_factory, photo_folder):
    run = tmp_path_factory.mktemp("judge")
    list(train(TrainConfig("dark-channel", run, photo_folder, steps=1, batch=2, size=32)))
    return run / "checkpoint.pt"


@pytest.fixture
def photos(photo_folder, tmp_path):
    """A copy of the photos, to be spoilt."""
    return Path(shutil.copytree(photo_folder, tmp_path / "photos"))


def final_weights(run):
    checkpoint = load_checkpoint(run / "checkpoint.pt")
    return [v for part in (*checkpoint["networks"].values(), checkpoint["averaged"]) for v in part.values()]


def same_weights(*runs):
    return all(torch.equal(a, b) for a, b in zip(*map(final_weights, runs), strict=True))


# Killed and interrupted ---------------------------------------------------------------------------------------------


def signalled(command, log: Path, rows: int, number: int) -> tuple[int, str]:
    """Start a training, send it a signal when its log has so many rows; give exit status and what it said."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)
    while not (log.is_file() and len(log.read_text().splitlines()) > rows):
        time.sleep(0.005)
        assert running.poll() is None, running.communicate()[1]
    running.send_signal(number)
    return running.wait(timeout=60), running.communicate()[1]


@pytest.mark.parametrize("stage", STAGES)
def test_killed_then_interrupted_it_ends_like_an_undisturbed_one(tmp_path, photo_folder, dark_channel_net, stage):
    settings = SMALL | {"steps": 24, "workers": int(stage == "supervised")}
    straight, broken = (
        TrainConfig(stage, tmp_path / run, photo_folder, dark_channel_net=dark_channel_net, **settings) for run in "ab"
    )
    command = [sys.executable, "-m", "ssdie", "train", stage, "--run", str(broken.run), "--data", str(photo_folder)]
    command += [
        "--dark-channel-net",
        str(dark_channel_net),
        "--steps",
        "24",
        "--batch",
        "2",
        "--size",
        "32",
        "--copies",
        "1",
    ]
    command += ["--options", '{"width": 4}', "--weights.perceptual", "0", "--weights.style", "0"]
    command += ["--report-every", "1", "--save-every", "1", "--workers", str(settings["workers"])]
    command += ["--precision", "fp32"]

    status, _ = signalled(command, broken.run / "log.csv", 3, signal.SIGKILL)
    first = load_checkpoint(broken.run / "checkpoint.pt")["step"]
    assert status == -signal.SIGKILL and 3 <= first + 1 < 24
    status, told = signalled(command, broken.run / "log.csv", first + 4, signal.SIGINT)
    second = load_checkpoint(broken.run / "checkpoint.pt")["step"]
    assert status == 130 and "the same command resumes" in told and "Traceback" not in told
    assert first < second < 24

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the others
    try:
        list(train(broken))
        list(train(dataclasses.replace(straight, save_every=24)))
    finally:
        torch.set_num_threads(threads)
    same = same_weights(straight.run, broken.run)
    assert same
    assert read_log(straight.run / "log.csv") == read_log(broken.run / "log.csv")


def test_two_trainings_do_not_write_into_one_folder(tmp_path, photo_folder, capsys):
    config = TrainConfig("supervised", tmp_path / "run", photo_folder, steps=3, **SMALL)
    hold = f"with alone({str(config.run)!r}): print('held', flush=True); input()"
    hold = f"from ssdie.utils.provenance import alone\n{hold}"
    other = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError, match="run is in use by another run; wait"):
        list(train(config))
    other.kill()  # the system lets go of what a dead process held
    other.communicate()
    assert len(list(train(config))) == 3


# Losses that are not finite -----------------------------------------------------------------------------------------


def spoil(monkeypatch, at: int, value: float, loss: str = "reconstruction_loss"):
    """Multiply a loss by `value` at its n-th call."""
    module = ssdie.training.stages if hasattr(ssdie.training.stages, loss) else ssdie.training.objective
    whole, calls = getattr(module, loss), []

    def spoilt(*images):
        calls.append(1)
        return whole(*images) * (value if len(calls) == at else 1.0)

    monkeypatch.setattr(module, loss, spoilt)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_step_term_and_checkpoint(tmp_path, photo_folder, monkeypatch, value):
    config = TrainConfig("supervised", tmp_path, photo_folder, steps=6, **SMALL | {"save_every": 2})
    spoil(monkeypatch, 4, value)
    wanted = "Step 4 stopped: reconstruction is not finite. The last good checkpoint is .*checkpoint.pt, of step 2"
    with pytest.raises(FloatingPointError, match=wanted):
        list(train(config))
    kept = load_checkpoint(tmp_path / "checkpoint.pt")
    sound = all(v.isfinite().all() for part in kept["networks"].values() for v in part.values())
    assert sound and kept["step"] == 2 and read_log(tmp_path / "log.csv")[-1]["step"] == 3
    assert len(list(train(config))) == 4  # it was a passing fault: the run goes on from step 2


@pytest.mark.parametrize(
    "stage, loss", [("dark-channel", "discriminator_loss"), ("semi-supervised", "consistency_loss")]
)
def test_every_stage_names_its_term(tmp_path, photo_folder, dark_channel_net, monkeypatch, stage, loss):
    config = TrainConfig(stage, tmp_path, photo_folder, dark_channel_net=dark_channel_net, steps=2, **SMALL)
    spoil(monkeypatch, 1, float("nan"), loss)
    name = {"discriminator_loss": "dark_channel", "consistency_loss": "consistency"}[loss]
    with pytest.raises(FloatingPointError, match=f"Step 1 stopped: {name} .* none yet"):
        list(train(config))


def test_on_a_gpu_the_report_finds_the_step(tmp_path, photo_folder, monkeypatch):
    """There nothing looks at the terms between two reports, so that the device is never waited for."""
    config = TrainConfig("supervised", tmp_path, photo_folder, steps=8, **SMALL | {"report_every": 8, "save_every": 6})
    monkeypatch.setattr(Run, "_look", lambda self, values: None)
    spoil(monkeypatch, 3, float("inf"))
    with pytest.raises(FloatingPointError, match="Step 3 stopped: reconstruction"):
        list(train(config))
    assert not (tmp_path / "checkpoint.pt").exists()  # the sixth step was not saved


def test_a_skipped_update_changes_nothing_and_is_counted(tmp_path, photo_folder, monkeypatch):
    config = TrainConfig("supervised", tmp_path, photo_folder, steps=4, nonfinite="skip", **SMALL)
    spoil(monkeypatch, 3, float("nan"))
    states, reports = [], []
    for report in train(config):
        reports.append(report)
        states.append(load_checkpoint(tmp_path / "checkpoint.pt") if (tmp_path / "checkpoint.pt").exists() else None)
    end = load_checkpoint(tmp_path / "checkpoint.pt")
    two, three = states[2], states[3]  # a report comes before the checkpoint of its step
    assert (two["step"], three["step"]) == (2, 3)
    same = all(torch.equal(two["networks"]["generator"][k], v) for k, v in three["networks"]["generator"].items())
    moments = (s["optimizers"]["generator"]["state"] for s in (two, three))
    same &= all(torch.equal(a[k], b[k]) for a, b in zip(*(m.values() for m in moments), strict=True) for k in a)
    assert [report["skipped"] for report in reports] == [0, 0, 1, 1] and end["skipped"] == 1
    before, after = (s["networks"]["generator"] for s in (three, end))
    assert not any(torch.equal(before[k], v) for k, v in after.items() if k.endswith("running_mean"))
    assert same


def test_a_stopped_run_may_be_resumed_with_skip(tmp_path, photo_folder, monkeypatch):
    config = TrainConfig("supervised", tmp_path, photo_folder, steps=4, **SMALL)
    spoil(monkeypatch, 3, float("nan"))
    with pytest.raises(FloatingPointError):
        list(train(config))
    spoil(monkeypatch, 1, float("nan"))  # it comes again
    reports = list(train(dataclasses.replace(config, nonfinite="skip")))
    assert [r["step"] for r in reports] == [3, 4] and reports[-1]["skipped"] == 1


def test_the_command_says_so_and_fails(tmp_path, photo_folder, monkeypatch, capsys):
    spoil(monkeypatch, 1, float("nan"))
    command = ["train", "supervised", "--run", str(tmp_path), "--data", str(photo_folder), "--steps", "2"]
    command += ["--size", "32", "--batch", "2", "--options", '{"width": 4}']
    command += ["--weights.perceptual", "0", "--weights.style", "0"]
    assert main(command) == 1
    assert "Step 1 stopped: reconstruction" in capsys.readouterr().err


# Workers ------------------------------------------------------------------------------------------------------------


def test_a_killed_worker_is_an_error_within_seconds(photo_folder):
    batches = load_batches(Crops(find_photos(photo_folder).dusty, 16), 1, workers=1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(ChildProcessError, match="lost .*; the same command resumes"):
        for _ in range(100):
            next(batches)


def test_a_hanging_worker_is_an_error(monkeypatch):
    monkeypatch.setattr(ssdie.training.batches, "PATIENCE", 1)
    stuck = Photo("stuck", lambda: time.sleep(600))
    with pytest.raises(ChildProcessError, match="timed out after 1 seconds"):
        next(load_batches(Crops([stuck], 16), 1, workers=1))


# Photos -------------------------------------------------------------------------------------------------------------


def test_an_empty_folder_is_named(photos, tmp_path, dark_channel_net):
    for stage, kind in (("supervised", "clear"), ("dark-channel", "dusty"), ("semi-supervised", "dusty")):
        root = tmp_path / stage
        shutil.copytree(photos, root)
        for path in (root / kind / "train").iterdir():
            path.unlink()
        with pytest.raises(ValueError, match=f"{stage} holds no {kind} photos to train on"):
            list(train(TrainConfig(stage, tmp_path / "run", root, dark_channel_net=dark_channel_net, steps=1, **SMALL)))
    with pytest.raises(FileNotFoundError, match="neither clear/ and dusty/ nor"):
        find_photos(tmp_path / "none")


def test_a_photo_without_its_depth_is_named(photos, tmp_path):
    (photos / "depth" / "train" / "c2.png").unlink()
    with pytest.raises(ValueError, match=r"1 photos of .* have no depth in .* \(c2.png\)"):
        list(train(TrainConfig("supervised", tmp_path / "run", photos, steps=1, **SMALL)))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("name", ["clear/train/c1.png", "depth/train/c1.png"])
def test_a_corrupt_file_is_named(photos, tmp_path, workers, name):
    whole = (photos / name).read_bytes()
    for spoilt in (whole[: len(whole) // 2], b"no picture", b""):
        (photos / name).write_bytes(spoilt)
        with pytest.raises(ValueError, match=rf"^[^\n]*{Path(name).name} cannot be read \([^\n]*move it away\.$"):
            list(train(TrainConfig("supervised", tmp_path / "run", photos, steps=4, workers=workers, **SMALL)))


def test_photos_that_changed_since_the_checkpoint_are_refused(photos, tmp_path):
    config = TrainConfig("supervised", tmp_path / "run", photos, steps=1, **SMALL)
    list(train(config))
    more = dataclasses.replace(config, save_every=7)
    photo, depth = (photos / kind / "train" / "c1.png" for kind in ("clear", "depth"))
    whole = photo.read_bytes()
    photo.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="clear photos .* changed .* step 1: names or sizes"):
        list(train(more))
    photo.unlink()
    with pytest.raises(ValueError, match="there were 4 and are 3; put them back"):
        list(train(more))
    photo.write_bytes(whole)
    (photos / "clear" / "train" / "new.png").write_bytes(whole)
    shutil.copy(depth, depth.with_name("new.png"))
    with pytest.raises(ValueError, match="there were 4 and are 5"):
        list(train(more))
    (photos / "clear" / "train" / "new.png").unlink()
    (photos / "dusty" / "train" / "d0.PNG").unlink()  # this stage does not look at them
    list(train(more))


# The same again -----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers_twice_and_another_others(tmp_path, photo_folder):
    logs = []
    for run, seed in (("a", 3), ("b", 3), ("c", 4)):
        logs.append(list(train(TrainConfig("supervised", tmp_path / run, photo_folder, steps=2, seed=seed, **SMALL))))
    assert logs[0] == logs[1] and same_weights(tmp_path / "a", tmp_path / "b")
    assert logs[0] != logs[2]


# The manifest -------------------------------------------------------------------------------------------------------


def test_a_run_carries_its_manifest_and_other_code_is_noticed(tmp_path, photo_folder, monkeypatch):
    config = TrainConfig("supervised", tmp_path / "run", photo_folder, steps=2, **SMALL)
    broken = train(config)
    next(broken), next(broken)
    broken.close()  # step 1 is saved
    manifest = read_manifest(config.run)
    assert manifest["seed"] == 0 and manifest["parameters"]["steps"] == 2 and manifest["photos"]["clear"]["count"] == 4
    assert manifest["versions"]["torch"] == torch.__version__ and manifest["device"] == "cpu"
    monkeypatch.setattr("ssdie.utils.provenance.code_digest", lambda: "another")
    with pytest.warns(UserWarning, match="run was made by other code than today's .*; remove the folder"):
        list(train(config))
    assert read_manifest(config.run)["continued"][0]["step"] == 1


def test_a_run_records_its_precision_and_a_cpu_without_bfloat16_resumes_it(tmp_path, photo_folder, monkeypatch):
    settings = SMALL | {"precision": "auto"}
    config = TrainConfig("supervised", tmp_path / "run", photo_folder, steps=2, **settings)
    monkeypatch.setattr("ssdie.utils.devices.fast_bfloat16", lambda: True)
    broken = train(config)
    next(broken), next(broken)
    broken.close()
    assert load_checkpoint(config.run / "checkpoint.pt")["config"]["precision"] == "bf16"
    assert read_manifest(config.run)["parameters"]["precision"] == "bf16"
    with pytest.raises(ValueError, match="precision was bf16 and is fp32"):
        next(train(dataclasses.replace(config, precision="no")))
    monkeypatch.setattr("ssdie.utils.devices.fast_bfloat16", lambda: False)
    assert len(list(train(config))) == 1
    assert load_checkpoint(config.run / "checkpoint.pt")["config"]["precision"] == "fp32"
