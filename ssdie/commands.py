"""`python -m ssdie train`: every setting of `ssdie.config.TrainConfig` as an option."""

import argparse
import gc
import json
import sys
from dataclasses import MISSING, fields
from pathlib import Path

from accelerate import PartialState
from tqdm import tqdm

from ssdie.config import STAGES, LossWeights, TrainConfig
from ssdie.train import train

KINDS = {int: int, float: float, str: str, Path: Path, Path | None: Path}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m ssdie train`; what they mean stands in `ssdie.config.TrainConfig`."""
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--run", required=True, type=Path, help="folder of the run; a checkpoint in it is resumed")
    parser.add_argument("--options", type=json.loads, default={}, help="of the generator, as JSON")
    parser.add_argument("--betas", type=float, nargs=2, default=(0.5, 0.999), help="of Adam")
    parser.add_argument("--apart", action="store_true", help="let the copies pass one by one: a third of the memory")
    parser.add_argument("--frozen-norm", action="store_true", help="keep BatchNorm at its running statistics")
    parser.add_argument("--weights", type=json.loads, default={}, help="of terms, as JSON; the others keep the paper's")
    for field in fields(TrainConfig):
        if field.type in KINDS and field.default is not MISSING:
            option = f"--{field.name.replace('_', '-')}"
            told = f"(default: {field.default})"
            parser.add_argument(option, type=KINDS[field.type], default=field.default, help=told)


def run(args: argparse.Namespace) -> int:
    """Run `python -m ssdie train`: a progress bar with the newest terms, a log and weights in the run's folder.

    Returns:
        0 when done, 1 when a loss was not finite or a worker died, 130 after Ctrl-C; the same command resumes.
    """
    settings = {field.name: getattr(args, field.name) for field in fields(TrainConfig)}
    config = TrainConfig(**settings | {"betas": tuple(args.betas), "weights": LossWeights(**args.weights)})
    try:
        with tqdm(total=config.steps, desc=config.stage, unit="step") as bar:
            for report in train(config):
                bar.update(int(report["step"]) - bar.n)
                bar.set_postfix({name: f"{value:.3g}" for name, value in report.items() if name != "step"})
    except (FloatingPointError, ChildProcessError, BlockingIOError) as error:
        print(f"ssdie train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        told = f"interrupted; the same command resumes from the checkpoint in {config.run}"
        print(f"ssdie train: {told}", file=sys.stderr)
        return 130
    finally:
        leave_processes()
    left = (p.name for p in config.run.iterdir() if p.suffix != ".0" and not p.name.startswith("."))
    print(f"{config.run}: {', '.join(sorted(left))}")
    return 0


def leave_processes() -> None:
    """Part from the other processes, if there are any.

    The networks have to be gone by then: the last that holds the group waits for its thread, which may need Python.
    """
    gc.collect()
    PartialState().destroy_process_group()
