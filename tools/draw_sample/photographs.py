"""Photographs of the sample, from scikit-learn and scikit-image, and a depth map for each of them."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from skimage import data
from sklearn.datasets import load_sample_image

from ssdie.ops.filters import gaussian_blur, guided_filter
from ssdie.synthesis.depth import estimate_depth, load_depth_model

MIDDLEBURY = "D. Scharstein et al. (Middlebury stereo 2014), through scikit-image"
FARTHEST = 0.7  # depth of the farthest solid surface; the sky has depth 1


@dataclass
class Photograph:
    """A photograph, and what is known about its geometry."""

    name: str
    split: str
    credit: str
    licence: str
    sky: bool = False  # some of it is sky, which is segmented to get sharp edges
    measured: bool = False  # ssdie.data.sample computes its depth from a measured disparity
    horizon: float | None = None  # row of a horizon over water, as a fraction of the height


PHOTOGRAPHS = (
    Photograph("china", "val", "danielbuechele (Flickr), through scikit-learn", "CC BY 2.0", sky=True, horizon=0.49),
    Photograph("chelsea", "val", "Stefan van der Walt, through scikit-image", "CC0"),
    Photograph("motorcycle", "train", MIDDLEBURY, "none stated; for research", measured=True),
    Photograph("rocket", "train", "SpaceX, through scikit-image", "public domain", sky=True),
    Photograph("coffee", "train", "Rachel Michetti, through scikit-image", "CC0"),
    Photograph("astronaut", "train", "NASA, through scikit-image", "public domain"),
)


def read_photograph(name: str) -> np.ndarray:
    """Read a photograph as (H, W, 3) uint8."""
    if name == "china":
        return load_sample_image("china.jpg")
    return getattr(data, name)()


def make_depth(photograph: Photograph) -> np.ndarray:
    """Estimate the depth map (H, W) in [0, 1] of a photograph; edges follow the photograph's."""
    pixels = read_photograph(photograph.name)
    clear = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    depth = estimate_depth(clear, load_depth_model())
    sky = segment_sky(pixels, depth[0, 0].numpy()) if photograph.sky else torch.zeros_like(depth)
    solid = (depth < 0.25).float() * (1 - sky) if photograph.sky else torch.ones_like(depth)
    smooth = guided_filter(clear, torch.where(solid > 0, depth, fill_in(depth, solid)), 12, 1e-3).clamp(0, FARTHEST)
    far, height = torch.ones_like(depth), len(pixels)
    if photograph.horizon is not None:  # water: from 0.5 at the near shore to 0.9 at the horizon
        rows = torch.arange(height) / height - photograph.horizon
        far = torch.where(rows < 0, 1.0, (0.9 - 1.4 * rows).clamp(min=0.5))[None, None, :, None].expand_as(depth)
    soft = guided_filter(clear, sky, 4, 1e-4).clamp(0, 1)
    return (far * soft + smooth * (1 - soft))[0, 0].numpy()


def segment_sky(pixels: np.ndarray, depth: np.ndarray) -> torch.Tensor:
    """Segment the sky (1, 1, H, W) by GrabCut, initialised by the estimated depth."""
    cv2.setRNGSeed(0)
    mask = np.where(depth > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    mask = np.where(depth > 0.97, cv2.GC_FGD, np.where(depth < 0.13, cv2.GC_BGD, mask)).astype(np.uint8)
    bgr, models = pixels[..., ::-1].copy(), (np.zeros((1, 65)), np.zeros((1, 65)))
    cv2.grabCut(bgr, mask, None, *models, 8, cv2.GC_INIT_WITH_MASK)
    return torch.from_numpy((mask & 1).astype(np.float32))[None, None]


def fill_in(depth: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Extend depth from the `known` pixels to all others by normalised convolution, with growing Gaussians."""
    filled = None
    for sigma in (60.0, 20.0, 6.0):
        weight = gaussian_blur(known, sigma)
        mean = gaussian_blur(depth * known, sigma) / weight.clamp(min=1e-6)
        filled = mean if filled is None else torch.where(weight > 0.05, mean, filled)
    return filled
