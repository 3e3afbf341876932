"""Evaluation: who is measured on what, tables that add up, and mistakes answered by a sentence."""

import types

import numpy as np
import pandas as pd
import pytest
import torch

from ssdie.cli import main
from ssdie.evaluation.methods import evaluate, list_examples, resolve_methods
from ssdie.evaluation.metrics import METRICS, measure
from ssdie.ops.images import fit_long_side, read_image, write_image

UNPAIRED = [name for name, metric in METRICS.items() if metric.needs != "clear"]


def picture(seed: int, size: tuple[int, int] = (100, 120)) -> torch.Tensor:
    return 0.1 + 0.8 * torch.rand((3, *size), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict:
    """Three photos: clear as PNG, dusty as BMP, and ready pictures that are the clear ones."""
    root = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        clear = picture(seed)
        write_image(root / "clear" / f"p{seed}.png", clear)
        write_image(root / "dusty" / f"p{seed}.bmp", 0.5 * clear + 0.3)
        write_image(root / "ready" / f"p{seed}.tif", clear)
    return {name: root / name for name in ("clear", "dusty", "ready")}


@pytest.fixture
def stub(monkeypatch) -> types.ModuleType:
    """A stand-in for ssdie.enhancement.photo whose network is the name of its weights."""
    module = types.ModuleType("stub")
    module.load_model = lambda path=None: path or "released"
    module.enhance = lambda photo, model: photo * 0 + (0.25 if model == "released" else 0.75)
    monkeypatch.setattr("ssdie.enhancement.photo.enhance", module.enhance)
    monkeypatch.setattr("ssdie.enhancement.runtime.load_model", module.load_model)
    return module


def test_paired_gives_every_metric_for_every_picture_and_method(folders):
    methods = ["input", "gray_world", f"peer={folders['ready']}"]
    pictures, summary = evaluate(methods, folders["dusty"], folders["clear"])
    assert list(pictures.columns) == ["picture", "method", *METRICS, "niqe_model"]
    assert pictures["picture"].unique().tolist() == ["p0", "p1", "p2"]
    assert summary["method"].unique().tolist() == ["input", "gray_world", "peer"]
    peer = pictures[pictures["method"] == "peer"]
    assert np.isinf(peer["psnr"]).all() and (peer["ciede2000"] == 0).all() and (peer["e"] > 0).all()
    dusty, clear = (read_image(folders[f] / f"p1.{s}")[None] for f, s in (("dusty", "bmp"), ("clear", "png")))
    wanted = measure(dusty, dusty, clear)
    row = pictures[(pictures["picture"] == "p1") & (pictures["method"] == "input")].iloc[0]
    assert row[list(METRICS)].tolist() == pytest.approx(list(wanted.values()))


def test_unpaired_leaves_out_what_needs_a_twin(folders):
    pictures, _ = evaluate(["input"], folders["dusty"], limit=2)
    assert pictures["picture"].tolist() == ["p0", "p1"]
    assert list(pictures.columns[2:-1]) == UNPAIRED
    assert (pictures["e"] == 0).all() and (pictures["saturated"] == 0).all()


def test_methods_see_the_own_size_and_measures_the_small_one(tmp_path):
    write_image(tmp_path / "big.png", picture(5, (200, 240)))
    seen = []

    def darken(dusty):
        seen.append(tuple(dusty.shape))
        return 0.5 * dusty

    pictures, _ = evaluate({"darken": darken}, tmp_path, long_side=120)
    assert seen == [(1, 3, 200, 240)]
    photo = read_image(tmp_path / "big.png")[None]
    small = [(fit_long_side(p, 120) * 255).round() / 255 for p in (0.5 * photo, photo)]
    assert pictures[UNPAIRED].iloc[0].tolist() == pytest.approx(list(measure(*small).values()))


def test_the_long_side_is_640_without_twins_and_the_own_size_with_them(tmp_path):
    write_image(tmp_path / "a.png", picture(6, (110, 660)))
    by_default, at_640, own = (
        evaluate(["input"], tmp_path, long_side=side)[0]["niqe"].item() for side in (None, 640, 0)
    )
    paired = evaluate(["input"], tmp_path, tmp_path)[0]["niqe"].item()
    assert by_default == at_640 and paired == own and own != at_640


def test_workers_change_nothing(folders):
    names = ["input", "msrcr"]
    one, two = (evaluate(names, folders["dusty"], folders["clear"], workers=n)[0] for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_a_ready_picture_of_another_size_is_brought_to_the_photos(folders, tmp_path):
    for seed in range(3):
        write_image(tmp_path / f"p{seed}.png", torch.full((3, 50, 60), 0.5))
    pictures, _ = evaluate([f"flat={tmp_path}"], folders["dusty"], folders["clear"])
    assert (pictures["entropy"] == 0).all()


def test_files_hold_what_is_given_back(folders, tmp_path):
    pictures, summary = evaluate(["input", "clahe_lab"], folders["dusty"], out=tmp_path / "new")
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["pictures.csv", "summary.csv", "summary.md", "summary.tex"]
    read = pd.read_csv(tmp_path / "new" / "pictures.csv")
    pd.testing.assert_frame_equal(read, pictures, rtol=1e-5, check_dtype=False)
    read = pd.read_csv(tmp_path / "new" / "summary.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(read, summary, rtol=1e-5, check_dtype=False)


def test_without_folders_the_embedded_sample_is_dusted_the_same_way_each_time():
    first, again = list_examples(sample=2), list_examples(sample=2)
    assert len({example.name for example in first}) == 2
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.dusty, b.dusty) and not torch.equal(a.dusty, a.clear)
    pictures, _ = evaluate(["input"], sample=1)
    assert np.isfinite(pictures["psnr"]).all()


def test_the_model_that_niqe_took_is_named(folders, monkeypatch):
    monkeypatch.delenv("SSDIE_DATA", raising=False)
    pictures, summary = evaluate(["input"], folders["dusty"])
    assert set(pictures["niqe_model"]) == set(summary["niqe_model"]) == {"ssdie"}


def test_ssdie_means_the_released_weights_or_the_checkpoint(stub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ssdie").mkdir()  # a folder of that name, as in the checkout, is not meant
    (tmp_path / "best.pt").write_bytes(b"")
    photo = torch.zeros(1, 3, 2, 2)
    solvers = resolve_methods(["ssdie", "trial=best.pt", "best.pt"])
    assert [method(photo, "").mean().item() for method in solvers.values()] == [0.25, 0.75, 0.75]
    assert list(solvers) == ["ssdie", "trial", "best"]
    assert resolve_methods(["ssdie"], checkpoint="best.pt")["ssdie"](photo, "").mean() == 0.75


def test_mistakes_are_answered_by_a_sentence(folders, tmp_path):
    with pytest.raises(ValueError, match="'grey'; wanted is one of input, gray_world"):
        resolve_methods(["grey"])
    with pytest.raises(ValueError, match="write name=path"):
        resolve_methods(["input", "input"])
    with pytest.raises(ValueError, match=r"wanted is a list; write \['msrcr'\]"):
        resolve_methods("msrcr")
    with pytest.raises(ValueError, match="holds no photo"):
        evaluate(["input"], tmp_path)
    with pytest.raises(ValueError, match="give both folders"):
        evaluate(["input"], clear=folders["clear"])
    write_image(tmp_path / "p0.png", picture(0))
    with pytest.raises(FileNotFoundError, match=r"has no twin for p1.bmp, p2.bmp"):
        evaluate(["input"], folders["dusty"], tmp_path)
    with pytest.raises(FileNotFoundError, match=r"peer .* has no picture for p1"):
        evaluate([f"peer={tmp_path}"], folders["dusty"])
    write_image(tmp_path / "p0.bmp", picture(0))
    with pytest.raises(ValueError, match="keep one of each stem"):
        evaluate([f"peer={tmp_path}"], folders["dusty"])


def test_the_command_prints_the_table_and_writes_the_files(folders, tmp_path, capsys):
    line = ["--dusty", str(folders["dusty"]), "--methods", "input", "gray_world", "--out", str(tmp_path)]
    assert main(["evaluate", *line, "--bootstrap", "50"]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "summary.md").read_text(encoding="utf-8")
    first_cells = [row.split(" |")[0] for row in printed.splitlines()]
    assert first_cells == ["| method", "| ---", "| input", "| gray_world"]
