"""Faults during training: signals, losses that are not finite, failing worker processes."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from faults import ENVIRONMENT, SSDIE, default_interrupt
from training_runs import SMALL, same_weights

import ssdie.training.batches
import ssdie.training.objective
import ssdie.training.stages
from ssdie.cli import main
from ssdie.data.photos import Photo, find_photos
from ssdie.training.batches import Crops, load_batches, worker_errors
from ssdie.training.checkpoint import load_checkpoint
from ssdie.training.config import TrainConfig
from ssdie.training.log import read_log
from ssdie.training.run import Run
from ssdie.training.stages import train

# Killed and interrupted ---------------------------------------------------------------------------------------------


def run_until(command: list[str], log: Path, rows: int, number: int) -> tuple[int, str]:
    """Run a training until its log has `rows` rows, then send a signal; return exit status and standard error."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    running = subprocess.Popen(command, preexec_fn=default_interrupt, **options)
    while not (log.is_file() and len(log.read_text().splitlines()) > rows):
        time.sleep(0.005)
        assert running.poll() is None, running.communicate()[1]
    running.send_signal(number)
    return running.wait(timeout=60), running.communicate()[1]


def test_killed_and_interrupted_run_has_the_weights_of_an_uninterrupted_run(tmp_path, photo_folder, dark_channel_net):
    """Stage 3 with a worker process has every kind of state; test_stages interrupts the other stages."""
    settings = SMALL | {"steps": 14, "workers": 1}
    straight, broken = (
        TrainConfig("semi-supervised", tmp_path / run, photo_folder, dark_channel_net=dark_channel_net, **settings)
        for run in "ab"
    )
    options = {"run": broken.run, "data": photo_folder, "dark-channel-net": dark_channel_net, "steps": 14, "batch": 2}
    options |= {"size": 32, "copies": 1, "options": '{"width": 4}', "weights.perceptual": 0, "weights.style": 0}
    options |= {"report-every": 1, "save-every": 1, "workers": 1, "precision": "fp32"}
    command = [*SSDIE, "train", "semi-supervised", *(f"--{name}={value}" for name, value in options.items())]

    status, _ = run_until(command, broken.run / "log.csv", 3, signal.SIGKILL)
    first = load_checkpoint(broken.run / "checkpoint.pt")["step"]
    assert status == -signal.SIGKILL and 3 <= first + 1 < 14
    status, message = run_until(command, broken.run / "log.csv", first + 2, signal.SIGINT)
    second = load_checkpoint(broken.run / "checkpoint.pt")["step"]
    assert status == 130 and "the same command resumes" in message and "Traceback" not in message
    assert first < second < 14

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the child processes
    try:
        list(train(broken))
        list(train(dataclasses.replace(straight, save_every=14)))
    finally:
        torch.set_num_threads(threads)
    assert same_weights(straight.run, broken.run)
    assert read_log(straight.run / "log.csv") == read_log(broken.run / "log.csv")


