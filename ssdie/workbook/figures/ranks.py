"""Chart of ranks: which method is best on which metric."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from ssdie.evaluation.metrics import METRICS
from ssdie.workbook.figures.grids import ORANGE, PAGE, styled


@styled
def plot_ranks(
    tables: Mapping[str, pd.DataFrame],
    marked: str = "ssdie",
    titles: Mapping[str, str] | None = None,
    width: float = PAGE,
) -> Figure:
    """Draw the rank of each method on each metric as a colored cell, a panel per test, the best method on top.

    Args:
        tables: by title of the test; columns method, rank (mean over the metrics), and for each metric the rank, as
            `ssdie.evaluation.tables.write_tables` writes ranks.csv.
        marked: method whose name is drawn in another color.
        titles: names to show for methods; others are shown with spaces for underscores.
        width: of the figure; inches.

    Raises:
        ValueError: a table has no column of a metric.
    """
    panels = {title: _rank_matrix(title, table) for title, table in tables.items()}
    heights = [len(matrix) for matrix in panels.values()]
    size = (width, sum(0.2 * rows + 0.75 for rows in heights))
    figure, grid = plt.subplots(
        len(panels), 1, figsize=size, squeeze=False, layout="constrained", height_ratios=heights
    )
    for axes, (title, matrix) in zip(grid[:, 0], panels.items(), strict=True):
        sns.heatmap(
            matrix, ax=axes, cmap="RdYlBu_r", vmin=1, vmax=len(matrix), annot=True, fmt=".3g", cbar=False,
            linewidths=0.6, annot_kws={"size": 6.5},
        )  # fmt: skip
        axes.set(xlabel="", ylabel="", title=title)
        names = [(titles or {}).get(method, method.replace("_", " ")) for method in matrix.index]
        axes.set_yticks(axes.get_yticks(), names, rotation=0)
        axes.set_xticks(axes.get_xticks(), matrix.columns, rotation=35, ha="right", rotation_mode="anchor")
        axes.tick_params(length=0)
        for label, method in zip(axes.get_yticklabels(), matrix.index, strict=True):
            label.set(color=ORANGE if method == marked else label.get_color())
            label.set_fontweight("bold" if method == marked else "normal")
    return figure


def _rank_matrix(title: str, table: pd.DataFrame) -> pd.DataFrame:
    """Sort a table of ranks by the mean rank; the columns get the titles of their metrics."""
    names = [name for name in METRICS if name in table]
    if not names:
        raise ValueError(
            f"{title}: expected a column of ranks for one metric at least, got {', '.join(table.columns)}."
        )
    matrix = table.sort_values("rank", kind="stable").set_index("method")[["rank", *names]]
    return matrix.rename(columns={"rank": "mean rank"} | {name: METRICS[name].title for name in names})
