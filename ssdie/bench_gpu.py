"""Supervised training of MSFF on a GPU: pictures a second and share of the bfloat16 ceiling. Without one, nothing."""

import torch
import torch.nn.functional as F

from ssdie.measure import count_operations, figure, measure_ceiling, time_calls
from ssdie.networks import build_generator


def measure_gpu(result: dict, quick: bool) -> None:
    """Add the GPU's figures to a benchmark, eager and compiled; channels_last, bfloat16, fused Adam, 256 x 256."""
    if not torch.cuda.is_available():
        return
    ceiling = measure_ceiling(10, "cuda")["bfloat16"]
    for compiled in (False, True):
        seconds, operations, batch = _time_training(16 if quick else 64, 10 if quick else 50, compiled)
        name = f"GPU, supervised MSFF, {'compiled' if compiled else 'eager'}"
        result["figures"].append(figure(name, [batch / s for s in seconds], "pictures/s", (">=", 1000)))
        share = [100 * operations / s / ceiling for s in seconds]
        result["figures"].append(figure(f"{name}, share of the bfloat16 ceiling", share, "%", (">=", 35)))


def _time_training(batch: int, repeats: int, compiled: bool) -> tuple[list[float], int, int]:
    """Seconds of each step, floating-point operations of a step, batch."""
    network = build_generator("msff").to("cuda", memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, (0.5, 0.999), fused=True)
    dusty, clear = torch.rand(2, batch, 3, 256, 256, device="cuda").contiguous().unbind()
    dusty, clear = (x.contiguous(memory_format=torch.channels_last) for x in (dusty, clear))
    run = torch.compile(network) if compiled else network

    def step(forward=run) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = F.l1_loss(forward(dusty), clear)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    operations = count_operations(lambda: step(network))
    return time_calls(step, repeats, warm=5), operations, batch
