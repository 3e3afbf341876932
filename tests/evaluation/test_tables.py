"""Tables: means, intervals, Markdown and LaTeX."""

import numpy as np
import pandas as pd
import pytest

from ssdie.evaluation.metrics import metric_table
from ssdie.evaluation.tables import (
    describe_metric,
    format_latex,
    format_markdown,
    format_table,
    lay_out,
    summarise,
    widen,
)
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


def test_the_interval_is_the_confidence_interval_of_the_mean(pictures):
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


def test_the_documentation_contains_the_table_of_all_metrics():
    assert format_markdown(metric_table()) in (project_root() / "docs" / "peers.md").read_text(encoding="utf-8")


def test_widen_averages_seeds_before_it_resamples_pictures():
    rows = [(p, s, 10.0 * p + s) for p in (1, 2, 3) for s in (0, 2)]
    pictures = pd.DataFrame(rows, columns=["picture", "seed", "psnr"]).assign(test="paired", variant="full")
    row = widen(pictures, "variant").iloc[0]
    assert row["paired_psnr"] == pytest.approx(21.0)
    assert row["paired_psnr_low"] >= 11.0 and row["paired_psnr_high"] <= 31.0  # means over seeds, not single runs


def test_widen_omits_metrics_without_values():
    pictures = pd.DataFrame({"picture": ["a"], "test": ["paired"], "method": ["m"], "psnr": [20.0], "cast": [np.nan]})
    assert [c for c in widen(pictures) if "cast" in c] == []


def test_lay_out_joins_mean_and_interval():
    table = pd.DataFrame(
        {"method": ["m"], "unpaired_cast": [7.0], "unpaired_cast_low": [6.0], "unpaired_cast_high": [8.0]}
    )
    assert lay_out(table).loc["m", "cast ↓ unpaired"] == "7.00 [6.00, 8.00]"
    assert describe_metric("unpaired_cast") == "cast ↓\nunpaired"


def test_latex_special_characters_are_escaped():
    latex = format_latex(pd.DataFrame({"a_b": ["50 %"], "n": [1]}))
    assert r"a\_b & n \\" in latex and r"50 \% & 1 \\" in latex
