"""Enhancement of photos at their own size.

The network processes the whole photo at a small working size. Its change is fitted there by affine colour maps, and
these smooth maps are applied to the photo's own pixels (`ssdie.enhancement.correction`). Time and memory are linear in
the pixels, and there are no tiles and no seams. Arrays and files need NumPy and ONNX Runtime; tensors need torch.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
from PIL import Image, ImageOps

from ssdie.batch.jobs import VIDEO_SUFFIXES
from ssdie.enhancement.correction import apply_correction, downsample
from ssdie.enhancement.runtime import Model, released_model
from ssdie.enhancement.strength import AUTO, Strength, check_strength, find_strength
from ssdie.photo.files import explain
from ssdie.photo.reading import from_picture, own_pixels, read_photo
from ssdie.photo.scene import enhance_scene

if TYPE_CHECKING:
    import torch

    from ssdie.enhancement.result import EnhancedPhoto
    from ssdie.networks.generators import Generator

WORKING_SIZE = 128  # longer side of the network's input, pixels; at larger sizes a cast remains in patches
SETTINGS = ("model", "strength", "working_size", "postprocess")  # names of the settings in their order
ORIENTATION = 0x0112
# description, make, model, software, time, artist, copyright, EXIF, GPS
DESCRIPTIVE_TAGS = {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825}

Photo = Union[str, Path, Image.Image, np.ndarray, "torch.Tensor"]


def enhance(
    photo: Photo,
    model: "Model | Generator | None" = None,
    strength: Strength = AUTO,
    working_size: int = WORKING_SIZE,
    postprocess: bool = True,
) -> "EnhancedPhoto | Image.Image | np.ndarray | torch.Tensor":
    """Enhance a photo at its own size.

    Of paths, PIL images and arrays only the scene is enhanced (`ssdie.photo.scene`): bars, borders, transparent margins
    and flat pictures stay, and grey photos stay grey. Tensors are enhanced as a whole.

    Args:
        photo: a path; a PIL image; an array (H, W), (H, W, 3) or (H, W, 4), uint8, uint16 or float in [0, 1], RGB;
            a tensor (3, H, W) or (N, 3, H, W), float16, bfloat16, float32 or float64 in [0, 1].
        model: from `load_model`, or a generator in evaluation mode; None takes the released weights.
        strength: 0 for no change, 1 for the full change, or "auto", which depends on the dust score of the photo, so
            that clear photos stay unchanged (`ssdie.enhancement.strength`). A generator gives no dust score; "auto" is
            then the full change.
        working_size: longer side of the network's input, pixels.
        postprocess: apply `ssdie.ops.tone.postprocess` after the network.

    Returns:
        An object of the type, size, dtype and mode of `photo`; for a path an `EnhancedPhoto`. PIL images are upright,
        with their EXIF and in the space of their ICC profile; tensors are detached.

    Raises:
        TypeError, ValueError: `photo` has another type, shape or range.
        FileNotFoundError: the file does not exist.

    Example:
        >>> enhance(np.full((20, 30, 3), 128, np.uint8)).shape
        (20, 30, 3)
    """
    check_settings(strength, working_size)
    settings = (strength, working_size, postprocess)
    torch = sys.modules.get("torch")  # a tensor cannot exist without it
    if torch is not None and isinstance(photo, torch.Tensor):
        return _enhance_tensor(photo, model, *settings)
    model = as_model(model)
    if isinstance(photo, str | Path):
        return _enhance_path(Path(photo), (model, *settings))
    if isinstance(photo, Image.Image):
        return _enhance_pil(photo, (model, *settings))
    if isinstance(photo, np.ndarray):
        return _enhance_scene(photo, (model, *settings))
    raise TypeError(f"photo: expected a path, a PIL image, an array or a tensor, got {type(photo).__name__}.")


def check_settings(strength: Strength, working_size: int) -> None:
    """Check that the strength is "auto" or in [0, 1], and the working size at least one pixel.

    Raises:
        ValueError: a setting is invalid.
    """
    check_strength(strength)
    if working_size < 1:
        raise ValueError(f"working_size: expected at least 1 pixel, got {working_size}.")


def as_model(model: "Model | Generator | None") -> Model:
    """Return a model: the released one for None, a wrapper of a generator, or the given model itself."""
    if model is None:
        return released_model()
    if hasattr(model, "correct"):
        return model
    from ssdie.enhancement.tensors import TorchModel

    parameter = next(model.parameters(), None)
    return TorchModel(model, "cpu" if parameter is None else parameter.device)


def enhance_array(
    pixels: np.ndarray,
    model: Model | None = None,
    strength: Strength = AUTO,
    working_size: int = WORKING_SIZE,
    postprocess: bool = True,
) -> np.ndarray:
    """Enhance an array as a whole; see `enhance`.

    Args:
        pixels: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGB and alpha, sRGB; uint8, uint16 or float in [0, 1].
            Grey is enhanced as RGB and averaged to grey again; alpha is unchanged.

    Returns:
        An array of the same shape and dtype.
    """
    return enhance_and_score(pixels, model, strength, working_size, postprocess)[0]


def enhance_and_score(
    pixels: np.ndarray,
    model: Model | None = None,
    strength: Strength = AUTO,
    working_size: int = WORKING_SIZE,
    postprocess: bool = True,
) -> tuple[np.ndarray, float | None]:
    """Enhance an array like `enhance_array`; also return its dust score, None if the model has no dust classifier."""
    model = as_model(model)
    settings = (model, strength, working_size, postprocess)
    check_pixels(pixels)
    if pixels.ndim == 2:
        colored, score = enhance_and_score(np.repeat(pixels[..., None], 3, axis=2), *settings)
        mean = colored.mean(axis=2)
        return (mean if pixels.dtype.kind == "f" else np.rint(mean)).astype(pixels.dtype), score
    correction = model.correct(downsample(pixels[..., :3], working_size), postprocess)
    correction = correction.scaled(find_strength(strength, correction.dust_score))
    enhanced = np.empty(pixels.shape, pixels.dtype)
    apply_correction(pixels[..., :3], correction, out=enhanced[..., :3])
    enhanced[..., 3:] = pixels[..., 3:]
    return enhanced, correction.dust_score


def check_pixels(pixels: np.ndarray) -> None:
    """Check shape, dtype and range of an array; see `enhance_array`.

    Raises:
        ValueError: with what was expected and what was got.
    """
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,), (4,)) or pixels.size == 0:
        raise ValueError(f"photo: expected an array (H, W), (H, W, 3) or (H, W, 4), got the shape {pixels.shape}.")
    if pixels.dtype not in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
        raise ValueError(f"photo: expected uint8, uint16 or float in [0, 1], got {pixels.dtype}. Convert it first.")
    if pixels.dtype.kind == "f":
        colors = pixels[..., :3] if pixels.ndim == 3 else pixels
        low, high = colors.min(), colors.max()  # NaN, if there is one
        if not (low >= -1e-4 and high <= 1 + 1e-4):
            raise ValueError(f"photo: expected values in [0, 1], got {low:.6g} to {high:.6g}. Scale it first.")


def _enhance_scene(pixels: np.ndarray, settings: tuple) -> np.ndarray:
    """Enhance the scene in an array; bars, transparent margins, flat and grey pictures are treated as in files."""
    check_pixels(pixels)
    result = np.array(pixels)
    colors, alpha = (result[..., :3], result[..., 3]) if result.shape[2:] == (4,) else (result, None)
    colors[:] = enhance_scene(colors, alpha, lambda scene: enhance_array(scene, *settings))
    return result


def _enhance_tensor(photo: "torch.Tensor", model: "Model | Generator | None", *settings) -> "torch.Tensor":
    """Enhance (3, H, W) or (N, 3, H, W) float by a generator."""
    if (
        not photo.is_floating_point()
        or photo.dtype.itemsize < 2
        or photo.ndim not in (3, 4)
        or photo.shape[-3] != 3
        or not photo.numel()
    ):
        got = f"{photo.dtype} {tuple(photo.shape)}"
        raise ValueError(
            f"photo: expected a float tensor of 16, 32 or 64 bit, (3, H, W) or (N, 3, H, W) in [0, 1], got {got}."
        )
    from ssdie.enhancement.tensors import enhance_tensor, released_classifier, released_network

    photo = photo.detach()
    low, high = (value.item() for value in photo.aminmax())  # NaN, if there is one
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ValueError(f"photo: expected values in [0, 1], got {low:.6g} to {high:.6g}. Scale it first.")
    network = released_network(photo.device) if model is None else getattr(model, "network", model)
    classifier = released_classifier(photo.device) if model is None else getattr(model, "classifier", None)
    if not hasattr(network, "parameters"):  # an ONNX file
        arrays = photo.float().cpu().movedim(-3, -1).numpy()
        batch = arrays if arrays.ndim == 4 else arrays[None]
        enhanced = np.stack([enhance_array(one, network, *settings) for one in batch])
        return photo.new_tensor(enhanced.reshape(arrays.shape)).movedim(-1, -3).contiguous()
    enhanced = enhance_tensor(photo if photo.ndim == 4 else photo[None], network, *settings, classifier)
    return enhanced if photo.ndim == 4 else enhanced[0]


def _enhance_path(path: Path, settings: tuple) -> "EnhancedPhoto":
    """Enhance a photo file."""
    from ssdie.enhancement.result import enhance_photo  # which imports this module

    try:
        return enhance_photo(read_photo(path), **dict(zip(SETTINGS, settings, strict=True)))
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a decoder raises
        if path.suffix.lower() in VIDEO_SUFFIXES:
            ways = f"`ssdie enhance {path} -o FOLDER` or ssdie.enhancement.video.enhance_video"
            raise ValueError(f"{path}: expected a photo, got a video. Use {ways}.") from error
        raise ValueError(f"{path} cannot be enhanced: {explain(error)}.") from error


def _enhance_pil(picture: Image.Image, settings: tuple) -> Image.Image:
    """Enhance a PIL image, upright: grey, 16 bits, alpha and profile are kept, other modes become RGB."""
    from ssdie.enhancement.result import enhance_photo  # which imports this module

    info, exif = picture.info, _upright_exif(picture)
    photo = from_picture(ImageOps.exif_transpose(picture))
    result = enhance_photo(photo, **dict(zip(SETTINGS, settings, strict=True)))
    enhanced = Image.fromarray(own_pixels(photo, 0, result.array))
    if (alpha := photo.alpha()) is not None:
        enhanced.putalpha(Image.fromarray(alpha))
    kept = {"icc_profile": photo.metadata.icc, "dpi": info.get("dpi"), "exif": exif}
    enhanced.info = {name: value for name, value in kept.items() if value}
    return enhanced


def _upright_exif(photo: Image.Image) -> bytes:
    """EXIF without the orientation; for TIFF only descriptive tags, since others describe the pixel layout."""
    exif = Image.Exif()
    exif.load(photo.getexif().tobytes())
    for tag in [t for t in exif if t == ORIENTATION or (photo.format == "TIFF" and t not in DESCRIPTIVE_TAGS)]:
        del exif[tag]
    return exif.tobytes() if len(exif) else b""
