"""`python -m ssdie bench`: speed and memory, as ratios within one run, beside their goals; a table, JSON and a plot."""

import argparse
import functools
import importlib.util
import itertools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from PIL import Image
from tqdm import tqdm

from ssdie.bench_gpu import measure_gpu
from ssdie.bench_steps import measure_batchnorm, measure_steps
from ssdie.bench_tasks import attention, make_model, make_photo
from ssdie.checkpoint import current_commit
from ssdie.config import TrainConfig
from ssdie.data import Crops, Photo
from ssdie.enhance import WORKING_SIZE, enhance, load_model
from ssdie.export import export_onnx
from ssdie.images import read_image
from ssdie.loader import load_batches
from ssdie.measure import (
    count_operations,
    describe_machine,
    figure,
    measure_ceiling,
    ratios,
    run_child,
    time_calls,
)
from ssdie.paths import atomic, project_root
from ssdie.priors import block_dark_channel, single_scale_retinex
from ssdie.published import loop_dark_channel
from ssdie.train import make_pairs
from ssdie.video import enhance_video

# (height, width): (seconds, bytes above a process that has loaded the network), on 2 cores
PHOTOS = {
    (256, 256): (0.15, None),
    (864, 1152): (None, None),
    (1080, 1920): (0.64, None),  # ten times faster than TOENet, 6.4 s
    (3000, 4000): (2.0, 1.2e9),
    (5800, 8700): (9.0, 3.0e9),
}
COMPARED = ((864, 1152), (3000, 4000), (5800, 8700))  # sizes whose times give the exponent
ARCHIVE = {"2 megapixels": (1080, 1920), "12 megapixels": (3000, 4000), "50 megapixels": (5800, 8700)}


def bench(quick: bool = False, keep: Callable[[dict], None] = lambda result: None) -> dict:
    """Measure everything.

    Args:
        quick: small pictures and few repetitions for the steps of training: minutes instead of an hour.
        keep: called with the result so far after each section.

    Returns:
        "machine", "commit", "ceiling" (operations and bytes a second), "figures" (see `ssdie.measure.figure`), "parts"
        (seconds by part of a step), "photos" (pixels, seconds, bytes), "archive" (see `measure_archive`), "seconds" by
        section and "quick"; plain values.
    """
    result = {"quick": quick, "machine": describe_machine(), "commit": current_commit(), "figures": [], "parts": {}}
    result |= {"photos": [], "archive": {}, "seconds": {}, "ceiling": measure_ceiling(5)}
    sections = (measure_photos, measure_network, measure_onnx, measure_kernels, measure_steps, measure_batchnorm)
    for section in tqdm((*sections, measure_loader, measure_archive, measure_video, measure_gpu), "bench"):
        started = time.perf_counter()
        section(result, quick)
        result["seconds"][section.__name__.removeprefix("measure_")] = time.perf_counter() - started
        keep(result)
    return result


def measure_photos(result: dict, quick: bool) -> None:
    """Enhancement at several sizes, each in its own process; how time grows with pixels."""
    loaded = run_child("only_load()")["peak"]
    for (height, width), (seconds, memory) in PHOTOS.items():
        found = run_child(f"time_photo({height}, {width}, {3 if quick else 7})")
        name, held = f"enhance {width} x {height}", found["peak"] - loaded
        result["figures"].append(figure(name, found["seconds"], "s", seconds and ("<=", seconds)))
        result["figures"].append(figure(f"{name}, memory", held / 1e9, "GB", memory and ("<=", memory / 1e9)))
        result["photos"].append({"pixels": height * width, "seconds": result["figures"][-2]["median"], "bytes": held})
    moved = 2 * 3 * height * width / found["seconds"][0] / result["ceiling"]["copy"]  # read once, written once
    result["figures"].append(figure(f"{name}, share of the ceiling of copying", 100 * moved, "%"))
    for first, last in itertools.pairwise(COMPARED):
        one, two = (next(p for p in result["photos"] if p["pixels"] == h * w) for h, w in (first, last))
        exponent = math.log(two["seconds"] / one["seconds"]) / math.log(two["pixels"] / one["pixels"])
        label = " to ".join(f"{round(p['pixels'] / 1e6)}" for p in (one, two))
        result["figures"].append(figure(f"exponent of time against pixels, {label} Mpx", exponent, "", ("<=", 1.1)))


