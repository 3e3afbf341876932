"""Reading and writing 8-bit photos for research, with Pillow: as float32 RGB arrays (H, W, 3) in [0, 1], upright."""

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
# formats that are opened, whatever the suffix; none of them runs another program, as EPS does in Pillow
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000", "AVIF")
# A picture with more than HARMLESS pixels and more than DENSEST pixels per byte is a decompression bomb; photos have at
# most 100 pixels per byte.
HARMLESS, DENSEST = 4_000_000, 1000


def list_images(folder: str | Path, recursive: bool = False) -> list[Path]:
    """List the photos of a folder in name order; upper-case suffixes count too, hidden files do not.

    Args:
        folder: to list.
        recursive: list the folders in it too.

    Raises:
        NotADirectoryError: `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise NotADirectoryError(f"{folder}: expected a folder of photos ({known}), but it is not a folder.")
    found = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))


@contextmanager
def open_photo(path: str | Path | io.BytesIO) -> Iterator[Image.Image]:
    """Open a picture of one of `FORMATS` for the duration of a block; its pixels are decoded on first use.

    Raises:
        OSError: the file does not exist, cannot be read, or is not a picture (PIL.UnidentifiedImageError).
        ValueError: it is a pipe or a device, or declares far more pixels than a photo of its size can hold.
    """
    if isinstance(path, io.BytesIO):
        with Image.open(path, formats=FORMATS) as photo:
            yield photo
        return
    size = stat_file(path).st_size
    with BoundedFile(io.FileIO(path)) as file, Image.open(file, formats=FORMATS) as photo:
        width, height = photo.size
        if width * height > max(HARMLESS, DENSEST * size):
            raise ValueError(f"it declares {width} x {height} pixels in {size} bytes, too many for a photo")
        yield photo


class BoundedFile(io.BufferedReader):
    """A file that allocates no more than its remaining bytes for a read: damaged headers make decoders request more."""

    def read(self, size: int | None = -1) -> bytes:
        """Read at most `size` bytes; all that remain if it is negative or None."""
        left = max(0, os.fstat(self.fileno()).st_size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def stat_file(path: str | Path) -> os.stat_result:
    """Return the result of `os.stat`; reject pipes and devices, which can be endless.

    Raises:
        OSError: the file does not exist.
        ValueError: it is a pipe or a device.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise ValueError("it is a pipe or a device, not a file")
    return status


def explain(error: Exception) -> str:
    """Describe in a few words why a picture could not be read or written.

    Example:
        >>> explain(FileNotFoundError(2, "No such file or directory"))
        'No such file or directory'
    """
    message = textwrap.shorten(str(error).strip("."), 200) or type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "it is not a picture, or of a format that cannot be read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError) or "allocate memory" in message:  # Pillow's, torch's
        return "there is not enough memory for it"
    if isinstance(error, Image.DecompressionBombError):
        return f"it declares more than {2 * Image.MAX_IMAGE_PIXELS} pixels"
    return message if isinstance(error, ValueError | TypeError) else f"it is damaged ({message})"


def pil_to_array(photo: Image.Image) -> np.ndarray:
    """Convert a PIL picture of any mode to upright float32 RGB (H, W, 3) in [0, 1]; transparent parts become white."""
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
    """Return the values of a grey PIL picture of more than 8 bits, (H, W): float32 in [0, 1] for mode F, else uint16.

    Raises:
        ValueError: values are outside the range of the type.
    """
    values, top = np.asarray(photo), 1 if photo.mode == "F" else 65535
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):
        raise ValueError(f"expected values from 0 to {top}, got {low:.6g} to {high:.6g}")
    return values.astype(np.float32 if photo.mode == "F" else np.uint16)


def array_to_pil(array: np.ndarray) -> Image.Image:
    """Convert an RGB array (H, W, 3) in [0, 1] to an 8-bit PIL picture, rounding to nearest."""
    return Image.fromarray(np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8))


def save_photo(path: str | Path, photo: Image.Image, kind: str | None = None, **options) -> None:
    """Encode a PIL picture and write it atomically.

    Args:
        path: file to write.
        photo: the picture.
        kind: Pillow's name of the format; None takes that of the suffix.
        **options: passed to `PIL.Image.Image.save`.

    Raises:
        ValueError: the suffix is not that of a format, and `kind` is None.
    """
    encoded, suffix = io.BytesIO(), Path(path).suffix.lower()
    if (kind := kind or Image.registered_extensions().get(suffix)) is None:
        raise ValueError(f"{path}: expected a name ending in one of {', '.join(sorted(IMAGE_SUFFIXES))}.")
    photo.save(encoded, kind, **options)
    with atomic(path) as temporary:
        temporary.write_bytes(encoded.getvalue())


def fitted_size(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Return the (height, width) of a picture that is shrunk to a longer side of at most `long_side`.

    Example:
        >>> fitted_size((3000, 4000), 400), fitted_size((20, 10), 400)
        ((300, 400), (20, 10))
    """
    scale = min(1.0, long_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
