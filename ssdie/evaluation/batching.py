"""Apply NumPy functions of a single image to batches of tensors."""

import functools
from collections.abc import Callable

import numpy as np
import torch

from ssdie.ops.images import check_image, to_display


def measure_each(metric: Callable[..., float]) -> Callable[..., torch.Tensor]:
    """Decorate a metric of float64 arrays (H, W, 3): it then takes tensors (N, 3, H, W) and returns (N,), float64."""

    @functools.wraps(metric)
    def measure_batch(*images: torch.Tensor, **options) -> torch.Tensor:
        check_shapes(*images)
        rows = zip(*images, strict=True)
        values = [float(metric(*(to_display(image).astype(np.float64) for image in row), **options)) for row in rows]
        return torch.tensor(values, dtype=torch.float64)

    return measure_batch


def check_shapes(*images: torch.Tensor) -> None:
    """Check that all are images (N, 3, H, W) in [0, 1] of one shape."""
    for image in images:
        check_image(image)
        if image.shape != images[0].shape:
            shapes = " and ".join(str(tuple(i.shape)) for i in images)
            raise ValueError(f"images: expected equal shapes, got {shapes}. Resize one of them.")


def enhance_each(method: Callable[..., np.ndarray]) -> Callable[..., torch.Tensor]:
    """Decorate a method for a float64 array (H, W, 3): it then takes and returns tensors (N, 3, H, W) in [0, 1]."""

    @functools.wraps(method)
    def enhance_batch(dusty: torch.Tensor, **options) -> torch.Tensor:
        check_image(dusty, "dusty")
        enhanced = [method(to_display(image).astype(np.float64), **options) for image in dusty]
        return torch.from_numpy(np.stack(enhanced)).permute(0, 3, 1, 2).to(dusty).clamp(0, 1).contiguous()

    return enhance_batch
