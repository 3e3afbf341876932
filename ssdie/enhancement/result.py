"""Enhancement of photo files with all frames and metadata: `enhance_photo_file`, `EnhancedPhoto`."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ssdie.photo.color import as_depth, as_float
from ssdie.photo.reading import Photo, read_photo
from ssdie.photo.scene import enhance_scene
from ssdie.photo.writing import encode


class EnhancedPhoto:
    """An enhanced photo file: `.save(path)` keeps metadata, colour space, bit depth and quality.

    Attributes:
        photo: the file as it was read.
        frames: enhanced frames, like `photo.frames`.
        dust_score: 0 for no dust, 1 for dense dust; the largest of all frames; None if the model has no dust classifier
            or the photo has no scene (`ssdie.photo.scene`).
    """

    def __init__(self, photo: Photo, frames: list[np.ndarray], dust_score: float | None = None):
        self.photo, self.frames, self.dust_score = photo, frames, dust_score

    @property
    def notes(self) -> list[str]:
        """Sentences on what was dropped when the file was read."""
        return self.photo.notes

    @property
    def array(self) -> np.ndarray:
        """First frame (H, W) or (H, W, 3) in sRGB."""
        return self.frames[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.array.shape[1], self.array.shape[0]

    @property
    def image(self) -> Image.Image:
        """First frame as an 8-bit PIL image in sRGB, with alpha."""
        picture = Image.fromarray(as_depth(as_float(self.array), np.uint8))
        if (alpha := self.photo.alpha()) is not None:
            picture.putalpha(Image.fromarray(as_depth(as_float(alpha), np.uint8)))
        return picture

    def save(self, path: str | Path, format: str | None = None, quality: int | None = None) -> list[str]:
        """Write the photo in the format of the suffix, or in `format`; return notes on what the copy lacks."""
        return self.photo.save(path, self.frames, format, quality)

    def encode(self, format: str | None = None, quality: int | None = None) -> bytes:
        """Return the content of the file that `save` writes."""
        return encode(self.photo, self.frames, format, quality)[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """The first frame, for NumPy and Matplotlib."""
        return np.array(self.array, dtype=dtype, copy=copy)

    def _repr_png_(self) -> bytes:
        encoded, picture = io.BytesIO(), self.image
        picture.thumbnail((1024, 1024))
        picture.save(encoded, "PNG")
        return encoded.getvalue()


def enhance_photo(photo: Photo, model=None, **settings) -> EnhancedPhoto:
    """Enhance the scene in every frame of a photo; settings as for `ssdie.enhancement.photo.enhance_array`."""
    from ssdie.enhancement.photo import enhance_and_score

    frames, scores = [], []

    def enhance(pixels: np.ndarray) -> np.ndarray:
        enhanced, score = enhance_and_score(pixels, model, **settings)
        scores.append(score)
        return enhanced

    for n, frame in enumerate(photo.frames):
        frames.append(enhance_scene(frame, photo.alpha(n), enhance, photo.is_panorama))
    return EnhancedPhoto(photo, frames, max((score for score in scores if score is not None), default=None))


def enhance_photo_file(source: str | Path, target: str | Path, model=None, **settings) -> list[str]:
    """Enhance a photo file and write the result to another file.

    Returns:
        Notes on what the copy lacks.

    Raises:
        OSError, ValueError, ModuleNotFoundError: as for `ssdie.photo.read_photo`.
    """
    return enhance_photo(read_photo(source), model, **settings).save(target)
