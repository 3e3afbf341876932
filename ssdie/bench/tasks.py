"""Tasks of the benchmark; `ssdie.bench.process.run_child` calls these functions by name in child processes."""

import io
import time
from contextlib import nullcontext

import numpy as np
import torch
from PIL import Image

import ssdie
from ssdie.bench.measure import Stopwatch, time_work
from ssdie.bench.steps import make_fast_step, make_published_step
from ssdie.data.sample import sample_pair
from ssdie.networks.layers import attend, attend_explicitly
from ssdie.utils.devices import kept_memory


def make_photo(height: int, width: int) -> np.ndarray:
    """Make a dusty photo with grain from a picture of the sample: (H, W, 3) uint8."""
    scene = sample_pair(0, (192, 256))[0].permute(1, 2, 0).numpy()
    scene = (scene * (120, 90, 50) + (100, 80, 50)).astype(np.uint8)
    photo = scene[np.arange(height) * 192 // height][:, np.arange(width) * 256 // width]
    photo += np.random.default_rng(0).integers(0, 9, (height, width, 1), dtype=np.uint8)
    return photo


def nothing() -> None:
    """Do nothing: baseline memory of the imports."""


def enhance_small() -> None:
    """Enhance a small photo: baseline memory of the engine."""
    ssdie.enhance(make_photo(64, 64))


def time_photo(height: int, width: int, repeats: int) -> dict:
    """Time `ssdie.enhance` on an array, after one small photo."""
    enhance_small()
    photo = make_photo(height, width)
    return time_work(lambda: ssdie.enhance(photo), repeats, warm=0)


def time_codec(height: int, width: int, repeats: int) -> dict:
    """Time decoding and encoding of a JPEG photo, without enhancement."""
    source = io.BytesIO()
    Image.fromarray(make_photo(height, width)).save(source, "JPEG", quality=95)

    def recode() -> None:
        with Image.open(source) as photo:
            photo.save(io.BytesIO(), "JPEG", quality=95)

    return time_work(recode, repeats)


def time_step(kind: str, name: str, batch: int, size: int) -> dict:
    """Time one training step, after a step in evaluation mode and, for our step, one in training mode.

    Args:
        kind: "published", or the precision of our step: "float32" with sequential copies, "bfloat16" with the copies
            in one batch.
        name: name of the generator.
        batch, size: number of images and their side; pixels.

    Returns:
        "seconds", "cpu" seconds, "terms" in evaluation mode, and "parts" with their seconds.
    """
    published = kind == "published"
    if published:
        step = make_published_step(name, batch, size)
    else:
        step = make_fast_step(name, batch, size, kind, sequential_copies=kind == "float32")
    watch = Stopwatch()
    with nullcontext() if published else kept_memory():  # as `ssdie.training.stages` does
        terms = step()
        if not published:
            step(mode="training")  # the first step allocates the memory that later steps reuse
        wall, cpu = time.perf_counter(), time.process_time()
        step(watch, "training")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"seconds": wall, "cpu": cpu, "terms": terms, "parts": watch.parts}


def run_attention(kind: str, side: int) -> None:
    """Run attention over side x side positions, forward and backward: "fused", or "explicit" with the whole matrix."""
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 1, side**2, c, generator=random).requires_grad_() for c in (16, 16, 128))
    attention(kind, query, key, value).square().mean().backward()


def attention(kind: str, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Compute softmax(Q K^T) V, "fused" as in the networks or "explicit" as in the formula."""
    return (attend if kind == "fused" else attend_explicitly)(query, key, value)
