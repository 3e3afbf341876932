"""Commands for people with photos: `enhance`."""

import argparse
import sys
import warnings
from pathlib import Path

from ssdie.cli.command import Command


def add_enhance_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie enhance`."""
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="PHOTO_OR_FOLDER", help="photos, videos and folders of them")
    add("-o", "--out", required=True, type=Path, help="folder to write to")
    add("--strength", type=float, default=1.0, help="0: no change, 1: full change (default: 1)")
    add("--weights", type=Path, help="a .safetensors or .onnx file (default: the released weights)")
    add("--working-size", type=int, default=128, help="longer side of what the network sees, pixels (default: 128)")
    add("--no-postprocess", action="store_true", help="skip post-processing of veil and levels")
    add("--no-overwrite", action="store_true", help="count files that already exist as failures")
    add("--resume", action="store_true", help="skip files that the journal lists as done")
    add("--workers", type=int, default=2, help="files processed at a time (default: 2)")
    add("--every", type=int, default=4, help="frames of a video for each pass of the network (default: 4)")
    add("--device", help='torch device, such as "cuda:0" (default: a GPU if there is one)')


def enhance(args: argparse.Namespace) -> int:
    """Run `ssdie enhance`: status 0 if every file is done, 1 if some failed, 130 after Ctrl-C."""
    import torch

    from ssdie.batch.journal import LOCAL_RANKS, read_environment
    from ssdie.enhancement.folder import enhance_files
    from ssdie.enhancement.runtime import load_model

    warnings.filterwarnings("ignore", module="PIL")  # damaged metadata: not worth a line for each photo
    gpu = read_environment(LOCAL_RANKS, 0) % max(1, torch.cuda.device_count())
    device = args.device or (f"cuda:{gpu}" if torch.cuda.is_available() else "cpu")
    settings = {name: getattr(args, name) for name in ("strength", "working_size", "resume", "workers", "every")}
    settings |= {"postprocess": not args.no_postprocess, "overwrite": not args.no_overwrite}
    try:
        failures = enhance_files(args.inputs, args.out, load_model(args.weights, device), **settings)
    except KeyboardInterrupt:
        print("ssdie enhance: interrupted; run the same command with --resume to continue", file=sys.stderr)
        return 130
    for failure in failures:
        name = str(failure.path)  # a name can hold line breaks and terminal codes
        print(f"failed: {name if name.isprintable() else repr(name)}: {failure.reason}", file=sys.stderr)
    return 1 if failures else 0


COMMANDS = {"enhance": Command("repair dusty photos and videos at their own size", add_enhance_options, enhance)}
