"""Figures, charts and diagrams: what they draw, not how it looks."""

import numpy as np
import pandas as pd
import pytest
import torch

from ssdie.charts import plot_airlight, plot_curves, plot_intervals, plot_scores
from ssdie.diagrams import draw_method, draw_network, read_shapes
from ssdie.figures import cover, plot_grid, plot_maps, plot_pictures, save_figure
from ssdie.networks import MSFF, count_parameters
from ssdie.tables import describe_metric, format_latex, lay_out, widen


def ramp(height: int, width: int, channels: int = 3) -> torch.Tensor:
    """A picture that grows brighter to the right."""
    return torch.linspace(0, 1, width).expand(channels, height, width)


def texts(figure) -> str:
    """Everything that is written on a figure."""
    return "\n".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize("size", [(40, 80), (80, 40), (7, 9), (60, 60)])
def test_cover_gives_the_size_and_keeps_the_middle(size):
    picture = cover(ramp(*size), (30, 30))
    assert picture.shape == (3, 30, 30)
    assert picture.mean().item() == pytest.approx(0.5, abs=0.03)


def test_cover_keeps_the_aspect():
    disc = (torch.linspace(-1, 1, 90)[:, None] ** 2 + torch.linspace(-2, 2, 180) ** 2 < 0.5).float()[None]
    inside = cover(disc, (60, 60))[0] > 0.5
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
    drawn = next(a for a in figure.axes if "gain" in a.get_title("left")).images[0]
    assert np.allclose(drawn.get_array(), 2) and drawn.get_clim()[0] == -drawn.get_clim()[1]


def test_equal_figures_give_equal_files(tmp_path):
    files = []
    for folder in ("one", "two"):
        figure = plot_grid([{"dusty": ramp(20, 30)}])
        files.append([path.read_bytes() for path in save_figure(figure, "grid", tmp_path / folder)])
    assert files[0] == files[1]
    assert files[0][0].startswith(b"\x89PNG") and files[0][1].startswith(b"%PDF")


def test_figures_are_closed_for_pyplot():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    plot_grid([{"dusty": ramp(4, 4)}])
    assert plt.get_fignums() == before


def test_airlight_has_a_panel_for_each_group_and_a_point_for_each_colour():
    figure = plot_airlight({"real": torch.rand(5, 3), "drawn": torch.rand(7, 3)})
    assert [len(a.collections[0].get_offsets()) for a in figure.axes] == [5, 7]
    grey = plot_airlight({"grey": torch.full((1, 3), 0.5)}).axes[0].collections[0].get_offsets()
    assert np.abs(grey).max() < 0.1  # grey lies at the origin of a*b*


def test_curves_keep_the_order_of_the_paper_and_leave_out_what_is_no_term():
    rows = [
        {"step": k, "retinex": 1, "reconstruction": 2, "learning_rate": 3, "generator_gradient": 4}
        for k in (1, 2)
    ]
    figure = plot_curves({"stage 3": rows})
    assert [a.get_title("left") for a in figure.axes] == ["reconstruction", "retinex"]
    assert figure.axes[0].get_lines()[0].get_xydata().tolist() == [[1, 2], [2, 2]]


def test_curves_of_two_runs_differ_in_colour_everywhere():
    one, two = [{"step": 1, "style": 1.0}], [{"step": 2, "style": 1.0, "retinex": 1.0}]
    figure = plot_curves({"one": one, "two": two})
    colours = {line.get_label(): line.get_color() for a in figure.axes for line in a.get_lines()}
    assert len(set(colours.values())) == 2
    alone = next(a for a in figure.axes if a.get_title("left") == "retinex").get_lines()
    assert [line.get_color() for line in alone] == [colours["two"]]


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
    segments = [c.get_segments()[0][:, 0].tolist() for c in axes.collections]
    assert segments == [[19.0, 22.0], [17.5, 18.5]]
    assert axes.get_xlabel() == "PSNR dB ↑\npaired"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["full", "no Retinex"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # first row on top


def test_scores_carry_their_numbers_and_marks():
    table = pd.DataFrame({"recipe": ["measured"], "AUC": [0.71], "low": [0.6], "high": [0.8]})
    figure = plot_scores(table, "AUC", "recipe", (0, 1), {"goal": 0.75})
    assert "0.71" in texts(figure) and "goal" in texts(figure)


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


def test_method_diagram_shows_eight_pictures_and_every_term():
    pictures = [ramp(24, 30) for _ in range(8)]
    pictures[1] = ramp(24, 30, 1)
    figure = draw_method(*pictures)
    assert len(figure.findobj(lambda a: type(a).__name__ == "AxesImage")) == 8
    for term in (
        "reconstruction",
        "perceptual",
        "style",
        "consistency",
        "adversarial",
        "dark channel",
        "Retinex",
    ):
        assert term in texts(figure)


def test_nothing_written_in_a_diagram_leaves_it():
    figure = draw_network(MSFF(width=8))
    figure.canvas.draw()
    frame = figure.bbox
    for text in figure.findobj(lambda a: hasattr(a, "get_text") and a.get_text()):
        box = text.get_window_extent()
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1, text


# Wide tables ------------------------------------------------------------------------------------------------


def test_widen_averages_seeds_before_it_resamples_pictures():
    rows = [(p, s, 10.0 * p + s) for p in (1, 2, 3) for s in (0, 2)]
    pictures = pd.DataFrame(rows, columns=["picture", "seed", "psnr"]).assign(test="paired", variant="full")
    row = widen(pictures, "variant").iloc[0]
    assert row["paired_psnr"] == pytest.approx(21.0)
    assert (
        row["paired_psnr_low"] >= 11.0 and row["paired_psnr_high"] <= 31.0
    )  # means over seeds, not single runs


def test_widen_leaves_out_what_no_picture_has():
    pictures = pd.DataFrame(
        {"picture": ["a"], "test": ["paired"], "method": ["m"], "psnr": [20.0], "cast": [np.nan]}
    )
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