def test_two_runs_cannot_use_one_folder(tmp_path, photo_folder):
    config = TrainConfig("supervised", tmp_path / "run", photo_folder, steps=3, **SMALL)
    lock = f"with lock_folder({str(config.run)!r}): print('locked', flush=True); input()"
    lock = f"from ssdie.utils.paths import lock_folder\n{lock}"
    other = subprocess.Popen([sys.executable, "-c", lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "locked\n"
    with pytest.raises(BlockingIOError, match="run"):
        list(train(config))
    other.kill()  # the system releases the locks of a dead process
    other.communicate()
    assert len(list(train(config))) == 3


# Losses that are not finite -----------------------------------------------------------------------------------------


def corrupt_loss(monkeypatch, at: int, value: float, loss: str = "reconstruction_loss"):
    """Multiply a loss by `value` at its n-th call."""
    module = ssdie.training.stages if hasattr(ssdie.training.stages, loss) else ssdie.training.objective
    original, calls = getattr(module, loss), []

    def corrupted(*images):
        calls.append(1)
        return original(*images) * (value if len(calls) == at else 1.0)

    monkeypatch.setattr(module, loss, corrupted)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nonfinite_loss_stops_with_step_term_and_checkpoint(tmp_path, photo_folder, monkeypatch, value):
    config = TrainConfig("supervised", tmp_path, photo_folder, steps=6, **SMALL | {"save_every": 2})
    corrupt_loss(monkeypatch, 4, value)
    with pytest.raises(FloatingPointError, match="Step 4: reconstruction is not finite.*checkpoint.pt of step 2"):
        list(train(config))
    kept = load_checkpoint(tmp_path / "checkpoint.pt")
    assert all(v.isfinite().all() for part in kept["networks"].values() for v in part.values())
    assert kept["step"] == 2 and read_log(tmp_path / "log.csv")[-1]["step"] == 3
    assert len(list(train(config))) == 4  # the fault was temporary: the run resumes at step 2


@pytest.mark.parametrize(
    "stage, loss", [("dark-channel", "discriminator_loss"), ("semi-supervised", "consistency_loss")]
)
def test_nonfinite_loss_is_named_in_every_stage(tmp_path, photo_folder, dark_channel_net, monkeypatch, stage, loss):
    config = TrainConfig(stage, tmp_path, photo_folder, dark_channel_net=dark_channel_net, steps=2, **SMALL)
    corrupt_loss(monkeypatch, 1, float("nan"), loss)
    name = {"discriminator_loss": "dark_channel", "consistency_loss": "consistency"}[loss]
    with pytest.raises(FloatingPointError, match=f"Step 1: {name} .*checkpoint: none"):
        list(train(config))


def test_nonfinite_loss_is_found_at_the_report_on_a_gpu(tmp_path, photo_folder, monkeypatch):
    """On a GPU no step synchronises: only the report and the checkpoint check that the terms are finite."""
    config = TrainConfig("supervised", tmp_path, photo_folder, steps=8, **SMALL | {"report_every": 8, "save_every": 6})
    monkeypatch.setattr(Run, "_check_finite", lambda self, values: None)
    corrupt_loss(monkeypatch, 3, float("inf"))
    with pytest.raises(FloatingPointError, match="Step 3: reconstruction"):
        list(train(config))
    assert not (tmp_path / "checkpoint.pt").exists()  # step 6 was not saved


def test_skipped_update_changes_nothing_and_is_counted(tmp_path, photo_folder, monkeypatch):
    config = TrainConfig("supervised", tmp_path, photo_folder, steps=4, nonfinite="skip", **SMALL)
    corrupt_loss(monkeypatch, 3, float("nan"))
    states, reports = [], []
    for report in train(config):
        reports.append(report)
        states.append(load_checkpoint(tmp_path / "checkpoint.pt") if (tmp_path / "checkpoint.pt").exists() else None)
    end = load_checkpoint(tmp_path / "checkpoint.pt")
    two, three = states[2], states[3]  # the report of a step precedes its checkpoint
    assert (two["step"], three["step"]) == (2, 3)
    assert all(torch.equal(two["networks"]["generator"][k], v) for k, v in three["networks"]["generator"].items())
    moments = (s["optimizers"]["generator"]["state"] for s in (two, three))
    assert all(torch.equal(a[k], b[k]) for a, b in zip(*(m.values() for m in moments), strict=True) for k in a)
    assert [report["skipped"] for report in reports] == [0, 0, 1, 1] and end["skipped"] == 1
    before, after = (s["networks"]["generator"] for s in (three, end))
    assert not any(torch.equal(before[k], v) for k, v in after.items() if k.endswith("running_mean"))


def test_stopped_run_can_be_resumed_with_skip(tmp_path, photo_folder, monkeypatch):
    config = TrainConfig("supervised", tmp_path, photo_folder, steps=4, **SMALL)
    corrupt_loss(monkeypatch, 3, float("nan"))
    with pytest.raises(FloatingPointError):
        list(train(config))
    corrupt_loss(monkeypatch, 1, float("nan"))  # the same fault again
    reports = list(train(dataclasses.replace(config, nonfinite="skip")))
    assert [r["step"] for r in reports] == [3, 4] and reports[-1]["skipped"] == 1


def test_command_reports_a_nonfinite_loss_and_fails(tmp_path, photo_folder, monkeypatch, capsys):
    corrupt_loss(monkeypatch, 1, float("nan"))
    command = ["train", "supervised", "--run", str(tmp_path), "--data", str(photo_folder), "--steps", "2"]
    command += ["--size", "32", "--batch", "2", "--options", '{"width": 4}']
    command += ["--weights.perceptual", "0", "--weights.style", "0"]
    assert main(command) == 1
    assert "Step 1: reconstruction" in capsys.readouterr().err


# Workers ------------------------------------------------------------------------------------------------------------


def test_killed_worker_raises_an_error(photo_folder):
    """The error comes from the transfer from the worker, from the loader, or from a signal handler."""
    with pytest.raises(ChildProcessError, match="worker process .*same command resumes"), worker_errors():
        batches = load_batches(Crops(find_photos(photo_folder).dusty, 16), 1, workers=1)
        next(batches)
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGKILL)
        for _ in batches:
            pass


def test_hanging_worker_raises_an_error(monkeypatch):
    monkeypatch.setattr(ssdie.training.batches, "PATIENCE", 1)
    stuck = Photo("stuck", lambda: time.sleep(600))
    with pytest.raises(ChildProcessError, match="timed out after 1 seconds"):
        next(load_batches(Crops([stuck], 16), 1, workers=1))
