"""Commands of the method: `train`, `train-dust-score`, `dust`, `depth`, `export`, `fit-airlight`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ssdie.cli.command import Command

STEPS = 500  # of `train-dust-score`

if TYPE_CHECKING:
    from ssdie.training.config import TrainConfig


def no_options(parser: argparse.ArgumentParser) -> None:
    """Add nothing: tyro derives the options of `train` from `ssdie.training.config.TrainConfig`."""


def train(arguments: Sequence[str]) -> int:
    """Run `ssdie train`: every field of `TrainConfig` is an option, whose help text is the comment of the field.

    Returns:
        0 when done, 1 when a loss was not finite or a worker process died, 130 after Ctrl-C; the same command resumes.
    """
    from tqdm import tqdm

    from ssdie.training.run import destroy_process_group
    from ssdie.training.stages import train

    config = parse_train_config(arguments)
    try:
        with tqdm(total=config.steps, desc=config.stage, unit="step") as bar:
            for report in train(config):
                bar.update(int(report["step"]) - bar.n)
                bar.set_postfix({name: f"{value:.3g}" for name, value in report.items() if name != "step"})
    except (FloatingPointError, ChildProcessError, BlockingIOError) as error:
        print(f"ssdie train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        message = f"interrupted; the same command resumes from the checkpoint in {config.run}"
        print(f"ssdie train: {message}", file=sys.stderr)
        return 130
    finally:
        destroy_process_group()
    written = (p.name for p in config.run.iterdir() if p.suffix != ".0" and not p.name.startswith("."))
    print(f"{config.run}: {', '.join(sorted(written))}")
    return 0


def parse_train_config(arguments: Sequence[str]) -> "TrainConfig":
    """Read the settings of a training run from the command line; `STAGE` stands for `--stage STAGE`."""
    import tyro

    from ssdie.training.config import TrainConfig

    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def read_json(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
        if info.type is not dict:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="JSON",
            instance_from_str=lambda words: json.loads(words[0]),
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda value: [json.dumps(value)],
        )

    arguments = list(arguments)
    if arguments and not arguments[0].startswith("-"):
        arguments.insert(0, "--stage")
    about = "Run one stage of training, or resume it. `ssdie train STAGE` is short for `ssdie train --stage STAGE`."
    return tyro.cli(TrainConfig, prog="ssdie train", description=about, args=arguments, registry=registry)


def add_dust_score_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie train-dust-score`."""
    add = parser.add_argument
    add("run", type=Path, help="folder for the weights, dust.safetensors")
    add("--data", type=Path, help="folder of photos, see data/README.md (default: SSDIE_DATA, else the sample)")
    add("--enhancer", type=Path, help="generator whose outputs count as clear (default: the released weights)")
    add("--steps", type=int, default=STEPS, help=f"optimiser updates (default: {STEPS})")
    add("--seed", type=int, default=0, help="seed of all random numbers (default: 0)")


def train_dust_score(args: argparse.Namespace) -> int:
    """Run `ssdie train-dust-score`: train the dust classifier."""
    from ssdie.training.dust_score import WEIGHTS_FILE, DustScoreConfig, train_dust_classifier

    config = DustScoreConfig(args.run, args.data, args.enhancer, args.steps, seed=args.seed)
    for report in train_dust_classifier(config):
        print(", ".join(f"{name} {value:.4g}" for name, value in report.items()), flush=True)
    print(f"written: {args.run / WEIGHTS_FILE}")
    return 0


