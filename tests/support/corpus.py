"""Generated image files of every kind, valid and damaged: {name: function that writes the file}."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms

Maker = Callable[[Path], object]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def photo(size: tuple[int, int] = (48, 32), mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Dusty noise on a ramp: width x height."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(0.3, 0.8, size[0])[None, :, None] * np.array([1.0, 0.8, 0.5])
    values = ramp + 0.02 * random.standard_normal((size[1], size[0], 3))
    picture = Image.fromarray((values.clip(0, 1) * 255).astype(np.uint8)).convert(mode)
    if "A" in mode:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


def save(path: Path, kind: str, mode: str = "RGB", size: tuple[int, int] = (48, 32), **options) -> None:
    """Write a photo in format `kind`, independent of its suffix."""
    photo(size, mode).save(path, kind, **options)


def save_turned(path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = orientation, "a camera"
    photo().save(path, kind, exif=exif.tobytes())


def save_grey(path: Path, kind: str, dtype: type, low: float, high: float, **options) -> None:
    """Write a grey ramp as numbers of type `dtype`."""
    values = np.linspace(low, high, 48 * 32, dtype=np.float64).reshape(32, 48).astype(dtype)
    Image.fromarray(values).save(path, kind, **options)


def save_deep(path: Path, channels: int) -> None:
    """Write a 16-bit colour PNG, which Pillow reads as 8 bit."""
    values = np.random.default_rng(0).integers(20000, 50000, (32, 48, channels)).astype(np.uint16)
    path.write_bytes(cv2.imencode(".png", values)[1].tobytes())


def save_several(path: Path, kind: str, **options) -> None:
    photo().save(path, kind, save_all=True, append_images=[photo(seed=1), photo(seed=2)], **options)


def save_large(path: Path) -> None:
    """Write 50 megapixels."""
    photo((1083, 722)).resize((8664, 5776), Image.Resampling.NEAREST).save(path, "JPEG", quality=80)


def encode(kind: str, mode: str = "RGB", **options) -> bytes:
    content = io.BytesIO()
    photo(mode=mode).save(content, kind, **options)
    return content.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of PNG, with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes, depth: int = 8, color: int = 2) -> bytes:
    """A PNG with a declared size and these (possibly too few) rows."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def put(content: bytes, offset: int, value: bytes) -> bytes:
    """Replace the bytes from `offset` on by `value`."""
    return content[:offset] + value + content[offset + len(value) :]


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose header declares a wrong size."""
    content = encode("JPEG")
    return put(content, content.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


# {suffix: (Pillow's name of the format, options of `save`)}
KINDS: dict[str, tuple[str, dict]] = {
    "jpg": ("JPEG", {}),
    "png": ("PNG", {}),
    "tif": ("TIFF", {}),
    "webp": ("WEBP", {}),
    "bmp": ("BMP", {}),
    "gif": ("GIF", {}),
}
RARE: dict[str, tuple[str, dict]] = {"ppm": ("PPM", {}), "jp2": ("JPEG2000", {}), "avif": ("AVIF", {})}

GOOD: dict[str, Maker] = {
    **{f"plain.{suffix}": partial(save, kind=kind, **o) for suffix, (kind, o) in (KINDS | RARE).items()},
    **{f"turned{o}.jpg": partial(save_turned, kind="JPEG", orientation=o) for o in range(1, 9)},
    **{f"turned{o}.{s}": partial(save_turned, kind=KINDS[s][0], orientation=o) for o in (3, 6) for s in ("png", "tif")},
    "turned6.webp": partial(save_turned, kind="WEBP", orientation=6),
    "turned9.jpg": partial(save_turned, kind="JPEG", orientation=9),
    "grey.jpg": partial(save, kind="JPEG", mode="L"),
    "cmyk.jpg": partial(save, kind="JPEG", mode="CMYK"),
    "cmyk-bad-profile.jpg": partial(save, kind="JPEG", mode="CMYK", icc_profile=b"no profile"),
    "progressive.jpg": partial(save, kind="JPEG", progressive=True),
    "coarse.jpg": partial(save, kind="JPEG", quality=5, subsampling=2),
    "profile.jpg": partial(save, kind="JPEG", icc_profile=SRGB),
    "bad-profile.jpg": partial(save, kind="JPEG", icc_profile=b"no profile"),
    "bad-exif.jpg": partial(save, kind="JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05broken"),
    "junk-after-it.jpg": lambda p: p.write_bytes(encode("JPEG") + b"junk" * 100),
    "several.jpg": partial(save_several, kind="MPO"),
    "one-bit.png": partial(save, kind="PNG", mode="1"),
    "grey.png": partial(save, kind="PNG", mode="L"),
    "grey-alpha.png": partial(save, kind="PNG", mode="LA"),
    "alpha.png": partial(save, kind="PNG", mode="RGBA"),
    "palette.png": partial(save, kind="PNG", mode="P"),
    "palette-clear.png": partial(save, kind="PNG", mode="P", transparency=3),
    "clear-colour.png": partial(save, kind="PNG", transparency=(120, 90, 60)),
    "profile.png": partial(save, kind="PNG", icc_profile=SRGB),
    "deep-grey.png": partial(save_grey, kind="PNG", dtype=np.uint16, low=20000, high=40000),
    "deep-colour.png": partial(save_deep, channels=3),
    "deep-alpha.png": partial(save_deep, channels=4),
    **{f"{c}.tif": partial(save, kind="TIFF", compression=c) for c in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")},
    "one-bit.tif": partial(save, kind="TIFF", mode="1", compression="group4"),
    "grey-alpha.tif": partial(save, kind="TIFF", mode="LA"),
    "alpha.tif": partial(save, kind="TIFF", mode="RGBA"),
    "cmyk.tif": partial(save, kind="TIFF", mode="CMYK"),
    "lab.tif": lambda p: Image.new("LAB", (48, 32), (150, 10, 20)).save(p, icc_profile=LAB),
    "video-colour.tif": partial(save, kind="TIFF", mode="YCbCr"),
    "deep.tif": partial(save_grey, kind="TIFF", dtype=np.uint16, low=0, high=65535),
    "deep-big-endian.tif": partial(save_grey, kind="TIFF", dtype=np.dtype(">u2"), low=0, high=65535),
    "signed.tif": partial(save_grey, kind="TIFF", dtype=np.int32, low=0, high=65535),
    "float.tif": partial(save_grey, kind="TIFF", dtype=np.float32, low=0, high=1),
    "alpha.webp": partial(save, kind="WEBP", mode="RGBA"),
    "lossless.webp": partial(save, kind="WEBP", lossless=True),
    "one-bit.bmp": partial(save, kind="BMP", mode="1"),
    "grey.bmp": partial(save, kind="BMP", mode="L"),
    "palette.bmp": partial(save, kind="BMP", mode="P"),
    "grey.gif": partial(save, kind="GIF", mode="L"),
    "clear.gif": partial(save, kind="GIF", mode="P", transparency=3),
    "moving.gif": partial(save_several, kind="GIF"),
    "pages.tif": partial(save_several, kind="TIFF"),
    "moving.png": partial(save_several, kind="PNG"),
    "moving.webp": partial(save_several, kind="WEBP"),
    "grey.pgm": partial(save, kind="PPM", mode="L"),
    **{f"{w}x{h}.png": partial(save, kind="PNG", size=(w, h)) for w, h in ((1, 1), (2, 2), (1, 5000), (5000, 1))},
    **{f"{w}x{h}.jpg": partial(save, kind="JPEG", size=(w, h)) for w, h in ((1, 1), (7, 3), (1, 5000))},
    "large.jpg": save_large,
    "really-a-png.jpg": partial(save, kind="PNG"),
    "really-a-jpeg.png": partial(save, kind="JPEG"),
    "really-a-tiff.bmp": partial(save, kind="TIFF"),
    "SHOUTED.JPEG": partial(save, kind="JPEG"),
    "two  spaces and, a comma.jpg": partial(save, kind="JPEG"),
    "dust storm سنندج ☀ 沙尘.jpg": partial(save, kind="JPEG"),
    "-o.jpg": partial(save, kind="JPEG"),
    "two.dots.and 'quotes\".jpg": partial(save, kind="JPEG"),
    "line\nbreak.jpg": partial(save, kind="JPEG"),
    f"{'long' * 62}123.jpg": partial(save, kind="JPEG"),  # 255 bytes, the limit of file systems
    f"{'沙' * 83}1.jpg": partial(save, kind="JPEG"),  # 254 bytes
    os.fsdecode(b"not utf-8 \xff\xfe.jpg"): partial(save, kind="JPEG"),
}

BAD: dict[str, Maker] = {
    **{f"empty.{suffix}": Path.touch for suffix in KINDS},
    **{f"text.{suffix}": lambda p: p.write_text("no picture") for suffix in KINDS},
    **{
        f"half.{suffix}": lambda p, k=kind: p.write_bytes(encode(k)[: len(encode(k)) // 2])
        for suffix, (kind, _) in KINDS.items()
    },
    **{f"start.{suffix}": lambda p, k=kind: p.write_bytes(encode(k)[:30]) for suffix, (kind, _) in KINDS.items()},
    "half-progressive.jpg": lambda p: p.write_bytes(encode("JPEG", progressive=True)[:450]),
    "half-lzw.tif": lambda p: p.write_bytes(encode("TIFF", compression="tiff_lzw")[:1500]),
    "half-alpha.webp": lambda p: p.write_bytes(encode("WEBP", "RGBA")[:-200]),
    "half-jpeg2000.jpg": lambda p: p.write_bytes(encode("JPEG2000")[:300]),
    "half-avif.jpg": lambda p: p.write_bytes(encode("AVIF")[:400]),
    "half-ppm.png": lambda p: p.write_bytes(encode("PPM")[:400]),
    "one-byte.png": lambda p: p.write_bytes(b"\x89"),
    "zeros.jpg": lambda p: p.write_bytes(bytes(5000)),
    "noise.png": lambda p: p.write_bytes(np.random.default_rng(0).bytes(5000)),
    "noise-after-start.jpg": lambda p: p.write_bytes(encode("JPEG")[:20] + np.random.default_rng(0).bytes(5000)),
    "page.jpg": lambda p: p.write_text("<!DOCTYPE html><title>404 Not Found</title>"),
    "drawing.png": lambda p: p.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>'),
    "archive.jpg": lambda p: p.write_bytes(b"PK\x05\x06" + bytes(18)),
    "postscript.jpg": lambda p: photo().save(p, "EPS"),  # which Pillow would pass to Ghostscript
    "document.jpg": lambda p: photo().save(p, "PDF"),
    "icon.png": lambda p: photo().save(p, "ICO"),
    "video.jpg": lambda p: p.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(200)),
    "huge.png": lambda p: p.write_bytes(png(20_000, 20_000, bytes(100))),
    "largest.png": lambda p: p.write_bytes(png(2**31 - 1, 2**31 - 1, bytes(100))),
    "no-width.png": lambda p: p.write_bytes(png(0, 32, bytes(100))),
    "bomb.png": lambda p: p.write_bytes(png(12_000, 12_000, bytes(12_000 * 1501), depth=1, color=0)),
    "lying.png": lambda p: p.write_bytes(png(9_000, 9_000, bytes(100))),
    "lying.jpg": lambda p: p.write_bytes(jpeg_of_size(12_000, 12_000)),
    "huge.jpg": lambda p: p.write_bytes(jpeg_of_size(65_500, 65_500)),
    "lying.gif": lambda p: p.write_bytes(put(encode("GIF"), 6, struct.pack("<HH", 9_000, 9_000))),
    "huge.gif": lambda p: p.write_bytes(put(encode("GIF"), 6, struct.pack("<HH", 65_535, 65_535))),
    "lying.bmp": lambda p: p.write_bytes(put(encode("BMP"), 18, struct.pack("<ii", 9_000, 9_000))),
    "negative.bmp": lambda p: p.write_bytes(put(encode("BMP"), 18, struct.pack("<ii", -48, 32))),
    "checksum.png": lambda p: p.write_bytes(put(png(48, 32, bytes(145 * 32)), 45, b"\xff\xff")),
    "no-rows.png": lambda p: p.write_bytes(png(48, 32, b"")),
    "depth.png": lambda p: p.write_bytes(png(48, 32, bytes(145 * 32), depth=7)),
    "no-tables.jpg": lambda p: p.write_bytes(encode("JPEG").replace(b"\xff\xdb", b"\xff\xee")),
    "far-away.tif": lambda p: p.write_bytes(b"II*\0" + struct.pack("<I", 10**9)),
    "circle.tif": lambda p: p.write_bytes(b"II*\0" + struct.pack("<IH12xI", 8, 1, 8)),
    "nan.tif": partial(save_grey, kind="TIFF", dtype=np.float32, low=np.nan, high=1),
    "infinite.tif": lambda p: Image.fromarray(np.full((32, 48), np.inf, np.float32)).save(p),
    "bright.tif": partial(save_grey, kind="TIFF", dtype=np.float32, low=0, high=255),
    "negative.tif": partial(save_grey, kind="TIFF", dtype=np.int32, low=-5, high=5),
    "beyond.tif": partial(save_grey, kind="TIFF", dtype=np.int32, low=0, high=2**20),
    "broken-link.jpg": lambda p: p.symlink_to("nowhere.jpg"),
    "circular-link.jpg": lambda p: p.symlink_to(p.name),
    "pipe.jpg": os.mkfifo,
    "unreadable.jpg": lambda p: (save(p, "JPEG"), p.chmod(0)),
    "unlisted": lambda p: (p.mkdir(), save(p / "hidden.jpg", "JPEG"), p.chmod(0)),
    "empty.mp4": Path.touch,
    "text.avi": lambda p: p.write_text("no video"),
}
