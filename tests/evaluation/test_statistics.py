"""Differences image by image, mean ranks, and cost of networks."""

import numpy as np
import pandas as pd
import pytest

from ssdie.evaluation.statistics import (
    bootstrap_interval,
    mean_ranks,
    network_costs,
    paired_differences,
    rank_methods,
)
from ssdie.evaluation.tables import format_report, summarise


@pytest.fixture
def pictures() -> pd.DataFrame:
    """Images of very different difficulty; method a is about 1 dB worse than ssdie on each, with more colour cast."""
    difficulty = np.random.default_rng(0).normal(20, 5, 40)
    names = [f"p{i}" for i in range(40)]
    ours = pd.DataFrame({"picture": names, "method": "ssdie", "psnr": difficulty, "cast": 5.0, "light": 50.0})
    other = ours.assign(method="a", psnr=difficulty - 1 + 0.1 * np.sin(difficulty), cast=7.0, light=60.0)
    return pd.concat([other, ours], ignore_index=True)


def test_differences_are_paired(pictures):
    """The interval of the difference is far narrower than that of the means."""
    table = paired_differences(pictures).set_index("metric")
    psnr = table.loc["psnr"]
    assert psnr["mean"] == pytest.approx(-1, abs=0.05) and psnr["high"] - psnr["low"] < 0.1
    low, _, high = bootstrap_interval(pictures["psnr"][:40].to_numpy())
    assert high - low > 2
    assert table["better"].to_dict() == {"psnr": "ssdie", "cast": "ssdie", "light": ""}
    assert set(table["count"]) == {40}


def test_differences_leave_out_images_without_a_value(pictures):
    pictures.loc[:4, "psnr"] = [np.nan, np.inf, 1, 2, 3]
    assert paired_differences(pictures).set_index("metric").loc["psnr", "count"] == 38
    with pytest.raises(ValueError, match="expected one of a, ssdie, got 'b'"):
        paired_differences(pictures, "b")


def test_ranks_follow_the_direction_and_share_ties():
    rows = [("p", "a", 20.0, 1.0, 5.0, 1.0), ("p", "b", 30.0, 2.0, 5.0, 2.0), ("p", "c", 25.0, 3.0, 9.0, 3.0)]
    table = mean_ranks(pd.DataFrame(rows, columns=["picture", "method", "psnr", "cast", "niqe", "light"]))
    assert table["method"].tolist() == ["b", "a", "c"]
    assert table["rank"].tolist() == pytest.approx([(1 + 2 + 1.5) / 3, (3 + 1 + 1.5) / 3, (2 + 3 + 3) / 3])
    assert set(table["metrics"]) == {3} and table["first"].tolist() == [1, 1, 0]


def test_a_metric_without_a_value_has_no_ranks():
    rows = [("p", "a", np.nan, 1.0), ("p", "b", np.nan, 2.0)]
    ranks = rank_methods(pd.DataFrame(rows, columns=["picture", "method", "psnr", "cast"]))
    assert list(ranks) == ["cast"] and ranks["cast"].tolist() == [1, 2]


def test_parameters_and_operations_of_networks_are_listed():
    costs = network_costs({"input": "input", "ssdie": "ssdie", "toenet": "toenet"}).set_index("method")
    assert list(costs.index) == ["ssdie", "toenet"]
    assert costs.loc["toenet", "parameters"] == 202_506 and np.isnan(costs.loc["toenet", "gflop"])
    assert costs.loc["ssdie", "parameters"] > 1e6 and costs.loc["ssdie", "gflop"] > 1


def test_the_report_has_means_differences_and_ranks(pictures):
    report = format_report(pictures, summarise(pictures))
    means, differences, ranks = (section.splitlines() for section in report.split("\n## ")[1:])
    assert [line.split(" [")[0] for line in means if line.startswith("| a ")] == ["| a | 18.71"]
    assert [line.split(" [")[0] for line in differences if line.startswith("| a ")] == ["| a | -0.99"]
    assert ranks[-2:] == ["| ssdie | 1 | 2 | 2 |", "| a | 2 | 2 | 0 |"]
    assert not any(line.startswith("| ssdie ") for line in differences)
    single = pictures[pictures["method"] == "a"]
    assert "rank" not in format_report(single, summarise(single))
