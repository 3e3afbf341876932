"""Small dusty photos, and folders of them."""

import struct
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


def exif_block(orientation: int = 6) -> bytes:
    """EXIF with a maker note of Canon, whose values lie at offsets from the start of the block."""
    pack = lambda value: struct.pack("<I", value)  # noqa: E731

    def directory(*entries):
        body = b"".join(struct.pack("<HHI", t, k, n) + v.ljust(4, b"\0") for t, k, n, v in entries)
        return struct.pack("<H", len(entries)) + body + bytes(4)

    note = directory((6, 2, 32, pack(400)), (7, 2, 32, pack(432)))
    block = bytearray(464)
    block[:8] = b"II*\0" + pack(8)
    first = directory((0x10F, 2, 6, pack(200)), (0x112, 3, 1, pack(orientation)), (0x8769, 4, 1, pack(220)))
    sizes = (0xA002, 4, 1, pack(60)), (0xA003, 4, 1, pack(40))
    details = directory((0x9000, 7, 4, b"0230"), (0x927C, 7, 164, pack(300)), *sizes)
    for place, content in ((8, first), (200, b"Canon\0"), (220, details), (300, note)):
        block[place : place + len(content)] = content
    block[400:464] = b"Example camera type".ljust(32, b"\0") + b"Firmware 1.23".ljust(32, b"\0")
    return bytes(block)
