"""Settings of tiny training runs, and the comparison of their results."""

from pathlib import Path

import torch

from ssdie.losses import LossWeights
from ssdie.training.checkpoint import load_checkpoint

PLAIN = LossWeights(perceptual=0, style=0)  # without the feature network, which is slow to build
SMALL = {
    "options": {"width": 4}, "batch": 2, "size": 32, "weights": PLAIN, "report_every": 1, "save_every": 1, "copies": 1,
    "precision": "fp32",
}  # fmt: skip


def final_weights(run: Path) -> list[torch.Tensor]:
    """Parameters and buffers of all networks in the checkpoint of a run, and of the averaged generator."""
    checkpoint = load_checkpoint(run / "checkpoint.pt")
    return [v for part in (*checkpoint["networks"].values(), checkpoint["averaged"]) for v in part.values()]


def same_weights(*runs: Path) -> bool:
    """Whether the final weights of two runs are equal."""
    return all(torch.equal(a, b) for a, b in zip(*map(final_weights, runs), strict=True))