def measure_network(result: dict, quick: bool) -> None:
    """The network by itself: share of the machine's ceiling; the whole method against a direct pass of the network."""
    model, repeats = make_model(), 3 if quick else 9
    dusty = torch.rand(1, 3, 256, 256).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        operations = count_operations(lambda: model(dusty))
        for dtype in ("float32", "bfloat16"):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                seconds = time_calls(lambda: model(dusty), repeats)
            share = [100 * operations / s / result["ceiling"][dtype] for s in seconds]
            result["figures"].append(figure(f"network 256 x 256, {dtype}", seconds, "s"))
            result["figures"].append(figure(f"network, share of the {dtype} ceiling", share, "%"))
        side = 384 if quick else 1024
        photo = torch.from_numpy(make_photo(side, side)).permute(2, 0, 1).float() / 255
        direct = model(photo[None])[0]
    label = f"difference from a direct pass of the network, {side} x {side}"
    # what the affine maps change, where the network sees the same; and what it changes to see the scene smaller
    for working_size, goal in ((side, ("<=", 0.03)), (WORKING_SIZE, None)):
        difference = (enhance(photo, model, working_size=working_size, touch=False) - direct).abs().mean().item()
        result["figures"].append(figure(f"{label}, working size {working_size}", difference, "", goal))


