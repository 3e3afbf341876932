"""Endless batches of crops, from any step on; by worker processes whose end is an error and no hang."""

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from ssdie.data.photos import Photo
from ssdie.utils.devices import derive_seed

KEPT = 2**31  # bytes of decoded photos that `Crops` holds at most, in each process that loads them


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


PATIENCE = 300  # seconds to wait for a process that loads photos


def load_batches(
    crops: Crops, batch: int, start: int = 0, workers: int = 0, rank: int = 0, processes: int = 1
) -> Iterator[torch.Tensor]:
    """Yield batches for ever, from step `start` on: (batch, C, size, size) for each of the processes.

    Args:
        crops: to draw from.
        batch: pictures a step for one process.
        start: first step: where an interrupted run stopped.
        workers: processes that decode and crop; 0 does it in this one.
        rank, processes: this process and their number; together they see what one process with a batch of
            batch * processes sees.

    Raises:
        ChildProcessError: a worker died, or gave nothing for `PATIENCE` seconds.
        ValueError: a photo cannot be read.
    """
    total = batch * processes
    steps = (list(range(step * total + rank, (step + 1) * total, processes)) for step in itertools.count(start))
    pinned = torch.cuda.is_available()
    own = torch.Generator()  # a loader that starts would otherwise draw from the random numbers of its first step
    options = {"pin_memory": pinned, "generator": own, "timeout": PATIENCE if workers else 0}
    try:
        yield from DataLoader(crops, batch_sampler=steps, num_workers=workers, **options)
    except RuntimeError as error:
        if not str(error).startswith("DataLoader"):
            raise
        told = str(error).splitlines()[0].removeprefix("DataLoader ").rstrip(". ")
        raise ChildProcessError(
            f"A process that loads photos is lost ({told}); the same command resumes, best with fewer workers."
        ) from error
    except ValueError as error:
        if "Original Traceback" not in str(error):
            raise
        raise ValueError(str(error).strip().splitlines()[-1].removeprefix("ValueError: ")) from None  # a worker's
