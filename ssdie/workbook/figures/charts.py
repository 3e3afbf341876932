"""Charts of the notebooks and the paper: airlight colours, training curves, means with confidence intervals."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from skimage.color import rgb2lab

from ssdie.evaluation.tables import describe_metric
from ssdie.workbook.figures.grids import BLUE, COLUMN, FAINT, INK, ORANGE, PAGE, PALETTE, styled

SUPERVISED = ("reconstruction", "perceptual", "style", "gradient")
TERMS = (*SUPERVISED, "consistency", "dark_channel", "retinex", "adversarial")  # in the paper's order


# Distributions ----------------------------------------------------------------------------------------------


@styled
def plot_airlight(groups: Mapping[str, torch.Tensor], width: float = PAGE) -> Figure:
    """Scatter airlight colours in the a*b* plane of CIE Lab, each point in its own colour.

    Args:
        groups: colours (n, 3), RGB in [0, 1], by title; one panel each.
        width: width of the figure, inches.
    """
    figure, panels = plt.subplots(
        1, len(groups), figsize=(width, 2.75), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axes, (title, colors) in zip(panels[0], groups.items(), strict=True):
        rgb = torch.as_tensor(colors).clamp(0, 1).numpy()
        lab = rgb2lab(rgb[None])[0]
        axes.axhline(0, color="#b5bac2", lw=0.8, zorder=1)
        axes.axvline(0, color="#b5bac2", lw=0.8, zorder=1)
        axes.scatter(lab[:, 1], lab[:, 2], c=rgb, s=22, edgecolor="white", linewidth=0.4, zorder=2)
        axes.set(title=f"{title}\n(n = {len(rgb)})", xlabel="a*  green to red", aspect="equal")
    panels[0, 0].set_ylabel("b*  blue to yellow")
    return figure


@styled
def plot_scores(
    table: pd.DataFrame,
    value: str,
    name: str,
    limits: tuple[float, float],
    marks: Mapping[str, float],
    width: float = PAGE,
) -> Figure:
    """Draw one value with its interval per row, and dashed reference lines.

    Args:
        table: columns `name`, `value`, low and high.
        value, name: columns of the values and of the row labels.
        limits: limits of the horizontal axis.
        marks: positions of the reference lines by label.
        width: width of the figure, inches.
    """
    figure, axes = plt.subplots(figsize=(width, 0.7 + 0.36 * len(table)), layout="constrained")
    draw_means(axes, table, value, ("low", "high"), name)
    for position, mean in enumerate(table[value]):
        above = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center"}
        axes.annotate(f"{mean:.2f}", (mean, position), **above)
    for label, place in marks.items():
        axes.axvline(place, color=INK, lw=1, ls=(0, (4, 3)), zorder=0)
        style = {"textcoords": "offset points", "ha": "center", "fontsize": 8, "color": FAINT}
        axes.annotate(label, (place, 1), (0, 3), xycoords=("data", "axes fraction"), **style)
    axes.set(xlim=limits, xlabel=value, ylim=(len(table) - 0.5, -0.7))
    return figure


def draw_means(
    axes: Axes,
    table: pd.DataFrame,
    value: str,
    ends: tuple[str, str],
    name: str,
    marked: str | None = None,
) -> None:
    """Draw means and intervals from a table, one row each, the first on top.

    Args:
        axes: axes to draw on.
        table: columns `value`, `ends` (both ends of the interval) and `name`; rows without a value stay empty.
        value, ends, name: names of the columns.
        marked: name of a row that is drawn in another colour.
    """
    # seaborn computes estimates from samples: for the samples low, mean and high, the median is the mean and the
    # percentile interval of 100 % is the given interval
    samples = table.melt(name, [ends[0], value, ends[1]], value_name="sample")
    colors = {row: ORANGE if row == marked else BLUE for row in table[name]}
    sns.pointplot(
        samples, x="sample", y=name, hue=name, palette=colors, order=list(table[name]), legend=False, ax=axes,
        estimator="median", errorbar=("pi", 100), ls="none", markersize=4.5, err_kws={"linewidth": 1.4},
    )  # fmt: skip
    axes.grid(axis="y", visible=False)
    axes.set_ylabel("")


# Curves and charts ------------------------------------------------------------------------------------------


@styled
def plot_curves(
    logs: Mapping[str, Sequence[Mapping[str, float]]],
    terms: Sequence[str] | None = None,
    width: float = PAGE,
) -> Figure:
    """Draw training curves: a panel for each term of the objective, a line for each run.

    Args:
        logs: rows of `log.csv` by name of the run, as returned by `ssdie.training.log.read_log`.
        terms: columns to draw; None draws all except step, learning rate and gradient norms.
        width: width of a figure with more than one panel, inches; a single panel is at most one column wide.
    """
    table = pd.concat([pd.DataFrame(rows).assign(run=name) for name, rows in logs.items()], ignore_index=True)
    hidden = [name for name in table if name in ("step", "learning_rate", "run") or name.endswith("_gradient")]
    terms = [name for name in terms or table if name in table and name not in hidden]
    terms.sort(key=lambda name: TERMS.index(name) if name in TERMS else len(TERMS))
    columns = min(len(terms), max(1, int(width / 1.7)))
    rows = -(-len(terms) // columns)
    size = (width if columns > 1 else min(width, COLUMN), 1.75 * rows + 0.25)
    figure, panels = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", sharex=True)
    colors = dict(zip(logs, PALETTE, strict=False))
    for axes, term in zip(panels.flat, terms, strict=False):
        shown = table[["step", term, "run"]].dropna()
        marker = {"marker": "o", "markeredgewidth": 0} if len(shown) < 3 else {}
        sns.lineplot(shown, x="step", y=term, hue="run", palette=colors, errorbar=None, legend=False, ax=axes, **marker)
        axes.set(title=term.replace("_", " "), xlabel="", ylabel="")
        axes.margins(x=0.02)
        axes.locator_params(axis="x", integer=True)
        axes.yaxis.set_major_formatter("{x:.3g}")
    for axes in panels.flat[len(terms) :]:
        axes.set_axis_off()
    for axes in panels.T:
        last = [a for a in axes if a.axison][-1]
        last.set_xlabel("step")
        last.tick_params(labelbottom=True)
    if len(logs) > 1:
        handles = [Line2D([], [], color=color, label=name) for name, color in colors.items()]
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure


@styled
def plot_intervals(
    table: pd.DataFrame,
    metrics: Sequence[str],
    name: str = "variant",
    marked: str | None = None,
    title: str = "",
    width: float = PAGE,
) -> Figure:
    """Draw means with 95 % confidence intervals: a row per variant, a panel per metric.

    Args:
        table: column `name`, and for each metric the columns METRIC, METRIC_low and METRIC_high.
        metrics: columns; after ``paired_`` or ``unpaired_`` follows a name of `ssdie.evaluation.metrics.METRICS`.
        name: column with the row labels.
        marked: row with which the others are compared; drawn in another colour, with a dashed line at its mean.
        title: title of the figure.
        width: width of the figure, inches.
    """
    size = (width, 0.9 + 0.24 * len(table))
    figure, panels = plt.subplots(1, len(metrics), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axes, column in zip(panels[0], metrics, strict=True):
        draw_means(axes, table, column, (f"{column}_low", f"{column}_high"), name, marked)
        if marked in set(table[name]):
            mean = table.loc[table[name] == marked, column].item()
            axes.axvline(mean, color=ORANGE, lw=1, ls=(0, (4, 3)), zorder=0)
        axes.set_xlabel(describe_metric(column))
        axes.locator_params(axis="x", nbins=4)
    panels[0, 0].set_ylim(len(table) - 0.5, -0.5)
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure
