"""Commands for measurements: `evaluate`, `realism`, `bench`."""

import argparse
import json
from pathlib import Path

from ssdie.cli.command import Command

BLIND = Path("runs") / "blind"


def add_evaluate_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie evaluate`."""
    from ssdie.evaluation.benchmarks import PRESETS, RULES
    from ssdie.evaluation.methods import METHODS, PEER

    add = parser.add_argument
    known = f"{', '.join(METHODS)}, {PEER} (outputs in SSDIE_DATA), name=FOLDER of enhanced images, name=WEIGHTS"
    add("--dusty", type=Path, metavar="FOLDER", help="folder of dusty photos (default: the sample)")
    add("--clear", type=Path, metavar="FOLDER", help="folder of their reference images")
    add("--pairs", nargs=2, type=Path, metavar=("A", "B"), help="short for --dusty A --clear B")
    add("--preset", nargs=2, metavar=("NAME", "FOLDER"),
        help=f"your copy of a public benchmark, in its own layout: {', '.join(PRESETS)}")  # fmt: skip
    add("--match", default="stem", metavar="RULE",
        help=f"rule that finds the reference image: {', '.join(RULES)}, or a regular expression for the stem of the "
        "dusty image whose first group is the stem of the reference image (default: stem)")  # fmt: skip
    add("--size", metavar="N", help="resize before enhancement: longest side N, or WIDTHxHEIGHT, pixels (default: no)")
    add("--methods", nargs="+", metavar="METHOD", help=f"{known} (default: all that need no path)")
    add("--out", type=Path, metavar="FOLDER", help="folder for the tables as CSV, Markdown and LaTeX; or for --blind")
    add("--long-side", type=int, metavar="PIXELS",
        help="shrink before measuring; 0: keep the size (default: 640, with reference images 0)")  # fmt: skip
    add("--bootstrap", type=int, default=2000, metavar="N", help="bootstrap resamples (default: 2000)")
    add("--seed", type=int, default=0, help="seed of the bootstrap, and of the order with --blind (default: 0)")
    add("--workers", type=int, default=1, metavar="N", help="threads, each with one image (default: 1)")
    add("--checkpoint", type=Path, help='weights of the method "ssdie" (default: the released weights)')
    add("--limit", type=int, default=0, metavar="N", help="use only the first N images (default: all)")
    add(
        "--blind",
        nargs=2,
        metavar=("A", "B"),
        help=f"write a page for viewers with the results of two methods, names hidden, to --out (default: {BLIND})",
    )
    add("--answers", nargs="+", type=Path, metavar="FILE",
        help=f"count the answers to a page that --blind wrote to --out (default: {BLIND})")  # fmt: skip


def evaluate(args: argparse.Namespace) -> int:
    """Run `ssdie evaluate`: print the tables and write the files, write a blind page, or count answers."""
    if args.answers:
        from ssdie.evaluation.blind import KEY, count_answers
        from ssdie.evaluation.tables import format_markdown

        print(format_markdown(count_answers(args.answers, (args.out or BLIND) / KEY)))
        return 0
    from ssdie.evaluation.methods import evaluate, list_examples, report_comparison, resolve_methods

    given = [name for name in ("dusty", "pairs", "preset") if getattr(args, name)]
    if len(given) > 1:
        raise ValueError(f"images: expected one of --dusty, --pairs, --preset, got {' and '.join(given)}.")
    args.dusty, args.clear = args.pairs or args.preset or (args.dusty, args.clear)
    if args.blind:
        from ssdie.evaluation.blind import write_blind_page

        examples = list_examples(args.dusty, args.clear, match=args.match, size=args.size)[: args.limit or None]
        images = [(example.name, example.load()[0]) for example in examples]
        page = write_blind_page(images, resolve_methods(args.blind, args.checkpoint), args.out or BLIND, args.seed)
        print(f"written: {page}, and blind_key.json beside it, which the viewers must not see")
        return 0
    skipped = ("command", "pairs", "preset", "blind", "answers")
    settings = {name: value for name, value in vars(args).items() if name not in skipped}
    pictures, summary = evaluate(**settings)
    print(report_comparison(pictures, summary, args.methods, args.checkpoint, args.bootstrap, args.seed))
    return 0


def add_realism_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie realism`."""
    parser.add_argument("--data", type=Path, help="folder of photos (default: SSDIE_DATA, else the sample)")
    parser.add_argument("--count", type=int, default=230, help="largest number of photos of each kind (default: 230)")
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

    out, add = project_root() / "runs" / "bench.json", parser.add_argument
    add("--quick", action="store_true", help="small steps, few files and repetitions: under 10 minutes on 2 cores")
    add("--only", nargs="+", metavar="SECTION", help="measure these sections, such as archive cluster (default: all)")
    add("--out", type=Path, default=out, help="JSON file to write (default: runs/bench.json)")
    add("--plot", action="store_true", help="draw a plot beside the JSON file")
    add("--write-scaling", type=Path, metavar="JSON",
        help="measure nothing: write the tables of a result with archive and cluster into docs/scaling.md")  # fmt: skip


def bench(args: argparse.Namespace) -> int:
    """Run `ssdie bench`: status 0 whether or not the targets are reached."""
    from ssdie.bench.report import archive_table, markdown, plot, write_scaling
    from ssdie.bench.suite import bench
    from ssdie.utils.paths import project_root, write_text

    if args.write_scaling:
        page = project_root() / "docs" / "scaling.md"
        write_scaling(json.loads(args.write_scaling.read_text(encoding="utf-8")), page)
        print(f"written: {page}")
        return 0
    if args.plot and args.only:
        raise ValueError("plot: expected all sections, got --only. Leave one of the options out.")
    result = bench(args.quick, lambda result: write_text(args.out, json.dumps(result, indent=1) + "\n"), args.only)
    table, page = markdown(result), args.out.with_suffix(".md")
    costs = f"\n{archive_table(result)}\n" if result["archive"] else ""
    write_text(page, f"# Speed and memory\n\n{table}\n{costs}")
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
