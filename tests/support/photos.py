"""Small dusty photos, and folders of them."""

from pathlib import Path

import numpy as np
from PIL import Image


def photo(size: tuple[int, int] = (40, 30), mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Dusty noise on a ramp: width x height."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(0.3, 0.8, size[0])[None, :, None] * np.array([1.0, 0.8, 0.5])
    values = ramp + 0.02 * random.standard_normal((size[1], size[0], 3))
    return Image.fromarray((values.clip(0, 1) * 255).astype(np.uint8)).convert(mode)


NAMES = ("b.jpg", "a.png", "in/a.png", "in/deeper/c.JPG")


def photo_folder(folder: Path, names: tuple[str, ...] = NAMES, size: tuple[int, int] = (40, 30)) -> Path:
    """Write a different photo for each name below `folder`; return the folder."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(size, seed=seed).save(path)
    return folder


def files_below(folder: Path) -> list[str]:
    """Relative paths of the files below `folder`, without those in `.ssdie`."""
    found = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return sorted(path.as_posix() for path in found if ".ssdie" not in path.parts)


class StubModel:
    """A network that halves the red channel, so that tests of files need no weights."""

    digest = "stub"

    def correct(self, small, postprocess=True):
        from ssdie.enhancement.correction import Correction

        correction = Correction.identity(*small.shape[:2])
        correction.maps[0] = 0.5
        return correction
