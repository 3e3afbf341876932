"""`python -m ssdie bench`: speed and memory, as ratios within one run, beside their goals; a table, JSON and a plot."""

import argparse
import json
import math
import statistics
import tempfile
from pathlib import Path

import cv2
import torch
from tqdm import tqdm

from ssdie.bench_gpu import measure_gpu
from ssdie.bench_tasks import attention, make_fast_step, make_model, make_photo, make_published_step
from ssdie.config import TrainConfig
from ssdie.data import Crops, find_photos
from ssdie.enhance import WORKING_SIZE, enhance, load_model
from ssdie.export import export_onnx
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
STEPS = {"published": 1, "float32": 1, "bfloat16": 3}  # kinds of a step, and how often each is run in a round


def bench(quick: bool = False) -> dict:
    """Measure everything.

    Args:
        quick: small pictures and few repetitions for the steps of training: minutes instead of an hour.

    Returns:
        "machine", "ceiling" (operations and bytes a second), "figures" (see `ssdie.measure.figure`), "parts" (seconds
        by part of a step), "photos" (pixels, seconds, bytes) and "quick"; plain values.
    """
    result = {"quick": quick, "machine": describe_machine(), "figures": [], "parts": {}, "photos": []}
    result["ceiling"] = measure_ceiling(5)
    sections = (measure_photos, measure_network, measure_onnx, measure_kernels, measure_steps, measure_batchnorm)
    for section in tqdm((*sections, measure_loader, measure_video, measure_gpu), "bench", unit="section"):
        section(result, quick)
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
    first, last = result["photos"][1], result["photos"][-1]
    exponent = math.log(last["seconds"] / first["seconds"]) / math.log(last["pixels"] / first["pixels"])
    result["figures"].append(figure("exponent of time against pixels, 1 to 50 Mpx", exponent, "", ("<=", 1.1)))


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


def measure_steps(result: dict, quick: bool) -> None:
    """The semi-supervised step, K = 5, against the published one: time by part, losses, memory.

    Each runs in its own process. They take turns, and a ratio is that of one round: a machine that others use too is
    not always equally fast.
    """
    base, add, parts = run_child("nothing()")["peak"], result["figures"].append, result["parts"]
    for name in ("unet", "msff"):
        # the published step of MSFF holds every matrix of attention: 5 GB for a picture
        batch, size = (1, 128) if quick else (8 if name == "unet" else 2, 256)
        operations = [count_operations(make(name, 1, size // 2)) for make in (make_published_step, make_fast_step)]
        fewer = operations[0] / operations[1]
        add(figure(f"step of {name}, operations of the published one against ours", fewer, "x"))
        gain = fewer * result["ceiling"]["bfloat16"] / result["ceiling"]["float32"]
        add(figure(f"step of {name}, bfloat16, what fewer operations and the processor's ceilings give", gain, "x"))
        rounds = [
            {kind: run_child(f'time_step("{kind}", "{name}", {batch}, {size}, {n})') for kind, n in STEPS.items()}
            for _ in range(1 if quick else 3)
        ]
        seconds = {kind: [s for found in rounds for s in found[kind]["seconds"]] for kind in STEPS}
        peaks = {kind: statistics.median(found[kind]["peak"] for found in rounds) - base for kind in STEPS}
        for kind in STEPS:
            several = [found[kind]["parts"] for found in rounds]
            parts[f"{name}, {kind}"] = {k: statistics.median(one[k] for one in several) for k in several[0]}
        terms = rounds[0]["published"]["terms"]
        for precision, tolerance, goal in (("float32", 1e-3, None), ("bfloat16", 2e-2, (">=", 4))):
            about = {"seconds": seconds[precision], "published_seconds": seconds["published"]}
            about |= {"batch": batch, "size": size}
            times = [_median_seconds(found, "published") / _median_seconds(found, precision) for found in rounds]
            label = f"step of {name}, {precision}"
            add(figure(f"{label}, against the published step", times, "x", goal, **about))
            ours = rounds[0][precision]["terms"]
            worst = max(abs(ours[k] - v) / abs(v) for k, v in terms.items())
            add(figure(f"{label}, largest relative difference of a loss", worst, "", ("<=", tolerance)))
            held = peaks[precision] / peaks["published"]
            add(figure(f"{label}, memory against the published step", held, "x", ("<=", 0.5), bytes=peaks[precision]))
        if name == "unet":
            parted = [{kind: found[kind]["parts"]["discriminator step"] for kind in STEPS} for found in rounds]
            times = [one["published"] / one["float32"] for one in parted]
            label = "discriminator step of unet, float32, against the published one"
            add(figure(label, times, "x", (">=", 1.9)))


def _median_seconds(found: dict[str, dict], kind: str) -> float:
    return statistics.median(found[kind]["seconds"])


def measure_batchnorm(result: dict, quick: bool) -> None:
    """In training mode BatchNorm sees the K copies together, where the published step shows it one by one."""
    apart, together = (make("msff", 2, 64, training=True)() for make in (make_published_step, make_fast_step))
    changes = {term: 100 * abs(together[term] - value) / abs(value) for term, value in apart.items()}
    judged, label = changes.pop("discriminator"), "training mode of msff, copies in one batch: BatchNorm changes"
    result["figures"].append(figure(f"{label} a term of the generator by at most", max(changes.values()), "%"))
    result["figures"].append(figure(f"{label} the term of the discriminator by", judged, "%"))


def measure_loader(result: dict, quick: bool) -> None:
    """Pictures for a step: crops, dust; against the fastest step that was measured, at its batch and size."""
    line = next(f for f in result["figures"] if f["name"] == "step of unet, bfloat16, against the published step")
    batch, size, photos = line["batch"], line["size"], find_photos()
    config = TrainConfig("semi-supervised", Path("."), batch=batch, size=size)
    streams = [load_batches(Crops(kind, size, seed), batch) for seed, kind in enumerate((photos.clear, photos.dusty))]
    random = torch.Generator().manual_seed(0)

    def load() -> None:
        make_pairs(next(streams[0]), config, random)
        next(streams[1]), next(streams[0])

    seconds = time_calls(load, 5 if quick else 20, warm=-(-len(photos.clear) // batch))
    result["figures"].append(figure(f"loading for a step ({photos.origin})", seconds, "s"))
    result["figures"].append(figure("loading, against the step", ratios(line["seconds"], seconds), "x", (">=", 2)))


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
    from ssdie.bench_report import markdown, plot

    result = bench(args.quick)
    with atomic(args.out) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    print(markdown(result))
    print(f"written: {args.out}")
    if args.plot:
        print(f"written: {plot(result, args.out.with_suffix('.png'))}")
    return 0
