"""A small convolutional network that says how dusty a photo is, independently of the generators."""

from pathlib import Path

import torch
from torch import nn

from ssdie.networks.weights import load_state, read_weights, save_weights
from ssdie.utils.paths import WEIGHTS, check_sum

SIDE = 64  # the photo is averaged to so many pixels in both directions, whatever its size and shape
WIDTHS = (16, 24, 32, 48)  # channels of the four convolutions
DUST_CLASSIFIER = WEIGHTS / "dust.safetensors"  # the released weights


class DustClassifier(nn.Module):
    """Logit of "there is dust": four convolutions of stride 2, mean and maximum over the image, a linear layer.

    Args:
        widths: channels of the convolutions; the default network has 24,961 parameters.

    Example:
        >>> logit = DustClassifier().eval()(torch.rand(2, 3, 40, 70))
        >>> logit.shape
        torch.Size([2])
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS):
        super().__init__()
        self.widths = widths
        blocks = []
        for inputs, outputs in zip((3, *widths), widths, strict=False):
            blocks += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*blocks)
        self.head = nn.Linear(2 * widths[-1], 1)

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        """Compute the logits (N,) of photos (N, 3, h, w) in [0, 1]; their sigmoid is the dust score."""
        small = average_to(photo, SIDE)  # (N, 3, 64, 64)
        features = self.features(2 * small - 1)  # (N, 48, 4, 4)
        return self.head(torch.cat((features.mean((2, 3)), features.amax((2, 3))), 1))[:, 0]


def average_to(photo: torch.Tensor, side: int) -> torch.Tensor:
    """Average (N, C, h, w) to (N, C, side, side) by exact area weights; smaller photos are enlarged.

    The sizes enter as tensors only, so that the exported graph takes any size.

    Example:
        >>> average_to(torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]]), 2)[0, 0].tolist()
        [[1.5, 3.5], [1.5, 3.5]]
    """
    return _area_weights(photo, 2, side) @ photo @ _area_weights(photo, 3, side).T


def _area_weights(photo: torch.Tensor, dim: int, parts: int) -> torch.Tensor:
    """Build the matrix (parts, length) that averages a side over `parts` intervals of equal length."""
    length = photo.shape[dim]
    pixel = torch.arange(length, device=photo.device, dtype=torch.float32)
    interval = pixel.new_full((), length) / parts  # its length, pixels
    start = torch.arange(parts, device=photo.device, dtype=torch.float32)[:, None] * interval
    overlap = (torch.minimum(pixel + 1, start + interval) - torch.maximum(pixel, start)).clamp_min(0)
    return (overlap / overlap.sum(1, keepdim=True)).to(photo.dtype)


def save_dust_classifier(path: str | Path, network: DustClassifier, about: dict) -> None:
    """Write the weights of a classifier, with what they are in the header."""
    save_weights(path, network, {"classifier": "dust", "options": {"widths": list(network.widths)}, **about})


def load_dust_classifier(path: str | Path | None = None) -> DustClassifier:
    """Load a classifier on the CPU, in evaluation mode.

    Args:
        path: file that `save_dust_classifier` wrote; None takes the released one, whose SHA-256 is verified.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds another network, or is damaged.
    """
    if path is None:
        check_sum(path := DUST_CLASSIFIER)
    header, state = read_weights(Path(path))
    if header.get("classifier") != "dust":
        raise ValueError(f"{path}: expected weights that `ssdie train-dust-score` wrote, got another network.")
    network = DustClassifier(tuple(header["options"]["widths"]))
    load_state(network, state, path)
    return network.eval()
