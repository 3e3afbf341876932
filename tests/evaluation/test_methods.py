"""Running and measuring methods: inputs, sizes, tables, error messages."""

import types

import numpy as np
import pandas as pd
import pytest
import torch

from ssdie.cli import main
from ssdie.evaluation.methods import METHODS, default_methods, evaluate, list_examples, resolve_methods
from ssdie.evaluation.metrics import METRICS, measure
from ssdie.ops.images import fit_long_side, read_image, write_image

UNPAIRED = [name for name, metric in METRICS.items() if metric.needs != "clear"]


def image(seed: int, size: tuple[int, int] = (100, 120)) -> torch.Tensor:
    return 0.1 + 0.8 * torch.rand((3, *size), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict:
    """Three photos: clear as PNG, dusty as BMP, and finished images that equal the clear ones."""
    root = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        clear = image(seed)
        write_image(root / "clear" / f"p{seed}.png", clear)
        write_image(root / "dusty" / f"p{seed}.bmp", 0.5 * clear + 0.3)
        write_image(root / "finished" / f"p{seed}.tif", clear)
    return {name: root / name for name in ("clear", "dusty", "finished")}


@pytest.fixture
def stub(monkeypatch) -> types.ModuleType:
    """Replace the network by the name of its weights, and its output by a constant."""
    module = types.ModuleType("stub")
    module.load_model = lambda path=None: path or "released"
    module.strengths = []

    def enhance(photo, model, strength):
        module.strengths.append(strength)
        return photo * 0 + (0.25 if model == "released" else 0.75)

    module.enhance = enhance
    monkeypatch.setattr("ssdie.enhancement.photo.enhance", module.enhance)
    monkeypatch.setattr("ssdie.enhancement.runtime.load_model", module.load_model)
    return module


def test_pairs_give_every_metric_for_every_image_and_method(folders):
    methods = ["input", "gray_world", f"peer={folders['finished']}"]
    pictures, summary = evaluate(methods, folders["dusty"], folders["clear"])
    assert list(pictures.columns) == ["picture", "method", *METRICS, "niqe_model"]
    assert pictures["picture"].unique().tolist() == ["p0", "p1", "p2"]
    assert summary["method"].unique().tolist() == ["input", "gray_world", "peer"]
    peer = pictures[pictures["method"] == "peer"]
    assert np.isinf(peer["psnr"]).all() and (peer["ciede2000"] == 0).all() and (peer["e"] > 0).all()
    dusty, clear = (read_image(folders[f] / f"p1.{s}")[None] for f, s in (("dusty", "bmp"), ("clear", "png")))
    expected = measure(dusty, dusty, clear)
    row = pictures[(pictures["picture"] == "p1") & (pictures["method"] == "input")].iloc[0]
    assert row[list(METRICS)].tolist() == pytest.approx(list(expected.values()), nan_ok=True)


def test_metrics_that_need_a_reference_image_are_left_out_without_one(folders):
    pictures, _ = evaluate(["input"], folders["dusty"], limit=2)
    assert pictures["picture"].tolist() == ["p0", "p1"]
    assert list(pictures.columns[2:-1]) == UNPAIRED
    assert (pictures["e"] == 0).all() and (pictures["saturated"] == 0).all()


def test_methods_get_the_full_size_and_metrics_the_small_one(tmp_path):
    write_image(tmp_path / "big.png", image(5, (200, 240)))
    seen = []

    def darken(dusty):
        seen.append(tuple(dusty.shape))
        return 0.5 * dusty

    pictures, _ = evaluate({"darken": darken}, tmp_path, long_side=120)
    assert seen == [(1, 3, 200, 240)]
    photo = read_image(tmp_path / "big.png")[None]
    small = [(fit_long_side(p, 120) * 255).round() / 255 for p in (0.5 * photo, photo)]
    assert pictures[UNPAIRED].iloc[0].tolist() == pytest.approx(list(measure(*small).values()), nan_ok=True)


def test_the_long_side_is_640_without_reference_images_and_the_full_size_with_them(tmp_path):
    write_image(tmp_path / "a.png", image(6, (110, 660)))
    by_default, at_640, own = (
        evaluate(["input"], tmp_path, long_side=side)[0]["niqe"].item() for side in (None, 640, 0)
    )
    paired = evaluate(["input"], tmp_path, tmp_path)[0]["niqe"].item()
    assert by_default == at_640 and paired == own and own != at_640


def test_the_number_of_workers_does_not_change_the_results(folders):
    names = ["input", "msrcr"]
    one, two = (evaluate(names, folders["dusty"], folders["clear"], workers=n)[0] for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_a_finished_image_of_another_size_is_resized(folders, tmp_path):
    for seed in range(3):
        write_image(tmp_path / f"p{seed}.png", torch.full((3, 50, 60), 0.5))
    pictures, _ = evaluate([f"flat={tmp_path}"], folders["dusty"], folders["clear"])
    assert (pictures["entropy"] == 0).all()


def test_files_contain_the_returned_tables(folders, tmp_path):
    pictures, summary = evaluate(["input", "clahe_lab"], folders["dusty"], out=tmp_path / "new")
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["pictures.csv", "ranks.csv", "summary.csv", "summary.md", "summary.tex"]
    read = pd.read_csv(tmp_path / "new" / "pictures.csv")
    pd.testing.assert_frame_equal(read, pictures, rtol=1e-5, check_dtype=False)
    read = pd.read_csv(tmp_path / "new" / "summary.csv").fillna({"unit": "", "direction": ""})
    pd.testing.assert_frame_equal(read, summary, rtol=1e-5, check_dtype=False)


def test_dust_on_the_embedded_sample_is_deterministic():
    first, again = list_examples(sample=2), list_examples(sample=2)
    assert len({example.name for example in first}) == 2
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.dusty, b.dusty) and not torch.equal(a.dusty, a.clear)
    pictures, _ = evaluate(["input"], sample=1)
    assert np.isfinite(pictures["psnr"]).all()


def test_the_pristine_model_of_niqe_is_named(folders, monkeypatch):
    monkeypatch.delenv("SSDIE_DATA", raising=False)
    pictures, summary = evaluate(["input"], folders["dusty"])
    assert set(pictures["niqe_model"]) == set(summary["niqe_model"]) == {"ssdie"}


def test_ssdie_means_the_released_weights_or_the_checkpoint(stub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ssdie").mkdir()  # a folder of that name, as in a checkout, is not taken for a checkpoint
    (tmp_path / "best.pt").write_bytes(b"")
    photo = torch.zeros(1, 3, 2, 2)
    solvers = resolve_methods(["ssdie", "trial=best.pt", "best.pt"])
    assert [method(photo, "").mean().item() for method in solvers.values()] == [0.25, 0.75, 0.75]
    assert list(solvers) == ["ssdie", "trial", "best"]
    assert stub.strengths == ["auto", 1.0, 1.0]  # the default for users; checkpoints are compared at full strength
    assert resolve_methods(["ssdie"], checkpoint="best.pt")["ssdie"](photo, "").mean() == 0.75


def test_error_messages_name_the_cause(folders, tmp_path):
    with pytest.raises(ValueError, match="expected one of input, gray_world.*got 'grey'"):
        resolve_methods(["grey"])
    with pytest.raises(ValueError, match="Write name=path"):
        resolve_methods(["input", "input"])
    with pytest.raises(ValueError, match=r"expected a list, got 'msrcr'"):
        resolve_methods("msrcr")
    with pytest.raises(ValueError, match="at least one photo"):
        evaluate(["input"], tmp_path)
    with pytest.raises(ValueError, match="Give both folders"):
        evaluate(["input"], clear=folders["clear"])
    write_image(tmp_path / "p0.png", image(0))
    with pytest.raises(FileNotFoundError, match=r"reference image for p1.bmp, p2.bmp"):
        evaluate(["input"], folders["dusty"], tmp_path)
    with pytest.raises(FileNotFoundError, match=r"peer .* stem p1"):
        evaluate([f"peer={tmp_path}"], folders["dusty"])
    write_image(tmp_path / "p0.bmp", image(0))
    with pytest.raises(ValueError, match="one image of each stem"):
        evaluate([f"peer={tmp_path}"], folders["dusty"])


def test_the_command_prints_the_table_and_writes_the_files(folders, tmp_path, capsys):
    line = ["--dusty", str(folders["dusty"]), "--methods", "input", "gray_world", "--out", str(tmp_path)]
    assert main(["evaluate", *line, "--bootstrap", "50"]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "summary.md").read_text(encoding="utf-8")
    first_cells = [row.split(" |")[0] for row in printed.splitlines() if row.startswith("|")]
    assert first_cells[:4] == ["| method", "| ---", "| input", "| gray_world"]
    assert "Mean rank" in printed


def test_outputs_of_toenet_are_read_from_the_data(folders, tmp_path, monkeypatch):
    for seed in range(3):
        write_image(tmp_path / "bench" / "toenet" / "real" / f"p{seed}.png", torch.full((3, 100, 120), 0.5))
    monkeypatch.setenv("SSDIE_DATA", str(tmp_path))
    assert "toenet" in default_methods(list_examples(folders["dusty"]))
    assert default_methods(list_examples(sample=1)) == METHODS
    pictures, _ = evaluate(["toenet"], folders["dusty"])
    assert (pictures["entropy"] == 0).all()


def test_images_are_resized_before_they_are_enhanced(folders):
    seen = []
    methods = {"same": lambda dusty: seen.append(dusty.shape[-2:]) or dusty}
    evaluate(methods, folders["dusty"], folders["clear"], size="64x48", limit=1)
    evaluate(methods, folders["dusty"], folders["clear"], size="60", limit=1)
    assert seen == [(48, 64), (50, 60)]
