"""Functions shared by the notebooks, and the ablation study."""

import dataclasses
import random
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import ssdie.workbook.ablations
import ssdie.workbook.session as workbook
from ssdie.evaluation.methods import METHODS
from ssdie.evaluation.tables import widen
from ssdie.losses import LossWeights
from ssdie.networks.generators import build_generator
from ssdie.training.config import TrainConfig
from ssdie.training.stages import train
from ssdie.utils.paths import project_root, shorten
from ssdie.workbook import comparison
from ssdie.workbook.ablations import (
    VARIANTS,
    _dark_channel_net_of,
    list_variants,
    study,
    subtract,
    tabulate,
    train_variant,
    vary,
)

FULL = TrainConfig("semi-supervised", "runs/x", options={"head": "scattering"}, dark_channel_net="dc_net.pt", steps=3)


@pytest.fixture(autouse=True)
def embedded(monkeypatch):
    """Use the embedded sample even if SSDIE_DATA is set."""
    monkeypatch.delenv("SSDIE_DATA", raising=False)


def test_open_folder_creates_the_folder_and_seeds_all_generators(tmp_path, capsys):
    draws = []
    for _ in range(2):
        folder = workbook.open_folder(tmp_path / "quick", "01_dust", seed=3)
        draws.append((random.random(), np.random.rand(), torch.rand(()).item()))  # noqa: NPY002
    assert folder == tmp_path / "quick" / "01_dust" and folder.is_dir() and draws[0] == draws[1]
    output = capsys.readouterr().out
    assert "embedded sample: 24 clear photos" in output and "stand-ins" in output and "torch" in output


def test_a_relative_run_lies_in_the_checkout(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert workbook.run_folder("runs/quick") == project_root() / "runs" / "quick"
    assert shorten(project_root() / "runs") == "runs"


def test_only_settings_that_affect_the_result_change_the_folder():
    name = workbook.with_config_hash(FULL).run.name
    same = [{"run": Path("elsewhere/x")}, {"workers": 4}, {"report_every": 1}, {"save_every": 9}]
    other = [
        {"steps": 4},
        {"seed": 1},
        {"init": Path("a")},
        {"weights": LossWeights(retinex=0)},
        {"betas": (0.9, 0.9)},
    ]
    assert all(workbook.with_config_hash(dataclasses.replace(FULL, **change)).run.name == name for change in same)
    names = {workbook.with_config_hash(dataclasses.replace(FULL, **change)).run.name for change in other}
    assert len(names) == len(other) and name not in names


def test_saved_paths_are_relative_to_the_checkout_and_load_as_absolute_paths(tmp_path):
    inside, outside = project_root() / "runs" / "a.pt", tmp_path / "b.pt"
    workbook.save_paths(tmp_path / "02_x" / "files.json", inside=inside, outside=outside)
    assert '"runs/a.pt"' in (tmp_path / "02_x" / "files.json").read_text()
    assert workbook.load_paths(tmp_path, "02_x") == {"inside": inside, "outside": outside}


def test_paths_of_release_0_1_0_are_loaded_under_their_current_names(tmp_path):
    workbook.save_paths(tmp_path / "02_x" / "files.json", judge=tmp_path / "a.pt")
    assert workbook.load_paths(tmp_path, "02_x") == {"dark_channel_net": tmp_path / "a.pt"}


def test_a_missing_earlier_notebook_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="notebook 02"):
        workbook.load_paths(tmp_path, "02_supervised_pretraining")


def test_steps_of_joined_logs_continue(tmp_path):
    for name, steps in (("one", (5, 10)), ("two", (4, 8))):
        (tmp_path / name).mkdir()
        rows = "".join(f"{step},1.5\n" for step in steps)
        (tmp_path / name / "log.csv").write_text("step,style\n" + rows)
    rows = workbook.join_logs([tmp_path / "one", tmp_path / "two"])
    assert [row["step"] for row in rows] == [5, 10, 14, 18] and rows[3]["style"] == 1.5


def test_fixed_images_are_reproducible():
    (first, second), photos = (comparison.fixed_pairs(2, 64) for _ in range(2)), comparison.fixed_photos(2, 64)
    assert list(first) == list(second) and len(first) == len(photos) == 2
    assert all(torch.equal(a, b) for name in first for a, b in zip(first[name], second[name], strict=True))
    assert all(max(photo.shape) == 64 for photo in photos.values())


