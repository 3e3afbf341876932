"""Images side by side: cropped, placed and titled."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from figure_helpers import ramp

from ssdie.workbook.figures.grids import add_credits, crop_to_fill, plot_grid, plot_maps, plot_pictures


@pytest.mark.parametrize("size", [(40, 80), (80, 40), (7, 9), (60, 60)])
def test_crop_to_fill_gives_the_size_and_keeps_the_centre(size):
    picture = crop_to_fill(ramp(*size), (30, 30))
    assert picture.shape == (3, 30, 30)
    assert picture.mean().item() == pytest.approx(0.5, abs=0.03)


def test_crop_to_fill_keeps_the_aspect_ratio():
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


def test_maps_show_log2_of_the_gain_around_zero():
    gain = torch.full((3, 8, 8), 4.0)
    figure = plot_maps(ramp(8, 8), gain, 0 * gain, ramp(8, 8))
    drawn = next(a for a in figure.axes if "gain" in a.get_title()).images[0]
    assert np.allclose(drawn.get_array(), 2) and drawn.get_clim()[0] == -drawn.get_clim()[1]


def test_figures_are_not_registered_with_pyplot():
    before = plt.get_fignums()
    plot_grid([{"dusty": ramp(4, 4)}])
    assert plt.get_fignums() == before


def test_credits_are_written_once_below_pictures_of_unchanged_size():
    figure = plot_grid([{"one": ramp(20, 30), "two": ramp(20, 30)}])
    before, (width, height) = [axes.get_window_extent() for axes in figure.axes], figure.get_size_inches()
    assert add_credits(figure, []).get_size_inches().tolist() == [width, height]
    long = "A view of a valley. " * 20
    assert add_credits(figure, ["Ada, CC BY 4.0", "Ada, CC BY 4.0", long]) is figure
    after = [axes.get_window_extent() for axes in figure.axes]
    (text,) = figure.texts
    extent = text.get_window_extent()
    assert text.get_text().count("Ada, CC BY 4.0") == 1 and text.get_text().replace("\n", " ").count("valley") == 20
    assert extent.x0 >= 0 and extent.x1 <= figure.bbox.x1 and extent.y0 >= 0 and extent.y1 < min(e.y0 for e in after)
    for one, two in zip(before, after, strict=True):
        assert (two.width, two.height) == pytest.approx((one.width, one.height))
    assert figure.get_size_inches()[0] == width
