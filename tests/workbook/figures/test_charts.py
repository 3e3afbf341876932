"""Charts draw the values of their tables."""

import numpy as np
import pandas as pd
import torch
from figure_helpers import stay_inside, texts

from ssdie.workbook.figures.charts import plot_airlight, plot_curves, plot_intervals, plot_scores
from ssdie.workbook.figures.grids import PALETTE


def test_airlight_has_a_panel_for_each_group_and_a_point_for_each_colour():
    figure = plot_airlight({"real": torch.rand(5, 3), "drawn": torch.rand(7, 3)})
    assert [len(a.collections[0].get_offsets()) for a in figure.axes] == [5, 7]
    grey = plot_airlight({"grey": torch.full((1, 3), 0.5)}).axes[0].collections[0].get_offsets()
    assert np.abs(grey).max() < 0.1  # grey lies at the origin of a*b*


def test_curves_follow_the_order_of_the_paper_and_omit_other_columns():
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


def test_intervals_are_drawn_at_the_values_of_the_table():
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
    assert [19.0, 22.0] in lines and [17.5, 18.5] in lines  # the given intervals, not new estimates
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    points = {line.get_color(): x for line in dots for x in line.get_xdata() if np.isfinite(x)}
    assert points == {PALETTE[1]: 20.0, PALETTE[0]: 18.0}  # the marked row has the other colour
    assert axes.get_xlabel() == "PSNR dB ↑\npaired"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["full", "no Retinex"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # first row on top


def test_scores_show_their_numbers_and_reference_lines():
    table = pd.DataFrame({"recipe": ["measured"], "AUC": [0.71], "low": [0.6], "high": [0.8]})
    figure = plot_scores(table, "AUC", "recipe", (0, 1), {"target": 0.75})
    assert "0.71" in texts(figure) and "target" in texts(figure)
    axes = figure.axes[0]
    assert axes.get_xlim() == (0, 1) and axes.get_xlabel() == "AUC"
    assert [0.75, 0.75] in [list(line.get_xdata()) for line in axes.get_lines()]
    stay_inside(figure)


def test_a_row_without_a_value_stays_empty():
    columns = {"paired_psnr": [20.0, np.nan], "paired_psnr_low": [19.0, np.nan], "paired_psnr_high": [22.0, np.nan]}
    axes = plot_intervals(pd.DataFrame({"variant": ["full", "missing"], **columns}), ["paired_psnr"]).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["full", "missing"]
    assert {x for line in axes.get_lines() for x in line.get_xdata() if np.isfinite(x)} == {19.0, 20.0, 22.0}
