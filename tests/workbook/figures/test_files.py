"""Figures as files: reproducible, with metadata, of a fixed size, in the project's style."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from figure_helpers import ramp, stay_inside
from skimage.color import rgb2lab

from ssdie.losses import LossWeights
from ssdie.networks.generators import MSFF
from ssdie.ops.images import read_image
from ssdie.workbook.figures.charts import plot_airlight, plot_curves, plot_intervals, plot_scores
from ssdie.workbook.figures.diagrams import draw_method, draw_network
from ssdie.workbook.figures.grids import COLUMN, PAGE, PALETTE, plot_grid, plot_maps, plot_pictures, save_figure


def draw_everything(folder: Path) -> dict[str, bytes]:
    """Draw and save a figure of each kind from the CSV files of a folder; return the content of the files by name."""
    variants, log, scores = (pd.read_csv(folder / f"{name}.csv") for name in ("variants", "log", "scores"))
    colors, steps = torch.from_numpy(pd.read_csv(folder / "colours.csv").to_numpy()).float(), log.to_dict("records")
    pictures = [ramp(24, 30), ramp(24, 30, 1), *(ramp(24, 30) ** k for k in range(1, 7))]
    network = MSFF(width=8)
    figures = {
        "grid": plot_grid([{"dusty": ramp(20, 30), "depth": ramp(20, 30, 1)}], labels=["storm"]),
        "pictures": plot_pictures({"dusty": ramp(20, 30)}),
        "maps": plot_maps(ramp(8, 8), ramp(8, 8) + 1, ramp(8, 8) / 2, ramp(8, 8)),
        "airlight": plot_airlight({"real": colors, "drawn": colors.flip(1)}),
        "scores": plot_scores(scores, "AUC", "recipe", (0, 1), {"target": 0.75}),
        "curves": plot_curves({"one": steps, "two": steps[1:]}),
        "intervals": plot_intervals(variants, ["paired_psnr"], marked="full"),
        "method": draw_method(*pictures, network, LossWeights()),
        "network": draw_network(network),
    }
    paths = [path for name, figure in figures.items() for path in save_figure(figure, name, folder / "figures")]
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture
def results(tmp_path):
    """A folder with small tables as CSV files."""
    columns = {"paired_psnr": [20.0, 18.0], "paired_psnr_low": [19.0, 17.5], "paired_psnr_high": [22.0, 18.5]}
    tables = {
        "variants": {"variant": ["full", "no Retinex"], **columns},
        "log": {"step": [2, 4, 6], "reconstruction": [0.5, 0.4, 0.3], "retinex": [0.2, 0.25, 0.1]},
        "scores": {"recipe": ["measured", "reference"], "AUC": [0.7, 0.9], "low": [0.6, 0.8], "high": [0.8, 1.0]},
        "colours": {"red": [0.8, 0.6, 0.5], "green": [0.6, 0.5, 0.5], "blue": [0.3, 0.2, 0.5]},
    }
    for name, columns in tables.items():
        pd.DataFrame(columns).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def test_equal_tables_give_equal_files_in_another_process_and_under_another_style(results):
    with plt.rc_context({"font.size": 20, "axes.facecolor": "yellow", "savefig.bbox": "tight"}):
        first = draw_everything(results)
    code = "import sys, pathlib, test_files; test_files.draw_everything(pathlib.Path(sys.argv[1]))"
    tests = Path(__file__).parents[2]
    folders = [str(folder) for folder in (Path(__file__).parent, tests / "support", tests.parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(results)], check=True, env=environment)
    second = {path.name: path.read_bytes() for path in (results / "figures").iterdir()}
    assert len(first) == 18 and sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert all(content.startswith(b"%PDF" if ".pdf" in name else b"\x89PNG") for name, content in first.items())
    assert not any(b"Date" in content for content in first.values())


def test_both_files_contain_the_metadata(tmp_path):
    figure = plot_grid([{"dusty": ramp(20, 30)}])
    png, pdf = save_figure(figure, "grid", tmp_path, {"commit": "1a2b3c4", "seed": 3})
    assert b"commit\x001a2b3c4" in png.read_bytes() and b"seed\x003" in png.read_bytes()
    assert b"commit: 1a2b3c4; seed: 3" in pdf.read_bytes()


@pytest.mark.parametrize("width", [COLUMN, PAGE])
def test_files_are_as_wide_as_the_column_or_the_page(tmp_path, width):
    rows = [{"step": k, **dict.fromkeys(("style", "retinex", "adversarial"), 1.0 / k)} for k in (1, 2, 3)]
    for figure in (
        plot_grid([{"a": ramp(20, 30), "b": ramp(20, 30)}], labels=["row"], width=width),
        plot_maps(ramp(20, 30), ramp(20, 30) + 1, ramp(20, 30), ramp(20, 30), width=width),
        plot_curves({"run": rows}, width=width),
    ):
        png, _ = save_figure(figure, "figure", tmp_path)
        assert read_image(png).shape[-1] == pytest.approx(220 * width, abs=1)
        stay_inside(figure)


def test_the_palette_can_be_distinguished_with_colour_blindness():
    """Two runs, and marked against unmarked, differ under Viénot's simulation of missing red or green cones."""
    srgb = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in PALETTE[:3]])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    deuteranope = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    protanope = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    for cones in (deuteranope, protanope):
        light = np.clip(linear @ cones.T, 0, 1)
        lab = rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))
        pairs = [np.linalg.norm(lab[a] - lab[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
        assert min(pairs) > 20, pairs  # 2.3 is a just noticeable difference
