"""Photos for training: where they lie, and seeded crops of them.

The one rule: what sample k is, is a function of the seed and k alone. Order, crops and dust need no state to be stored,
do not depend on the number of workers or processes, and continue after an interruption as if there had been none.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from ssdie.depth import read_depth, read_side_by_side
from ssdie.dust import add_dust
from ssdie.images import list_images, read_image, resize
from ssdie.paths import data_root
from ssdie.scenes import draw_embedded, embedded_names

KEPT = 2**31  # bytes of decoded photos that `Crops` holds at most, in each process that loads them
EMBEDDED = {"train": 24, "val": 6, "test": 4}  # pictures of the embedded sample, by split


@dataclass
class Photo:
    """A photo that is read when it is wanted.

    Args:
        name: of its file, without suffix.
        read: gives (3, H, W), or (4, H, W) with depth as the fourth channel, in [0, 1].
        files: that it reads; none for a drawn one.
    """

    name: str
    read: Callable[[], torch.Tensor]
    files: tuple[Path, ...] = ()


@dataclass
class Sources:
    """The photos of one split: `clear` with depth, `dusty` real and unpaired; `origin` says where they come from."""

    clear: list[Photo] = field(default_factory=list)
    dusty: list[Photo] = field(default_factory=list)
    origin: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Number of photos of each kind."""
        return {"clear": len(self.clear), "dusty": len(self.dusty)}


def find_photos(root: str | Path | None = None, split: str = "train") -> Sources:
    """Find the photos of a split.

    Args:
        root: a folder in the layout of the research data (`clear/SPLIT`, `depth/SPLIT`, `dusty/SPLIT`) or in the
            published one (`SPLIT/clean` with photo and jet depth side by side, `SPLIT/dust`; `test` with dusty photos);
            None takes SSDIE_DATA, and where that is not set the embedded sample.
        split: "train", "val" or "test".

    Returns:
        Sources; photos in name order.

    Raises:
        FileNotFoundError: neither layout is there.
        ValueError: a clear photo has no depth.

    Example:
        >>> find_photos(split="val").clear[0].read().shape[0]  # picture and depth
        4
    """
    origin = "SSDIE_DATA" if root is None else str(root)
    root = Path(root) if root is not None else data_root()
    if root is None:
        return _embedded(split)
    if (root / "clear").is_dir() or (root / "dusty").is_dir():
        clear, dusty = root / "clear" / split, root / "dusty" / split
        pairs = _with_depth(clear, root / "depth" / split) if clear.is_dir() else []
    elif (root / "train").is_dir() or (root / "test").is_dir():
        clear, dusty = root / split / "clean", root / split / "dust"
        pairs = [Photo(p.stem, _reader(p, None), (p,)) for p in list_images(clear)] if clear.is_dir() else []
        dusty = dusty if dusty.is_dir() else root / split
    else:
        raise FileNotFoundError(
            f"{root} has neither clear/ and dusty/ nor train/clean and train/dust; see data/README.md for both layouts."
        )
    unpaired = [Photo(p.stem, _reader(p), (p,)) for p in list_images(dusty)] if dusty.is_dir() else []
    return Sources(pairs, unpaired, origin)


def _with_depth(clear: Path, depth: Path) -> list[Photo]:
    """Clear photos with the depth file of the same stem."""
    depths = {p.stem: p for p in sorted(depth.iterdir())} if depth.is_dir() else {}
    photos = list_images(clear)
    missing = [p.name for p in photos if p.stem not in depths]
    if missing:
        raise ValueError(
            f"{len(missing)} photos of {clear} have no depth in {depth} ({', '.join(missing[:3])}); "
            "make it with `python -m ssdie depth`, or move them away."
        )
    return [Photo(p.stem, _reader(p, depths[p.stem]), (p, depths[p.stem])) for p in photos]


def _reader(path: Path, *depth: Path | None) -> Callable[[], torch.Tensor]:
    """Reader of a photo; with a depth path, of photo and depth; with None, of a side-by-side file."""

    def read() -> torch.Tensor:
        if not depth:
            return _read_file(path, read_image)
        if depth[0]:
            clear, distance = _read_file(path, read_image), _read_file(depth[0], read_depth)
        else:
            clear, distance = _read_file(path, read_side_by_side)
        return torch.cat((clear, resize(distance[None], tuple(clear.shape[-2:]))[0]))

    return read


