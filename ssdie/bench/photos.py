"""Sections of the benchmark for the enhancement of photos: commands, arrays, start-up, installed size, video."""

import importlib.metadata
import itertools
import math
import re
import statistics
import tempfile
from pathlib import Path

import cv2
from PIL import Image
from tqdm import tqdm

from ssdie.bench.measure import Target, measurement, timing
from ssdie.bench.process import run_child, run_code, run_command
from ssdie.bench.tasks import make_photo

# (height, width): CPU seconds of one thread, and bytes more than a process that has enhanced a small photo
ARRAYS: dict[tuple[int, int], tuple[Target, Target]] = {
    (256, 256): (None, None),
    (864, 1152): (None, None),
    (1080, 1920): (("<=", 0.16), None),
    (3000, 4000): (("<=", 0.7), ("<=", 1.2)),
    (5800, 8700): (("<=", 2.4), ("<=", 3.0)),
}
COMPARED = ((864, 1152), (3000, 4000), (5800, 8700))  # sizes whose times give the exponent
# (height, width): CPU seconds and gigabytes of `ssdie enhance` on one JPEG file
FILES: dict[str, tuple[tuple[int, int], Target, Target]] = {
    "1 megapixel": ((864, 1152), ("<=", 0.8), None),
    "12 megapixels": ((3000, 4000), ("<=", 2.0), ("<=", 0.35)),
}
ARCHIVE = {"2 megapixels": (1080, 1920), "12 megapixels": (3000, 4000), "50 megapixels": (5800, 8700)}
BASE = ("numpy", "pillow", "onnxruntime", "av", "pip")  # what a plain installation brings


def measure_processes(result: dict, quick: bool) -> None:
    """Measure whole processes of one thread: start-up, and `ssdie enhance` from JPEG file to JPEG file."""
    add, repeats, many = result["measurements"].append, 1 if quick else 5, 20 if quick else 100
    add(timing("import ssdie, whole process", run_code("import ssdie", repeats)))
    add(timing("import ssdie and enhance, whole process", run_code("import ssdie; ssdie.enhance", repeats)))
    for label, (size, cpu_target, memory_target) in FILES.items():
        found = enhance_copies(size, 1, repeats)
        name = f"ssdie enhance, a JPEG of {label}, whole process"
        add(timing(name, found, cpu_target))
        add(measurement(f"{name}, memory", [peak / 1e9 for peak in found["peak"]], "GB", memory_target))
    found = enhance_copies(FILES["1 megapixel"][0], many, 1)
    each = {key: [value / many for value in found[key]] for key in ("seconds", "cpu")}
    add(timing(f"ssdie enhance, {many} JPEGs of 1 megapixel, each", each))


def enhance_copies(size: tuple[int, int], count: int, repeats: int) -> dict:
    """Run `ssdie enhance` on a folder with copies of a dusty JPEG photo, `repeats` times; see `run_command`."""
    with tempfile.TemporaryDirectory() as folder:
        source, runs = Path(folder) / "in", []
        source.mkdir()
        Image.fromarray(make_photo(*size)).save(source / "0.jpg", quality=95)
        for number in range(1, count):
            (source / f"{number}.jpg").write_bytes((source / "0.jpg").read_bytes())
        for number in range(repeats):
            runs.append(run_command(["enhance", str(source), "-o", str(Path(folder) / f"out{number}")]))
    return {key: [run[key][0] for run in runs] for key in runs[0]}


def measure_arrays(result: dict, quick: bool) -> None:
    """Measure `ssdie.enhance` on arrays of several sizes, each in its own process of one thread; and the exponent."""
    loaded = run_child("enhance_small()", one_thread=True)["peak"]
    for (height, width), (cpu_target, memory_target) in ARRAYS.items():
        found = run_child(f"time_photo({height}, {width}, {3 if quick else 7})", one_thread=True)
        name, held = f"enhance {width} x {height}, one thread", found["peak"] - loaded
        result["measurements"].append(timing(name, found, cpu_target))
        result["measurements"].append(measurement(f"{name}, memory", held / 1e9, "GB", memory_target))
        photo = {"pixels": height * width, "seconds": statistics.median(found["cpu"]), "bytes": held}
        result["photos"].append(photo)
    moved = 2 * 3 * height * width / found["seconds"][0] / result["ceiling"]["copy"]  # read once, written once
    result["measurements"].append(measurement(f"{name}, fraction of the copy ceiling", 100 * moved, "%"))
    for first, last in itertools.pairwise(COMPARED):
        one, two = (next(p for p in result["photos"] if p["pixels"] == h * w) for h, w in (first, last))
        exponent = math.log(two["seconds"] / one["seconds"]) / math.log(two["pixels"] / one["pixels"])
        name = "exponent of time against pixels, {:.0f} to {:.0f} Mpx".format(*(p["pixels"] / 1e6 for p in (one, two)))
        result["measurements"].append(measurement(name, exponent, "", ("<=", 1.1)))


def measure_archive(result: dict, quick: bool) -> None:
    """Measure the CPU time of each further photo of a folder, by size of photo, for the costs in `docs/scaling.md`."""
    for label, size in list(ARCHIVE.items())[: 2 if quick else None]:
        one, several = (enhance_copies(size, count, 1) for count in (1, 3 if quick else 9))
        more = 2 if quick else 8
        each = {key: (several[key][0] - one[key][0]) / more for key in ("seconds", "cpu")}
        codec = run_child(f"time_codec({size[0]}, {size[1]}, {1 if quick else 3})", one_thread=True)
        about = {"height": size[0], "width": size[1], "seconds": each["cpu"], "codec": statistics.median(codec["cpu"])}
        result["archive"][label] = about
        name = f"ssdie enhance, each further JPEG of {label}"
        result["measurements"].append(timing(name, {key: [value] for key, value in each.items()}))


def measure_installation(result: dict, quick: bool) -> None:
    """Measure the installed size of the packages that `pip install ssdie` needs, pip included."""
    size, missing = installed_bytes(BASE)
    name = f"installed size of {', '.join(name for name in BASE if name not in missing)} and their dependencies"
    target = None if missing else ("<=", 400)
    result["measurements"].append(measurement(name, size / 1e6, "MB", target))


def installed_bytes(names: tuple[str, ...]) -> tuple[int, list[str]]:
    """Add up the files of installed packages and of what they require; also return the names that are not installed."""
    left, seen, missing, size = list(names), set(), [], 0
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            missing += [name] if name in names else []  # a requirement may be for another system
            continue
        paths = (Path(package.locate_file(file)) for file in package.files or ())
        size += sum(path.stat().st_size for path in paths if path.is_file())
        required = (line for line in package.requires or () if "extra ==" not in line)
        left += [re.match(r"[\w.-]+", line).group() for line in required]
    return size, missing


def measure_video(result: dict, quick: bool) -> None:
    """Measure the frames per second for a video of 1280 x 720 pixels, from a long and a short video."""
    short, long = 4, 16 if quick else 54
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for frames in tqdm((short, long), "video", leave=False):
            path, photo = Path(folder) / f"{frames}.mp4", make_photo(720, 1280 + frames)
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (1280, 720))
            for t in range(frames):
                writer.write(photo[:, t : t + 1280].copy())
            writer.release()
            found.append(run_command(["enhance", str(path), "-o", str(Path(folder) / "out")]))
    wall, cpu = (found[1][key][0] - found[0][key][0] for key in ("seconds", "cpu"))
    line = measurement(
        "ssdie enhance, video of 1280 x 720", (long - short) / wall, "frames/s", cpu=cpu / (long - short)
    )
    result["measurements"].append(line)
