"""Tables: means, intervals, Markdown and LaTeX."""

import numpy as np
import pandas as pd
import pytest

from ssdie.evaluation.metrics import metric_table
from ssdie.evaluation.tables import format_markdown, format_table, lay_out, summarise
from ssdie.utils.paths import project_root


@pytest.fixture
def pictures() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"picture": [f"p{i}" for i in range(50)] * 2, "method": ["b"] * 50 + ["a"] * 50})
    table["psnr"] = rng.normal(20, 2, 100)
    table["saturated"] = rng.random(100)
    table["niqe_model"] = "ssdie"
    return table


def test_methods_keep_their_order(pictures):
    summary = summarise(pictures)
    assert summary["method"].tolist() == ["b", "b", "a", "a"]
    expected = pictures.groupby("method", sort=False)[["psnr", "saturated"]].mean().to_numpy().ravel()
    np.testing.assert_allclose(summary["mean"], expected)
    assert summary[["unit", "direction"]].iloc[0].tolist() == ["dB", "higher"]


def test_the_interval_is_that_of_the_mean(pictures):
    """For n normal values it is mean -+ 1.96 s / sqrt(n)."""
    row = summarise(pictures, bootstrap=20_000).iloc[0]
    values = pictures["psnr"][:50]
    half = 1.96 * values.std(ddof=0) / np.sqrt(50)
    assert row["low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert row["high"] == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_bootstrap_is_seeded(pictures):
    pd.testing.assert_frame_equal(summarise(pictures, seed=1), summarise(pictures, seed=1))
    assert summarise(pictures, seed=1)["low"][0] != summarise(pictures, seed=2)["low"][0]


def test_missing_values_are_left_out_and_counted(pictures):
    pictures.loc[:9, "psnr"] = np.nan
    pictures.loc[50:, "psnr"] = np.nan
    summary = summarise(pictures).set_index(["method", "metric"])
    assert summary.loc[("b", "psnr"), "count"] == 40
    assert summary.loc[("b", "psnr"), "mean"] == pytest.approx(pictures["psnr"][10:50].mean())
    assert summary.loc[("a", "psnr"), "count"] == 0
    assert "| a | n/a |" in format_table(summary.reset_index())


def test_one_image_and_equal_images_have_no_interval():
    summary = summarise(pd.DataFrame({"method": ["a", "b", "b"], "psnr": [20.0, np.inf, np.inf]}))
    assert summary[["low", "mean", "high"]].to_numpy().tolist() == [[20.0] * 3, [np.inf] * 3]


def test_the_heading_names_the_pristine_model():
    table = pd.DataFrame({"method": ["a"], "niqe": [4.0], "niqe_model": ["ssdie"]})
    assert format_table(summarise(table)).splitlines()[0] == "| method | NIQE (ssdie) ↓ |"


def test_latex_is_escaped_and_has_as_many_cells_as_columns(pictures):
    pictures["method"] = pictures["method"].replace("a", "gray_world")
    lines = format_table(summarise(pictures), "latex").splitlines()
    assert lines[0] == r"\begin{tabular}{lrr}" and lines[-1] == r"\end{tabular}"
    body = [line for line in lines if line.endswith(r" \\")]
    assert len(body) == 3 and all(line.count(" & ") == 2 for line in body)
    assert body[0].count(r"\%") == 1 and body[2].startswith(r"gray\_world & ")
    assert "↑" not in "".join(lines)


def test_the_spread_over_seeds_follows_the_mean():
    row = {"variant": "a", "paired_ssim": 0.8, "paired_ssim_low": 0.7, "paired_ssim_high": 0.9}
    table = pd.DataFrame([{**row, "paired_ssim_spread": 0.0125}, {**row, "variant": "b", "paired_ssim_spread": np.nan}])
    cells = lay_out(table, "variant")["SSIM ↑ paired"]
    assert cells.tolist() == ["0.800 ± 0.013 [0.700, 0.900]", "0.800 [0.700, 0.900]"]


def test_the_documentation_holds_the_table_of_all_metrics():
    assert format_markdown(metric_table()) in (project_root() / "docs" / "peers.md").read_text(encoding="utf-8")
