"""Figures, charts and diagrams: what they draw, not how it looks."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from skimage.color import rgb2lab

from ssdie.evaluation.tables import describe_metric, format_latex, lay_out, widen
from ssdie.losses import LossWeights
from ssdie.networks.generators import MSFF, UNetGenerator, count_parameters
from ssdie.ops.images import read_image
from ssdie.workbook.figures.charts import plot_airlight, plot_curves, plot_intervals, plot_scores
from ssdie.workbook.figures.diagrams import draw_method, draw_network, read_shapes
from ssdie.workbook.figures.grids import (
    COLUMN,
    PAGE,
    PALETTE,
    crop_to_fill,
    plot_grid,
    plot_maps,
    plot_pictures,
    save_figure,
)


def ramp(height: int, width: int, channels: int = 3) -> torch.Tensor:
    """A picture that grows brighter to the right."""
    return torch.linspace(0, 1, width).expand(channels, height, width)


def texts(figure) -> str:
    """Everything that is written on a figure."""
    return "\n".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize("size", [(40, 80), (80, 40), (7, 9), (60, 60)])
def test_cover_gives_the_size_and_keeps_the_middle(size):
    picture = crop_to_fill(ramp(*size), (30, 30))
    assert picture.shape == (3, 30, 30)
    assert picture.mean().item() == pytest.approx(0.5, abs=0.03)


def test_cover_keeps_the_aspect():
    disc = (torch.linspace(-1, 1, 90)[:, None] ** 2 + torch.linspace(-2, 2, 180) ** 2 < 0.5).float()[None]
    inside = crop_to_fill(disc, (60, 60))[0] > 0.5
    assert abs(int(inside.any(0).sum()) - int(inside.any(1).sum())) <= 1  # still round


def test_grid_has_a_cell_for_each_picture_and_titles_the_columns():
    rows = [{"dusty": ramp(20, 30), "depth": ramp(20, 30, 1)} for _ in range(3)]
    figure = plot_grid(rows, labels=["a", "b", "c"])
    assert len(figure.axes) == 6 and all(len(a.images) == 1 for a in figure.axes)
    assert [a.get_title() for a in figure.axes[:4]] == ["dusty", "depth", "", ""]
    assert figure.axes[2].get_ylabel() == "b"
    depth = figure.axes[1].images[0]
    assert depth.get_array().ndim == 2 and depth.get_clim() == (0, 1)


def test_pictures_leave_spare_cells_empty():
    figure = plot_pictures({f"picture {k}": ramp(9, 12) for k in range(5)}, columns=3)
    assert [len(a.images) for a in figure.axes] == [1, 1, 1, 1, 1, 0]
    assert figure.axes[4].get_title() == "picture 4"


def test_maps_show_the_gain_in_doublings_around_zero():
    gain = torch.full((3, 8, 8), 4.0)
    figure = plot_maps(ramp(8, 8), gain, 0 * gain, ramp(8, 8))
    drawn = next(a for a in figure.axes if "gain" in a.get_title()).images[0]
    assert np.allclose(drawn.get_array(), 2) and drawn.get_clim()[0] == -drawn.get_clim()[1]


def test_figures_are_closed_for_pyplot():
    before = plt.get_fignums()
    plot_grid([{"dusty": ramp(4, 4)}])
    assert plt.get_fignums() == before


# Files and style --------------------------------------------------------------------------------------------


def draw_everything(folder: Path) -> dict[str, bytes]:
    """Draw a figure of each kind from the CSV files of a folder and from fixed pictures, save them, read the files."""
    variants, log, scores = (pd.read_csv(folder / f"{name}.csv") for name in ("variants", "log", "scores"))
    colours, steps = torch.from_numpy(pd.read_csv(folder / "colours.csv").to_numpy()).float(), log.to_dict("records")
    pictures = [ramp(24, 30), ramp(24, 30, 1), *(ramp(24, 30) ** k for k in range(1, 7))]
    network = MSFF(width=8)
    figures = {
        "grid": plot_grid([{"dusty": ramp(20, 30), "depth": ramp(20, 30, 1)}], labels=["storm"]),
        "pictures": plot_pictures({"dusty": ramp(20, 30)}),
        "maps": plot_maps(ramp(8, 8), ramp(8, 8) + 1, ramp(8, 8) / 2, ramp(8, 8)),
        "airlight": plot_airlight({"real": colours, "drawn": colours.flip(1)}),
        "scores": plot_scores(scores, "AUC", "recipe", (0, 1), {"goal": 0.75}),
        "curves": plot_curves({"one": steps, "two": steps[1:]}),
        "intervals": plot_intervals(variants, ["paired_psnr"], marked="full"),
        "method": draw_method(*pictures, network, LossWeights()),
        "network": draw_network(network),
    }
    paths = [path for name, figure in figures.items() for path in save_figure(figure, name, folder / "figures")]
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture
def results(tmp_path):
    """A folder with small tables as CSV."""
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


def test_the_same_tables_give_the_same_files_in_another_process_and_under_another_style(results):
    with plt.rc_context({"font.size": 20, "axes.facecolor": "yellow", "savefig.bbox": "tight"}):
        first = draw_everything(results)
    code = "import sys, pathlib, test_figures; test_figures.draw_everything(pathlib.Path(sys.argv[1]))"
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, str(results)], check=True, env=environment)
    second = {path.name: path.read_bytes() for path in (results / "figures").iterdir()}
    assert len(first) == 18 and sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert all(content.startswith(b"%PDF" if ".pdf" in name else b"\x89PNG") for name, content in first.items())
    assert not any(b"Date" in content for content in first.values())


def test_metadata_are_written_into_both_files(tmp_path):
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


def stay_inside(figure) -> None:
    """Assert that nothing that is drawn leaves the figure."""
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 > -0.01 and box.y0 > -0.01 and box.x1 < width + 0.01 and box.y1 < height + 0.01, box


def test_the_palette_stays_apart_for_the_colour_blind():
    """Two runs, and marked against unmarked, differ under Viénot's simulation of missing red or green cones."""
    srgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in PALETTE[:3]])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    deuteranope = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    protanope = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    for cones in (deuteranope, protanope):
        seen = np.clip(linear @ cones.T, 0, 1)
        lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))
        pairs = [np.linalg.norm(lab[a] - lab[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
        assert min(pairs) > 20, pairs  # 2.3 is a just noticeable difference


# Charts -----------------------------------------------------------------------------------------------------


def test_airlight_has_a_panel_for_each_group_and_a_point_for_each_colour():
    figure = plot_airlight({"real": torch.rand(5, 3), "drawn": torch.rand(7, 3)})
    assert [len(a.collections[0].get_offsets()) for a in figure.axes] == [5, 7]
    grey = plot_airlight({"grey": torch.full((1, 3), 0.5)}).axes[0].collections[0].get_offsets()
    assert np.abs(grey).max() < 0.1  # grey lies at the origin of a*b*


def test_curves_keep_the_order_of_the_paper_and_leave_out_what_is_no_term():
    rows = [{"step": k, "retinex": 1, "reconstruction": 2, "learning_rate": 3, "generator_gradient": 4} for k in (1, 2)]
    figure = plot_curves({"stage 3": rows})
    assert [a.get_title("left") for a in figure.axes] == ["reconstruction", "retinex"]
    assert figure.axes[0].get_lines()[0].get_xydata().tolist() == [[1, 2], [2, 2]]


def test_curves_of_two_runs_differ_in_colour_everywhere():
    one, two = [{"step": 1, "style": 1.0}], [{"step": 2, "style": 1.0, "retinex": 1.0}]
    figure = plot_curves({"one": one, "two": two})
    panels = {a.get_title("left"): [line.get_color() for line in a.get_lines()] for a in figure.axes}
    assert panels == {"style": PALETTE[:2], "retinex": [PALETTE[1]]}
    assert [handle.get_color() for handle in figure.legends[0].legend_handles] == PALETTE[:2]


def test_intervals_are_drawn_where_the_table_says():
    table = pd.DataFrame(
        {
            "variant": ["full", "no Retinex"],
            "paired_psnr": [20.0, 18.0],
            "paired_psnr_low": [19.0, 17.5],
            "paired_psnr_high": [22.0, 18.5],
        }
    )
    axes = plot_intervals(table, ["paired_psnr"], marked="full").axes[0]
    lines = [list(line.get_xdata()) for line in axes.get_lines()]
    assert [19.0, 22.0] in lines and [17.5, 18.5] in lines  # intervals, not estimated anew
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    points = {line.get_color(): x for line in dots for x in line.get_xdata() if np.isfinite(x)}
    assert points == {PALETTE[1]: 20.0, PALETTE[0]: 18.0}  # the marked row has the other colour
    assert axes.get_xlabel() == "PSNR dB ↑\npaired"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["full", "no Retinex"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # first row on top


def test_scores_carry_their_numbers_and_marks():
    table = pd.DataFrame({"recipe": ["measured"], "AUC": [0.71], "low": [0.6], "high": [0.8]})
    figure = plot_scores(table, "AUC", "recipe", (0, 1), {"goal": 0.75})
    assert "0.71" in texts(figure) and "goal" in texts(figure)
    axes = figure.axes[0]
    assert axes.get_xlim() == (0, 1) and axes.get_xlabel() == "AUC"
    assert [0.75, 0.75] in [list(line.get_xdata()) for line in axes.get_lines()]
    stay_inside(figure)


def test_a_row_without_a_value_stays_empty():
    columns = {"paired_psnr": [20.0, np.nan], "paired_psnr_low": [19.0, np.nan], "paired_psnr_high": [22.0, np.nan]}
    axes = plot_intervals(pd.DataFrame({"variant": ["full", "lost"], **columns}), ["paired_psnr"]).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["full", "lost"]
    assert {x for line in axes.get_lines() for x in line.get_xdata() if np.isfinite(x)} == {19.0, 20.0, 22.0}


# Diagrams ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width, head", [(64, "tanh"), (16, "scattering")])
def test_network_diagram_reads_channels_from_the_network(width, head):
    network = MSFF(width=width, head=head)
    written = texts(draw_network(network))
    assert f"{count_parameters(network):,} parameters" in written
    for channels, side in (
        (width, 128),
        (2 * width, 64),
        (width // 4, 256),
        (3 if head == "tanh" else 6, 256),
    ):
        assert f"{channels} × {side}²" in written


def test_shapes_are_those_of_a_real_pass_and_leave_the_network_alone():
    network = MSFF(width=8)
    shapes = read_shapes(network, 32)
    assert shapes["encode1.0"] == (8, 16) and shapes["attend12"] == (16, 8) and shapes[""] == (3, 32)
    assert network.training and not any(m._forward_hooks for m in network.modules())


@pytest.mark.parametrize("head", ["tanh", "scattering"])
def test_every_block_of_the_network_is_drawn_once(head):
    network = MSFF(width=8, head=head)
    drawn = [patch.get_gid() for patch in draw_network(network).axes[0].patches if patch.get_gid()]
    blocks = {name for name, _ in network.named_modules() if name.count(".") == 1 and "attend" not in name}
    assert sorted(drawn) == sorted(blocks | {"attend12", "attend23", "output"})


@pytest.fixture
def pictures():
    """What `draw_method` shows: eight pictures, the second of one channel."""
    return [ramp(24, 30, 1 if k == 1 else 3) for k in range(8)]


def test_method_diagram_shows_eight_pictures_and_every_term_with_its_weight(pictures):
    figure = draw_method(*pictures, MSFF(width=8), LossWeights())
    assert len(figure.findobj(lambda a: type(a).__name__ == "AxesImage")) == 8
    written = texts(figure)
    for term in ("100 × reconstruction", "perceptual", "style", "consistency", "adversarial", "0.1 × Retinex"):
        assert term in written
    assert "dark channel" in written and "gradient" not in written and "MSFF" in written
    stay_inside(figure)


def test_method_diagram_leaves_out_terms_without_weight_and_names_another_generator(pictures):
    weights = LossWeights(retinex=0, style=0, gradient=10)
    written = texts(draw_method(*pictures, UNetGenerator(width=4, levels=2), weights))
    assert "UNet" in written and "10 × gradient" in written
    assert "× Retinex" not in written and "style" not in written


@pytest.mark.parametrize("options", [{}, {"head": "scattering"}, {"head": "scattering", "smooth": 2}])
def test_nothing_written_in_a_diagram_leaves_it(options):
    stay_inside(draw_network(MSFF(width=8, **options)))


# Wide tables ------------------------------------------------------------------------------------------------


def test_widen_averages_seeds_before_it_resamples_pictures():
    rows = [(p, s, 10.0 * p + s) for p in (1, 2, 3) for s in (0, 2)]
    pictures = pd.DataFrame(rows, columns=["picture", "seed", "psnr"]).assign(test="paired", variant="full")
    row = widen(pictures, "variant").iloc[0]
    assert row["paired_psnr"] == pytest.approx(21.0)
    assert row["paired_psnr_low"] >= 11.0 and row["paired_psnr_high"] <= 31.0  # means over seeds, not single runs


def test_widen_leaves_out_what_no_picture_has():
    pictures = pd.DataFrame({"picture": ["a"], "test": ["paired"], "method": ["m"], "psnr": [20.0], "cast": [np.nan]})
    assert [c for c in widen(pictures) if "cast" in c] == []


def test_laid_out_table_reads_mean_and_interval():
    table = pd.DataFrame(
        {"method": ["m"], "unpaired_cast": [7.0], "unpaired_cast_low": [6.0], "unpaired_cast_high": [8.0]}
    )
    assert lay_out(table).loc["m", "cast ↓ unpaired"] == "7.00 [6.00, 8.00]"
    assert describe_metric("unpaired_cast") == "cast ↓\nunpaired"


def test_latex_escapes_what_latex_would_read_as_its_own():
    latex = format_latex(pd.DataFrame({"a_b": ["50 %"], "n": [1]}))
    assert r"a\_b & n \\" in latex and r"50 \% & 1 \\" in latex
