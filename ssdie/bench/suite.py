"""`python -m ssdie bench`: speed and memory, as ratios within one run, beside their goals; a table, JSON and a plot."""

import functools
import importlib.util
import itertools
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

from ssdie.bench.gpu import measure_gpu
from ssdie.bench.measure import count_operations, describe_machine, measure_ceiling, measurement, ratios, run_child
from ssdie.bench.steps import loop_dark_channel, make_fast_step, make_published_step
from ssdie.bench.tasks import attention, make_model, make_photo
from ssdie.data.photos import Photo
from ssdie.enhancement.photo import WORKING_SIZE, enhance
from ssdie.enhancement.runtime import load_model
from ssdie.enhancement.video import enhance_video
from ssdie.networks.export import export_onnx
from ssdie.ops.images import read_image
from ssdie.ops.priors import block_dark_channel, single_scale_retinex
from ssdie.training.batches import Crops, load_batches
from ssdie.training.config import TrainConfig
from ssdie.training.stages import make_pairs
from ssdie.utils.devices import fast_bfloat16, time_calls
from ssdie.utils.provenance import current_commit

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
        "machine", "commit", "ceiling" (operations and bytes a second), "figures" (see `measurement`),
        "parts" (seconds by part of a step), "photos" (pixels, seconds, bytes), "archive" (see `measure_archive`),
        "seconds" by section and "quick"; plain values.
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
        result["figures"].append(measurement(name, found["seconds"], "s", seconds and ("<=", seconds)))
        result["figures"].append(measurement(f"{name}, memory", held / 1e9, "GB", memory and ("<=", memory / 1e9)))
        result["photos"].append({"pixels": height * width, "seconds": result["figures"][-2]["median"], "bytes": held})
    moved = 2 * 3 * height * width / found["seconds"][0] / result["ceiling"]["copy"]  # read once, written once
    result["figures"].append(measurement(f"{name}, share of the ceiling of copying", 100 * moved, "%"))
    for first, last in itertools.pairwise(COMPARED):
        one, two = (next(p for p in result["photos"] if p["pixels"] == h * w) for h, w in (first, last))
        exponent = math.log(two["seconds"] / one["seconds"]) / math.log(two["pixels"] / one["pixels"])
        label = " to ".join(f"{round(p['pixels'] / 1e6)}" for p in (one, two))
        result["figures"].append(
            measurement(f"exponent of time against pixels, {label} Mpx", exponent, "", ("<=", 1.1))
        )


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
            result["figures"].append(measurement(f"network 256 x 256, {dtype}", seconds, "s"))
            result["figures"].append(measurement(f"network, share of the {dtype} ceiling", share, "%"))
        side = 384 if quick else 1024
        photo = torch.from_numpy(make_photo(side, side)).permute(2, 0, 1).float() / 255
        direct = model(photo[None])[0]
    label = f"difference from a direct pass of the network, {side} x {side}"
    # what the affine maps change, where the network sees the same; and what it changes to see the scene smaller
    for working_size, goal in ((side, ("<=", 0.03)), (WORKING_SIZE, None)):
        difference = (enhance(photo, model, working_size=working_size, postprocess=False) - direct).abs().mean().item()
        result["figures"].append(measurement(f"{label}, working size {working_size}", difference, "", goal))


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
    result["figures"].append(
        measurement("network by ONNX Runtime, against PyTorch in float32", ratios(slow, fast), "x")
    )
    result["figures"].append(measurement("network by ONNX Runtime, difference", difference, "", ("<=", 1e-3)))


def measure_kernels(result: dict, quick: bool) -> None:
    """Dark channel, Retinex and attention, each against its plain form."""
    batch, repeats, add = 2 if quick else 8, 3 if quick else 5, result["figures"].append
    image = torch.rand(batch, 3, 256, 256, requires_grad=True)

    def back(function):
        return lambda: torch.autograd.grad(function(image).sum(), image)

    slow, fast = (time_calls(back(f), repeats) for f in (loop_dark_channel, block_dark_channel))
    add(measurement("dark channel, against loops over blocks", ratios(slow, fast), "x", (">=", 40)))
    difference = (loop_dark_channel(image) - block_dark_channel(image)).abs().max().item()
    add(measurement("dark channel, difference", difference, "", ("<=", 0)))

    still = image.detach()
    add(measurement(f"Retinex, {batch} x 256 x 256", time_calls(lambda: single_scale_retinex(still), repeats), "s"))

    side = 32 if quick else 64
    sequences = [torch.randn(1, 1, side**2, c) for c in (16, 16, 128)]
    with torch.inference_mode():
        slow, fast = (time_calls(lambda k=k: attention(k, *sequences), repeats) for k in ("explicit", "fused"))
        difference = (attention("explicit", *sequences) - attention("fused", *sequences)).abs().max().item()
    add(measurement(f"attention over {side**2} positions, against the formula", ratios(slow, fast), "x"))
    add(measurement("attention, difference", difference, "", ("<=", 1e-5)))
    kinds = ("nothing()", 'run_attention("explicit", 64)', 'run_attention("fused", 64)')
    base, explicit, fused = (run_child(kind)["peak"] for kind in kinds)
    add(measurement("attention, memory against the formula", (explicit - base) / max(1, fused - base), "x", (">=", 5)))


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
            result["figures"].append(measurement(f"loading for a step, {label}", seconds, "s"))
            times = [statistics.median(line["seconds"]) / s for s in seconds]
            result["figures"].append(measurement(f"loading, {label}, against the step", times, "x", (">=", 2)))


