"""Commands for photos and videos: `enhance`, `report`."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import warnings
from dataclasses import asdict, replace
from pathlib import Path

from ssdie.cli.command import Command, strength
from ssdie.cli.output import Report, Stream, open_standard_streams, print_line

STDIN = Path("-")


def add_enhance_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie enhance`."""
    add = parser.add_argument
    about = "photos, videos, folders; - reads a photo from stdin"
    add("inputs", nargs="+", type=path_or_url, metavar="PHOTO_OR_FOLDER", help=about)
    places = "folder to write to; for one input also a file, - for stdout"
    add("-o", "--out", required=True, type=path_or_url, help=places)
    about = "0: no change, 1: full change, auto: depends on how dusty the photo is (default: auto)"
    add("--strength", type=strength, default="auto", metavar="auto|0..1", help=about)
    add("--weights", type=Path, help="a .safetensors or .onnx file (default: the released weights)")
    add("--working-size", type=int, default=128, help="longer side of the network's input, pixels (default: 128)")
    add("--no-postprocess", action="store_true", help="skip the colour balance of the veil and the contrast stretch")
    add("--suffix", default="", help="append to the names of outputs, as in --suffix=-repaired")
    add("--format", default="", metavar="KIND", help="format of repaired photos, such as png (default: their own)")
    add("--quality", type=int, help="quality of JPEG, WebP and AVIF, 1 to 100 (default: 95, or as the original JPEG)")
    add("--codec", help="codec of videos (default: H.264, in .webm VP9)")
    add("--crf", type=int, help="constant rate factor of videos, 0 (best) to 51 (default: that of the codec)")
    add("--every", type=int, default=8, help="apply the network to every Nth frame of a video (default: 8)")
    add("--no-overwrite", action="store_true", help="count files that already exist as failures")
    add("--resume", action="store_true", help="skip files that are done and unchanged according to the journal")
    add("--retry-failed", action="store_true", help="process only files that the journal lists as failed")
    add("--fail-fast", action="store_true", help="stop after the first failure (default: continue)")
    add("--strict", action="store_true", help="status 1 also for skipped files and for copies that lack something")
    add("--json", action="store_true", help="write the outcome of each file to stdout, one JSON object per line")
    add("--workers", type=int, default=2, help="files processed at a time (default: 2)")
    add("--time-limit", type=float, default=0, metavar="SECONDS", help="time after which a file fails (default: none)")
    add("--cluster", metavar="WHERE", help="Dask: local, tcp://HOST:PORT or a scheduler file (default: no Dask)")
    add("--dry-run", action="store_true", help="list what would be done, time ten files, estimate hours; write nothing")
    add("--device", help='torch device, such as "cuda:0" (default: a GPU if torch finds one)')


def path_or_url(text: str) -> Path | str:
    """Convert text to a path; a URL such as s3://bucket/photos stays text, since a path would lose a slash."""
    return text if "://" in text else Path(text)


def enhance(args: argparse.Namespace) -> int:
    """Run `ssdie enhance`: status 0 if every file is done, 1 if some failed, 130 after Ctrl-C."""
    from ssdie.enhancement.worker import Weights
    from ssdie.photo.formats import WRITTEN_SUFFIXES

    open_standard_streams()
    warnings.filterwarnings("ignore", module="PIL")  # it would warn for every photo with damaged metadata
    if args.quality is not None and not 1 <= args.quality <= 100:
        raise ValueError(f"quality: expected 1 to 100, got {args.quality}.")
    args.format = args.format.lower().lstrip(".")
    if args.format and f".{args.format}" not in WRITTEN_SUFFIXES:
        known = ", ".join(suffix[1:] for suffix in WRITTEN_SUFFIXES)
        raise ValueError(f"format: expected one of {known}, got {args.format}.")
    weights = Weights(args.weights, args.device or "auto")
    reporter = Report(args.json, args.strict, args.dry_run, args.strength == "auto")
    try:
        if args.dry_run:
            plan(args, weights, reporter)
        elif STDIN in args.inputs or is_file_target(args):
            enhance_one(args, weights, reporter)
        else:
            enhance_many(args, weights, reporter)
    except KeyboardInterrupt:
        print_line("ssdie enhance: interrupted; run the same command with --resume to continue")
        return 130
    return reporter.finish()


def enhance_settings(args: argparse.Namespace) -> dict:
    """Return the options that determine how a file is enhanced, as arguments of `ssdie.enhancement.worker.Settings`."""
    names = ("strength", "working_size", "every", "quality", "codec", "crf")
    return {name: getattr(args, name) for name in names} | {"postprocess": not args.no_postprocess}


def enhance_many(args: argparse.Namespace, weights, reporter: Report) -> None:
    """Enhance files and folders into a folder."""
    from ssdie.batch.jobs import Naming
    from ssdie.enhancement.folder import enhance_files

    single = len(args.inputs) == 1 and os.path.isfile(args.inputs[0])
    options = {name: getattr(args, name) for name in ("resume", "retry_failed", "fail_fast", "workers", "time_limit")}
    options |= enhance_settings(args) | {"overwrite": not args.no_overwrite, "report": reporter.add}
    options |= {"naming": Naming(args.suffix, args.format), "bar_file": Stream(sys.stderr)}
    if not args.cluster:
        enhance_files(args.inputs, args.out, weights.load() if single else weights, **options)
        return
    from ssdie.batch.cluster import connect, find_dashboard

    with connect(args.cluster, args.workers) as client:
        dashboard = find_dashboard(client) or "none; it needs bokeh where the scheduler runs"
        print_line(f"dashboard: {dashboard}")
        enhance_files(args.inputs, args.out, weights, cluster=client, **options)


