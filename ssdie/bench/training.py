"""Sections of the benchmark for training: network, kernels, steps, loading. All but ratios are CPU seconds too."""

import functools
import statistics
import tempfile
from pathlib import Path

import torch
from PIL import Image

import ssdie
from ssdie.bench.measure import Target, count_operations, measurement, ratios, time_work, timing
from ssdie.bench.process import run_child
from ssdie.bench.steps import loop_dark_channel, make_fast_step, make_published_step
from ssdie.bench.tasks import attention, make_photo
from ssdie.data.photos import Photo
from ssdie.networks.weights import load_weights
from ssdie.ops.images import read_image
from ssdie.ops.priors import block_dark_channel, single_scale_retinex
from ssdie.training.batches import Crops, load_batches
from ssdie.training.config import TrainConfig
from ssdie.training.stages import make_pairs
from ssdie.utils.devices import fast_bfloat16
from ssdie.utils.paths import WEIGHTS

ROUNDS = 3
BATCH = {"unet": 8, "msff": 2}  # the published step of MSFF keeps every attention matrix: 5 GB an image
TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}  # relative, of a loss


def measure_network(result: dict, quick: bool) -> None:
    """Measure the network alone against the machine's ceiling, and the whole method against a direct pass of it."""
    model, repeats, add = load_weights(WEIGHTS / "msff.safetensors"), 3 if quick else 9, result["measurements"].append
    model = model.to(memory_format=torch.channels_last)
    photo = make_photo(256, 256)
    dusty = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        operations = count_operations(lambda: model(dusty))
        for dtype in (dtype for dtype in TOLERANCE if dtype in result["ceiling"]):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                found = time_work(lambda: model(dusty), repeats)
            fraction = [100 * operations / s / result["ceiling"][dtype] for s in found["seconds"]]
            add(timing(f"network 256 x 256, {dtype}", found))
            add(measurement(f"network, fraction of the {dtype} ceiling", fraction, "%"))
        direct = model(dusty)[0].permute(1, 2, 0).numpy()
    enhanced = ssdie.enhance(photo, working_size=256, postprocess=False).astype(float) / 255
    difference = abs(enhanced - direct).mean().item()  # the affine maps cannot follow every change
    add(measurement("difference from a direct pass of the network, 256 x 256", difference, "", ("<=", 0.03)))


def measure_kernels(result: dict, quick: bool) -> None:
    """Measure dark channel, Retinex and attention, each against its plain form."""
    batch, repeats, add = 2 if quick else 8, 3 if quick else 5, result["measurements"].append
    image = torch.rand(batch, 3, 256, 256, requires_grad=True)

    def backward(function):
        return lambda: torch.autograd.grad(function(image).sum(), image)

    slow, fast = (time_work(backward(f), repeats) for f in (loop_dark_channel, block_dark_channel))
    speed_up, target = ratios(slow["seconds"], fast["seconds"]), None if quick else (">=", 40)
    add(measurement("dark channel, against loops over blocks", speed_up, "x", target, cpu=fast["cpu"]))
    difference = (loop_dark_channel(image) - block_dark_channel(image)).abs().max().item()
    add(measurement("dark channel, difference", difference, "", ("<=", 0)))

    still = image.detach()
    add(timing(f"Retinex, {batch} x 256 x 256", time_work(lambda: single_scale_retinex(still), repeats)))

    side = 32 if quick else 64
    sequences = [torch.randn(1, 1, side**2, c) for c in (16, 16, 128)]
    with torch.inference_mode():
        slow, fast = (time_work(lambda k=k: attention(k, *sequences), repeats) for k in ("explicit", "fused"))
        difference = (attention("explicit", *sequences) - attention("fused", *sequences)).abs().max().item()
    speed_up = ratios(slow["seconds"], fast["seconds"])
    add(measurement(f"attention over {side**2} positions, against the formula", speed_up, "x", cpu=fast["cpu"]))
    add(measurement("attention, difference", difference, "", ("<=", 1e-5)))
    kinds = ("nothing()", 'run_attention("explicit", 64)', 'run_attention("fused", 64)')
    base, explicit, fused = (run_child(kind)["peak"] for kind in kinds)
    add(measurement("attention, memory against the formula", (explicit - base) / max(1, fused - base), "x", (">=", 5)))