def _read_with_depth(path: Path) -> torch.Tensor:
    picture = read_image(path)
    return torch.cat((picture, picture[:1]))  # any depth will do


def measure_archive(result: dict, quick: bool) -> None:
    """Processor time of a photo from file to file by one thread, for `docs/scaling.md`: "archive", seconds by size."""
    for label, (height, width) in list(ARCHIVE.items())[: 2 if quick else None]:
        found = run_child(f"time_file({height}, {width}, {1 if quick else 3})", OMP_NUM_THREADS="1")
        result["archive"][label] = {"width": width, "height": height, "seconds": statistics.median(found["seconds"])}
        result["archive"][label]["codec"] = statistics.median(found["codec"])
        result["figures"].append(measurement(f"file of {label} to file, one thread", found["seconds"], "core-s"))


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
    result["figures"].append(measurement("video, 1280 x 720", frames / seconds[0], "frames/s"))


KINDS = ("published", "float32", "bfloat16")  # of a step
ROUNDS = 3
BATCH = {"unet": 8, "msff": 2}  # the published step of MSFF holds every matrix of attention: 5 GB for a picture
TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}  # relative, of a loss


def measure_steps(result: dict, quick: bool) -> None:
    """The semi-supervised step, K = 5, against the published one: time by part, losses, memory.

    Each runs in its own process. They take turns, and a ratio is that of one round: a machine that others use too is
    not always equally fast. The goal in speed is for the precision that the processor is made for.
    """
    base, add, parts = run_child("nothing()")["peak"], result["figures"].append, result["parts"]
    goals = {"bfloat16" if fast_bfloat16() else "float32": (">=", 4)}
    for name in BATCH:
        batch, size = (1, 128) if quick else (BATCH[name], 256)
        operations = [count_operations(make(name, 1, size)) for make in (make_published_step, make_fast_step)]
        fewer = operations[0] / operations[1]
        add(measurement(f"step of {name}, operations of the published one against ours", fewer, "x"))
        rounds = [
            {kind: run_child(f'time_step("{kind}", "{name}", {batch}, {size})') for kind in KINDS}
            for _ in range(1 if quick else ROUNDS)
        ]
        seconds = {kind: [found[kind]["seconds"] for found in rounds] for kind in KINDS}
        peaks = {kind: statistics.median(found[kind]["peak"] for found in rounds) - base for kind in KINDS}
        for kind in KINDS:
            several = [found[kind]["parts"] for found in rounds]
            parts[f"{name}, {kind}"] = {k: statistics.median(one[k] for one in several) for k in several[0]}
        about = {"batch": batch, "size": size, "published_seconds": seconds["published"]}
        pictures = f"{batch} picture{'s' if batch > 1 else ''} of {size} px"
        terms = rounds[0]["published"]["terms"]
        for precision, tolerance in TOLERANCE.items():
            label = f"step of {name}, {precision}"
            gain = fewer * result["ceiling"][precision] / result["ceiling"]["float32"]
            add(measurement(f"{label}, what fewer operations and the ceilings give", gain, "x"))
            times = [found["published"]["seconds"] / found[precision]["seconds"] for found in rounds]
            told = about | {"seconds": seconds[precision]}
            add(
                measurement(
                    f"{label}, {pictures}, against the published step", times, "x", goals.get(precision), **told
                )
            )
            share = [100 * batch * operations[1] / s / result["ceiling"][precision] for s in seconds[precision]]
            add(measurement(f"{label}, share of the {precision} ceiling", share, "%"))
            ours = rounds[0][precision]["terms"]
            worst = max(abs(ours[k] - v) / abs(v) for k, v in terms.items())
            add(measurement(f"{label}, largest relative difference of a loss", worst, "", ("<=", tolerance)))
            held = peaks[precision] / peaks["published"]
            add(
                measurement(
                    f"{label}, memory against the published step", held, "x", ("<=", 0.5), bytes=peaks[precision]
                )
            )
        parted = [{kind: found[kind]["parts"]["discriminator step"] for kind in KINDS} for found in rounds]
        times = [one["published"] / one["float32"] for one in parted]
        goal = (">=", 1.9) if name == "unet" else None
        add(measurement(f"discriminator step of {name}, float32, against the published one", times, "x", goal))


def measure_batchnorm(result: dict, quick: bool) -> None:
    """BatchNorm sees the K copies together, where the published step shows it one by one; all else is equal."""
    separate, together = (make("msff", 2, 64)(mode="batchnorm") for make in (make_published_step, make_fast_step))
    changes = {term: 100 * abs(together[term] - value) / abs(value) for term, value in separate.items()}
    judged, label = changes.pop("discriminator"), "msff, copies in one batch: BatchNorm changes"
    result["figures"].append(measurement(f"{label} a term of the generator by at most", max(changes.values()), "%"))
    result["figures"].append(measurement(f"{label} the term of the discriminator by", judged, "%"))
