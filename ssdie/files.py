"""Enhancement of files and folders: `python -m ssdie enhance PHOTO_OR_FOLDER ... -o OUT`.

Every photo keeps its size, name, format, EXIF and colour profile. Several workers each take a photo from decoding to
encoding, so that reading, network and writing overlap. Under a launcher (`accelerate launch`, `torchrun`, `mpirun`,
array jobs that set RANK and WORLD_SIZE) each process takes its share; a manifest says what is done, `--resume` goes on
there.
"""

import argparse
import os
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate.utils import get_int_from_env
from tqdm import tqdm

from ssdie.enhance import VIDEO_SUFFIXES, WORKING_SIZE, check_settings, enhance, load_model
from ssdie.images import explain, open_photo, save_photo, stat_file
from ssdie.listing import find_jobs
from ssdie.networks import Generator
from ssdie.paths import sweep
from ssdie.progress import (
    LOCAL_RANKS,
    Hashes,
    Row,
    append_row,
    find_manifests,
    fingerprint,
    open_manifest,
    read_manifests,
    share_of_work,
)
from ssdie.video import EVERY, enhance_video

WORKERS = 2  # photos in hand at a time
LOSSLESS = ("raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "zstd")  # TIFF compressions to keep
SAVE = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}


@dataclass(frozen=True)
class Failure:
    """A file that could not be enhanced, and why."""

    path: Path
    reason: str


def enhance_files(
    inputs: list[str | Path],
    out: str | Path,
    model: Generator | None = None,
    strength: float = 1.0,
    working_size: int = WORKING_SIZE,
    touch: bool = True,
    overwrite: bool = True,
    resume: bool = False,
    workers: int = WORKERS,
    every: int = EVERY,
    progress: bool = True,
) -> list[Failure]:
    """Enhance photos and videos into a folder; the share of this process, where there are several.

    Args:
        inputs: files, and folders of files (with the folders in them).
        out: folder to write to; folders keep their structure, files of the same name keep the folders that differ.
        model, strength, working_size, touch: as for `ssdie.enhance`.
        overwrite: replace what is in `out`; otherwise a file that is there already counts as a failure, unless `resume`
            finds it in a manifest, as it was written.
        resume: leave out what a manifest in `out` says is done with the same settings, and is there as it was written.
        workers: files in hand at a time; memory grows with it.
        every: frames of a video between two looks of the network.
        progress: show a bar.

    Returns:
        Failures, in the order of the inputs; all other files are done.

    Raises:
        ValueError: there is nothing to enhance, an output would replace an input, two would be one file, a setting is
            out of range, or a file in `out` has the name of a manifest and is none.
        OSError: `out` cannot be written to.
    """
    check_settings(strength, working_size)
    if workers < 1 or every < 1:
        raise ValueError(f"workers is {workers} and every {every}; wanted is at least 1 of both.")
    rank, processes = share_of_work()
    find_manifests(out)  # refuses what is none
    out, jobs = Path(out), find_jobs(inputs, out)
    share = range(rank, len(jobs), processes)
    model = model or load_model()
    settings = {"strength": strength, "working_size": working_size, "touch": touch}
    written = f"{settings | {'every': every, 'model': _checksum(model)}}"
    known = Hashes(value for row in read_manifests(out) for value in (row.key, row.result)) if resume else ()
    manifest = out / ("manifest.csv" if processes == 1 else f"manifest-{rank}.csv")
    open_manifest(manifest, keep=resume)
    if resume and rank == 0:
        os.utime(manifest)  # by the clock of its disk, as are the times of the files beside it
        sweep(_hidden(out), now=manifest.stat().st_mtime)

    def work(index: int) -> tuple[int, Failure] | None:
        started = time.perf_counter()
        source, target = jobs[index]
        row = Row(os.path.abspath(source), "", written, target.relative_to(out).as_posix())
        try:
            row = replace(row, fingerprint=fingerprint(stat_file(source)))
            there = replace(row, written=_look(target))
            if there.key in known:
                return None
            if there.written and not overwrite and there.result not in known:
                raise ValueError(f"{target} is there already")
            if source.suffix.lower() in VIDEO_SUFFIXES:
                enhance_video(source, target, model, every=every, progress=progress, **settings)
            else:
                enhance_photo(source, target, model, **settings)
            took = f"{time.perf_counter() - started:.3f}"
            append_row(manifest, replace(row, written=_look(target), seconds=took, status="done"))
        except Exception as error:  # whatever a decoder raises: one bad file must not stop a million
            reason = explain(error)
            if isinstance(error, OSError) and error.filename not in (None, source, str(source)):
                reason = f"{error.filename}: {reason}"  # it is what was to be written that failed
            with suppress(OSError):  # a full disk takes no line, but the others may still be told
                append_row(manifest, replace(row, status=reason))
            return index, Failure(source, reason)
        return None

    with ThreadPoolExecutor(workers) as pool:
        try:
            results = take_in_turn(pool, work, share, 2 * workers)
            bar = tqdm(results, "enhance", len(share), unit="file", disable=not progress or rank > 0)
            failures = sorted((result for result in bar if result), key=lambda result: result[0])
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return [failure for _, failure in failures]


