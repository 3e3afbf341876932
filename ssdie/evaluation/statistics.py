"""Statistics of a comparison: bootstrap intervals, differences image by image, mean ranks, cost of networks."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ssdie.evaluation.metrics import METRICS

PUBLISHED_PARAMETERS = {"toenet": 202_506}  # of networks that are compared by their outputs; Gao et al., TIM 2023


def bootstrap_interval(values: np.ndarray, bootstrap: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Compute the mean of some values and its 95 % percentile bootstrap interval.

    Args:
        values: (n,), one value for each image.
        bootstrap: number of resamples.
        seed: of the resampling.

    Returns:
        low, mean, high; all NaN if there are no values.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979.

    Example:
        >>> bootstrap_interval(np.array([2.0, 2.0]))
        (2.0, 2.0, 2.0)
    """
    if not len(values):
        return np.nan, np.nan, np.nan
    drawn = np.random.default_rng(seed).integers(len(values), size=(bootstrap, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975), method="nearest")
    return float(low), float(values.mean()), float(high)


def paired_differences(
    pictures: pd.DataFrame, reference: str = "ssdie", bootstrap: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Compute the mean difference of each method to a reference method, image by image, with its bootstrap interval.

    An interval of differences is narrower than the intervals of both means suggest, since a hard image is hard for
    every method.

    Args:
        pictures: a row per image and method; columns picture, method and names of `METRICS`.
        reference: method that is subtracted.
        bootstrap: number of resamples of the images.
        seed: of the resampling.

    Returns:
        A row per other method and metric: method, metric, mean, low, high, count (images on which both have a finite
        value), better (the method with the better mean if the interval excludes 0, otherwise "").

    Raises:
        ValueError: the reference is not one of the methods.

    Example:
        >>> rows = [("p", "ssdie", 20.0), ("q", "ssdie", 22.0), ("p", "a", 19.0), ("q", "a", 21.0)]
        >>> table = paired_differences(pd.DataFrame(rows, columns=["picture", "method", "psnr"]))
        >>> table[["method", "mean", "low", "high", "better"]].values.tolist()
        [['a', -1.0, -1.0, -1.0, 'ssdie']]
    """
    methods = pictures["method"].unique()
    if reference not in methods:
        raise ValueError(f"reference: expected one of {', '.join(methods)}, got {reference!r}. Evaluate it as well.")
    rows = []
    for name in (name for name in METRICS if name in pictures):
        table = pictures.groupby(["picture", "method"])[name].mean().unstack()
        for method in (method for method in methods if method != reference):
            with np.errstate(invalid="ignore"):
                gaps = (table[method] - table[reference]).to_numpy()
            gaps = gaps[np.isfinite(gaps)]
            low, mean, high = bootstrap_interval(gaps, bootstrap, seed)
            sign = {"higher": 1, "lower": -1, "": 0}[METRICS[name].direction]
            ends = sign * low, sign * high
            better = method if min(ends) > 0 else reference if max(ends) < 0 else ""
            row = {"method": method, "metric": name, "mean": mean, "low": low, "high": high}
            rows.append({**row, "count": len(gaps), "better": better})
    return pd.DataFrame(rows)


def rank_methods(pictures: pd.DataFrame) -> pd.DataFrame:
    """Rank the methods on each metric by their mean over the images; 1 is the best.

    Args:
        pictures: as for `paired_differences`; the method "input" is ranked like any other.

    Returns:
        A row per method (the index) and a column per metric that has a direction; ties share their mean rank.

    Example:
        >>> rows = [("p", "a", 20.0, 9.0), ("p", "b", 21.0, 9.0)]
        >>> rank_methods(pd.DataFrame(rows, columns=["picture", "method", "psnr", "cast"])).values.tolist()
        [[2.0, 1.5], [1.0, 1.5]]
    """
    names = [name for name in METRICS if name in pictures and METRICS[name].direction]
    means = pictures.groupby("method", sort=False)[names].mean().dropna(axis=1, how="all")
    return pd.DataFrame({name: means[name].rank(ascending=METRICS[name].direction == "lower") for name in means})


def mean_ranks(pictures: pd.DataFrame) -> pd.DataFrame:
    """Average the ranks of `rank_methods` over the metrics.

    Args:
        pictures: as for `paired_differences`.

    Returns:
        A row per method, the best first: method, rank (mean over the metrics), metrics (number of them), first (metrics
        on which the method is the best), and the ranks on the single metrics by their names.

    Example:
        >>> rows = [("p", "a", 20.0, 9.0), ("p", "b", 21.0, 9.0)]
        >>> mean_ranks(pd.DataFrame(rows, columns=["picture", "method", "psnr", "cast"])).values.tolist()
        [['b', 1.25, 2, 1, 1.0, 1.5], ['a', 1.75, 2, 0, 2.0, 1.5]]
    """
    ranks = rank_methods(pictures)
    first = (ranks == 1).sum(axis=1)
    table = pd.DataFrame({"rank": ranks.mean(axis=1), "metrics": ranks.count(axis=1), "first": first}).join(ranks)
    return table.sort_values("rank", kind="stable").rename_axis("method").reset_index()


def network_costs(methods: Mapping[str, str | Path]) -> pd.DataFrame:
    """Count parameters and floating-point operations of the networks among some methods.

    Args:
        methods: sources by name, as for `ssdie.evaluation.methods.resolve_methods`: "ssdie" or a file of weights;
            networks of which only outputs are known appear with their published number of parameters.

    Returns:
        A row per network: method, parameters, gflop (10^9 multiplications and additions for one photo of 4:3, whatever
        its size; NaN if only outputs are known).
    """
    rows = []
    for name, source in methods.items():
        if str(source) == "ssdie" or str(source).endswith(".safetensors"):
            from ssdie.enhancement.runtime import RELEASED
            from ssdie.networks.weights import load_weights

            network = load_weights(RELEASED if str(source) == "ssdie" else source)
            row = {"parameters": sum(p.numel() for p in network.parameters())}
            rows.append({"method": name, **row, "gflop": _count_photo(network)})
        elif name.lower() in PUBLISHED_PARAMETERS:
            rows.append({"method": name, "parameters": PUBLISHED_PARAMETERS[name.lower()], "gflop": np.nan})
    return pd.DataFrame(rows, columns=["method", "parameters", "gflop"])


def _count_photo(network: torch.nn.Module) -> float:
    """Count the floating-point operations of `ssdie.enhance` for a photo of 4:3, in 10^9."""
    from torch.utils.flop_counter import FlopCounterMode

    from ssdie.enhancement.photo import enhance

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        enhance(torch.rand(1, 3, 192, 256, generator=torch.Generator().manual_seed(0)), network)
    return counter.get_total_flops() / 1e9
