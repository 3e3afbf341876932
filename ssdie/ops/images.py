"""Photos in and out of tensors: float32 RGB (N, 3, H, W) in [0, 1], upright; uint8 lives only in this file."""

import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ssdie.photo.files import array_to_pil, explain, fitted_size, open_photo, pil_to_array, save_photo


def check_image(image: torch.Tensor, name: str = "image", channels: int | None = 3) -> None:
    """Refuse what is no float (N, C, H, W) tensor of finite values in [0, 1].

    Args:
        image: what came.
        name: what to call it in the message.
        channels: C that is wanted; None takes any.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: wrong number of dimensions or channels, an empty side, or values outside [0, 1].
    """
    wanted = f"a float tensor (N, {channels or 'C'}, H, W) with values in [0, 1]"
    if not isinstance(image, torch.Tensor) or not image.is_floating_point():
        came = f"{image.dtype} tensor" if isinstance(image, torch.Tensor) else type(image).__name__
        raise TypeError(f"{name} is a {came}; wanted is {wanted}; read photos with ssdie.ops.images.read_image.")
    if image.ndim != 4 or image.numel() == 0 or (channels and image.shape[1] != channels):
        raise ValueError(f"{name} has shape {tuple(image.shape)}; wanted is {wanted}; image[None] adds a batch axis.")
    if image.device.type != "cpu" or torch.compiler.is_compiling():
        return  # reading values would make the device wait
    low, high = (v.item() for v in torch.aminmax(image.detach()))
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ValueError(f"{name} has values from {low:.4g} to {high:.4g}; wanted is {wanted}; scale or clamp it.")


def read_image(path: str | Path) -> torch.Tensor:
    """Read a photo as it is meant to be looked at.

    Args:
        path: a file that Pillow can read; EXIF orientation is applied, grey becomes RGB, alpha is laid on white,
            16-bit grey is scaled by 65535.

    Returns:
        RGB; (3, H, W); float32 in [0, 1], sRGB as stored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read; says which file and why.
    """
    try:
        with open_photo(path) as photo:
            return torch.from_numpy(pil_to_array(photo)).permute(2, 0, 1).contiguous()
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a decoder raises
        if isinstance(path, io.BytesIO):
            raise
        raise ValueError(f"{path} cannot be read: {explain(error)}.") from error


def write_image(path: str | Path, image: torch.Tensor, **options) -> None:
    """Write a picture as 8 bit, whole or not at all.

    Args:
        path: where to; the suffix names the format; missing folders are made.
        image: (3, H, W) or (1, 3, H, W) in [0, 1].
        **options: handed to `PIL.Image.Image.save`; JPEG is saved at quality 95 without chroma subsampling by default.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "new" / "grey.png"
        >>> write_image(path, torch.full((3, 2, 4), 0.2))
        >>> read_image(path).shape, round(read_image(path).max().item(), 2)
        (torch.Size([3, 2, 4]), 0.2)
    """
    image = image[None] if image.ndim == 3 else image
    check_image(image)
    if len(image) != 1:
        raise ValueError(f"image holds {len(image)} pictures; wanted is one; write them one by one.")
    if Path(path).suffix.lower() in (".jpg", ".jpeg"):
        options = {"quality": 95, "subsampling": 0, **options}
    save_photo(path, array_to_pil(to_display(image)), **options)


def to_display(image: torch.Tensor) -> np.ndarray:
    """Turn (3, H, W) or (1, 3, H, W) into (H, W, 3) float32 on the CPU, for matplotlib."""
    image = image[0] if image.ndim == 4 else image
    return image.detach().float().cpu().permute(1, 2, 0).numpy()


def resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize by antialiased bicubic interpolation and clamp to [0, 1].

    Args:
        image: (N, C, H, W) in [0, 1].
        size: new (height, width), pixels.

    Example:
        >>> small = resize(torch.full((1, 3, 8, 8), 0.5), (3, 5))
        >>> bool(((small - 0.5).abs() < 1e-6).all())
        True
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image, size=size, mode="bicubic", antialias=True).clamp(0, 1)


def fit_long_side(image: torch.Tensor, long_side: int) -> torch.Tensor:
    """Shrink so that the longer side is at most `long_side` pixels; the aspect stays, nothing is enlarged."""
    return resize(image, fitted_size(image.shape[-2:], long_side))


def fit_short_side(image: torch.Tensor, short_side: int) -> torch.Tensor:
    """Shrink or enlarge so that the shorter side is `short_side` pixels; the aspect stays."""
    height, width = image.shape[-2:]
    scale = short_side / min(height, width)
    return resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
