"""Tables of results: mean and 95 % bootstrap interval of each metric, as CSV, Markdown and LaTeX."""

from pathlib import Path

import numpy as np
import pandas as pd

from ssdie.metrics import METRICS
from ssdie.paths import atomic

ARROWS = {"higher": ("↑", r"$\uparrow$"), "lower": ("↓", r"$\downarrow$")}


def summarise(pictures: pd.DataFrame, bootstrap: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Mean and 95 % percentile bootstrap interval over the pictures, for each method and metric.

    Args:
        pictures: a row per picture and method, columns method and names of `METRICS`.
        bootstrap: number of resamples.
        seed: of the resampling; all methods see the same pictures drawn.

    Returns:
        Columns method, metric, unit, direction, mean, low, high, count (pictures with a value), niqe_model.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979.

    Example:
        >>> table = summarise(pd.DataFrame({"method": ["a"] * 4, "psnr": [20.0] * 4}))
        >>> table[["mean", "low", "high", "count"]].values.tolist()
        [[20.0, 20.0, 20.0, 4.0]]
    """
    rows = []
    for method, group in pictures.groupby("method", sort=False):
        for name in (name for name in METRICS if name in group):
            values = group[name].dropna().to_numpy()
            low, mean, high = _interval(values, bootstrap, seed) if len(values) else (np.nan,) * 3
            metric = METRICS[name]
            row = {"method": method, "metric": name, "unit": metric.unit, "direction": metric.direction}
            rows.append({**row, "mean": mean, "low": low, "high": high, "count": len(values)})
    summary = pd.DataFrame(rows)
    if "niqe_model" in pictures:
        summary["niqe_model"] = pictures["niqe_model"].iloc[0]
    return summary


def _interval(values: np.ndarray, bootstrap: int, seed: int) -> tuple[float, float, float]:
    """2.5 % quantile of the resampled means, the mean, 97.5 % quantile."""
    drawn = np.random.default_rng(seed).integers(len(values), size=(bootstrap, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975), method="nearest")
    return low, values.mean(), high


def format_table(summary: pd.DataFrame, style: str = "markdown") -> str:
    """Lay out a summary as a table, a row per method: mean [low, high].

    Args:
        summary: as `summarise` gives it.
        style: "markdown" or "latex" (needs the package booktabs).

    Example:
        >>> print(format_table(summarise(pd.DataFrame({"method": ["a", "a"], "psnr": [20.0, 20.0]}))))
        | method | PSNR dB ↑ |
        | --- | --- |
        | a | 20.00 [20.00, 20.00] |
    """
    latex = style == "latex"
    names = [name for name in METRICS if name in set(summary["metric"])]
    head = ["method", *(_heading(name, summary, latex) for name in names)]
    cells = summary.set_index(["method", "metric"])
    body = [[m, *(_cell(n, cells.loc[(m, n)]) for n in names)] for m in summary["method"].unique()]
    if not latex:
        lines = [head, ["---"] * len(head), *body]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    lines = [" & ".join(line).replace("%", r"\%").replace("_", r"\_") + r" \\" for line in (head, *body)]
    lines = [rf"\begin{{tabular}}{{l{'r' * len(names)}}}", r"\toprule", lines[0], r"\midrule", *lines[1:]]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _heading(name: str, summary: pd.DataFrame, latex: bool) -> str:
    """Title, pristine model of NIQE, unit and arrow."""
    metric = METRICS[name]
    model = f"({summary['niqe_model'].iloc[0]})" if name == "niqe" and "niqe_model" in summary else ""
    return " ".join(filter(None, (metric.title, model, metric.unit, ARROWS[metric.direction][latex])))


def _cell(name: str, row: pd.Series) -> str:
    """Mean [low, high]; three decimals where values lie in [0, 1]."""
    digits = 3 if name in ("ssim", "dark_channel") else 2
    if np.isnan(row["mean"]):
        return "n/a"
    return f"{row['mean']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def write_tables(pictures: pd.DataFrame, summary: pd.DataFrame, folder: Path) -> None:
    """Write pictures.csv, summary.csv, summary.md and summary.tex, each whole or not at all."""
    for name, table in (("pictures.csv", pictures), ("summary.csv", summary)):
        with atomic(folder / name) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    for name, style in (("summary.md", "markdown"), ("summary.tex", "latex")):
        with atomic(folder / name) as temporary:
            temporary.write_text(format_table(summary, style) + "\n", encoding="utf-8")
