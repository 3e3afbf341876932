"""Photos in and out of tensors: float32 RGB (N, 3, H, W) in [0, 1], upright; uint8 lives only in this file."""

import io
import os
import stat
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ssdie.utils.paths import atomic

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
# what is opened, whatever the suffix says; none of these runs another program, as Pillow does for EPS
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000", "AVIF")
HARMLESS, DENSEST = 4_000_000, 1000  # a larger picture of more pixels a byte is a bomb; photos have at most 100


def list_images(folder: str | Path, recursive: bool = False) -> list[Path]:
    """List the photos of a folder in name order, whatever the case of their suffix.

    Raises:
        NotADirectoryError: `folder` is no folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder; give one with photos ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    found = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))


@contextmanager
def open_photo(path: str | Path | io.BytesIO) -> Iterator[Image.Image]:
    """Open a picture of one of `FORMATS` for a block; its pixels are decoded when they are asked for.

    Raises:
        OSError: there is no such file, it cannot be read, or is no picture (PIL.UnidentifiedImageError).
        ValueError: it is a pipe or a device, or declares more pixels than a file of its size can mean.
    """
    if isinstance(path, io.BytesIO):
        with Image.open(path, formats=FORMATS) as photo:
            yield photo
        return
    size = stat_file(path).st_size
    with BoundedFile(io.FileIO(path)) as file, Image.open(file, formats=FORMATS) as photo:
        width, height = photo.size
        if width * height > max(HARMLESS, DENSEST * size):
            raise ValueError(f"it declares {width} x {height} pixels in {size} bytes, which no photo does")
        yield photo


class BoundedFile(io.BufferedReader):
    """A file that makes room for what is left of it alone: decoders ask for as much as a damaged header says."""

    def read(self, size: int | None = -1) -> bytes:
        """Read at most `size` bytes, all that are left if it is negative or None."""
        left = max(0, os.fstat(self.fileno()).st_size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def stat_file(path: str | Path) -> os.stat_result:
    """Size, times and the like of a file; refuses pipes and devices, which never end."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise ValueError("it is no file, but a pipe or a device")
    return status


def explain(error: Exception) -> str:
    """Say in a few words why a picture could not be read or written.

    Example:
        >>> explain(FileNotFoundError(2, "No such file or directory"))
        'No such file or directory'
    """
    message = textwrap.shorten(str(error).strip("."), 200) or type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture, or one of a kind that cannot be read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError) or "allocate memory" in message:  # Pillow's, torch's
        return "there is not enough memory for it"
    if isinstance(error, Image.DecompressionBombError):
        return f"it declares more than {2 * Image.MAX_IMAGE_PIXELS} pixels"
    return message if isinstance(error, ValueError | TypeError) else f"it is damaged ({message})"


def pil_to_array(photo: Image.Image) -> np.ndarray:
    """Turn any PIL picture (grey, palette, alpha on white, 16 bit) upright into float32 RGB (H, W, 3) in [0, 1]."""
    photo = ImageOps.exif_transpose(photo)
    if photo.mode.startswith("I;16") or photo.mode in ("I", "F"):
        values = deep_values(photo)
        grey = values if photo.mode == "F" else values / np.float32(65535)
        return np.repeat(grey[..., None], 3, axis=2)
    if photo.mode in ("LA", "PA", "RGBA") or "transparency" in photo.info:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    return np.asarray(photo.convert("RGB"), dtype=np.float32) / 255


def deep_values(photo: Image.Image) -> np.ndarray:
    """Values of a grey PIL picture of more than 8 bit, (H, W): float32 in [0, 1] of mode F, otherwise uint16.

    Raises:
        ValueError: values are outside of that.
    """
    values, top = np.asarray(photo), 1 if photo.mode == "F" else 65535
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):
        raise ValueError(f"expected values from 0 to {top}, got {low:.6g} to {high:.6g}")
    return values.astype(np.float32 if photo.mode == "F" else np.uint16)


def array_to_pil(array: np.ndarray) -> Image.Image:
    """Turn an RGB array (H, W, 3) in [0, 1] into an 8-bit PIL picture, rounding to nearest."""
    return Image.fromarray(np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8))


def save_photo(path: str | Path, photo: Image.Image, kind: str | None = None, **options) -> None:
    """Encode a PIL picture and write it, whole or not at all; `kind` as PIL calls it, by default from the suffix."""
    encoded, suffix = io.BytesIO(), Path(path).suffix.lower()
    if (kind := kind or Image.registered_extensions().get(suffix)) is None:
        raise ValueError(f"{path} has no suffix of a picture; give one of {', '.join(sorted(IMAGE_SUFFIXES))}.")
    photo.save(encoded, kind, **options)
    with atomic(path) as temporary:
        temporary.write_bytes(encoded.getvalue())


def fitted_size(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Give the (height, width) that `size` has when its longer side is at most `long_side`.

    Example:
        >>> fitted_size((3000, 4000), 400), fitted_size((20, 10), 400)
        ((300, 400), (20, 10))
    """
    scale = min(1.0, long_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