def measure_onnx(result: dict, quick: bool) -> None:
    """The network by ONNX Runtime: the same output, and how fast against PyTorch in float32."""
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript")):
        return  # the extra "onnx" is not installed
    model, dusty = make_model(), torch.rand(1, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        exported = load_model(export_onnx(model, Path(folder) / "msff.onnx"))
        networks = (model, exported)
        slow, fast = (time_calls(lambda network=network: network(dusty), 3 if quick else 9) for network in networks)
        difference = (exported(dusty) - model(dusty)).abs().max().item()
    result["figures"].append(figure("network by ONNX Runtime, against PyTorch in float32", ratios(slow, fast), "x"))
    result["figures"].append(figure("network by ONNX Runtime, difference", difference, "", ("<=", 1e-3)))


def measure_kernels(result: dict, quick: bool) -> None:
    """Dark channel, Retinex and attention, each against its plain form."""
    batch, repeats, add = 2 if quick else 8, 3 if quick else 5, result["figures"].append
    image = torch.rand(batch, 3, 256, 256, requires_grad=True)

    def back(function):
        return lambda: torch.autograd.grad(function(image).sum(), image)

    slow, fast = (time_calls(back(f), repeats) for f in (loop_dark_channel, block_dark_channel))
    add(figure("dark channel, against loops over blocks", ratios(slow, fast), "x", (">=", 40)))
    difference = (loop_dark_channel(image) - block_dark_channel(image)).abs().max().item()
    add(figure("dark channel, difference", difference, "", ("<=", 0)))

    still = image.detach()
    add(figure(f"Retinex, {batch} x 256 x 256", time_calls(lambda: single_scale_retinex(still), repeats), "s"))

    side = 32 if quick else 64
    sequences = [torch.randn(1, 1, side**2, c) for c in (16, 16, 128)]
    with torch.inference_mode():
        slow, fast = (time_calls(lambda k=k: attention(k, *sequences), repeats) for k in ("explicit", "fused"))
        difference = (attention("explicit", *sequences) - attention("fused", *sequences)).abs().max().item()
    add(figure(f"attention over {side**2} positions, against the formula", ratios(slow, fast), "x"))
    add(figure("attention, difference", difference, "", ("<=", 1e-5)))
    kinds = ("nothing()", 'run_attention("explicit", 64)', 'run_attention("fused", 64)')
    base, explicit, fused = (run_child(kind)["peak"] for kind in kinds)
    add(figure("attention, memory against the formula", (explicit - base) / max(1, fused - base), "x", (">=", 5)))


def measure_loader(result: dict, quick: bool) -> None:
    """Pictures for a step: decoding, crops, dust; against the fastest step that was measured, at its batch and size."""
    lines = [f for f in result["figures"] if f["name"].startswith("step of unet") and "published_seconds" in f]
    line = min(lines, key=lambda f: statistics.median(f["seconds"]))
    batch, size = line["batch"], line["size"]
    config = TrainConfig("semi-supervised", Path("."), batch=batch, size=size)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.jpg" for number in range(8)]
        for path in paths:
            Image.fromarray(make_photo(2000, 3000)).save(path, quality=95)
        files = [Photo(path.name, functools.partial(_read_with_depth, path)) for path in paths]
        for label, photos, keep in (("photos held in memory", files, True), ("6 megapixels from files", files, False)):
            stream = load_batches(Crops(photos, size, 0, keep), batch)
            random = torch.Generator().manual_seed(0)

            def load(stream=stream, random=random) -> None:
                make_pairs(next(stream), config, random)  # paired
                next(stream), next(stream)  # unpaired, and clear ones for the discriminator

            seconds = time_calls(load, 3 if quick else 9, warm=-(-len(files) // batch))
            result["figures"].append(figure(f"loading for a step, {label}", seconds, "s"))
            times = [statistics.median(line["seconds"]) / s for s in seconds]
            result["figures"].append(figure(f"loading, {label}, against the step", times, "x", (">=", 2)))


def _read_with_depth(path: Path) -> torch.Tensor:
    picture = read_image(path)
    return torch.cat((picture, picture[:1]))  # any depth will do


def measure_archive(result: dict, quick: bool) -> None:
    """Processor time of a photo from file to file by one thread, for `docs/scaling.md`: "archive", seconds by size."""
    for label, (height, width) in list(ARCHIVE.items())[: 2 if quick else None]:
        found = run_child(f"time_file({height}, {width}, {1 if quick else 3})", OMP_NUM_THREADS="1")
        result["archive"][label] = {"width": width, "height": height, "seconds": statistics.median(found["seconds"])}
        result["archive"][label]["codec"] = statistics.median(found["codec"])
        result["figures"].append(figure(f"file of {label} to file, one thread", found["seconds"], "core-s"))


def measure_video(result: dict, quick: bool) -> None:
    """Frames a second of a video, 1280 x 720."""
    frames = 12 if quick else 50
    with tempfile.TemporaryDirectory() as folder:
        path, photo = Path(folder) / "in.mp4", make_photo(720, 1280 + frames)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (1280, 720))
        for t in range(frames):
            writer.write(photo[:, t : t + 1280].copy())
        writer.release()
        model = make_model()
        seconds = time_calls(lambda: enhance_video(path, Path(folder) / "out.mp4", model, progress=False), 1, warm=0)
    result["figures"].append(figure("video, 1280 x 720", frames / seconds[0], "frames/s"))


# Command line ------------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m ssdie bench`."""
    parser.add_argument("--quick", action="store_true", help="small steps, few repetitions: under 5 minutes on 2 cores")
    parser.add_argument("--out", type=Path, default=project_root() / "runs" / "bench.json", help="JSON file to write")
    parser.add_argument("--plot", action="store_true", help="draw a plot beside the JSON file")


def run(args: argparse.Namespace) -> int:
    """Run `python -m ssdie bench`; 0 whatever the figures: they say themselves whether a goal is met."""
    from ssdie.bench_report import archive_table, markdown, plot

    def keep(result: dict) -> None:
        with atomic(args.out) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")

    result = bench(args.quick, keep)
    table, page = markdown(result), args.out.with_suffix(".md")
    with atomic(page) as temporary:
        temporary.write_text(f"# Speed and memory\n\n{table}\n\n{archive_table(result)}\n")
    print(table)
    print(f"written: {args.out}, {page}")
    if args.plot:
        print(f"written: {plot(result, args.out.with_suffix('.png'))}")
    return 0