def test_methods_are_compared_on_both_test_sets():
    pictures, table = comparison.compare_on_test_sets({"input": "input", "gray": "gray_world"}, limit=2)
    assert set(pictures["test"]) == {"paired", "unpaired"} and set(pictures["data"]) == {"embedded sample"}
    table = table.set_index("method")
    assert (
        table.loc["input", "unpaired_e"] == 0
        and table.loc["gray", "unpaired_cast"] < table.loc["input", "unpaired_cast"]
    )
    assert {"paired_psnr", "paired_psnr_low", "paired_psnr_high"} <= set(table)
    assert not {"paired_cast", "unpaired_psnr"} & set(table)


def test_methods_are_applied_by_name_and_in_order():
    photos = {"a": torch.rand(1, 3, 20, 24), "b": torch.rand(1, 3, 10, 12)}
    rows = comparison.apply_methods(photos, {"dusty": "input", "half": lambda dusty: dusty / 2})
    assert [list(row) for row in rows] == [["dusty", "half"]] * 2
    assert torch.equal(rows[1]["half"], photos["b"] / 2)


def test_runtime_has_a_row_for_each_method_and_size():
    table = comparison.measure_runtime({"input": "input", "gray": "gray_world"}, [(32, 48), (64, 48)], repeats=1)
    assert table["size"].tolist() == ["48 x 32"] * 2 + ["48 x 64"] * 2
    assert (table["seconds"] > 0).all() and table["megapixels"].tolist()[0] == pytest.approx(48 * 32 / 1e6)


# Ablations --------------------------------------------------------------------------------------------------


def test_each_variant_changes_only_its_own_settings():
    for name, changes in VARIANTS.items():
        varied, full = (dataclasses.asdict(c) for c in (vary(FULL, name, width=16), FULL))
        assert {key for key in full if full[key] != varied[key]} <= set(changes), name
    assert vary(FULL, "no Retinex").weights == LossWeights(retinex=0)
    assert vary(FULL, "U-Net generator", 16).options == {"width": 16, "levels": 8}
    assert vary(dataclasses.replace(FULL, size=64), "U-Net generator").options["levels"] == 6
    with pytest.raises(ValueError, match="no Retinex"):
        vary(FULL, "no magic")


def test_generators_of_all_variants_can_be_built():
    for name in VARIANTS:
        varied = vary(FULL, name, width=8)
        build_generator(varied.generator, **varied.options)


def test_variants_equal_to_the_full_method_are_not_listed():
    assert "scattering head" not in list_variants(FULL) and "tanh head" in list_variants(FULL)
    plain = dataclasses.replace(FULL, options={"head": "tanh"})
    assert "tanh head" not in list_variants(plain) and "scattering head" in list_variants(plain)
    assert list_variants(plain)[:2] == ["supervised only", "full"]
    assert "no context" not in list_variants(plain) and "context" in list_variants(plain)
    assert "measured recipe" not in list_variants(dataclasses.replace(FULL, recipe="measured"))


def test_a_variant_of_the_network_keeps_its_other_options():
    released = dataclasses.replace(FULL, options={"head": "scattering", "context": 3, "smooth": 2})
    assert vary(released, "tanh head").options == {"head": "tanh", "context": 3, "smooth": 0}
    assert vary(released, "no context").options == {"head": "scattering", "context": 0, "smooth": 2}
    assert "smooth maps" not in list_variants(released) and "no smooth maps" in list_variants(released)


def test_variants_with_equal_warm_up_settings_share_it(monkeypatch, tmp_path):
    runs = []

    def record(config):
        runs.append(workbook.with_config_hash(config).run.name)
        return tmp_path / runs[-1] / "generator.safetensors"

    monkeypatch.setattr(ssdie.workbook.ablations, "finish_run", record)
    monkeypatch.setattr(ssdie.workbook.ablations, "load_checkpoint", lambda path: {"config": {"dark_channel": "joint"}})
    for variant in ("full", "no Retinex", "supervised only", "published pseudo-label", "reference recipe"):
        train_variant(FULL, variant, warmup=2)
    warmups = runs[::2]
    assert len(set(warmups[:4])) == 1 and warmups[4] != warmups[0]
    assert len(set(runs[1::2])) == 5


