"""The ablation study: settings of the variants, training with equal budgets, and the table of notebook 04."""

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
# differences to the full method: fields of `TrainConfig`; `weights` and `options` change the named entries only
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
OPTION_DEFAULTS = {"head": "tanh", "context": 0, "smooth": 0}  # of MSFF


def vary(base: TrainConfig, variant: str, width: int = 64) -> TrainConfig:
    """Derive the settings of a variant from those of the full method.

    Args:
        base: settings of the full method.
        variant: one of `VARIANTS`.
        width: channels of the first level of U-Net and patch generator.

    Returns:
        The settings of the variant.

    Raises:
        ValueError: unknown variant.

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
        levels = min(8, base.size.bit_length() - 1)  # more levels would require padding of the crops
        changes["options"] = {"width": width} | ({"levels": levels} if changes["generator"] == "unet" else {})
    elif "options" in changes:
        changes["options"] = OPTION_DEFAULTS | base.options | changes["options"]
    return dataclasses.replace(base, **changes)


def list_variants(base: TrainConfig) -> list[str]:
    """List the variants whose settings differ from those of the full method, and "full" itself."""
    base = dataclasses.replace(base, options=OPTION_DEFAULTS | base.options)
    return [name for name in VARIANTS if name == "full" or vary(base, name) != base]


def train_variant(base: TrainConfig, variant: str, warmup: int, width: int = 64) -> Path:
    """Train a variant: `warmup` supervised steps, then `base.steps` steps of its own stage; finished runs are reused.

    Args:
        base: settings of the full method; `run` is the folder that holds all variants.
        variant: one of `VARIANTS`; variants with equal settings of the warm-up share its run.
        warmup: steps of stage 1; 0 starts from the weights `base.init` instead.
        width: as for `vary`.

    Returns:
        Path of the weights of the averaged generator.
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
    """Checkpoint of the dc-Net of `base`, or of one trained for another kind of dark channel, otherwise alike."""
    settings = load_checkpoint(base.dark_channel_net)["config"] if base.dark_channel_net else {"dark_channel": kind}
    if settings["dark_channel"] == kind:
        return base.dark_channel_net
    settings["weights"] = LossWeights(**settings["weights"])
    config = TrainConfig(**settings | {"run": base.run / f"dark_channel_net_{kind}", "dark_channel": kind})
    config = with_config_hash(config)
    recorded = config.run.with_name(config.run.name.replace("dark_channel_net_", "judge_"))  # name in release 0.1.0
    if (recorded / "checkpoint.pt").is_file():
        config = dataclasses.replace(config, run=recorded)
    deque(follow(config, leave=False), maxlen=0)
    return config.run / "checkpoint.pt"


def finish_run(config: TrainConfig) -> Path:
    """Train to the end in the folder of these settings, unless finished weights exist; return their path.

    Warns:
        UserWarning: the weights were trained with another version of the code.
    """
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
    """Train and evaluate variants, and write `ablations.csv` to `base.run` after each.

    With "supervised only" among the variants, `differences.csv` is written too; see `subtract`.

    Args:
        base: settings of the full method; its seed is replaced.
        variants: names in `VARIANTS`.
        seeds: seeds of the trainings of each variant.
        warmup, width: as for `train_variant`.
        **test: passed to `ssdie.workbook.comparison.compare_on_test_sets`.

    Yields:
        The table after each variant, with a row per variant: variant, seeds, steps; means over seeds and images with
        95 % intervals over images; TEST_METRIC_spread, the standard deviation over seeds; weights of the first seed.
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
    """Evaluate weights; one row per image, read from the file of an earlier evaluation with equal settings."""
    path = weights.with_name(f"pictures_{test.get('limit', 0)}_{test.get('long_side', 640)}.csv")
    if not path.is_file():
        write_table(path, compare_on_test_sets({variant: weights}, **test)[0])
    return pd.read_csv(path).assign(variant=variant, seed=seed)


def subtract(pictures: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Subtract the scores of one variant from those of all, for each image and seed.

    Scores vary more between images than between variants, so the confidence interval of a mean difference is much
    narrower than that of a mean.

    Args:
        pictures: columns variant, test, picture, seed, and names of `ssdie.evaluation.metrics.METRICS`.
        variant: the variant that is subtracted.

    Returns:
        Table with the columns of `pictures`; without the rows for which `variant` has no score.

    Example:
        >>> rows = [("a", "paired", "p", 0, 20.0), ("b", "paired", "p", 0, 21.5)]
        >>> pictures = pd.DataFrame(rows, columns=["variant", "test", "picture", "seed", "psnr"])
        >>> subtract(pictures, "a")["psnr"].tolist()
        [0.0, 1.5]
    """
    keys = ["test", "picture", "seed"]
    numbers = [m for m in METRICS if m in pictures]
    indexed = pictures.set_index(keys)
    subtracted = indexed.loc[indexed["variant"] == variant, numbers]
    indexed[numbers] -= subtracted.reindex(indexed.index)
    return indexed.dropna(subset=numbers, how="all").reset_index()


def tabulate(pictures: pd.DataFrame, steps: int) -> pd.DataFrame:
    """Summarise rows per image and seed as in the table of `study`; `steps` fills the column of that name."""
    table = widen(pictures, "variant")
    by_seed = [widen(part, "variant").assign(seed=seed) for seed, part in pictures.groupby("seed")]
    means = [c for c in table if f"{c}_low" in table]
    spread = pd.concat(by_seed).groupby("variant")[means].std().add_suffix("_spread")
    seeds = pictures.groupby("variant")["seed"].agg(lambda s: " ".join(map(str, sorted(set(s)))))
    table.insert(1, "seeds", table["variant"].map(seeds))
    table.insert(2, "steps", steps)
    return table.merge(spread, left_on="variant", right_index=True)
