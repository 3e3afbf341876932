"""The ablation study: what each variant changes, training under one budget, and the table of notebook 04."""

import dataclasses
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ssdie.evaluation.metrics import METRICS
from ssdie.evaluation.tables import widen
from ssdie.losses import LossWeights
from ssdie.training.checkpoint import load_checkpoint
from ssdie.training.config import TrainConfig
from ssdie.utils.paths import shorten
from ssdie.utils.provenance import describe_other_code
from ssdie.workbook.comparison import compare_on_test_sets
from ssdie.workbook.session import follow, with_config_hash, write_table

WEIGHTS_FILE = "generator.safetensors"  # written when a run ends
PLAIN = "supervised only"
# what differs from the full method: settings of `TrainConfig`; in `weights` and `options` those that are named
VARIANTS = {
    PLAIN: {"stage": "supervised"},
    "full": {},
    "no consistency": {"weights": {"consistency": 0.0}},
    "no dark channel": {"weights": {"dark_channel": 0.0}},
    "no Retinex": {"weights": {"retinex": 0.0}},
    "no adversarial": {"weights": {"adversarial": 0.0}},
    "pseudo-label alone": {"weights": {"consistency": 0.0, "dark_channel": 0.0, "adversarial": 0.0}},
    "published pseudo-label": {"pseudo_label": "exchanged"},
    "Retinex pseudo-label": {"pseudo_label": "retinex_joint"},
    "mean teacher": {"pseudo_label": "teacher"},
    "dark channel of each colour": {"dark_channel": "each"},
    "U-Net generator": {"generator": "unet", "options": {}},
    "patch generator": {"generator": "patch", "options": {}},
    "tanh head": {"options": {"head": "tanh", "smooth": 0}},
    "scattering head": {"options": {"head": "scattering"}},
    "no smooth maps": {"options": {"smooth": 0}},
    "smooth maps": {"options": {"head": "scattering", "smooth": 2}},
    "no context": {"options": {"context": 0}},
    "context": {"options": {"context": 3}},
    "reference recipe": {"recipe": "reference"},
    "scattering recipe": {"recipe": "scattering"},
    "measured recipe": {"recipe": "measured"},
}
DEFAULTS = {"head": "tanh", "context": 0, "smooth": 0}  # of MSFF


def vary(base: TrainConfig, variant: str, width: int = 64) -> TrainConfig:
    """Give the settings of a variant.

    Args:
        base: of the full method.
        variant: one of `VARIANTS`.
        width: channels of the first level of U-Net and patch generator.

    Raises:
        ValueError: there is no such variant.

    Example:
        >>> full = TrainConfig("semi-supervised", "run")
        >>> vary(full, "no Retinex").weights.retinex, vary(full, "supervised only").stage
        (0.0, 'supervised')
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant: expected one of {', '.join(VARIANTS)}, got {variant!r}.")
    changes = dict(VARIANTS[variant])
    if "weights" in changes:
        changes["weights"] = dataclasses.replace(base.weights, **changes["weights"])
    if "generator" in changes:
        levels = min(8, base.size.bit_length() - 1)  # more would need crops to be padded
        changes["options"] = {"width": width} | ({"levels": levels} if changes["generator"] == "unet" else {})
    elif "options" in changes:
        changes["options"] = DEFAULTS | base.options | changes["options"]
    return dataclasses.replace(base, **changes)


def list_variants(base: TrainConfig) -> list[str]:
    """Name the variants that differ from the full method: one of the heads is its own, and so on."""
    base = dataclasses.replace(base, options=DEFAULTS | base.options)
    return [name for name in VARIANTS if name == "full" or vary(base, name) != base]


def train_variant(base: TrainConfig, variant: str, warmup: int, width: int = 64) -> Path:
    """Train a variant, unless that was done: `warmup` supervised steps, then `base.steps` of its own stage.

    Without a warm-up, variants start from the weights `base.init`: fine-tuning of weights that are there.

    Args:
        base: of the full method; `run` is the folder that holds all variants.
        variant: one of `VARIANTS`; those that share a warm-up share the run.
        warmup: steps of stage 1.
        width: as for `vary`.

    Returns:
        The averaged generator's weights.
    """
    varied = vary(base, variant, width)
    generator = dataclasses.asdict(varied)["generator"]
    init = base.init
    if warmup:
        first = dataclasses.replace(
            varied, stage="supervised", run=base.run / f"warmup_{generator}", steps=warmup,
            dark_channel_net=None, weights=base.weights, pseudo_label=base.pseudo_label,
        )  # fmt: skip
        init = finish_run(first)
    name = f"{variant}_{base.seed}".lower().replace(" ", "_").replace("-", "_")
    dark_channel_net = None if varied.stage == "supervised" else _dark_channel_net_of(base, varied.dark_channel)
    return finish_run(dataclasses.replace(varied, run=base.run / name, init=init, dark_channel_net=dark_channel_net))


def _dark_channel_net_of(base: TrainConfig, kind: str) -> Path | None:
    """The dc-Net of `base`, or one that was trained as it was for another kind of dark channel."""
    settings = load_checkpoint(base.dark_channel_net)["config"] if base.dark_channel_net else {"dark_channel": kind}
    if settings["dark_channel"] == kind:
        return base.dark_channel_net
    settings["weights"] = LossWeights(**settings["weights"])
    config = TrainConfig(**settings | {"run": base.run / f"judge_{kind}", "dark_channel": kind})
    config = with_config_hash(config)
    deque(follow(config, leave=False), maxlen=0)
    return config.run / "checkpoint.pt"


def finish_run(config: TrainConfig) -> Path:
    """Train to the end in the settings' own folder, or find that this was done; give the weights."""
    config = with_config_hash(config)
    weights = config.run / WEIGHTS_FILE
    if not weights.is_file():
        deque(follow(config, leave=False), maxlen=0)
    elif describe_other_code(config.run):
        warnings.warn(describe_other_code(config.run), stacklevel=2)
    return weights


