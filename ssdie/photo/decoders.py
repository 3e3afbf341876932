"""Decoders of each file format: they fill a `Photo` with the frames as they are stored, and with the metadata."""

import io
import re
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from ssdie.photo import exif, jpeg, metadata, tiff
from ssdie.photo.files import DENSEST, HARMLESS, deep_values
from ssdie.photo.tags import TagBlock
from ssdie.utils.dependencies import require

# what turns a picture of each EXIF orientation upright; for TIFF Pillow does it
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def check_size(size: tuple[int, int], count: int, stored: int) -> None:
    """Reject a decompression bomb: a file that declares far more pixels than a photo of its size can hold.

    Args:
        size: width and height, pixels.
        count: number of pictures.
        stored: size of the file, bytes.

    Raises:
        ValueError: with the declared and the stored size.
    """
    if size[0] * size[1] * count > max(HARMLESS, DENSEST * stored):
        what = f"{count} pictures of " if count > 1 else ""
        raise ValueError(f"it declares {what}{size[0]} x {size[1]} pixels in {stored} bytes, too many for a photo")


def open_image(data: bytes, name: str) -> Image.Image:
    """Open an encoded picture with Pillow; `check_size` takes the place of Pillow's limit on the number of pixels."""
    Image.preinit()  # the common formats; loading all of them takes longer than decoding a small photo
    if name not in Image.OPEN:
        Image.init()
    factory, _ = Image.OPEN[name]
    try:
        picture = factory(io.BytesIO(data), "")
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise UnidentifiedImageError(str(error)) from error
    check_size(picture.size, 1, len(data))
    return picture