def add_dust_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie dust`."""
    from ssdie.synthesis.recipes import RECIPES

    add = parser.add_argument
    add("folder", type=Path, help="folder of clear photos")
    add("-o", "--out", type=Path, required=True, help="folder for the dusty photos")
    add(
        "--depth",
        default="ramp",
        help="folder of depth files (8- or 16-bit PNG, npy) with the same stems; weights of a depth model; "
        '"model": the released depth model; "ramp": near at the bottom, far at the top (default)',
    )
    add("--recipe", choices=RECIPES, default="measured", help="distribution of the dust (default: measured)")
    about = "extinction per unit of depth: 0.4 haze, 2 dust, 6 sandstorm (default: random)"
    add("--density", type=float, help=about)
    add("--seed", type=int, default=0, help="seed of all random numbers (default: 0)")


def dust(args: argparse.Namespace) -> int:
    """Run `ssdie dust`."""
    from ssdie.synthesis.depth import DEPTH_MODEL, load_depth_model, ramp_depth
    from ssdie.synthesis.folder import dust_folder

    depth = ramp_depth
    if args.depth == "model" or args.depth.endswith(".safetensors"):
        depth = load_depth_model(DEPTH_MODEL if args.depth == "model" else args.depth)
    elif args.depth != "ramp":
        depth = Path(args.depth)
    written = dust_folder(args.folder, args.out, depth, args.recipe, args.density, args.seed)
    print(f"{len(written)} dusty photos in {args.out}")
    return 0


def add_depth_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie depth`."""
    parser.add_argument("photos", nargs="+", type=Path, help="clear photos, or folders of them")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the 16-bit PNG files")
    parser.add_argument("--model", type=Path, help="weights, .safetensors (default: the released depth model)")
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")


def depth(args: argparse.Namespace) -> int:
    """Run `ssdie depth`: write the depth of each photo; status 1 if some failed."""
    from tqdm import tqdm

    from ssdie.ops.depth_maps import write_depth
    from ssdie.ops.images import read_image
    from ssdie.photo.files import list_images
    from ssdie.synthesis.depth import DEPTH_MODEL, estimate_depth, load_depth_model

    model = load_depth_model(args.model or DEPTH_MODEL).to(args.device)
    photos = [p for given in args.photos for p in (list_images(given) if given.is_dir() else [given])]
    failures = []
    for photo in tqdm(photos, unit="photo"):
        try:
            depth = estimate_depth(read_image(photo)[None].to(args.device), model)
            write_depth(args.out / f"{photo.stem}.png", depth)
        except (OSError, ValueError) as error:
            failures.append(f"{photo}: {error}")
    print(f"{len(photos) - len(failures)} of {len(photos)} depth maps are in {args.out}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return int(bool(failures))


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie export`."""
    parser.add_argument("out", type=Path, help="file to write; ends in .onnx")
    parser.add_argument("--weights", type=Path, help="a .safetensors file (default: the released weights)")
    parser.add_argument("--dust", type=Path, help="weights of the dust score (default: the released ones)")


def export(args: argparse.Namespace) -> int:
    """Run `ssdie export`."""
    from ssdie.enhancement.runtime import RELEASED
    from ssdie.networks.dust_classifier import load_dust_classifier
    from ssdie.networks.export import export_onnx
    from ssdie.networks.weights import load_weights

    written = export_onnx(load_weights(args.weights or RELEASED), args.out, load_dust_classifier(args.dust))
    print(f"written: {written}; use it with `ssdie enhance --weights {written} ...`")
    return 0


def add_airlight_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie fit-airlight`."""
    parser.add_argument("folder", type=Path, help="folder of real dusty photos")
    parser.add_argument("--out", type=Path, help="JSON file to write (default: the shipped one)")


def fit_airlight(args: argparse.Namespace) -> int:
    """Run `ssdie fit-airlight`."""
    from ssdie.synthesis.recipes import AIRLIGHT_FILE, fit_airlight

    out = args.out or AIRLIGHT_FILE
    fitted = fit_airlight(args.folder, out)
    print(f"{out}: airlight of {len(fitted['colours'])} photos")
    return 0


COMMANDS = {
    "train": Command("run one stage of training, or resume it", no_options, train, "train"),
    "train-dust-score": Command(
        "train the dust classifier, which gives the dust score", add_dust_score_options, train_dust_score, "train"
    ),
    "dust": Command("add synthetic dust to a folder of clear photos", add_dust_options, dust, "train"),
    "depth": Command("estimate the depth of clear photos", add_depth_options, depth, "train"),
    "export": Command("write the network as an ONNX file", add_export_options, export, "train"),
    "fit-airlight": Command("fit the colours of dust to real photos", add_airlight_options, fit_airlight, "train"),
}