def plan(args: argparse.Namespace, weights, reporter: Report) -> None:
    """Run a dry run: list the files and estimate the duration."""
    from ssdie.batch.jobs import Naming
    from ssdie.enhancement.plan import plan_files
    from ssdie.enhancement.worker import Settings

    if STDIN in args.inputs or is_file_target(args):
        raise ValueError(f"dry-run: expected a folder to write to, got -o {args.out}. Give a folder with -o.")
    options = {name: getattr(args, name) for name in ("resume", "retry_failed")}
    options |= {"naming": Naming(args.suffix, args.format.lower().lstrip(".")), "overwrite": not args.no_overwrite}
    options |= {"report": reporter.add, "on_cluster": bool(args.cluster)}
    found = plan_files(args.inputs, args.out, weights, Settings(**enhance_settings(args)), **options)
    threads = args.workers
    if args.cluster and args.cluster != "local":
        from ssdie.batch.cluster import connect

        with connect(args.cluster, args.workers) as client:
            threads = sum(client.nthreads().values())
    mean, error = found.hours(threads or 1)
    if args.json:
        print_line(json.dumps(asdict(found) | {"workers": threads, "hours": mean, "standard_error": error}), sys.stdout)
        return
    print_line(f"to do: {found.planned}, done and unchanged: {found.kept}, of other kinds: {found.skipped}")
    for reason, times in found.repeated.items():
        print_line(f"to be repeated: {times}, because of {reason}")
    if found.seconds:
        each = sum(found.seconds) / len(found.seconds)
        timed = f"{len(found.seconds)} files took {each:.2f} s each, one after the other"
        print_line(f"{timed}: about {mean:.3g} hours with {threads or 1} workers (standard error {error:.2g})")


def is_file_target(args: argparse.Namespace) -> bool:
    """Return whether the output is a single file: `-o out.jpg`, `-o -`."""
    from ssdie.batch.jobs import readable_suffixes

    if isinstance(args.out, str) or any(isinstance(path, str) for path in args.inputs):
        return False  # URLs always name folders
    if args.out == STDIN:
        return True
    named = args.out.suffix.lower() in readable_suffixes() and not args.out.is_dir()
    if named and (len(args.inputs) > 1 or os.path.isdir(args.inputs[0])):
        raise ValueError(f"out: expected a folder for several inputs, got the file {args.out}. Give a folder with -o.")
    return named


def enhance_one(args: argparse.Namespace, weights, reporter: Report) -> None:
    """Enhance one file or standard input, and write one file or standard output; no journal is kept."""
    from ssdie.batch.jobs import Naming
    from ssdie.batch.outcome import Task
    from ssdie.enhancement.photo import check_settings
    from ssdie.enhancement.worker import Settings, do_task

    if len(args.inputs) > 1:
        raise ValueError(f"inputs: expected one file for -o {args.out}, got {len(args.inputs)}. Give a folder with -o.")
    if args.out == STDIN and args.json:
        raise ValueError("json: expected -o FILE, got -o -, which takes standard output. Leave one of them out.")
    (source,), target = args.inputs, args.out
    settings = Settings(**enhance_settings(args))
    check_settings(settings.strength, settings.working_size)
    with tempfile.TemporaryDirectory() as folder:
        if source == STDIN:
            source = read_stdin(Path(folder))
        name = Naming(args.suffix, args.format).rename(source.name)
        if target == STDIN:
            target = Path(folder, f"out-{name}")
        elif target.suffix.lower() not in readable(target):
            target = target / name
        if source.is_dir():
            raise ValueError(f"inputs: expected a file for -o {args.out}, got the folder {source}. Give a folder.")
        if target.exists() and source.exists() and os.path.samefile(source, target):
            raise ValueError(f"out: expected a new file, got the input {target}, which would be lost.")
        task = Task(str(source), str(target))
        outcome = do_task(task, weights.load(), settings, not args.no_overwrite, progress=sys.stderr is not None)
        if args.out == STDIN and outcome.outcome == "done":
            with target.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        names = {"source": args.inputs[0], "target": args.out}
        reporter.add(replace(outcome, **{key: "-" for key, name in names.items() if name == STDIN}))


def readable(target: Path) -> set[str]:
    """Return the suffixes of files that can be read; an empty set if `target` is a folder."""
    from ssdie.batch.jobs import readable_suffixes

    return set() if target.is_dir() else readable_suffixes()


def read_stdin(folder: Path) -> Path:
    """Write standard input to a file with the suffix of its format."""
    from ssdie.photo.formats import KINDS, identify

    content = sys.stdin.buffer.read()
    try:
        source = folder / f"stdin{KINDS[identify(content)].suffixes[0]}"
    except ValueError as error:
        raise ValueError(f"stdin: expected a photo, got something else: {error}. Give a file instead.") from error
    source.write_bytes(content)
    return source


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie report`."""
    parser.add_argument("out", type=path_or_url, metavar="OUT", help="output folder of `ssdie enhance`")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--slowest", type=int, default=5, metavar="N", help="number of slowest files (default: 5)")


def report(args: argparse.Namespace) -> int:
    """Run `ssdie report`."""
    from ssdie.batch.report import format_summary, summarize

    summary = summarize(args.out, args.slowest)
    print_line(json.dumps(summary) if args.json else format_summary(summary), sys.stdout)
    return 0


COMMANDS = {
    "enhance": Command("repair dusty photos and videos at their own size", add_enhance_options, enhance),
    "report": Command("summarise the journal of an output folder", add_report_options, report),
}
