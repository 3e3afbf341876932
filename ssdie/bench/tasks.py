"""The work that `ssdie.bench.suite` measures; its child processes call these functions by name."""

import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ssdie.bench.measure import Stopwatch
from ssdie.bench.steps import make_fast_step, make_published_step
from ssdie.data.sample import render_scene
from ssdie.enhancement.folder import SAVE, enhance_photo
from ssdie.enhancement.photo import enhance
from ssdie.enhancement.runtime import RELEASED, load_model
from ssdie.networks.generators import Generator, build_generator
from ssdie.networks.layers import attend, attend_explicitly
from ssdie.utils.devices import kept_memory


def make_model() -> Generator:
    """The released network, or one of the same shape with random weights where there is none: as fast, not as good."""
    if RELEASED.is_file():
        return load_model()
    torch.manual_seed(0)
    return build_generator("msff", head="scattering").eval().to(memory_format=torch.channels_last)


def make_photo(height: int, width: int) -> np.ndarray:
    """A dusty photo with grain: (H, W, 3) uint8."""
    scene = render_scene(0, (192, 256))[0].permute(1, 2, 0).numpy()
    scene = (scene * (120, 90, 50) + (100, 80, 50)).astype(np.uint8)
    photo = scene[np.arange(height) * 192 // height][:, np.arange(width) * 256 // width]
    photo += np.random.default_rng(0).integers(0, 9, (height, width, 1), dtype=np.uint8)
    return photo


# Children ----------------------------------------------------------------------------------------------------------


def nothing() -> None:
    """Only be imported: the memory that is everybody's."""


def only_load() -> None:
    """Load the network: the memory before a photo comes."""
    make_model()


def time_photo(height: int, width: int, repeats: int) -> dict:
    """Enhance a photo several times; seconds of each, after one small photo."""
    model, photo = make_model(), make_photo(height, width)
    enhance(photo[:64, :64], model)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        enhance(photo, model)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds}


def time_file(height: int, width: int, repeats: int) -> dict:
    """Enhance a JPEG file to another; processor "seconds" of each, of decoding and encoding alone in "codec"."""
    model, found = make_model(), {"seconds": [], "codec": []}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.jpg", Path(folder) / "out.jpg"
        Image.fromarray(make_photo(height, width)).save(source, quality=95)
        enhance(make_photo(64, 64), model)
        for _ in range(repeats):
            started = time.process_time()
            enhance_photo(source, target, model)
            found["seconds"].append(time.process_time() - started)
            started = time.process_time()
            with Image.open(source) as photo:
                photo.save(target, **SAVE["JPEG"])
            found["codec"].append(time.process_time() - started)
    return found


def time_step(kind: str, name: str, batch: int, size: int) -> dict:
    """Time a step of training after others: one in evaluation mode; one in training if ours, which then has its memory.

    Args:
        kind: "published", or the precision of our step: in "float32" with copies apart, in "bfloat16" in one batch.
        name: of the generator.
        batch, size: of the pictures.

    Returns:
        "seconds", "terms" in evaluation mode, and "parts" with their seconds.
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
            step(mode="training")
        started = time.perf_counter()
        step(watch, "training")
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "terms": terms, "parts": watch.parts}


def run_attention(kind: str, side: int) -> None:
    """Attend over side x side positions, forward and backward: "fused", or "explicit" with the whole matrix."""
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 1, side**2, c, generator=random).requires_grad_() for c in (16, 16, 128))
    attention(kind, query, key, value).square().mean().backward()


def attention(kind: str, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Give softmax(Q K^T) V, "fused" as in the networks or "explicit" as in the formula."""
    return (attend if kind == "fused" else attend_explicitly)(query, key, value)
