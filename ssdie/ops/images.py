"""Read and write photos as tensors: upright, float32 RGB (N, 3, H, W) in [0, 1]; and resize them."""

import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ssdie.photo.files import array_to_pil, explain, fitted_size, open_photo, pil_to_array, save_photo


def check_image(image: torch.Tensor, name: str = "image", channels: int | None = 3) -> None:
    """Check that an image is a floating-point tensor (N, C, H, W) of finite values in [0, 1].

    The range is checked for tensors on the CPU only, since reading a value from a GPU synchronises with it.

    Args:
        image: tensor to check.
        name: name of the argument in the message.
        channels: expected C; None allows any number.

    Raises:
        TypeError: `image` is not a floating-point tensor.
        ValueError: it has a wrong number of dimensions or channels, an empty side, or values outside [0, 1].
    """
    expected = f"a float tensor (N, {channels or 'C'}, H, W) with values in [0, 1]"
    if not isinstance(image, torch.Tensor) or not image.is_floating_point():
        got = f"{image.dtype}" if isinstance(image, torch.Tensor) else type(image).__name__
        raise TypeError(f"{name}: expected {expected}, got {got}. Read photos with ssdie.ops.images.read_image.")
    if image.ndim != 4 or image.numel() == 0 or (channels and image.shape[1] != channels):
        raise ValueError(f"{name}: expected {expected}, got shape {tuple(image.shape)}. image[None] adds a batch axis.")
    if image.device.type != "cpu" or torch.compiler.is_compiling():
        return  # reading a value would synchronise with the GPU, and cannot be compiled
    low, high = (v.item() for v in torch.aminmax(image.detach()))
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ValueError(f"{name}: expected {expected}, got values from {low:.4g} to {high:.4g}. Scale or clamp it.")


def read_image(path: str | Path) -> torch.Tensor:
    """Read a photo as sRGB, upright.

    Args:
        path: file that Pillow can read; the EXIF orientation is applied, grey becomes RGB, transparent pixels are
            composited over white, 16-bit grey is divided by 65535. The values are taken for sRGB.

    Returns:
        RGB; (3, H, W); float32 in [0, 1].

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file cannot be decoded; the message says why.
    """
    try:
        with open_photo(path) as photo:
            return torch.from_numpy(pil_to_array(photo)).permute(2, 0, 1).contiguous()
    except FileNotFoundError:
        raise
    except Exception as error:  # decoders raise many types
        if isinstance(path, io.BytesIO):
            raise
        raise ValueError(f"{path} cannot be read: {explain(error)}.") from error


def write_image(path: str | Path, image: torch.Tensor, **options) -> None:
    """Write an image with 8 bits per channel, atomically.

    Args:
        path: file to write; its suffix gives the format; missing folders are created.
        image: (3, H, W) or (1, 3, H, W) in [0, 1].
        **options: passed to `PIL.Image.Image.save`; JPEG defaults to quality 95 without chroma subsampling.

    Raises:
        ValueError: `image` holds more than one image.

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
        raise ValueError(f"image: expected one image, got {len(image)}. Write them one by one.")
    if Path(path).suffix.lower() in (".jpg", ".jpeg"):
        options = {"quality": 95, "subsampling": 0, **options}
    save_photo(path, array_to_pil(to_display(image)), **options)


def to_display(image: torch.Tensor) -> np.ndarray:
    """Convert (3, H, W) or (1, 3, H, W) to an array (H, W, 3) of float32, for matplotlib."""
    image = image[0] if image.ndim == 4 else image
    return image.detach().float().cpu().permute(1, 2, 0).numpy()


def resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize by antialiased bicubic interpolation, clamped to [0, 1].

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
    """Shrink to a longer side of at most `long_side` pixels; keep the aspect ratio, never enlarge."""
    return resize(image, fitted_size(image.shape[-2:], long_side))


def fit_short_side(image: torch.Tensor, short_side: int) -> torch.Tensor:
    """Resize to a shorter side of `short_side` pixels; keep the aspect ratio."""
    height, width = image.shape[-2:]
    scale = short_side / min(height, width)
    return resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
