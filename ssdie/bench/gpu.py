"""Section of the benchmark for a GPU: supervised training of MSFF. Skipped without a GPU."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ssdie.bench.measure import Target, count_operations, measure_ceiling, measurement
from ssdie.losses import LossWeights, mean_difference
from ssdie.networks.generators import build_generator
from ssdie.networks.layers import CrossAttention, attend_explicitly
from ssdie.training.config import TrainConfig
from ssdie.training.stages import train
from ssdie.utils.devices import time_calls


def measure_gpu(result: dict, quick: bool) -> None:
    """Measure a GPU's ceiling, the network alone, eager and compiled, and training with dust synthesis."""
    if not torch.cuda.is_available():
        return
    batch, repeats = (16, 10) if quick else (64, 50)
    result["gpu_ceiling"] = measure_ceiling(10, "cuda")
    operations = batch * count_step_operations()

    def full(target: Target) -> Target:
        return None if quick else target

    for kind in ("eager", "compiled"):
        step = make_step(batch, 256, "cuda", compiled=kind == "compiled")
        seconds = time_calls(step, repeats, warm=5)
        name = f"GPU, MSFF forward and backward, 256 px, bfloat16, {kind}"
        result["measurements"].append(measurement(name, [batch / s for s in seconds], "images/s"))
        fraction = [100 * operations / s / result["gpu_ceiling"]["bfloat16"] for s in seconds]
        result["measurements"].append(
            measurement(f"{name}, fraction of the bfloat16 ceiling", fraction, "%", full((">=", 35)))
        )
    weights = {"L1 alone": LossWeights(perceptual=0, style=0), "all of L_sup": LossWeights()}
    for label, terms in weights.items():
        rates = time_training(terms, batch, 256, repeats, workers=8)
        name = f"GPU, supervised training of MSFF, {label}, dust included"
        result["measurements"].append(
            measurement(name, rates, "images/s", full((">=", 1000) if label == "L1 alone" else None))
        )


def count_step_operations(size: int = 256) -> int:
    """Count the floating-point operations of MSFF for one image, forward and backward, by its formulas."""
    network = build_generator("msff").train()
    for module in network.modules():
        if isinstance(module, CrossAttention):
            module.attend = attend_explicitly  # the fused GPU kernel pads query and key, which would count too
    return count_operations(lambda: network(torch.rand(1, 3, size, size)).sum().backward())


def make_step(batch: int, size: int, device: str, compiled: bool = False) -> Callable[[], None]:
    """Return a step on images that are on the device: channels_last, bfloat16, L1, fused Adam."""
    network = build_generator("msff").to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, (0.5, 0.999), fused=True)
    dusty, clear = (
        torch.rand(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last) for _ in range(2)
    )
    forward = torch.compile(network) if compiled else network

    def step() -> None:
        with torch.autocast(device, torch.bfloat16):
            loss = mean_difference(forward(dusty), clear)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def time_training(
    weights: LossWeights, batch: int, size: int, steps: int, workers: int = 0, precision: str = "auto"
) -> list[float]:
    """Train with `ssdie.training.stages`, data loading included; return the images per second between reports."""
    every = max(1, steps // 5)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"batch": batch, "size": size, "workers": workers, "precision": precision, "weights": weights}
        more = {"steps": 6 * every, "report_every": every, "save_every": 6 * every}
        times = []
        for _ in train(TrainConfig("supervised", Path(folder), **settings, **more)):
            times.append(time.perf_counter())  # a report reads the losses, so the device is done
    return [batch * every / (after - before) for before, after in zip(times[:-1], times[1:], strict=True)]
