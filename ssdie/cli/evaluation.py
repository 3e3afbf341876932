"""Commands that measure: `evaluate`, `realism`, `bench`."""

import argparse
import json
from pathlib import Path

from ssdie.cli.command import Command


def add_evaluate_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie evaluate`."""
    from ssdie.evaluation.methods import METHODS

    add = parser.add_argument
    known = f"{', '.join(METHODS)}, name=FOLDER of finished pictures, name=CHECKPOINT"
    add("--dusty", type=Path, help="folder of dusty photos (default: the sample)")
    add("--clear", type=Path, help="folder of reference images with the same stems")
    add("--methods", nargs="+", default=list(METHODS), metavar="METHOD", help=f"{known} (default: all named)")
    add("--out", type=Path, help="folder for pictures.csv, summary.csv, summary.md and summary.tex")
    add("--long-side", type=int, metavar="PIXELS", help="shrink first; 0: do not (default: 640, with references 0)")
    add("--bootstrap", type=int, default=2000, metavar="N", help="bootstrap resamples (default: 2000)")
    add("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
    add("--workers", type=int, default=1, metavar="N", help="threads (default: 1)")
    add("--checkpoint", type=Path, help='weights of the method "ssdie" (default: the released weights)')
    add("--limit", type=int, default=0, metavar="N", help="use only the first N pictures (default: all)")


def evaluate(args: argparse.Namespace) -> int:
    """Run `ssdie evaluate`: print the table and write the files."""
    from ssdie.evaluation.methods import evaluate
    from ssdie.evaluation.tables import format_table

    settings = {name: value for name, value in vars(args).items() if name != "command"}
    _, summary = evaluate(**settings)
    print(format_table(summary))
    return 0


def add_realism_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie realism`."""
    parser.add_argument("--data", type=Path, help="folder of photos (default: SSDIE_DATA, else the sample)")
    parser.add_argument("--count", type=int, default=230, help="most photos of each kind (default: 230)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the synthesis (default: 0)")


def realism(args: argparse.Namespace) -> int:
    """Run `ssdie realism`: print the AUC of each recipe."""
    from ssdie.evaluation.realism import compare_recipes

    for recipe, result in compare_recipes(args.data, args.count, args.seed).items():
        print("{}: AUC {auc:.3f} ({low:.3f} to {high:.3f})".format(recipe, **result))
    return 0


def add_bench_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie bench`."""
    from ssdie.utils.paths import project_root

    out = project_root() / "runs" / "bench.json"
    parser.add_argument("--quick", action="store_true", help="small steps, few repetitions: under 5 minutes on 2 cores")
    parser.add_argument("--out", type=Path, default=out, help="JSON file to write (default: runs/bench.json)")
    parser.add_argument("--plot", action="store_true", help="draw a plot beside the JSON file")


def bench(args: argparse.Namespace) -> int:
    """Run `ssdie bench`: status 0 whether or not the targets are reached."""
    from ssdie.bench.report import archive_table, markdown, plot
    from ssdie.bench.suite import bench
    from ssdie.utils.paths import write_text

    result = bench(args.quick, lambda result: write_text(args.out, json.dumps(result, indent=1) + "\n"))
    table = markdown(result)
    page = args.out.with_suffix(".md")
    write_text(page, f"# Speed and memory\n\n{table}\n\n{archive_table(result)}\n")
    print(table)
    print(f"written: {args.out}, {page}")
    if args.plot:
        print(f"written: {plot(result, args.out.with_suffix('.png'))}")
    return 0


COMMANDS = {
    "evaluate": Command("measure methods on photos: a table with intervals", add_evaluate_options, evaluate, "train"),
    "realism": Command("measure how far synthetic dust is from real dust", add_realism_options, realism, "train"),
    "bench": Command("measure speed and memory against their targets", add_bench_options, bench, "bench"),
}
