"""The training explorer: runs are listed, loaded, followed and started."""

import asyncio

import pytest
import torch

from ssdie.data.sample import read_pair
from ssdie.losses import LossWeights
from ssdie.training.config import TrainConfig
from ssdie.training.stages import train
from ssdie.workbook.explorers import widgets as panels
from ssdie.workbook.explorers.training import TrainingExplorer, list_runs, load_current, start_small_training


@pytest.fixture(scope="module")
def trained(tmp_path_factory, photo_folder):
    """A finished run of four steps (a), and a copy of its state at the second step (b)."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {"batch": 2, "size": 32, "report_every": 1, "save_every": 2, "options": {"width": 8}, "ema": 0.5}
    weights = LossWeights(perceptual=0, style=0, gradient=1)
    config = TrainConfig("supervised", folder / "a", photo_folder, steps=4, weights=weights, **settings)
    for report in train(config):
        if report["step"] == 3:  # the checkpoint of step 2 was saved before this report
            (folder / "b").mkdir()
            (folder / "b" / "checkpoint.pt").write_bytes((folder / "a" / "checkpoint.pt").read_bytes())
            (folder / "b" / "log.csv").write_bytes((folder / "a" / "log.csv").read_bytes())
    return folder


def test_runs_are_listed_newest_first(trained):
    assert {run.name for run in list_runs(trained)} == {"a", "b"}
    (trained / "b" / "log.csv").touch()
    assert list_runs(trained)[0].name == "b"


def test_the_latest_generator_of_a_run_is_loaded(trained, tmp_path):
    (last, step), (earlier, earlier_step) = load_current(trained / "a"), load_current(trained / "b")
    assert (step, earlier_step) == (0, 2) and not last.training and not earlier.training
    photo = read_pair("scene_000000", (32, 48))[0][None]
    assert not torch.equal(last(photo), earlier(photo))
    assert load_current(tmp_path) == (None, 0)


def test_training_explorer_follows_a_run(trained, scene):
    panel = TrainingExplorer(trained, {"one": scene[0], "two": read_pair("scene_000002", (48, 64))[0]}, trained / "b")
    curves, after = panel.curves.value, panel.compare.after
    assert "step <b>3</b>" in panel.facts.value and "from step 2" in panel.facts.value
    panel.draw()
    assert panel.curves.value is curves and panel.compare.after is after  # no new file, nothing redrawn
    panel.gallery.value = "two"
    assert panel.compare.after != after
    panel.runs.value = trained / "a"
    assert "step <b>4</b>, done" in panel.facts.value and panel.curves.value != curves
    assert len(panel.figure().axes) >= 2


def test_training_explorer_shows_the_unchanged_photo_until_there_is_a_checkpoint(trained, scene, tmp_path):
    panel = TrainingExplorer(trained, {"one": scene[0]}, trained / "a")
    assert panel.compare.after != panel.compare.before
    panel = TrainingExplorer(tmp_path, {"one": scene[0]}, tmp_path / "new")
    assert panel.compare.after == panel.compare.before != b"" and "at the first checkpoint" in panel.facts.value


def test_training_explorer_refreshes_while_it_follows(trained, scene, monkeypatch):
    monkeypatch.delenv(panels.STATIC)

    async def watch() -> str:
        panel = TrainingExplorer(trained, {"one": scene[0]}, trained / "b", every=0.01)
        with (trained / "b" / "log.csv").open("a") as log:
            log.write(",".join("9" for _ in panel.rows[0]) + "\n")
        for _ in range(500):
            await asyncio.sleep(0.01)
            if "step <b>9</b>" in panel.facts.value:
                break
        panel.follow.value = False
        await asyncio.wait_for(panel.task, 5)
        return panel.facts.value

    assert "step <b>9</b>" in asyncio.run(watch())


def test_a_folder_without_runs_is_refused(tmp_path, scene):
    with pytest.raises(ValueError, match="folder: expected a folder that holds a training run"):
        TrainingExplorer(tmp_path, {"one": scene[0]})


def test_a_small_training_that_fails_raises_with_its_output(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(RuntimeError, match="steps"):
        start_small_training(tmp_path / "run", steps="many", wait=True)