def take_in_turn(pool: Executor, work: Callable, items: Iterable, in_hand: int) -> Iterator:
    """Give the results of `work` on each item as they come.

    Args:
        pool: that does the work.
        work: function of an item.
        items: are taken one by one, so that there may be millions of them.
        in_hand: number of items that are taken and not yet done, at most.
    """
    waiting = set()
    for item in items:
        waiting.add(pool.submit(work, item))
        if len(waiting) == in_hand:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    yield from (future.result() for future in as_completed(waiting))


def enhance_photo(source: Path, target: Path, model: Generator, **settings) -> None:
    """Enhance one photo file: same format, EXIF (upright, hence without its orientation) and colour profile kept.

    Raises:
        ValueError: the file holds several pictures.
    """
    with open_photo(source) as photo:
        kind = "JPEG" if photo.format == "MPO" else photo.format  # MPO: a JPEG and previews after it
        if kind not in ("JPEG", "GIF") and getattr(photo, "n_frames", 1) > 1:  # of a GIF, the first
            raise ValueError(f"it holds {photo.n_frames} pictures; wanted is one, save them one by one")
        options = SAVE.get(kind, {})
        if kind == "TIFF" and photo.info.get("compression") in LOSSLESS:
            options = {"compression": photo.info["compression"]}
        enhanced = enhance(photo, model, **settings)
    save_photo(target, enhanced, kind, **options, **enhanced.info)


def _look(path: Path) -> str:
    """Fingerprint of what is there; empty if nothing is."""
    try:
        return fingerprint(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _hidden(folder: Path) -> Iterator[Path]:
    """Files with a leading dot, below a folder."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names if name.startswith("."))


def _checksum(model: Generator) -> str:
    """CRC-32 of the weights."""
    crc = 0
    for value in model.state_dict().values():
        crc = zlib.crc32(value.detach().cpu().contiguous().numpy(), crc)
    return f"{crc:08x}"


# Command line ------------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m ssdie enhance`."""
    parser.add_argument("inputs", nargs="+", type=Path, metavar="PHOTO_OR_FOLDER", help="photos, videos, folders")
    parser.add_argument("-o", "--out", required=True, type=Path, help="folder to write to")
    parser.add_argument("--strength", type=float, default=1.0, help="0 nothing, 1 everything (default: 1)")
    parser.add_argument("--weights", type=Path, help="that you trained, or an ONNX file (default: the released ones)")
    parser.add_argument("--working-size", type=int, default=WORKING_SIZE, help="longer side that the network sees")
    parser.add_argument("--no-touch", action="store_true", help="leave out the last touch to veil, detail and levels")
    parser.add_argument("--no-overwrite", action="store_true", help="count files that are there already as failures")
    parser.add_argument("--resume", action="store_true", help="leave out what the manifest says is done")
    parser.add_argument("--workers", type=int, default=WORKERS, help=f"files in hand at a time (default: {WORKERS})")
    parser.add_argument("--every", type=int, default=EVERY, help=f"frames of a video to a look (default: {EVERY})")
    parser.add_argument("--device", help='such as "cuda:0" (default: a GPU if there is one)')


def run(args: argparse.Namespace) -> int:
    """Run `python -m ssdie enhance`; 0 if every file is done, 1 if some failed, 130 after Ctrl-C."""
    warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata and the like: not worth a line a photo
    place = get_int_from_env(LOCAL_RANKS, 0) % max(1, torch.cuda.device_count())
    device = args.device or (f"cuda:{place}" if torch.cuda.is_available() else "cpu")
    settings = {name: getattr(args, name) for name in ("strength", "working_size", "resume", "workers", "every")}
    settings |= {"touch": not args.no_touch, "overwrite": not args.no_overwrite}
    try:
        failures = enhance_files(args.inputs, args.out, load_model(args.weights, device), **settings)
    except KeyboardInterrupt:
        print("ssdie enhance: interrupted; the same command with --resume goes on", file=sys.stderr)
        return 130
    for failure in failures:
        name = str(failure.path)  # a name can hold anything: line ends, codes for the terminal
        print(f"failed: {name if name.isprintable() else repr(name)}: {failure.reason}", file=sys.stderr)
    return 1 if failures else 0
