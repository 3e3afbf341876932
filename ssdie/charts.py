"""Charts of the notebooks and the paper: colours of dust, curves of training, means with intervals."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from skimage.color import rgb2lab

from ssdie.figures import BLUE, FAINT, INK, ORANGE, styled
from ssdie.metrics import METRICS
from ssdie.tables import ARROWS

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
def plot_bars(
    table: pd.DataFrame, value: str, name: str, limits: tuple[float, float], marks: Mapping[str, float]
) -> Figure:
    """Draw a horizontal bar per row, with reference lines.

    Args:
        table: columns `name` and `value`.
        value, name: columns.
        limits: of the axis.
        marks: positions of dashed lines by what they mean.
    """
    figure, axes = plt.subplots(figsize=(7.2, 0.55 + 0.36 * len(table)), layout="constrained")
    positions = np.arange(len(table))
    axes.barh(positions, table[value] - limits[0], left=limits[0], color=BLUE, height=0.62)
    for position, number in zip(positions, table[value], strict=True):
        axes.annotate(
            f"{number:.2f}", (number, position), (4, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    for label, place in marks.items():
        axes.axvline(place, color=INK, lw=1, ls=(0, (4, 3)))
        axes.annotate(label, (place, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
                      ha="center", fontsize=8, color=FAINT)  # fmt: skip
    axes.set(
        yticks=positions, yticklabels=table[name], xlim=limits, xlabel=value, ylim=(len(table) - 0.5, -0.5)
    )
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
    figure, panels = plt.subplots(
        rows, columns, figsize=(7.2, 1.75 * rows + 0.25), squeeze=False, layout="constrained", sharex=True
    )
    for axes, term in zip(panels.flat, terms, strict=False):
        for name, table in tables.items():
            if term in table:
                shown = table[["step", term]].dropna()
                axes.plot(
                    shown["step"],
                    shown[term],
                    lw=1.4,
                    label=name,
                    marker="o" if len(shown) < 3 else None,
                    ms=3,
                )
        axes.set_title(term.replace("_", " "))
        axes.margins(x=0.02)
    for axes in panels.flat[len(terms) :]:
        axes.set_axis_off()
    for axes in panels.T:
        [a for a in axes if a.axison][-1].set_xlabel("step")
    if len(tables) > 1:
        handles = {line.get_label(): line for axes in panels.flat for line in axes.get_lines()}
        figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=len(handles))
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


def describe_metric(column: str) -> str:
    """Title, unit, direction and test of a column such as "paired_psnr".

    Example:
        >>> describe_metric("paired_psnr"), describe_metric("cast")
        ('PSNR dB ↑\\npaired', 'cast ↓')
    """
    test, _, name = column.rpartition("paired_")
    metric = METRICS[name]
    text = " ".join(filter(None, (metric.title, metric.unit, ARROWS[metric.direction][0])))
    return text + ("\n" + column.removesuffix(f"_{name}") if name != column else "")
