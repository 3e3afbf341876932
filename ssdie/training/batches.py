"""Endless batches of random crops, starting at any step; a worker process that dies or hangs raises an error."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from ssdie.data.photos import Photo
from ssdie.utils.devices import derive_seed

CACHE_SIZE = 2**31  # largest size of the cache of decoded photos in `Crops`, in each loading process; bytes


# Crops -------------------------------------------------------------------------------------------------------------


class Crops(Dataset):
    """Endless seeded crops: sample k is a random crop, at a random scale, of the k-th photo of repeated shuffles.

    Args:
        photos: photos to crop, all with the same number of channels.
        size: side of the crops; pixels.
        seed: seed of order, scale, position and flip.
        keep: cache decoded photos as uint8, up to `CACHE_SIZE` bytes.

    Each photo occurs once in every len(photos) samples. The scale lies between that of a crop over the whole short
    side and full resolution, so that a network sees both whole scenes and close-ups. Photos smaller than the crop are
    enlarged.

    Raises:
        ValueError: `photos` is empty.
    """

    def __init__(self, photos: list[Photo], size: int, seed: int = 0, keep: bool = True):
        if not photos:
            raise ValueError("photos: expected at least one photo, got none. Check SSDIE_DATA or the folder.")
        self.photos, self.size, self.seed = photos, size, seed
        self.cache: dict[int, torch.Tensor] = {}
        self.free = CACHE_SIZE if keep else 0  # remaining bytes of the cache
        self.order: tuple[int, list[int]] = (-1, [])  # number of the current shuffle, and its indices

    def __len__(self) -> int:
        """Number of photos, which is the length of one shuffle; larger indices are valid."""
        return len(self.photos)

    def __getitem__(self, k: int) -> torch.Tensor:
        """Return sample k: (C, size, size) float32 in [0, 1]."""
        epoch, position = divmod(k, len(self.photos))
        if self.order[0] != epoch:
            shuffle = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
            self.order = (epoch, torch.randperm(len(self.photos), generator=shuffle).tolist())
        photo = self._read(self.order[1][position])
        generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch, position))
        return random_crop(photo, self.size, generator)

    def _read(self, index: int) -> torch.Tensor:
        if index in self.cache:
            return self.cache[index].float() / 255
        photo = torch.round(self.photos[index].read() * 255).to(torch.uint8)
        if photo.nbytes <= self.free:
            self.cache[index] = photo
            self.free -= photo.nbytes
        return photo.float() / 255


def random_crop(photo: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Crop a square at a random position and scale, and flip it horizontally with probability 0.5.

    Args:
        photo: (C, H, W) in [0, 1].
        size: side of the square; pixels.
        generator: random numbers, on the CPU.

    Returns:
        (C, size, size).

    Example:
        >>> random_crop(torch.ones(3, 20, 8), 8, torch.Generator().manual_seed(0)).unique()
        tensor([1.])
    """
    position, flip = torch.rand(3, generator=generator), torch.rand((), generator=generator) < 0.5
    height, width = photo.shape[-2:]
    smallest = size / min(height, width)
    scale = max(smallest, smallest + (1 - smallest) * float(position[0]) ** 2)  # favours whole scenes
    side = min(round(size / scale), height, width)
    top, left = (int(float(p) * (n - side + 1)) for p, n in zip(position[1:], (height, width), strict=True))
    crop = photo[:, top : top + side, left : left + side]
    if side != size:
        crop = F.interpolate(crop[None], size=(size, size), mode="bilinear", antialias=True)[0]
    return crop.flip(2) if flip else crop


PATIENCE = 300  # seconds to wait for a worker process


def load_batches(
    crops: Crops, batch: int, start: int = 0, workers: int = 0, rank: int = 0, processes: int = 1
) -> Iterator[torch.Tensor]:
    """Yield endless batches, starting at step `start`: (batch, C, size, size) on each process.

    Args:
        crops: data set of crops.
        batch: crops per step and process.
        start: number of the first step; an interrupted run resumes there.
        workers: worker processes that decode and crop; 0: the calling process.
        rank, processes: index of this process, and number of processes. Together they load the same crops as one
            process with a batch of batch * processes.

    Raises:
        ChildProcessError: a worker process died, or returned nothing for `PATIENCE` seconds.
        ValueError: a photo cannot be read.
    """
    total = batch * processes
    steps = (list(range(step * total + rank, (step + 1) * total, processes)) for step in itertools.count(start))
    pinned = torch.cuda.is_available()
    own = torch.Generator()  # otherwise the loader would draw from the global generator when it starts
    options = {"pin_memory": pinned, "generator": own, "timeout": PATIENCE if workers else 0}
    with worker_errors(*((EOFError, OSError) if workers else ())):  # raised when a worker dies during a transfer
        yield from DataLoader(crops, batch_sampler=steps, num_workers=workers, **options)


@contextmanager
def worker_errors(*others: type[Exception]) -> Iterator[None]:
    """Convert errors of a DataLoader's worker processes to ChildProcessError, or to a ValueError of one line.

    PyTorch reports a dead worker from a signal handler, so that its error may be raised anywhere in a training step.

    Args:
        others: further errors that the death of a worker raises in the block.
    """
    try:
        yield
    except (RuntimeError, *others) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader"):
            raise
        with suppress(RuntimeError):  # the signal may arrive after the first error; it must not interrupt the caller
            time.sleep(1)
        reason = (str(error) or type(error).__name__).splitlines()[0].removeprefix("DataLoader ").rstrip(". ")
        raise ChildProcessError(
            f"A worker process that loads photos failed: {reason}. The same command resumes; use fewer workers."
        ) from error
    except ValueError as error:
        if "Original Traceback" not in str(error):
            raise
        raise ValueError(str(error).strip().splitlines()[-1].removeprefix("ValueError: ")) from None  # of a worker