def test_without_a_warm_up_the_given_weights_are_fine_tuned(monkeypatch, tmp_path):
    runs = []
    monkeypatch.setattr(ssdie.workbook.ablations, "finish_run", lambda config: runs.append(config) or config.run)
    monkeypatch.setattr(ssdie.workbook.ablations, "load_checkpoint", lambda path: {"config": {"dark_channel": "joint"}})
    train_variant(dataclasses.replace(FULL, init=tmp_path / "given.safetensors"), "no Retinex", warmup=0)
    assert [(c.stage, c.init) for c in runs] == [("semi-supervised", tmp_path / "given.safetensors")]


def test_a_variant_with_another_dark_channel_trains_its_own_dark_channel_net(tmp_path):
    small = {"steps": 1, "batch": 2, "size": 32, "report_every": 1}
    deque(train(TrainConfig("dark-channel", tmp_path / "dc_net", **small)), maxlen=0)
    terms = LossWeights(perceptual=0, style=0)
    base = TrainConfig("semi-supervised", tmp_path, options={"width": 8}, copies=1, weights=terms, **small)
    base = dataclasses.replace(base, dark_channel_net=tmp_path / "dc_net" / "checkpoint.pt")
    weights = train_variant(base, "dark channel of each colour", warmup=1)
    (network,) = tmp_path.glob("dark_channel_net_each-*/checkpoint.pt")
    recorded = network.parent.rename(tmp_path / network.parent.name.replace("dark_channel_net_", "judge_"))
    assert weights.is_file() and _dark_channel_net_of(base, "each") == recorded / "checkpoint.pt"  # as in 0.1.0


def test_a_finished_variant_is_not_trained_again(monkeypatch, tmp_path):
    trained = []

    def fake_training(config, leave):
        trained.append(config.run.name)
        config.run.mkdir(parents=True)
        (config.run / "generator.safetensors").touch()
        yield {"step": config.steps}

    def fake_comparison(methods, **test):
        rows = [{"picture": p, "method": m, "test": "paired", "psnr": 20.0} for p in "ab" for m in methods]
        return pd.DataFrame(rows), None

    monkeypatch.setattr(ssdie.workbook.ablations, "follow", fake_training)
    monkeypatch.setattr(ssdie.workbook.ablations, "compare_on_test_sets", fake_comparison)
    monkeypatch.setattr(ssdie.workbook.ablations, "load_checkpoint", lambda path: {"config": {"dark_channel": "joint"}})
    base = dataclasses.replace(FULL, run=tmp_path)
    for _ in range(2):
        *_, table = study(base, ["full", "supervised only"], seeds=[0, 1], warmup=2, limit=2)
    assert len(trained) == len(set(trained)) == 6  # two warm-ups, four variants
    assert table["variant"].tolist() == ["full", "supervised only"] and table["seeds"].tolist() == ["0 1", "0 1"]
    assert table["paired_psnr"].tolist() == [20.0, 20.0] and table["steps"].tolist() == [5, 5]
    assert pd.read_csv(tmp_path / "ablations.csv").shape == table.shape
    assert pd.read_csv(tmp_path / "differences.csv")["paired_psnr"].tolist() == [0.0, 0.0]


def test_differences_are_taken_for_each_image_and_seed():
    rows = [(v, "paired", p, s, 10.0 * p + s + (v == "b")) for v in "ab" for p in (1, 2, 3) for s in (0, 1)]
    rows += [("b", "unpaired", 9, 0, 5.0)]  # without a score of variant a
    pictures = pd.DataFrame(rows, columns=["variant", "test", "picture", "seed", "psnr"]).sample(frac=1, random_state=0)
    table = widen(subtract(pictures, "a"), "variant").set_index("variant")
    assert table.loc["b", ["paired_psnr", "paired_psnr_low", "paired_psnr_high"]].tolist() == [1.0, 1.0, 1.0]
    assert table.loc["a", "paired_psnr"] == 0 and "unpaired_psnr" not in table


def test_spread_is_the_standard_deviation_over_seeds():
    rows = [(p, s, 10.0 * p + 2 * s) for p in (1, 2) for s in (0, 1)]
    pictures = pd.DataFrame(rows, columns=["picture", "seed", "psnr"]).assign(test="paired", variant="full")
    row = tabulate(pictures, steps=4).iloc[0]
    assert row["paired_psnr"] == pytest.approx(16.0)
    assert row["paired_psnr_spread"] == pytest.approx(np.std([15.0, 17.0], ddof=1))
    assert "input" in METHODS and row["seeds"] == "0 1"
