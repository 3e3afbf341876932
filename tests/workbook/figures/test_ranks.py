"""The chart of ranks, and the recorded tables that it draws."""

import pandas as pd
import pytest

from ssdie.evaluation.methods import METHODS
from ssdie.evaluation.metrics import METRICS
from ssdie.workbook.figures.grids import ORANGE
from ssdie.workbook.figures.ranks import plot_ranks
from ssdie.workbook.recorded import TESTS, read_recorded, read_recorded_ranks


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [("a", 2.5, 3, 2), ("ssdie", 1.5, 1, 2), ("b", 2, 2, 2)]
    return pd.DataFrame(rows, columns=["method", "rank", "psnr", "cast"])


def test_the_best_method_is_on_top_and_the_marked_one_stands_out(table):
    axes = plot_ranks({"pairs": table}, titles={"b": "B & C"}).axes[0]
    labels = axes.get_yticklabels()
    assert [label.get_text() for label in labels] == ["ssdie", "B & C", "a"]
    assert [label.get_color() == ORANGE for label in labels] == [True, False, False]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["mean rank", "PSNR", "cast"]
    assert [text.get_text() for text in axes.texts] == ["1.5", "1", "2", "2", "2", "2", "2.5", "3", "2"]


def test_each_test_has_its_panel_with_its_own_metrics(table):
    figure = plot_ranks({"pairs": table, "photos": table.drop(columns="psnr")})
    assert [len(axes.get_xticks()) for axes in figure.axes] == [3, 2]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["pairs", "photos"]


def test_a_table_without_ranks_is_refused(table):
    with pytest.raises(ValueError, match="pairs: expected a column of ranks .* got method, rank"):
        plot_ranks({"pairs": table[["method", "rank"]]})


def test_the_recorded_ranks_contain_every_method_and_metric():
    for title, ranks in read_recorded_ranks().items():
        paired = title == TESTS["synthetic"]
        expected = {n for n, m in METRICS.items() if m.direction and (paired or m.needs != "clear")}
        assert set(METHODS) | {"toenet"} == set(ranks["method"])
        assert expected == set(ranks) - {"method", "rank", "metrics", "first"}


def test_an_unknown_recorded_table_is_refused_with_a_list_of_tables():
    with pytest.raises(FileNotFoundError, match="^results/none: expected a table .* one of: .*ablations"):
        read_recorded("results/none")
