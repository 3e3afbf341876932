"""The sample of clear pictures with depth that needs neither network nor SSDIE_DATA: photographs, then drawn scenes.

The photographs are read from scikit-learn and scikit-image, so that the package does not redistribute them. The
drawn scenes and the depth maps are files in `sample/`; `tools/draw_sample` made them.
"""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ssdie.ops.depth_maps import read_depth
from ssdie.ops.images import read_image, resize

FOLDER = Path(__file__).with_name("sample")
SPLITS = ("train", "val")


@dataclass(frozen=True)
class SamplePicture:
    """A picture of the sample, as listed in `sample/index.csv`."""

    name: str
    split: str  # "train" or "val"
    depth: str  # origin of the depth: "estimated" by the released depth model, "measured", or "exact" (drawn scenes)
    credit: str
    licence: str
    sha256: str  # of the picture; empty for a photograph, which another package holds
    depth_sha256: str  # of the depth map; empty where it is computed from a measured disparity


@functools.cache
def list_sample(split: str | None = None) -> tuple[SamplePicture, ...]:
    """List the pictures of the sample, photographs first.

    Args:
        split: "train" or "val", which share no picture; None lists both.

    Raises:
        ValueError: there is no such split.

    Example:
        >>> [picture.name for picture in list_sample("val")][:4]
        ['photo_china', 'photo_chelsea', 'scene_100000', 'scene_100001']
    """
    if split not in (None, *SPLITS):
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}.")
    with (FOLDER / "index.csv").open(newline="", encoding="utf-8") as file:
        pictures = [SamplePicture(**row) for row in csv.DictReader(file)]
    return tuple(picture for picture in pictures if split in (None, picture.split))


def read_pair(name: str, size: tuple[int, int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Read a picture of the sample and its depth.

    Args:
        name: as in `list_sample`.
        size: height and width in pixels; picture and depth are cropped around the centre to this aspect ratio, then
            resized. None keeps their size.

    Returns:
        clear (3, H, W) RGB in [0, 1], depth (1, H, W) in [0, 1]: 0 near, 1 far.

    Raises:
        ValueError: there is no such picture.

    Example:
        >>> clear, depth = read_pair("photo_china", (20, 30))
        >>> clear.shape, bool(depth[0, 0].min() > 0.99), bool(depth[0, -1].max() < 0.3)  # sky above, near trees below
        (torch.Size([3, 20, 30]), True, True)
    """
    picture = next((picture for picture in list_sample() if picture.name == name), None)
    if picture is None:
        raise ValueError(f"name: expected a picture of the sample, got {name!r}. See ssdie.data.sample.list_sample.")
    clear = read_image(FOLDER / f"{name}.jpg") if picture.sha256 else _read_photograph(name.removeprefix("photo_"))
    depth = read_depth(FOLDER / f"{name}_depth.png") if picture.depth_sha256 else _measured_depth()
    if size is None:
        return clear, depth
    height, width = clear.shape[-2:]
    scale = min(height / size[0], width / size[1])
    rows, columns = round(size[0] * scale), round(size[1] * scale)
    top, left = (height - rows) // 2, (width - columns) // 2
    pair = torch.cat((clear, depth))[:, top : top + rows, left : left + columns]
    clear, depth = resize(pair[None], size)[0].split((3, 1))
    return clear, depth


def sample_pair(index: int, size: tuple[int, int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the picture number `index` of `list_sample()` and its depth, as `read_pair` does."""
    return read_pair(list_sample()[index].name, size)


def _read_photograph(name: str) -> torch.Tensor:
    """Read a photograph from the package that ships it; (3, H, W) in [0, 1]."""
    if name == "china":
        from sklearn.datasets import load_sample_image

        pixels = load_sample_image("china.jpg")
    else:
        from skimage import data

        pixels = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    return torch.from_numpy(np.array(pixels, np.float32) / 255).permute(2, 0, 1).contiguous()


def _measured_depth() -> torch.Tensor:
    """Compute the depth of the motorcycle, z = f b / (disparity + offset), scaled to 0.04 to 0.7.

    Holes take the value to their left.

    Source: Scharstein et al., "High-resolution stereo datasets with subpixel-accurate ground truth", GCPR 2014:
        f = 994.978 px, b = 193.001 mm, offset 31.086 px.
    """
    from skimage import data

    disparity = data.stereo_motorcycle()[2]
    column = np.where(np.isfinite(disparity), np.arange(disparity.shape[1]), 0)
    disparity = np.take_along_axis(disparity, np.maximum.accumulate(column, axis=1), axis=1)
    z = 994.978 * 0.193001 / (np.where(np.isfinite(disparity), disparity, np.nanmin(disparity)) + 31.086)
    depth = 0.04 + 0.66 * (z - z.min()) / (z.max() - z.min())
    return torch.from_numpy(depth.astype(np.float32))[None]
