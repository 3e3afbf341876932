"""Enhancement of files and folders: `python -m ssdie enhance PHOTO_OR_FOLDER ... -o OUT`.

Every photo keeps its size, name, format, EXIF and colour profile. Several workers each take a photo from decoding to
encoding, so that reading, network and writing overlap. Under a launcher (`accelerate launch`, `torchrun`, `mpirun`,
array jobs that set RANK and WORLD_SIZE) each process takes its share; a manifest says what is done, `--resume` goes on
there.
"""

import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from ssdie.batch.jobs import VIDEO_SUFFIXES, find_jobs
from ssdie.batch.journal import (
    HashSet,
    Row,
    append_row,
    file_stamp,
    find_manifests,
    open_manifest,
    read_manifests,
    share_of_work,
)
from ssdie.enhancement.photo import WORKING_SIZE, check_settings, enhance
from ssdie.enhancement.runtime import load_model
from ssdie.enhancement.video import EVERY, enhance_video
from ssdie.networks.generators import Generator
from ssdie.photo.files import explain, open_photo, save_photo, stat_file
from ssdie.utils.paths import remove_stale_parts

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
    postprocess: bool = True,
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
        model, strength, working_size, postprocess: as for `ssdie.enhancement.photo`.
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
    settings = {"strength": strength, "working_size": working_size, "postprocess": postprocess}
    written = f"{settings | {'every': every, 'model': _checksum(model)}}"
    known = HashSet(value for row in read_manifests(out) for value in (row.key, row.result)) if resume else ()
    manifest = out / ("manifest.csv" if processes == 1 else f"manifest-{rank}.csv")
    open_manifest(manifest, keep=resume)
    if resume and rank == 0:
        os.utime(manifest)  # by the clock of its disk, as are the times of the files beside it
        remove_stale_parts(_hidden(out), now=manifest.stat().st_mtime)

    def work(index: int) -> tuple[int, Failure] | None:
        started = time.perf_counter()
        source, target = jobs[index]
        row = Row(os.path.abspath(source), "", written, target.relative_to(out).as_posix())
        try:
            row = replace(row, fingerprint=file_stamp(stat_file(source)))
            there = replace(row, written=_written_stamp(target))
            if there.key in known:
                return None
            if there.written and not overwrite and there.result not in known:
                raise ValueError(f"{target} is there already")
            if source.suffix.lower() in VIDEO_SUFFIXES:
                enhance_video(source, target, model, every=every, progress=progress, **settings)
            else:
                enhance_photo(source, target, model, **settings)
            took = f"{time.perf_counter() - started:.3f}"
            append_row(manifest, replace(row, written=_written_stamp(target), seconds=took, status="done"))
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


def _written_stamp(path: Path) -> str:
    """Fingerprint of what is there; empty if nothing is."""
    try:
        return file_stamp(os.stat(path))
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