def add_picture(photo, picture: Image.Image) -> None:
    """Append the current frame of a Pillow picture."""
    alpha = None
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        photo.frames.append(deep_values(picture))
    else:
        if picture.has_transparency_data:
            clear = picture.convert("RGBA")
            alpha = np.asarray(clear.getchannel("A"))[..., None]
            picture = clear if picture.mode in ("P", "PA") else picture
        if picture.mode in ("CMYK", "LAB"):
            photo.notes.append(f"{picture.mode} was converted to RGB.")
            picture = _to_srgb(picture, photo.metadata.icc)
            photo.metadata.icc = b""
        gray = picture.mode in ("1", "L", "LA", "La")
        photo.frames.append(np.asarray(picture.convert("L" if gray else "RGB")))
    photo.extras.append(alpha)
    photo.has_alpha |= alpha is not None


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(picture, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # the profile is damaged: convert as if there were none
    return picture.convert("RGB")


def add_info(photo, info: dict) -> None:
    """Copy the metadata that Pillow read: EXIF, XMP, ICC profile, comment, density."""
    block = info.get("exif") or b""
    photo.metadata.exif = block.removeprefix(jpeg.EXIF)
    xmp = info.get("xmp") or b""
    photo.metadata.xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    photo.metadata.icc = info.get("icc_profile") or b""
    comment = info.get("comment") or b""
    photo.metadata.comment = comment.encode() if isinstance(comment, str) else comment
    dpi = info.get("dpi")
    photo.metadata.dpi = tuple(map(float, dpi)) if isinstance(dpi, tuple) else None


def decode_jpeg(photo, data: bytes) -> None:
    """Decode JPEG and MPO."""
    segments, _ = jpeg.read_segments(data)
    photo.metadata.segments = segments
    for marker, content in segments:
        if marker == jpeg.APP1 and content.startswith(jpeg.EXIF) and not photo.metadata.exif:
            photo.metadata.exif = content[len(jpeg.EXIF) :]
        elif marker == jpeg.APP1 and content.startswith(jpeg.XMP):
            photo.metadata.xmp = content[len(jpeg.XMP) :]
        elif marker == jpeg.COMMENT:
            photo.metadata.comment = content
    parts = sorted(content[12:] for marker, content in segments if marker == jpeg.APP2 and content.startswith(jpeg.ICC))
    photo.metadata.icc = b"".join(part[2:] for part in parts)
    photo.metadata.dpi = jpeg.read_density(segments)
    end = jpeg.find_end(data)
    photo.notes += jpeg.describe_tail(data, segments)
    plain = jpeg.write_segments(data[:end] if end > 0 else data, [])  # damaged metadata must not reach Pillow
    jpeg.check_frame(plain)
    if end < 0:
        check = open_image(plain, "JPEG")
        plain = jpeg.complete(plain)
        check.close()
        photo.notes.append("The file lacks its end; at most 1 % of the picture is missing.")
    with open_image(plain, "JPEG") as picture:
        photo.tables = dict(picture.quantization)
        add_picture(photo, picture)


def decode_png(photo, data: bytes) -> None:
    """Decode PNG and APNG; imagecodecs reads 16-bit colour and 16 bits with alpha. Decoders get only pixel chunks."""
    chunks, damaged, end = metadata.read_chunks(data)
    if len(data) < 33:
        raise ValueError("it is damaged (it ends in its header)")
    if damaged:
        names = ", ".join(sorted(name.decode("ascii", "replace") for name in damaged))
        photo.notes.append(f"Damaged chunks ({names}) were dropped.")
    if data[end:].strip(b"\0"):
        photo.notes.append(f"{len(data) - end} bytes after the end of the picture are not in the copy.")
    photo.metadata.chunks = chunks
    width, height, depth, color = struct.unpack_from(">IIBB", data, 16)
    for name, content, _ in chunks:
        if name == b"eXIf":
            photo.metadata.exif = content.removeprefix(jpeg.EXIF)
        elif name == b"iTXt" and content.startswith(metadata.XMP_KEYWORD):
            photo.metadata.xmp = metadata.text_of(content)
        elif name == b"pHYs" and len(content) == 9 and content[8] == 1:
            photo.metadata.dpi = tuple(value * 0.0254 for value in struct.unpack(">II", content[:8]))
        elif name == b"iCCP":
            photo.metadata.icc = metadata.unpack(content[content.find(b"\0") + 2 :])
            if not photo.metadata.icc:
                photo.metadata.chunks = [chunk for chunk in chunks if chunk[0] != b"iCCP"]
                photo.notes.append("The colour profile is damaged and was dropped.")
    check_size((width, height), 1, len(data))
    plain = metadata.write_chunks(data, [], without=damaged)
    head = plain[: plain.find(b"IDAT")]
    if depth == 16 and (color in (2, 4, 6) or b"tRNS" in head):
        if b"acTL" in head:
            raise ValueError("16-bit animated PNG is not supported")
        add_deep(photo, require("imagecodecs", "formats").png_decode(plain))
        if b"tRNS" in head and photo.extras[0] is None:  # pixels of one colour are transparent
            place = plain.index(b"tRNS") + 4
            clear = np.frombuffer(plain, ">u2", 3 if color == 2 else 1, place)
            alike = photo.frames[0] == (clear if color == 2 else clear[0])
            alike = alike.all(axis=2) if color == 2 else alike
            photo.extras[0], photo.has_alpha = np.where(alike, 0, 65535).astype(np.uint16)[..., None], True
        return
    with open_image(plain, "PNG") as picture:
        photo.default_image = bool(getattr(picture, "default_image", False))
        _add_frames(photo, picture, len(data))


def add_deep(photo, array: np.ndarray, bits: int = 16) -> None:
    """Append a frame of more than 8 bits: grey, grey and alpha, colour, or colour and alpha; scaled to 16 bits."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if bits < 16:
        array = np.rint(array * np.float32(65535 / ((1 << bits) - 1))).astype(np.uint16)
    colors = 3 if array.ndim == 3 and array.shape[2] > 2 else 1
    extra = array[..., colors:] if array.ndim == 3 and array.shape[2] > colors else None
    photo.frames.append(np.ascontiguousarray(array if array.ndim == 2 else array[..., 0 if colors == 1 else slice(3)]))
    photo.extras.append(extra)
    photo.has_alpha = extra is not None


def _add_frames(photo, picture: Image.Image, stored: int) -> None:
    """Append every frame of an animation, composited with those before it."""
    count = getattr(picture, "n_frames", 1)
    check_size(picture.size, count, 4 * stored if count > 1 else stored)
    if count > 1:
        photo.loop = picture.info.get("loop")
    for n in range(count):
        picture.seek(n)
        frame = picture.convert("RGBA" if picture.has_transparency_data else "RGB") if count > 1 else picture
        add_picture(photo, frame)
        photo.durations.append(picture.info.get("duration", 100))


def _decoder(name: str):
    """Make the decoder of a format that Pillow reads, frame by frame."""

    def decode(photo, data: bytes) -> None:
        with open_image(data, name) as picture:
            picture.load()
            add_info(photo, picture.info)
            photo.lossless = name == "WEBP" and b"VP8L" in data[:65536]
            if name == "GIF":
                photo.metadata.xmp = metadata.read_gif_xmp(data)
            if name == "AVIF":
                photo.code_points, photo.bits = metadata.read_nclx(data), metadata.av1_bits(data)
                if photo.bits > 8 and getattr(picture, "n_frames", 1) == 1:
                    add_deep(photo, require("imagecodecs", "formats").avif_decode(data), photo.bits)
                    return
                if photo.bits > 8:
                    photo.notes.append(f"The frames of {photo.bits} bits were read with 8 bits.")
            _add_frames(photo, picture, len(data))

    return decode


def decode_tiff(photo, data: bytes) -> None:
    """Decode TIFF, page by page."""
    block, loaded = TagBlock(data), None
    photo.metadata.tiff = data
    chain = block.directories()
    for index, (_, directory) in enumerate(chain):
        photo.pages.append(None)
        if not tiff.has_pixels(directory) or (index and tiff.is_preview(block, directory)):
            photo.notes.append(f"Page {index + 1} of {len(chain)} is a preview and is not in the copy.")
            continue
        size = block.number(directory, tiff.WIDTH), block.number(directory, tiff.HEIGHT)
        check_size(size, 1, len(data))
        orientation = block.number(directory, exif.ORIENTATION, 1)
        if not index:
            photo.turned = 5 <= orientation <= 8
            photo.metadata.icc = block.raw(directory, tiff.ICC)
            photo.metadata.xmp = block.raw(directory, tiff.XMP)
        if tiff.SUBDIRECTORIES in directory.entries:
            photo.notes.append("Smaller versions of the picture (SubIFDs) are not in the copy.")
        if tiff.reader_of(block, directory) == "tifffile":
            pixels, extra = tiff.read_page(data, index)
            if pixels.dtype.kind == "f":
                low, high = pixels.min(), pixels.max()
                if not (low >= 0 and high <= 1):
                    raise ValueError(f"expected values from 0 to 1, got {low:.6g} to {high:.6g}")
            turn = TURNS.get(orientation, lambda array: array)
            photo.frames.append(np.ascontiguousarray(turn(pixels)))
            photo.extras.append(None if extra is None else np.ascontiguousarray(turn(extra)))
            kinds = block.numbers(directory, tiff.EXTRA)
            photo.has_alpha |= extra is not None and kinds[:1] in ((1,), (2,))
        else:
            loaded = loaded or open_image(data, "TIFF")
            loaded.seek(index)
            add_picture(photo, loaded)
        photo.pages[-1] = len(photo.frames) - 1
    if not photo.frames:
        raise ValueError("it is damaged (it holds no picture)")


def decode_jpeg2000(photo, data: bytes) -> None:
    """Decode JPEG 2000; imagecodecs reads colour of more than 8 bits."""
    boxes = metadata.read_boxes(data) if data[:4] == b"\0\0\0\x0c" else []
    start = data.find(b"\xff\x4f\xff\x51")
    depth, count = (data[start + 42] & 0x7F) + 1, struct.unpack_from(">H", data, start + 40)[0]
    with open_image(data, "JPEG2000") as picture:
        if depth > 8 and (count > 1 or depth < 16):
            add_deep(photo, require("imagecodecs", "formats").jpeg2k_decode(data), depth)
        else:
            add_picture(photo, picture)
    for name, low, high in boxes:
        if name == b"jp2h":
            colors = [data[a:b] for kind, a, b in metadata.read_boxes(data, low, high) if kind == b"colr"]
            photo.metadata.icc = next((box[3:] for box in colors if box[:1] == b"\2"), b"")
        if name == b"uuid" and data[low : low + 16] in metadata.UUIDS:
            content = data[low + 16 : high].removeprefix(jpeg.EXIF)
            setattr(photo.metadata, metadata.UUIDS[data[low : low + 16]], content)


def decode_ppm(photo, data: bytes) -> None:
    """Decode PPM; 16-bit colour is decoded here, since Pillow reads it as 8 bits."""
    header = re.match(rb"P6(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d{1,5})\s", data[:4096])
    width, height, top = map(int, header.groups()) if header else (0, 0, 0)
    if 255 < top < 65536:
        if len(data) < header.end() + 6 * width * height:
            raise ValueError("it is damaged (some of its pixels are missing)")
        values = np.frombuffer(data, ">u2", 3 * width * height, header.end()).reshape(height, width, 3)
        photo.frames.append(np.rint(values * (65535 / top)).astype(np.uint16))
        photo.extras.append(None)
        return
    _decoder("PPM")(photo, data)


DECODERS = {
    "JPEG": decode_jpeg, "PNG": decode_png, "TIFF": decode_tiff, "JPEG2000": decode_jpeg2000, "PPM": decode_ppm,
    **{name: _decoder(name) for name in ("WEBP", "AVIF", "GIF", "BMP")},
}  # fmt: skip
