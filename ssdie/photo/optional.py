"""Decoders of kinds that need the extra `formats`: HEIC, JPEG XL, RAW."""

import io
import struct

import numpy as np
from PIL import Image

from ssdie.photo import jpeg, metadata
from ssdie.photo.decoders import DECODERS, add_info, add_picture, check_size
from ssdie.utils.dependencies import require


def decode_heic(photo, data: bytes) -> None:
    """HEIC, by libheif."""
    file = require("pillow_heif", "formats").open_heif(io.BytesIO(data))
    check_size(file.size, 1, len(data))
    add_info(photo, file.info)
    if (nclx := file.info.get("nclx_profile")) and not photo.metadata.icc:
        photo.code_points = int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])
    if len(file) > 1:
        photo.notes.append(f"The file holds {len(file)} pictures; the copy has the first one.")
    picture = file[file.primary_index].to_pillow()
    add_picture(photo, picture)


def decode_jpeg_xl(photo, data: bytes) -> None:
    """JPEG XL, by imagecodecs."""
    array = require("imagecodecs", "formats").jpegxl_decode(data)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{array.dtype} JPEG XL, or one of several frames, is not read")
    colors = 1 if array.ndim == 3 and array.shape[2] == 2 else 3
    photo.frames.append(array if array.ndim == 2 else np.ascontiguousarray(array[..., 0 if colors == 1 else slice(3)]))
    photo.extras.append(array[..., colors:] if array.ndim == 3 and array.shape[2] > colors else None)
    photo.has_alpha = photo.extras[0] is not None
    for name, low, high in metadata.read_boxes(data) if data[:1] == b"\0" else []:
        if name == b"Exif":
            photo.metadata.exif = data[low + 4 + struct.unpack_from(">I", data, low)[0] : high]
        elif name == b"xml ":
            photo.metadata.xmp = data[low:high]


def decode_raw(photo, data: bytes) -> None:
    """RAW and DNG, developed by LibRaw with the white balance of the camera."""
    rawpy = require("rawpy", "formats")
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            photo.frames.append(raw.postprocess(use_camera_wb=True, output_bps=16))
    except rawpy.LibRawError as error:
        raise ValueError(f"it is damaged, or no RAW file of a known camera ({error})") from error
    photo.extras.append(None)
    photo.notes.append("The RAW file was developed; raw values and the maker note are not in the copy.")
    try:
        block, own = Image.Exif(), Image.Exif()
        block.load(data)
        for tag in (0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298):
            if tag in block:
                own[tag] = block[tag]
        for directory in (0x8769, 0x8825):
            own.get_ifd(directory).update({k: v for k, v in block.get_ifd(directory).items() if k != 0x927C})
        photo.metadata.exif = own.tobytes().removeprefix(jpeg.EXIF)
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        pass  # other containers than TIFF


DECODERS |= {"HEIC": decode_heic, "JPEG XL": decode_jpeg_xl, "RAW": decode_raw}
