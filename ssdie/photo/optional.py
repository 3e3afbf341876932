"""Decoders of the formats that need the extra `formats`: HEIC, JPEG XL, RAW."""

import io
import struct
from contextlib import suppress

import numpy as np

from ssdie.photo import jxl, metadata
from ssdie.photo.decoders import DECODERS, add_deep, add_info, add_picture, check_size
from ssdie.photo.exif import MAKER_NOTE, extract_exif
from ssdie.utils.dependencies import require


def decode_heic(photo, data: bytes) -> None:
    """Decode HEIC with libheif; more than 8 bits become 16."""
    file = require("pillow_heif", "formats").open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    check_size(file.size, 1, len(data))
    add_info(photo, file.info)
    if (nclx := file.info.get("nclx_profile")) and not photo.metadata.icc:
        photo.code_points = int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])
    if len(file) > 1:
        photo.notes.append(f"The file holds {len(file)} pictures; the copy has the main one.")
    main = file[file.primary_index]
    for what, name in (("aux", "gain map"), ("depth_images", "depth map")):
        if main.info.get(what):
            kinds = " ".join(map(str, main.info[what]))
            shown = name if what != "aux" or "gain" in kinds.lower() else "auxiliary picture"
            photo.notes.append(f"The {shown} is not in the copy.")
    photo.bits = int(main.info.get("bit_depth", 8))
    if photo.bits > 8:
        add_deep(photo, np.asarray(main))
    else:
        add_picture(photo, main.to_pillow())


def decode_jpeg_xl(photo, data: bytes) -> None:
    """Decode JPEG XL with imagecodecs."""
    imagecodecs = require("imagecodecs", "formats")
    array = imagecodecs.jpegxl_decode(data)
    if array.ndim not in (2, 3) or array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected JPEG XL with one frame of uint8 or uint16, got {array.dtype} of {array.ndim} axes")
    add_deep(photo, array)
    try:
        photo.code_points = jxl.read_color(data)
    except ValueError as error:
        photo.notes.append(f"The colour space of the JPEG XL was not read ({error}); the values are taken for sRGB.")
    for name, low, high in metadata.read_boxes(data) if data[:1] == b"\0" else []:
        content = data[low:high]
        if name == b"brob":  # a compressed box
            try:
                name, content = content[:4], imagecodecs.brotli_decode(content[4:], out=metadata.LONGEST)
            except imagecodecs.BrotliError:
                photo.notes.append("Damaged metadata were dropped.")
        if name == b"Exif" and len(content) > 4:
            photo.metadata.exif = content[4 + struct.unpack_from(">I", content)[0] :]
        elif name == b"xml ":
            photo.metadata.xmp = content


def decode_raw(photo, data: bytes) -> None:
    """Develop RAW and DNG with LibRaw and the white balance of the camera."""
    rawpy = require("rawpy", "formats")
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            photo.frames.append(raw.postprocess(use_camera_wb=True, output_bps=16))
    except rawpy.LibRawError as error:
        raise ValueError(f"it is damaged, or not a RAW file of a known camera ({error})") from error
    photo.extras.append(None)
    photo.notes.append("The RAW file was developed; raw values and the maker note are not in the copy.")
    with suppress(ValueError):  # containers other than TIFF
        photo.metadata.exif = extract_exif(data, without=(MAKER_NOTE,))


DECODERS |= {"HEIC": decode_heic, "JPEG XL": decode_jpeg_xl, "RAW": decode_raw}
