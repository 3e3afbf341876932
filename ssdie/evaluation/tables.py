"""Tables of results: mean and 95 % bootstrap interval of each metric, as CSV, Markdown and LaTeX."""

from pathlib import Path

import numpy as np
import pandas as pd

from ssdie.evaluation.metrics import METRICS
from ssdie.evaluation.statistics import bootstrap_interval, mean_ranks, paired_differences
from ssdie.utils.paths import atomic, write_text

ARROWS = {"higher": "↑", "lower": "↓", "": ""}
LATEX = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$"}
REFERENCE = "ssdie"  # the method that the others are compared with


def summarise(pictures: pd.DataFrame, bootstrap: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compute mean and 95 % percentile bootstrap interval over the images, for each method and metric.

    Args:
        pictures: a row per image and method; columns method and names of `METRICS`.
        bootstrap: number of resamples.
        seed: of the resampling; the same images are drawn for all methods.

    Returns:
        Columns method, metric, unit, direction, mean, low, high, count (images with a value), niqe_model.

    Example:
        >>> table = summarise(pd.DataFrame({"method": ["a"] * 4, "psnr": [20.0] * 4}))
        >>> table[["mean", "low", "high", "count"]].values.tolist()
        [[20.0, 20.0, 20.0, 4.0]]
    """
    rows = []
    for method, group in pictures.groupby("method", sort=False):
        for name in (name for name in METRICS if name in group):
            values = group[name].dropna().to_numpy()
            low, mean, high = bootstrap_interval(values, bootstrap, seed)
            metric = METRICS[name]
            row = {"method": method, "metric": name, "unit": metric.unit, "direction": metric.direction}
            rows.append({**row, "mean": mean, "low": low, "high": high, "count": len(values)})
    summary = pd.DataFrame(rows)
    if "niqe_model" in pictures:
        summary["niqe_model"] = pictures["niqe_model"].iloc[0]
    return summary


def format_table(summary: pd.DataFrame, style: str = "markdown") -> str:
    """Format a summary as a table with a row per method: mean [low, high].

    Args:
        summary: as returned by `summarise`, or by `ssdie.evaluation.statistics.paired_differences`.
        style: "markdown" or "latex" (needs the package booktabs).

    Example:
        >>> print(format_table(summarise(pd.DataFrame({"method": ["a", "a"], "psnr": [20.0, 20.0]}))))
        | method | PSNR dB ↑ |
        | --- | --- |
        | a | 20.00 [20.00, 20.00] |
    """
    cells = summary.set_index(["method", "metric"])
    table = pd.DataFrame({"method": summary["method"].unique()})
    for name in (name for name in METRICS if name in set(summary["metric"])):
        table[_heading(name, summary)] = [_cell(name, cells.loc[(method, name)]) for method in table["method"]]
    return format_latex(table, "l" + "r" * (table.shape[1] - 1)) if style == "latex" else format_markdown(table)


def _heading(name: str, summary: pd.DataFrame) -> str:
    """Title, pristine model of NIQE, unit and arrow."""
    metric = METRICS[name]
    model = f"({summary['niqe_model'].iloc[0]})" if name == "niqe" and "niqe_model" in summary else ""
    return " ".join(filter(None, (metric.title, model, metric.unit, ARROWS[metric.direction])))


def _cell(name: str, row: pd.Series, spread: float = np.nan) -> str:
    """Mean, spread over seeds where there is one, [low, high]; three decimals where values lie in [0, 1]."""
    digits = 3 if name in ("ssim", "dark_channel", "fade") else 2
    if np.isnan(row["mean"]):
        return "n/a"
    deviation = "" if np.isnan(spread) else f" ± {spread:.{digits}f}"
    return f"{row['mean']:.{digits}f}{deviation} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def format_report(
    pictures: pd.DataFrame,
    summary: pd.DataFrame,
    costs: pd.DataFrame | None = None,
    bootstrap: int = 2000,
    seed: int = 0,
) -> str:
    """Format a comparison as Markdown: means, differences to ssdie, mean ranks, cost of the networks.

    Args:
        pictures: a row per image and method.
        summary: as returned by `summarise`.
        costs: as returned by `ssdie.evaluation.statistics.network_costs`; left out if None or empty.
        bootstrap: number of resamples for the differences.
        seed: of the resampling.
    """
    parts = [("Mean and 95 % bootstrap interval", format_table(summary))]
    methods = list(pictures["method"].unique())
    if REFERENCE in methods and len(methods) > 1:
        differences = paired_differences(pictures, REFERENCE, bootstrap, seed)
        parts.append((f"Difference to {REFERENCE}, image by image", format_table(differences)))
    if len(methods) > 1:
        ranks = mean_ranks(pictures)[["method", "rank", "metrics", "first"]]
        parts.append(("Mean rank over all metrics with a direction", format_markdown(ranks)))
    if costs is not None and len(costs):
        parts.append(("Networks", format_markdown(costs)))
    head = f"# Comparison of {len(methods)} methods on {pictures['picture'].nunique()} images"
    return "\n\n".join([head, *(f"## {title}\n\n{table}" for title, table in parts)])


def write_tables(pictures: pd.DataFrame, summary: pd.DataFrame, folder: Path, report: str | None = None) -> None:
    """Write pictures.csv, summary.csv, summary.md and summary.tex, and the tables that compare methods, atomically.

    Args:
        pictures: a row per image and method.
        summary: as returned by `summarise`.
        folder: to write to; with several methods also ranks.csv (the mean rank and the rank on each metric), and with
            ssdie among them differences.csv.
        report: Markdown of summary.md; the table of `summary` if None.
    """
    tables = {"pictures": pictures, "summary": summary}
    methods = list(pictures["method"].unique())
    if len(methods) > 1:
        tables["ranks"] = mean_ranks(pictures)
        if REFERENCE in methods:
            tables["differences"] = paired_differences(pictures, REFERENCE)
    for name, table in tables.items():
        with atomic(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    write_text(folder / "summary.md", (report or format_table(summary)) + "\n")
    write_text(folder / "summary.tex", format_table(summary, "latex") + "\n")


# Wide tables: a row per method, columns TEST_METRIC, TEST_METRIC_low, TEST_METRIC_high ------------------


def describe_metric(column: str) -> str:
    """Return the title, unit, direction and test set of a column such as "paired_psnr".

    Example:
        >>> describe_metric("paired_psnr"), describe_metric("cast")
        ('PSNR dB ↑\\npaired', 'cast ↓')
    """
    test, _, name = column.rpartition("paired_")
    metric = METRICS[name]
    text = " ".join(filter(None, (metric.title, metric.unit, ARROWS[metric.direction])))
    return text + ("\n" + column.removesuffix(f"_{name}") if name != column else "")


def widen(pictures: pd.DataFrame, key: str = "method") -> pd.DataFrame:
    """Turn a row per image into a row per method, with columns TEST_METRIC, TEST_METRIC_low, TEST_METRIC_high.

    Args:
        pictures: columns picture, `key`, test, and names of `METRICS`; several rows for one image (seeds) are averaged
            before the images are resampled.
        key: column that identifies the rows of the result.
    """
    rows = {name: {key: name} for name in pictures[key].unique()}
    for test, part in pictures.groupby("test", sort=False):
        metrics = [m for m in METRICS if m in part and part[m].notna().any()]
        means = part.groupby([key, "picture"], sort=False)[metrics].mean().reset_index()
        for row in summarise(means.rename(columns={key: "method"})).itertuples():
            column = f"{test}_{row.metric}"
            rows[row.method] |= {column: row.mean, f"{column}_low": row.low, f"{column}_high": row.high}
    return pd.DataFrame(rows.values())


def lay_out(table: pd.DataFrame, key: str = "method") -> pd.DataFrame:
    """Format a wide table: a column per metric, "mean [low, high]"; "mean ± spread [low, high]" over seeds.

    Example:
        >>> row = {"method": "a", "paired_psnr": 20.0, "paired_psnr_low": 19.0, "paired_psnr_high": 21.0}
        >>> lay_out(pd.DataFrame([row])).loc["a"].to_dict()
        {'PSNR dB ↑ paired': '20.00 [19.00, 21.00]'}
    """
    laid_out = pd.DataFrame(index=pd.Index(table[key], name=key))
    for column in (c for c in table if f"{c}_low" in table):
        name = column.rpartition("paired_")[2]
        cells = table[[column, f"{column}_low", f"{column}_high"]].set_axis(["mean", "low", "high"], axis=1)
        spreads = table.get(f"{column}_spread", pd.Series(np.nan, table.index))
        laid_out[describe_metric(column).replace("\n", " ")] = [
            _cell(name, row, spread) for (_, row), spread in zip(cells.iterrows(), spreads, strict=True)
        ]
    return laid_out


# Markdown and LaTeX -------------------------------------------------------------------------------------


def format_markdown(table: pd.DataFrame) -> str:
    """Format a table in Markdown, floating-point numbers with three digits.

    Example:
        >>> print(format_markdown(pd.DataFrame({"method": ["a"], "seconds": [0.125]})))
        | method | seconds |
        | --- | --- |
        | a | 0.125 |
    """
    rows = [table.columns, ["---"] * table.shape[1], *table.map(_plain).itertuples(index=False)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def format_latex(table: pd.DataFrame, sides: str | None = None) -> str:
    """Format a table in LaTeX (needs the package booktabs).

    Args:
        table: with any columns; floating-point numbers get three digits.
        sides: alignment of the columns; by default text left and numbers right.

    Example:
        >>> print(format_latex(pd.DataFrame({"method": ["a_b"], "seconds": [0.125]})))
        \\begin{tabular}{lr}
        \\toprule
        method & seconds \\\\
        \\midrule
        a\\_b & 0.125 \\\\
        \\bottomrule
        \\end{tabular}
    """
    sides = sides or "".join("r" if pd.api.types.is_numeric_dtype(kind) else "l" for kind in table.dtypes)
    style = table.map(_plain).style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    latex = style.to_latex(hrules=True, column_format=sides).strip()
    for sign, command in LATEX.items():
        latex = latex.replace(sign, command)
    return latex


def _plain(value: object) -> str:
    """Text of a cell."""
    return ("n/a" if np.isnan(value) else f"{value:.3g}") if isinstance(value, float) else str(value)