def _read_file(path: Path, read: Callable):
    """Read a file; whatever a decoder raises becomes a sentence."""
    try:
        return read(path)
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"{path} cannot be read ({reason}); replace it, or move it away.") from error


def _embedded(split: str) -> Sources:
    """The sample inside the package: clear pictures with depth, and others dusted in the place of real ones."""
    count = EMBEDDED[split]
    names = embedded_names(2 * count, "train" if split == "train" else "val")
    clear = [Photo(name, functools.partial(_draw, name)) for name in names[:count]]
    dusty = [Photo(name, functools.partial(_draw_dusty, name, seed)) for seed, name in enumerate(names[count:])]
    return Sources(clear, dusty, "embedded sample")


@functools.cache
def _draw(name: str) -> torch.Tensor:
    """Picture and depth (4, H, W) of the embedded sample, drawn once."""
    return torch.cat(draw_embedded(name))


@functools.cache
def _draw_dusty(name: str, seed: int) -> torch.Tensor:
    """The same under dust, (3, H, W)."""
    picture = _draw(name)[None]
    return add_dust(picture[:, :3], picture[:, 3:], "measured", seed).dusty[0]


def derive_seed(*parts: int) -> int:
    """Mix whole numbers (a seed, a step, a place) into one seed; the same on every platform.

    Example:
        >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


# Crops -------------------------------------------------------------------------------------------------------------


class Crops(Dataset):
    """Endless seeded crops: sample k is a random crop, at a random scale, of the k-th photo of endless shuffles.

    Args:
        photos: to crop; all share the number of channels.
        size: side of the crops; pixels.
        seed: of order, scale, place and flip.
        keep: hold decoded photos in memory, as uint8, as many as `KEPT` bytes take.

    Each photo comes once in every len(photos) samples. The scale lies between "the whole short side is seen" and
    "full resolution", so that a network sees whole scenes and close-ups alike; smaller photos are enlarged.
    """

    def __init__(self, photos: list[Photo], size: int, seed: int = 0, keep: bool = True):
        if not photos:
            raise ValueError("There are no photos to crop; check SSDIE_DATA or the folder (see data/README.md).")
        self.photos, self.size, self.seed = photos, size, seed
        self.kept: dict[int, torch.Tensor] = {}
        self.room = KEPT if keep else 0  # bytes that are left
        self.order: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        """Length of one shuffle; samples go on after it."""
        return len(self.photos)

    def __getitem__(self, k: int) -> torch.Tensor:
        """Sample k: (C, size, size) float32 in [0, 1]."""
        epoch, place = divmod(k, len(self.photos))
        if self.order[0] != epoch:
            shuffle = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
            self.order = (epoch, torch.randperm(len(self.photos), generator=shuffle).tolist())
        picture = self._read(self.order[1][place])
        generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch, place))
        return random_crop(picture, self.size, generator)

    def _read(self, index: int) -> torch.Tensor:
        if index in self.kept:
            return self.kept[index].float() / 255
        picture = torch.round(self.photos[index].read() * 255).to(torch.uint8)
        if picture.nbytes <= self.room:
            self.kept[index] = picture
            self.room -= picture.nbytes
        return picture.float() / 255


def random_crop(picture: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Cut a square at a random place and scale, flipped left to right in half of the cases.

    Args:
        picture: (C, H, W) in [0, 1].
        size: side of the square; pixels.
        generator: of random numbers, on the CPU.

    Returns:
        (C, size, size).
    """
    place, flip = torch.rand(3, generator=generator), torch.rand((), generator=generator) < 0.5
    height, width = picture.shape[-2:]
    smallest = size / min(height, width)
    scale = max(smallest, smallest + (1 - smallest) * float(place[0]) ** 2)  # whole scenes more often than close-ups
    side = min(round(size / scale), height, width)
    top, left = (int(float(p) * (n - side + 1)) for p, n in zip(place[1:], (height, width), strict=True))
    crop = picture[:, top : top + side, left : left + side]
    if side != size:
        crop = F.interpolate(crop[None], size=(size, size), mode="bilinear", antialias=True)[0]
    return crop.flip(2) if flip else crop
