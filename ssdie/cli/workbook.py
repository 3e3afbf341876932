"""Commands of the workbook: `reproduce`, `download`."""

import argparse
import sys
from pathlib import Path

from ssdie.cli.command import Command


def add_reproduce_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie reproduce`."""
    from ssdie.workbook.profiles import PROFILES, split_parameter

    add = parser.add_argument
    add("--profile", choices=PROFILES, default="quick", help="set of parameters (default: quick, minutes)")
    add("--only", nargs="+", metavar="NOTEBOOK", help='run these notebooks, by the start of the name, such as "03"')
    add("-p", "--parameter", action="append", type=split_parameter, default=[], metavar="NAME=VALUE",
        help="override a parameter in every notebook that has it; repeatable")  # fmt: skip
    add("--out", type=Path, default=Path("runs"), help="folder for results (default: runs)")
    add("--resume", action="store_true", help="keep notebooks that are done with the same parameters and code")
    jobs = "notebooks that run at once, each on an equal number of cores (default: 2 in the profile quick, else 1)"
    add("--jobs", type=int, metavar="N", help=jobs)
    add("--write-times", type=Path, metavar="RUN", help="write the times of RUN into the notebooks and their README.md")
    add("--verify", type=Path, metavar="RUN", help="run the notebooks of RUN again and compare the numbers")


def reproduce(args: argparse.Namespace) -> int:
    """Run `ssdie reproduce`: status 1 if a notebook failed or a number differs, 2 if a folder is in use."""
    from ssdie.utils.machine import usable_cores
    from ssdie.workbook.runner import print_outcomes, reproduce
    from ssdie.workbook.verify import verify

    if args.write_times:
        from ssdie.workbook.times import write_times

        print("\n".join(map(str, write_times(args.write_times))))
        return 0
    profile = args.verify.name if args.verify else args.profile
    jobs = (min(2, usable_cores()) if profile == "quick" else 1) if args.jobs is None else args.jobs
    if args.verify:
        return verify(args.verify, args.resume, jobs)
    return print_outcomes(reproduce(args.profile, args.only, dict(args.parameter), args.out, args.resume, jobs))


def add_download_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie download`."""
    add = parser.add_argument
    add("names", nargs="*", help="train, val, test; with --free dusty, mars, clear; or single names (default: all)")
    add("--free", action="store_true", help="download photographs under free licences, into the user's cache")
    add("-o", "--out", type=Path, help="folder to write to; can serve as SSDIE_DATA afterwards; not needed with --free")
    add("--base-url", metavar="ADDRESS", help="URL of a mirror of the data set (default: the original)")
    add("--retries", type=int, default=2, help="further attempts for each photo (default: 2)")
    add("--timeout", type=float, default=30, metavar="SECONDS", help="longest wait for a response (default: 30)")
    add("--offline", action="store_true", help="only verify existing files (the same as SSDIE_OFFLINE=1)")


def download(args: argparse.Namespace) -> int:
    """Run `ssdie download`: status 1 if a photo is missing."""
    from ssdie.data import download as dusty
    from ssdie.data import free

    if not args.free and args.out is None:
        raise ValueError("out: expected a folder, got none. Give one with -o, or use --free.")
    options = {"retries": args.retries, "timeout": args.timeout, "offline": args.offline or None}
    names = args.names or None
    if args.free:
        folder = args.out or free.free_folder()
        paths, failures = free.download_free(names, folder, args.base_url or free.BASE_URL, **options)
        available = {path.name for path in paths}
        credits = [f"{p.name}: {p.credit}" for p in free.read_free_registry(names) if p.name in available]
        print(*credits, sep="\n", end="\n" if credits else "")
    else:
        print(dusty.LICENCE)
        folder = args.out / "dusty"
        paths, failures = dusty.download(args.out, names, args.base_url or dusty.BASE_URL, **options)
    print(f"{len(paths)} of {len(paths) + len(failures)} photos are in {folder}")
    for name, reason in failures.items():
        print(f"{name}: {reason}", file=sys.stderr)
    return int(bool(failures))


COMMANDS = {
    "reproduce": Command("run the notebooks from first to last", add_reproduce_options, reproduce, "workbook"),
    "download": Command("download real dusty photos, or free photographs", add_download_options, download, "train"),
}