def measure_steps(result: dict, quick: bool) -> None:
    """Measure the semi-supervised step, K = 5, against the published one: time by part, losses, memory.

    Each step runs in its own process. Ours and the published one alternate, and a ratio belongs to one round, since the
    speed of a shared machine changes. The target for the speed-up is for the precision in which the CPU is fast, and,
    like that for memory, for the full size. bfloat16 is left out where it is slow.
    """
    base, add = run_child("nothing()")["peak"], result["measurements"].append
    fast = "bfloat16" if fast_bfloat16() else "float32"
    precisions = [precision for precision in TOLERANCE if precision in ("float32", fast)]
    kinds = ["published", *precisions]

    def full(target: Target) -> Target:
        return None if quick else target

    for name in BATCH:
        batch, size = (1, 128) if quick else (BATCH[name], 256)
        operations = [count_operations(make(name, 1, size)) for make in (make_published_step, make_fast_step)]
        fewer = operations[0] / operations[1]
        add(measurement(f"step of {name}, operations of the published one against ours", fewer, "x"))
        rounds = [
            {kind: run_child(f'time_step("{kind}", "{name}", {batch}, {size})') for kind in kinds}
            for _ in range(1 if quick else ROUNDS)
        ]
        found = {kind: {key: [one[kind][key] for one in rounds] for key in rounds[0][kind]} for kind in kinds}
        peaks = {kind: statistics.median(found[kind]["peak"]) - base for kind in kinds}
        for kind in kinds:
            several = found[kind]["parts"]
            medians = {part: statistics.median(one[part] for one in several) for part in several[0]}
            result["parts"][f"{name}, {kind}"] = medians
        published, images = found["published"], f"{batch} image{'s' if batch > 1 else ''} of {size} px"
        add(timing(f"step of {name}, published, {images}", published))
        for precision in precisions:
            ours, label = found[precision], f"step of {name}, {precision}"
            about = {"batch": batch, "size": size, "seconds": ours["seconds"]}
            add(timing(f"{label}, {images}", ours))
            gain = fewer * result["ceiling"][precision] / result["ceiling"]["float32"]
            add(measurement(f"{label}, speed-up expected from operations and ceilings", gain, "x"))
            speed_up, target = ratios(published["seconds"], ours["seconds"]), (">=", 4) if precision == fast else None
            add(measurement(f"{label}, speed-up against the published step", speed_up, "x", full(target), **about))
            fraction = [100 * batch * operations[1] / s / result["ceiling"][precision] for s in ours["seconds"]]
            add(measurement(f"{label}, fraction of the {precision} ceiling", fraction, "%"))
            worst = max(abs(ours["terms"][0][k] - v) / abs(v) for k, v in published["terms"][0].items())
            add(measurement(f"{label}, largest relative difference of a loss", worst, "", ("<=", TOLERANCE[precision])))
            held, target = peaks[precision] / peaks["published"], full(("<=", 0.5))
            add(measurement(f"{label}, memory against the published step", held, "x", target, bytes=peaks[precision]))
        slow, quicker = ([p["discriminator step"] for p in found[kind]["parts"]] for kind in ("published", "float32"))
        target = full((">=", 1.9) if name == "unet" else None)
        label = f"discriminator step of {name}, float32, speed-up against the published one"
        add(measurement(label, ratios(slow, quicker), "x", target))


def measure_batchnorm(result: dict, quick: bool) -> None:
    """Measure what changes because BatchNorm sees the K copies in one batch; the published step passes them singly."""
    separate, together = (make("msff", 2, 64)(mode="batchnorm") for make in (make_published_step, make_fast_step))
    changes = {term: 100 * abs(together[term] - value) / abs(value) for term, value in separate.items()}
    discriminator, label = changes.pop("discriminator"), "msff, copies in one batch: BatchNorm changes"
    add = result["measurements"].append
    add(measurement(f"{label} a term of the generator by at most", max(changes.values()), "%"))
    add(measurement(f"{label} the term of the discriminator by", discriminator, "%"))


def measure_loader(result: dict, quick: bool) -> None:
    """Measure decoding, crops and dust for a step, against the fastest step of the U-Net, at its batch and size."""
    add = result["measurements"].append
    lines = [line for line in result["measurements"] if line["name"].startswith("step of unet") and "seconds" in line]
    line = min(lines, key=lambda line: statistics.median(line["seconds"]))
    batch, size = line["batch"], line["size"]
    config = TrainConfig("semi-supervised", Path("."), batch=batch, size=size)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.jpg" for number in range(8)]
        for path in paths:
            Image.fromarray(make_photo(2000, 3000)).save(path, quality=95)
        files = [Photo(path.name, functools.partial(_read_with_depth, path)) for path in paths]
        for label, keep in (("photos kept in memory", True), ("6 megapixels from files", False)):
            stream = load_batches(Crops(files, size, 0, keep), batch)
            random = torch.Generator().manual_seed(0)

            def load(stream=stream, random=random) -> None:
                make_pairs(next(stream), config, random)  # paired
                next(stream), next(stream)  # unpaired, and clear images for the discriminator

            found = time_work(load, 3 if quick else 9, warm=-(-len(files) // batch))
            add(timing(f"loading for a step, {label}", found))
            faster = [statistics.median(line["seconds"]) / s for s in found["seconds"]]
            add(measurement(f"loading, {label}, against the step", faster, "x", None if quick else (">=", 2)))


def _read_with_depth(path: Path) -> torch.Tensor:
    """Read a photo, with its red channel in place of a depth map."""
    picture = read_image(path)
    return torch.cat((picture, picture[:1]))
