"""Enhancement of photos at their own size.

The network sees the whole scene, and its mirror image, at a working size. What it changes is fitted there by affine
maps of colour in windows, and these smooth maps are carried to the photo's own pixels (`ssdie.ops.affine`): time and
memory grow linearly, no tiles, no seams, edges as sharp as the photo's.
"""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps

from ssdie.batch.jobs import VIDEO_SUFFIXES
from ssdie.enhancement.runtime import released_model
from ssdie.networks.generators import Generator
from ssdie.ops import tone
from ssdie.ops.affine import Correction, apply_correction, downsample, fit_correction
from ssdie.photo.files import deep_values, explain, open_photo
from ssdie.utils.devices import resolve_precision

WORKING_SIZE = 128  # pixels of the longer side that the network sees; larger, a cast stays in patches
ORIENTATION = 0x0112
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# description, make, model, software, time, artist, copyright, EXIF, GPS
DESCRIPTIVE_TAGS = {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825}
Photo = str | Path | Image.Image | np.ndarray | torch.Tensor


def enhance(
    photo: Photo,
    model: Generator | None = None,
    strength: float = 1.0,
    working_size: int = WORKING_SIZE,
    postprocess: bool = True,
) -> Image.Image | np.ndarray | torch.Tensor:
    """Enhance a photo at its own size.

    Args:
        photo: a path; a PIL image; an array (H, W), (H, W, 3) or (H, W, 4), uint8, uint16 or float in [0, 1], RGB;
            a tensor (3, H, W) or (N, 3, H, W), float16, bfloat16, float32 or float64 in [0, 1].
        model: from `load_model`; None takes the released weights.
        strength: 0 gives the photo back, 1 the full change; [0, 1].
        working_size: longer side of what the network sees; pixels.
        postprocess: add the last touch to veil and levels (`ssdie.ops.tone.postprocess`).

    Returns:
        The same kind, size, type and mode; a path gives a PIL image. PIL images come back upright, with their metadata;
        tensors detached.

    Raises:
        TypeError, ValueError: `photo` is nothing of that kind.

    Example:
        >>> enhance(np.full((20, 30, 3), 128, np.uint8)).shape
        (20, 30, 3)
    """
    check_settings(strength, working_size)
    settings = (model or released_model(), strength, working_size, postprocess)
    if isinstance(photo, str | Path):
        try:
            with open_photo(photo) as opened:
                return _enhance_pil(opened, settings)
        except FileNotFoundError:
            raise
        except Exception as error:  # whatever a decoder raises
            if Path(photo).suffix.lower() in VIDEO_SUFFIXES:
                ways = f"`python -m ssdie enhance {photo} -o FOLDER` or ssdie.enhancement.video.enhance_video"
                raise ValueError(f"{photo} is a video, and wanted is a photo; give it to {ways}.") from error
            raise ValueError(f"{photo} cannot be enhanced: {explain(error)}.") from error
    if isinstance(photo, Image.Image):
        return _enhance_pil(photo, settings)
    if isinstance(photo, np.ndarray):
        return _enhance_array(photo, settings)
    if isinstance(photo, torch.Tensor):
        if photo.dtype not in FLOATS or photo.ndim not in (3, 4) or photo.shape[-3] != 3 or not photo.numel():
            came = f"{photo.dtype} {tuple(photo.shape)}"
            wanted = "float of 16, 32 or 64 bit, (3, H, W) or (N, 3, H, W) in [0, 1]"
            raise ValueError(f"photo is a tensor {came}; wanted is {wanted}.")
        photo = photo.detach()
        if photo.ndim == 4:
            return torch.stack([enhance(p, *settings) for p in photo])
        return _enhance_pixels(photo.permute(1, 2, 0), *settings).permute(2, 0, 1).contiguous()
    raise TypeError(f"photo is a {type(photo).__name__}; wanted is a path, a PIL image, an array or a tensor.")


