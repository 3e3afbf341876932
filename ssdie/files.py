"""Enhancement of files and folders: `python -m ssdie enhance PHOTO_OR_FOLDER ... -o OUT`.

Every photo keeps its size, name, format, EXIF and colour profile. Several workers each take a photo from decoding to
encoding, so that reading, network and writing overlap. Under a launcher that sets RANK and WORLD_SIZE (`accelerate
launch`, `torchrun`, array jobs) each process takes its share; a manifest says what is done, `--resume` goes on there.
"""

import argparse
import csv
import io
import os
import sys
import time
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from tqdm import tqdm

from ssdie.enhance import WORKING_SIZE, check_settings, enhance, load_model
from ssdie.images import IMAGE_SUFFIXES, explain, open_photo, save_photo, stat_file
from ssdie.networks import Generator
from ssdie.paths import sweep
from ssdie.video import EVERY, VIDEO_SUFFIXES, enhance_video

WORKERS = 2  # photos in hand at a time
LOSSLESS = ("raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "zstd")  # TIFF compressions to keep
SAVE = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}


@dataclass(frozen=True)
class Failure:
    """A file that could not be enhanced, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Row:
    """A line of the manifest: what came (path, size and time of change), with which settings, what it became."""

    input: str
    fingerprint: str
    settings: str
    output: str
    seconds: str
    status: str

    @property
    def key(self) -> tuple[str, ...]:
        """What must be the same for the work to be the same."""
        return self.input, self.fingerprint, self.settings, self.output


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
        overwrite: replace what is in `out`; otherwise a file that is there already counts as a failure.
        resume: leave out what `out`'s manifests say is done with the same settings, and is still there.
        workers: files in hand at a time; memory grows with it.
        every: frames of a video between two looks of the network.
        progress: show a bar.

    Returns:
        Failures, in the order of the inputs; all other files are done.

    Raises:
        ValueError: there is nothing to enhance, an output would replace an input, or a setting is out of range.
        OSError: `out` cannot be written to.
    """
    check_settings(strength, working_size)
    if workers < 1 or every < 1:
        raise ValueError(f"workers is {workers} and every {every}; wanted is at least 1 of both.")
    out, jobs = Path(out), find_jobs(inputs, Path(out))
    rank, processes = share_of_work()
    share = jobs[rank::processes]
    model = model or load_model()
    settings = {"strength": strength, "working_size": working_size, "touch": touch}
    written = f"{settings | {'every': every, 'model': _checksum(model)}}"
    done = read_manifests(out) if resume else {}
    sweep(out.rglob(".*") if resume else ())
    manifest = out / ("manifest.csv" if processes == 1 else f"manifest-{rank}.csv")
    _open_manifest(manifest, keep=resume)

    def work(source: Path, target: Path) -> Failure | None:
        started = time.perf_counter()
        try:
            row = Row(str(source), _fingerprint(source), written, target.relative_to(out).as_posix(), "", "done")
            if row.key in done and target.is_file():
                return None
            if target.exists() and not (overwrite or resume):
                raise ValueError(f"{target} is there already")
            if source.suffix.lower() in VIDEO_SUFFIXES:
                enhance_video(source, target, model, every=every, progress=progress, **settings)
            else:
                enhance_photo(source, target, model, **settings)
            _append(manifest, (*row.key, f"{time.perf_counter() - started:.3f}", "done"))
        except Exception as error:  # whatever a decoder raises: one bad file must not stop a million
            reason = explain(error)
            if isinstance(error, OSError) and error.filename not in (None, source, str(source)):
                reason = f"{error.filename}: {reason}"  # it is what was to be written that failed
            with suppress(OSError):  # a full disk takes no line, but the others may still be told
                _append(manifest, (source, "", written, target.relative_to(out).as_posix(), "", reason))
            return Failure(source, reason)
        return None

    failures = []
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, *job) for job in share]
        try:
            bar = tqdm(as_completed(futures), "enhance", len(share), unit="file", disable=not progress or rank > 0)
            failures = [future.result() for future in bar]
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    place = {source: index for index, (source, _) in enumerate(share)}
    return sorted((f for f in failures if f), key=lambda f: place[f.path])


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


# Which files -------------------------------------------------------------------------------------------------------


