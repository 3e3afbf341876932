"""Charts of the notebooks and the paper: colours of dust, curves of training, means with intervals."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from skimage.color import rgb2lab

from ssdie.figures import BLUE, FAINT, INK, ORANGE, styled
from ssdie.tables import describe_metric

SUPERVISED = ("reconstruction", "perceptual", "style", "gradient")
TERMS = (*SUPERVISED, "consistency", "dark_channel", "retinex", "adversarial")  # in the order of the paper

# Distributions ----------------------------------------------------------------------------------------------


@styled
def plot_airlight(groups: Mapping[str, torch.Tensor]) -> Figure:
    """Scatter colours of dust in the a*b* plane of CIE Lab, each point in its own colour.

    Args:
        groups: (n, 3) RGB in [0, 1] by title, a panel each.
    """
    figure, panels = plt.subplots(
        1, len(groups), figsize=(7.2, 2.75), sharex=True, sharey=True, layout="constrained"
    )
    for axes, (title, colours) in zip(np.atleast_1d(panels), groups.items(), strict=True):
        rgb = torch.as_tensor(colours).clamp(0, 1).numpy()
        lab = rgb2lab(rgb[None])[0]
        axes.axhline(0, color="#b5bac2", lw=0.8, zorder=1)
        axes.axvline(0, color="#b5bac2", lw=0.8, zorder=1)
        axes.scatter(lab[:, 1], lab[:, 2], c=rgb, s=22, edgecolor="white", linewidth=0.4, zorder=2)
        axes.set(title=f"{title}  (n = {len(rgb)})", xlabel="a*  green to red", aspect="equal")
    np.atleast_1d(panels)[0].set_ylabel("b*  blue to yellow")
    return figure


@styled
def plot_scores(
    table: pd.DataFrame, value: str, name: str, limits: tuple[float, float], marks: Mapping[str, float]
) -> Figure:
    """Draw a point with its interval per row, and reference lines.

    Args:
        table: columns `name`, `value`, low and high.
        value, name: columns.
        limits: of the axis.
        marks: positions of dashed lines by what they mean.
    """
    figure, axes = plt.subplots(figsize=(7.2, 0.7 + 0.36 * len(table)), layout="constrained")
    for position, row in enumerate(table.to_dict("records")):
        axes.plot((row["low"], row["high"]), (position, position), color=BLUE, lw=2, solid_capstyle="round")
        axes.plot(row[value], position, "o", ms=6, color=BLUE, mec="white")
        axes.annotate(
            f"{row[value]:.2f}", (row[value], position), (0, 6), textcoords="offset points", ha="center"
        )
    for label, place in marks.items():
        axes.axvline(place, color=INK, lw=1, ls=(0, (4, 3)), zorder=0)
        style = {"textcoords": "offset points", "ha": "center", "fontsize": 8, "color": FAINT}
        axes.annotate(label, (place, 1), (0, 3), xycoords=("data", "axes fraction"), **style)
    axes.set(yticks=range(len(table)), yticklabels=table[name], xlim=limits, xlabel=value)
    axes.set_ylim(len(table) - 0.5, -0.7)
    axes.grid(axis="y", visible=False)
    return figure


# Curves and charts ------------------------------------------------------------------------------------------


@styled
def plot_curves(
    logs: Mapping[str, Sequence[Mapping[str, float]]], terms: Sequence[str] | None = None
) -> Figure:
    """Draw a panel for each term of the objective, a line for each run.

    Args:
        logs: rows of `log.csv` by the name of the run, as `ssdie.checkpoint.read_log` gives them.
        terms: columns to draw; None draws every one but step, learning rate and gradients' norms.
    """
    tables = {name: pd.DataFrame(rows) for name, rows in logs.items()}
    present = dict.fromkeys(column for table in tables.values() for column in table)
    hidden = [name for name in present if name in ("step", "learning_rate") or name.endswith("_gradient")]
    terms = [name for name in terms or present if name in present and name not in hidden]
    terms.sort(key=lambda name: TERMS.index(name) if name in TERMS else len(TERMS))
    columns = min(len(terms), 4)
    rows = -(-len(terms) // columns)
    size = (7.2, 1.75 * rows + 0.25)
    figure, panels = plt.subplots(
        rows, columns, figsize=size, squeeze=False, layout="constrained", sharex=True
    )
    colours = dict(zip(tables, (BLUE, ORANGE, *sns.color_palette("colorblind")[2:]), strict=False))
    for axes, term in zip(panels.flat, terms, strict=False):
        for name, table in tables.items():
            if term in table:
                shown = table[["step", term]].dropna()
                marker = "o" if len(shown) < 3 else None
                axes.plot(
                    shown["step"], shown[term], lw=1.4, ms=3, marker=marker, color=colours[name], label=name
                )
        axes.set_title(term.replace("_", " "))
        axes.margins(x=0.02)
        axes.yaxis.set_major_formatter("{x:.3g}")
    for axes in panels.flat[len(terms) :]:
        axes.set_axis_off()
    for axes in panels.T:
        last = [a for a in axes if a.axison][-1]
        last.set_xlabel("step")
        last.tick_params(labelbottom=True)
    if len(tables) > 1:
        handles = [Line2D([], [], color=colour, lw=1.4, label=name) for name, colour in colours.items()]
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure


@styled
def plot_intervals(
    table: pd.DataFrame,
    metrics: Sequence[str],
    name: str = "variant",
    marked: str | None = None,
    title: str = "",
) -> Figure:
    """Draw means with 95 % intervals, a row per variant and a panel per metric.

    Args:
        table: columns `name`, and for each metric METRIC, METRIC_low and METRIC_high.
        metrics: columns; the part after "paired_" or "unpaired_" is a name of `ssdie.metrics.METRICS`.
        name: column with the names of the rows.
        marked: row that the others are compared with.
        title: of the figure.
    """
    figure, panels = plt.subplots(
        1,
        len(metrics),
        figsize=(7.2, 0.9 + 0.24 * len(table)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    names, positions = list(table[name]), np.arange(len(table))
    for axes, column in zip(panels[0], metrics, strict=True):
        means = table[column].to_numpy(float)
        reach = np.abs(table[[f"{column}_low", f"{column}_high"]].to_numpy(float).T - means)
        for position, mean, around in zip(positions, means, reach.T, strict=True):
            colour = ORANGE if names[position] == marked else BLUE
            axes.errorbar(
                mean, position, xerr=around[:, None], fmt="o", ms=4.2, color=colour, elinewidth=1.4, capsize=0
            )
        if marked in names:
            axes.axvline(means[names.index(marked)], color=ORANGE, lw=1, ls=(0, (4, 3)), zorder=0)
        axes.set_xlabel(describe_metric(column))
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="y", visible=False)
    panels[0, 0].set(yticks=positions, yticklabels=names, ylim=(len(table) - 0.5, -0.5))
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    return figure
