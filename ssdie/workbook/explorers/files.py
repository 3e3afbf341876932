"""Photo files in the explorers: read for display, enhanced and encoded with their metadata and colour profile."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ssdie.enhancement.photo import WORKING_SIZE, enhance
from ssdie.enhancement.result import EnhancedPhoto, enhance_photo
from ssdie.enhancement.runtime import Model
from ssdie.evaluation.baselines import BASELINES
from ssdie.networks.generators import Generator
from ssdie.ops.images import to_display
from ssdie.photo import read_photo
from ssdie.photo.color import as_depth, as_float
from ssdie.photo.formats import KINDS
from ssdie.photo.metadata import Metadata
from ssdie.photo.reading import Photo
from ssdie.photo.writing import written_kind

METHODS = ("ssdie", *BASELINES)


def enhance_full_size(
    dusty: torch.Tensor, method: str, model: Model | Generator | None, working_size: int = WORKING_SIZE
) -> torch.Tensor:
    """Enhance a photo at its own size.

    Args:
        dusty: (3, H, W) in [0, 1].
        method: one of `METHODS`.
        model: network of "ssdie".
        working_size: longer side of the network's input, pixels; used by "ssdie" only.

    Returns:
        (3, H, W) in [0, 1].

    Raises:
        ValueError: unknown method.
    """
    if method == "ssdie":
        return enhance(dusty, model, strength=1.0, working_size=working_size)
    if method not in BASELINES:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}.")
    return BASELINES[method](dusty[None])[0]


def as_photo(source: torch.Tensor | str | Path | bytes, name: str = "") -> Photo:
    """Read a photo file, or make a photo of a tensor.

    Args:
        source: path or content of a file, or a tensor (3, H, W) in [0, 1], which is rounded to 8 bit.
        name: of the photo; a tensor named "….png" is written as PNG, any other as JPEG.

    Raises:
        OSError, ValueError, ModuleNotFoundError: as for `ssdie.photo.read_photo`.
    """
    if not isinstance(source, torch.Tensor):
        return read_photo(source)
    frame = as_depth(to_display(source), np.uint8)
    kind = "PNG" if Path(name).suffix.lower() == ".png" else "JPEG"
    return Photo(kind, [frame], [None], Metadata(), originals=[frame])


def photo_to_tensor(photo: Photo) -> torch.Tensor:
    """Convert the first frame for display: (3, H, W) in [0, 1], sRGB; transparent pixels are composed over white."""
    pixels = as_float(photo.frames[0])
    pixels = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    if (alpha := photo.alpha()) is not None:
        opacity = as_float(alpha)[..., None]
        pixels = opacity * pixels + (1 - opacity)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)).clamp(0, 1)


def enhance_file(
    photo: Photo, method: str, model: Model | Generator | None, working_size: int = WORKING_SIZE, strength: float = 1.0
) -> EnhancedPhoto:
    """Enhance all frames of a photo, keeping what else its file holds.

    Args:
        photo: from `as_photo`.
        method, model, working_size: as for `enhance_full_size`.
        strength: 0 no change, 1 the full change; [0, 1].

    Returns:
        The enhanced photo; "ssdie" gives the same pixels as `ssdie enhance`.
    """
    if method == "ssdie":
        return enhance_photo(photo, model, strength=strength, working_size=working_size)
    return EnhancedPhoto(photo, [_apply_baseline(frame, method, strength) for frame in photo.frames])


def _apply_baseline(frame: np.ndarray, method: str, strength: float) -> np.ndarray:
    """Enhance a frame (H, W) or (H, W, 3) by a baseline; the result has the same shape and dtype."""
    grey = frame.ndim == 2
    pixels = np.repeat(as_float(frame)[..., None], 3, axis=2) if grey else as_float(frame)
    dusty = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    enhanced = to_display(torch.lerp(dusty, enhance_full_size(dusty, method, None), strength))
    return as_depth(enhanced.mean(axis=2) if grey else enhanced, frame.dtype)


def encode_download(enhanced: EnhancedPhoto, name: str, method: str) -> tuple[str, bytes, str]:
    """Encode an enhanced photo in the format of its file.

    Args:
        enhanced: from `enhance_file`.
        name: name of the original file.
        method: appended to the stem.

    Returns:
        Name, content and MIME type of the new file. Formats that cannot be written change as in `ssdie enhance`.
    """
    kind, path = KINDS[written_kind(enhanced.photo)], Path(name)
    suffix = path.suffix.lower() if path.suffix.lower() in kind.suffixes else kind.suffixes[0]
    mime = Image.MIME.get(kind.name, "application/octet-stream")
    return f"{path.stem}_{method}{suffix}", enhanced.encode(), mime
