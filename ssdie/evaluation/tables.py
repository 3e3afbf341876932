"""Tables of results: mean and 95 % bootstrap interval of each metric, as CSV, Markdown and LaTeX."""

from pathlib import Path

import numpy as np
import pandas as pd

from ssdie.evaluation.metrics import METRICS
from ssdie.utils.paths import atomic

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


def _cell(name: str, row: pd.Series, spread: float = np.nan) -> str:
    """Mean, spread over seeds where there is one, [low, high]; three decimals where values lie in [0, 1]."""
    digits = 3 if name in ("ssim", "dark_channel") else 2
    if np.isnan(row["mean"]):
        return "n/a"
    told = "" if np.isnan(spread) else f" ± {spread:.{digits}f}"
    return f"{row['mean']:.{digits}f}{told} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def write_tables(pictures: pd.DataFrame, summary: pd.DataFrame, folder: Path) -> None:
    """Write pictures.csv, summary.csv, summary.md and summary.tex, each whole or not at all."""
    for name, table in (("pictures.csv", pictures), ("summary.csv", summary)):
        with atomic(folder / name) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    for name, style in (("summary.md", "markdown"), ("summary.tex", "latex")):
        with atomic(folder / name) as temporary:
            temporary.write_text(format_table(summary, style) + "\n", encoding="utf-8")


# Wide tables: a row per method, columns TEST_METRIC, TEST_METRIC_low, TEST_METRIC_high ------------------


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


def widen(pictures: pd.DataFrame, key: str = "method") -> pd.DataFrame:
    """Turn rows per picture into a row per method: TEST_METRIC, TEST_METRIC_low, TEST_METRIC_high.

    Args:
        pictures: columns picture, `key`, test, and names of `METRICS`; several rows for one picture (seeds)
            are averaged before the pictures are resampled.
        key: column that tells the rows of the result.
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
    """Make a wide table readable: a column per metric, "mean [low, high]"; "mean ± spread [low, high]" over seeds.

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


def format_latex(table: pd.DataFrame) -> str:
    """Lay out any small table in LaTeX (needs the package booktabs): text left, numbers right.

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
    sides = "".join("r" if pd.api.types.is_numeric_dtype(kind) else "l" for kind in table.dtypes)
    cells = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row] for row in table.itertuples(index=False)]
    lines = [
        " & ".join(map(str, row)).replace("%", r"\%").replace("_", r"\_") + r" \\" for row in (table.columns, *cells)
    ]
    head, *body = lines
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{sides}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def write_text(path: str | Path, text: str) -> None:
    """Write a table's text, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text.rstrip() + "\n", encoding="utf-8")
