"""Enhancement with PyTorch: tensors, GPUs and generators that are being trained. This module needs torch."""

import functools
import hashlib

import numpy as np
import torch

from ssdie.enhancement.correction import Correction
from ssdie.enhancement.runtime import RELEASED
from ssdie.enhancement.strength import AUTO, Strength, find_strength
from ssdie.networks.dust_classifier import DustClassifier, load_dust_classifier
from ssdie.networks.generators import Generator
from ssdie.networks.weights import load_weights
from ssdie.ops import affine, tone
from ssdie.utils.devices import resolve_precision
from ssdie.utils.paths import check_sum


class TorchModel:
    """A generator that PyTorch runs; see `ssdie.enhancement.runtime.Model`.

    Args:
        network: generator; it is moved to `device` and put into evaluation mode.
        device: torch device.
        classifier: network of the dust score, also moved to `device`; None: the model gives no dust score.
    """

    def __init__(
        self, network: Generator, device: str | torch.device = "cpu", classifier: DustClassifier | None = None
    ):
        self.network = network.eval().to(device, memory_format=torch.channels_last)
        self.classifier = None if classifier is None else classifier.eval().to(device)
        self.device = torch.device(device)

    @functools.cached_property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the weights."""
        digest = hashlib.sha256()
        for network in (self.network, self.classifier or torch.nn.Identity()):
            for name, value in sorted(network.state_dict().items()):
                digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def correct(self, small: np.ndarray, postprocess: bool = True) -> Correction:
        """Compute affine colour maps and dust score; see `ssdie.enhancement.runtime.Model.correct`."""
        dusty = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32))
        maps = find_maps(dusty, self.network, postprocess)[0].float().cpu().numpy()
        score = None if self.classifier is None else find_dust_scores(dusty, self.classifier).item()
        return Correction(maps, score)


@functools.cache
def released_network(device: str | torch.device = "cpu") -> Generator:
    """Return the released generator on a device, loaded once."""
    check_sum(RELEASED)
    return load_weights(RELEASED).to(device, memory_format=torch.channels_last)


@functools.cache
def released_classifier(device: str | torch.device = "cpu") -> DustClassifier:
    """Return the released dust classifier on a device, loaded once."""
    return load_dust_classifier().to(device)


@torch.inference_mode()
def find_dust_scores(photos: torch.Tensor, classifier: DustClassifier) -> torch.Tensor:
    """Compute the dust scores of photos at the working size, (N, 3, h, w) to (N,) on the device of the classifier."""
    return torch.sigmoid(classifier(photos.float().to(next(classifier.parameters()).device)))


@torch.inference_mode()
def find_maps(dusty: torch.Tensor, network: Generator, postprocess: bool = True) -> torch.Tensor:
    """Fit the change that a network makes by affine colour maps.

    Args:
        dusty: (N, 3, h, w) float in [0, 1], at the working size.
        network: generator in evaluation mode; `dusty` is moved to its device.
        postprocess: apply `ssdie.ops.tone.postprocess` after the network.

    Returns:
        (N, 12, h, w): 9 coefficients a[c, k] in the order c, k, then 3 offsets b[c].
    """
    device = next(network.parameters(), dusty).device
    dusty = dusty.to(device).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=resolve_precision("auto", device) == "bf16"):
        enhanced = network(dusty).float().contiguous()
    enhanced = tone.postprocess(enhanced) if postprocess else enhanced
    dusty = dusty.contiguous()
    slope, offset = affine.fit_correction(dusty, enhanced - dusty)
    return torch.cat((slope.flatten(1, 2), offset), 1)


@torch.no_grad()
def enhance_tensor(
    photo: torch.Tensor,
    network: Generator,
    strength: Strength = AUTO,
    working_size: int = 128,
    postprocess: bool = True,
    classifier: DustClassifier | None = None,
) -> torch.Tensor:
    """Enhance a batch of photos at their own size, on their device.

    Args:
        photo: (N, 3, H, W) float in [0, 1].
        network: generator in evaluation mode.
        strength: 0 for no change, 1 for the full change; "auto" depends on the dust score of each photo.
        working_size: longer side of the network's input, pixels.
        postprocess: apply `ssdie.ops.tone.postprocess` after the network.
        classifier: network of the dust score; if None, "auto" is the full change.

    Returns:
        (N, 3, H, W) of the same dtype and device.
    """
    wide = photo.float()
    small = affine.downsample(wide, working_size)
    maps = find_maps(small, network, postprocess).to(photo.device)
    slope, offset = maps[:, :9].unflatten(1, (3, 3)), maps[:, 9:]
    scores = [None] * len(photo)
    if classifier is not None and strength == AUTO:
        scores = find_dust_scores(small, classifier).tolist()
    weight = torch.tensor([find_strength(strength, score) for score in scores], device=photo.device)
    identity = torch.eye(3, device=photo.device)[..., None, None]
    slope, offset = identity + weight.view(-1, 1, 1, 1, 1) * (slope - identity), weight.view(-1, 1, 1, 1) * offset
    return affine.apply_correction(wide, slope, offset).to(photo.dtype)