def find_jobs(inputs: list[str | Path], out: Path) -> list[tuple[Path, Path]]:
    """List what to enhance and where to write it, in an order that depends on the inputs alone.

    Raises:
        ValueError: there is no photo, or an output would replace an input.
    """
    places: dict[Path, Path] = {}  # source: place below `out`
    for path in map(Path, inputs):
        if os.path.isdir(path):
            for source in _walk(path, out):
                places.setdefault(source, source.relative_to(path))
        else:
            places.setdefault(path, Path(path.name))
    if not places:
        named, known = ", ".join(map(str, inputs)), ", ".join(sorted(IMAGE_SUFFIXES))
        raise ValueError(f"There is no photo in {named or 'nothing'}; give photos or folders of them ({known}).")
    seen: dict[Path, Path] = {}
    for source in places:
        seen.setdefault(Path(os.path.realpath(source)), source)  # a photo named twice is enhanced once
    groups = defaultdict(list)
    for resolved, source in seen.items():
        groups[places[source]].append((resolved, source))
    place = dict(places)
    for group in (g for g in groups.values() if len(g) > 1):
        common = os.path.commonpath([resolved for resolved, _ in group])
        for resolved, source in group:
            place[source] = resolved.relative_to(common)
    jobs = [(source, out / place[source]) for source in seen.values()]
    if len({target for _, target in jobs}) < len(jobs):
        raise ValueError(f"Several inputs would become the same file in {out}; enhance them into folders of their own.")
    for _, target in jobs:
        if Path(os.path.realpath(target)) in seen:
            raise ValueError(f"{target} is one of the inputs and would be lost; give another folder with -o.")
    return jobs


def _walk(folder: Path, out: Path) -> Iterator[Path]:
    """Photos and videos of a folder in name order, but for what lies in an output folder inside it.

    Broken links, pipes and folders that cannot be listed are among them, so that they are told as failures.
    """
    known, skipped = IMAGE_SUFFIXES | VIDEO_SUFFIXES, os.path.realpath(out)
    found: list[Path] = []
    unlisted: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=unlisted.append):
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(place, name)) != skipped]
        found += [Path(place, n) for n in names if Path(n).suffix.lower() in known and not n.startswith(".")]
    yield from sorted(found + [Path(error.filename) for error in unlisted])


def share_of_work() -> tuple[int, int]:
    """Rank of this process and number of processes, as launchers tell them by RANK and WORLD_SIZE; (0, 1) alone."""
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if not 0 <= rank < processes:
        raise ValueError(f"RANK is {rank} and WORLD_SIZE {processes}; wanted is a rank from 0 to below the size.")
    return rank, processes


# What is done ------------------------------------------------------------------------------------------------------


def read_manifests(out: str | Path) -> dict[tuple[str, ...], Row]:
    """Give the rows of all manifests of a folder that are done, by input, fingerprint, settings and output."""
    rows = {}
    for path in sorted(Path(out).glob("manifest*.csv")):
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            for line in csv.reader(file):
                if len(line) == len(fields(Row)) and line[-1] == "done":
                    row = Row(*line)
                    rows[row.key] = row
    return rows


def _open_manifest(path: Path, keep: bool) -> None:
    """Start a manifest, or go on with one (whose last line a kill may have cut)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not keep or not path.is_file():
        path.unlink(missing_ok=True)
        _append(path, [field.name for field in fields(Row)])
    elif not path.read_bytes().endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def _append(path: Path, values: tuple | list) -> None:
    """Add a line in a single write: a kill leaves it whole or out."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    with path.open("ab", buffering=0) as file:
        file.write(line.getvalue().encode("utf-8", "surrogateescape"))


def _fingerprint(path: Path) -> str:
    """Size and time of change: cheap for a million files on a network disk."""
    status = stat_file(path)
    return f"{status.st_size}-{status.st_mtime_ns}"


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
    """Run `python -m ssdie enhance`; 0 if every file is done, 1 if some failed."""
    warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata and the like: not worth a line a photo
    place = int(os.environ.get("LOCAL_RANK", 0)) % max(1, torch.cuda.device_count())
    device = args.device or (f"cuda:{place}" if torch.cuda.is_available() else "cpu")
    settings = {name: getattr(args, name) for name in ("strength", "working_size", "resume", "workers", "every")}
    settings |= {"touch": not args.no_touch, "overwrite": not args.no_overwrite}
    failures = enhance_files(args.inputs, args.out, load_model(args.weights, device), **settings)
    for failure in failures:
        name = str(failure.path)  # a name can hold anything: line ends, codes for the terminal
        print(f"failed: {name if name.isprintable() else repr(name)}: {failure.reason}", file=sys.stderr)
    return 1 if failures else 0