def study(
    base: TrainConfig, variants: Sequence[str], seeds: Sequence[int], warmup: int, width: int = 64, **test
) -> Iterator[pd.DataFrame]:
    """Train and judge variants; yield the table after each, written as `ablations.csv` beside the runs.

    Args:
        base: of the full method; its seed is replaced.
        variants: names in `VARIANTS`.
        seeds: one training each.
        warmup, width: as for `train_variant`.
        **test: for `ssdie.workbook.comparison.compare_on_test_sets`.

    Writes `differences.csv` too, where "supervised only" is one of the variants, see `subtract`.

    Yields:
        A row per variant: variant, seeds, steps, means with 95 % intervals over pictures (each the mean over
        seeds), TEST_METRIC_spread, the standard deviation over seeds, and weights, those of the first seed.
    """
    done: list[pd.DataFrame] = []
    files: dict[str, str] = {}
    for variant in variants:
        for seed in seeds:
            weights = train_variant(dataclasses.replace(base, seed=seed), variant, warmup, width)
            done.append(_compare_once(weights, variant, seed, test))
            files.setdefault(variant, shorten(weights))
        pictures = pd.concat(done)
        if PLAIN in variants:
            differences = widen(subtract(pictures, PLAIN), "variant")
            write_table(base.run / "differences.csv", differences)
        table = tabulate(pictures, warmup + base.steps)
        yield write_table(base.run / "ablations.csv", table.assign(weights=table["variant"].map(files)))


def _compare_once(weights: Path, variant: str, seed: int, test: Mapping) -> pd.DataFrame:
    """Rows per picture, measured anew only where the test is another."""
    kept = weights.with_name(f"pictures_{test.get('limit', 0)}_{test.get('long_side', 640)}.csv")
    if not kept.is_file():
        write_table(kept, compare_on_test_sets({variant: weights}, **test)[0])
    return pd.read_csv(kept).assign(variant=variant, seed=seed)


def subtract(pictures: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Take a variant's numbers from those of all, picture by picture and seed by seed.

    Pictures differ more than variants do: the interval of a mean difference is far narrower than that of a mean.

    Args:
        pictures: columns variant, test, picture, seed, and names of `ssdie.evaluation.metrics.METRICS`.
        variant: that is subtracted; rows that it has no twin for are left out.

    Example:
        >>> rows = [("a", "paired", "p", 0, 20.0), ("b", "paired", "p", 0, 21.5)]
        >>> pictures = pd.DataFrame(rows, columns=["variant", "test", "picture", "seed", "psnr"])
        >>> subtract(pictures, "a")["psnr"].tolist()
        [0.0, 1.5]
    """
    keys = ["test", "picture", "seed"]
    numbers = [m for m in METRICS if m in pictures]
    indexed = pictures.set_index(keys)
    twins = indexed.loc[indexed["variant"] == variant, numbers]
    indexed[numbers] -= twins.reindex(indexed.index)
    return indexed.dropna(subset=numbers, how="all").reset_index()


def tabulate(pictures: pd.DataFrame, steps: int) -> pd.DataFrame:
    """Turn rows per picture and seed into the table of `study`."""
    table = widen(pictures, "variant")
    by_seed = [widen(part, "variant").assign(seed=seed) for seed, part in pictures.groupby("seed")]
    means = [c for c in table if f"{c}_low" in table]
    spread = pd.concat(by_seed).groupby("variant")[means].std().add_suffix("_spread")
    seeds = pictures.groupby("variant")["seed"].agg(lambda s: " ".join(map(str, sorted(set(s)))))
    table.insert(1, "seeds", table["variant"].map(seeds))
    table.insert(2, "steps", steps)
    return table.merge(spread, left_on="variant", right_index=True)