def check_settings(strength: float, working_size: int) -> None:
    """Refuse a strength outside [0, 1] and a working size below one pixel.

    Raises:
        ValueError: says which.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}; wanted is a number from 0 (nothing) to 1 (everything).")
    if working_size < 1:
        raise ValueError(f"working_size is {working_size}; wanted is at least 1 pixel.")


def _enhance_pil(photo: Image.Image, settings: tuple) -> Image.Image:
    """Enhance a PIL image: upright; grey stays grey, 16 bit stays 16 bit, alpha as it is; anything else becomes RGB."""
    info, exif = photo.info, _upright_exif(photo)
    photo = ImageOps.exif_transpose(photo)
    kept = {k: v for k, v in info.items() if k in ("icc_profile", "dpi")}
    if photo.mode in ("I", "F") or photo.mode.startswith("I;16"):
        enhanced = Image.fromarray(_enhance_array(deep_values(photo), settings))
    else:
        alpha = photo.convert("RGBA").getchannel("A") if photo.has_transparency_data else None
        if photo.mode in ("CMYK", "LAB"):
            photo = _convert_to_srgb(photo, kept.pop("icc_profile", None))
        grey = photo.mode in ("1", "L", "LA", "La")
        enhanced = Image.fromarray(_enhance_array(np.asarray(photo.convert("L" if grey else "RGB")), settings))
        if alpha is not None:
            enhanced.putalpha(alpha)
    enhanced.info = kept | ({"exif": exif} if exif else {})
    return enhanced


def _upright_exif(photo: Image.Image) -> bytes:
    """EXIF without the orientation; of TIFF, whose tags also tell how pixels are stored, what tells more than that."""
    exif = Image.Exif()
    exif.load(photo.getexif().tobytes())
    for tag in [t for t in exif if t == ORIENTATION or (photo.format == "TIFF" and t not in DESCRIPTIVE_TAGS)]:
        del exif[tag]
    return exif.tobytes() if len(exif) else b""


def _convert_to_srgb(photo: Image.Image, profile: bytes | None) -> Image.Image:
    """Turn CMYK or Lab into RGB by its own colour profile, where it has one that works."""
    if profile:
        try:
            return ImageCms.profileToProfile(
                photo, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            pass  # a damaged profile says nothing: convert as if there were none
    return photo.convert("RGB")


def _enhance_array(photo: np.ndarray, settings: tuple) -> np.ndarray:
    """Enhance (H, W), (H, W, 3) or (H, W, 4): grey is handled as RGB and given back grey, alpha is passed on."""
    if photo.ndim == 2:
        rgb = _enhance_array(np.repeat(photo[..., None], 3, axis=2), settings)
        mean = rgb.mean(axis=2)
        return (mean if rgb.dtype.kind == "f" else np.rint(mean)).astype(photo.dtype)
    if photo.ndim != 3 or photo.shape[2] not in (3, 4) or photo.size == 0:
        raise ValueError(f"photo has shape {photo.shape}; wanted is (H, W), (H, W, 3) or (H, W, 4).")
    if photo.dtype not in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
        raise ValueError(f"photo is {photo.dtype}; wanted is uint8, uint16 or float in [0, 1], in native order.")
    rgb = torch.from_numpy(np.array(photo[..., :3], order="C"))
    enhanced = _enhance_pixels(rgb, *settings).numpy()
    return np.concatenate((enhanced, photo[..., 3:]), axis=2) if photo.shape[2] == 4 else enhanced


def _enhance_pixels(
    pixels: torch.Tensor, model: Generator, strength: float, working_size: int, postprocess: bool
) -> torch.Tensor:
    """Enhance (H, W, 3) of any kind, on its device, and give the same kind."""
    if pixels.is_floating_point():
        low, high = (value.item() for value in pixels.aminmax())  # nan, if one is in it
        if not (low >= -1e-4 and high <= 1 + 1e-4):
            raise ValueError(f"photo has values from {low:.6g} to {high:.6g}; wanted is 0 to 1.")
    correction = find_correction(downsample(pixels, working_size), model, strength, postprocess)
    return apply_correction(pixels, correction)


@torch.inference_mode()
def find_correction(
    dusty: torch.Tensor, model: Generator, strength: float = 1.0, postprocess: bool = True
) -> Correction:
    """Fit the change that the network makes to (1, 3, h, w) in [0, 1] by affine maps of colour in windows.

    The network sees the scene and its mirror image; the mean of the two is nearer to the truth than either.
    """
    device = next(model.parameters(), dusty).device
    dusty = dusty.to(device).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=resolve_precision("auto", device) == "bf16"):
        enhanced, mirrored = model(torch.cat((dusty, dusty.flip(3)))).float().chunk(2)
    enhanced = ((enhanced + mirrored.flip(3)) / 2).contiguous()
    enhanced = tone.postprocess(enhanced) if postprocess else enhanced
    dusty = dusty.contiguous()
    slope, offset = fit_correction(dusty, strength * (enhanced - dusty))
    return Correction(slope[0], offset[0])
