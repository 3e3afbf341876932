"""2,000 mutated photos: none crashes or hangs the process, leaves a partial file or exceeds the memory limit."""

import io
import select
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from corpus import chunk, encode, png, save_several
from faults import ENVIRONMENT, ROOT
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from ssdie.photo.metadata import box

COUNT = 2000
HANG = 60  # seconds until a worker counts as hung; a picture takes a few hundredths


def seeds() -> list[tuple[str, bytes]]:
    """Small pictures of every kind, some with EXIF, a colour profile or several frames."""
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "a camera"
    jpeg = {"exif": exif.tobytes(), "icc_profile": bytes(200), "comment": b"dust"}
    made = [
        *(("jpg", encode("JPEG", mode, **jpeg)) for mode in ("RGB", "L", "CMYK")),
        ("jpg", encode("JPEG", progressive=True, optimize=True)),
        *(("png", encode("PNG", mode)) for mode in ("RGB", "RGBA", "L", "P", "1", "I;16")),
        *(("tif", encode("TIFF", compression=c)) for c in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "raw")),
        ("tif", encode("TIFF", "1", compression="group4")),
        *(("webp", encode("WEBP", mode, lossless=lossless)) for mode in ("RGB", "RGBA") for lossless in (True, False)),
        *(("bmp", encode("BMP", mode)) for mode in ("RGB", "P", "1")),
        *(("gif", encode("GIF", mode)) for mode in ("P", "L")),
        ("jpg", encode("JPEG2000")),
        ("jpg", encode("AVIF")),
        ("png", encode("PPM")),
    ]
    for suffix, kind in (("jpg", "MPO"), ("gif", "GIF"), ("webp", "WEBP")):
        content = io.BytesIO()
        save_several(content, kind)
        made.append((suffix, content.getvalue()))
    floats = io.BytesIO()
    Image.fromarray(np.linspace(0, 1, 48 * 32, dtype=np.float32).reshape(32, 48)).save(floats, "TIFF")
    text = chunk(b"iTXt", b"Title\0\1\0en\0Titel\0" + zlib.compress(b"dust")) + chunk(b"tRNS", bytes(6))
    made.append(("png", encode("PNG")[:33] + text + encode("PNG")[33:]))
    resources = b"Photoshop 3.0\x008BIM\4\x0c\0\0\0\0\0\x028b8BIM\4\4\0\0\0\0\0\0"
    segment = b"\xff\xff\xed" + struct.pack(">H", len(resources) + 2) + resources
    made.append(("jpg", encode("JPEG")[:2] + segment + encode("JPEG")[2:]))
    return [*made, *deep_seeds(), ("tif", floats.getvalue())]


def deep_seeds() -> list[tuple[str, bytes]]:
    """Small pictures of the kinds that need the extra `formats`."""
    imagecodecs, heif, tifffile = map(pytest.importorskip, ("imagecodecs", "pillow_heif", "tifffile"))
    deep = np.random.default_rng(0).integers(0, 65535, (32, 48, 4)).astype(np.uint16)
    colors, file = np.ascontiguousarray(deep[..., :3]), io.BytesIO()
    heif.from_bytes("RGB;16", (48, 32), colors.tobytes()).save(file, quality=80)
    made = [
        ("heic", file.getvalue()),
        ("jxl", bytes(imagecodecs.jpegxl_encode(colors))),
        ("png", bytes(imagecodecs.png_encode(deep))),
        ("avif", bytes(imagecodecs.avif_encode(colors >> 6, bitspersample=10))),
        ("jp2", bytes(imagecodecs.jpeg2k_encode(colors, codecformat="jp2", level=0))),
    ]
    stream = bytes(imagecodecs.jpegxl_encode((colors >> 8).astype(np.uint8), usecontainer=False))
    packed = b"xml " + imagecodecs.brotli_encode(b"<x/>" * 9)
    boxes = ((b"JXL ", b"\r\n\x87\n"), (b"ftyp", b"jxl \0\0\0\0jxl "), (b"brob", packed), (b"jxlc", stream))
    made.append(("jxl", b"".join(box(*pair) for pair in boxes)))
    planes = np.moveaxis(deep, -1, 0).copy()
    tiled = {"tile": (16, 16), "bigtiff": True, "photometric": "rgb", "compression": "lzw", "predictor": 2}
    layouts = [(planes, {"planarconfig": "separate", "photometric": "rgb"}), (colors, tiled)]
    layouts += [(colors, {"photometric": "rgb", "compression": name}) for name in ("zstd", "lerc")]
    layouts += [(deep, {"photometric": "rgb", "extrasamples": [kind]}) for kind in ("assocalpha", "unspecified")]
    layouts.append((colors[..., 0].copy(), {"photometric": "miniswhite"}))
    bayer = [(50706, "B", 4, (1, 4, 0, 0), True), (33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True)]
    layouts.append((colors[..., 0].copy(), {"photometric": 32803, "extratags": bayer}))
    for n, (values, options) in enumerate(layouts):
        file = io.BytesIO()
        tifffile.imwrite(file, values, metadata=None, **options)
        made.append(("dng" if n == len(layouts) - 1 else "tif", file.getvalue()))
    return made


SEEDS = seeds()
OFFSETS = st.one_of(st.integers(0, 200), st.integers(0, 1 << 16))  # in headers, which have sizes and counts; anywhere
STRANGE = st.sampled_from([b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0\0\0\1", b"\x80\0", bytes(64)])
EDITS = st.tuples(
    st.sampled_from(["flip", "put", "cut", "drop", "repeat", "splice", "insert"]),
    OFFSETS,
    st.integers(1, 255),
    st.one_of(st.binary(min_size=1, max_size=8), STRANGE),
)


def mutate(content: bytes, edits: list[tuple[str, int, int, bytes]], other: bytes) -> bytes:
    """Flip bits; overwrite, truncate, remove, repeat or insert bytes; continue with the bytes of another picture."""
    for kind, offset, size, value in edits:
        offset %= max(1, len(content))
        before, after = content[:offset], content[offset:]
        if kind == "flip":
            content = before + bytes(b ^ size for b in after[:1]) + after[1:]
        elif kind == "put":
            content = before + value + after[len(value) :]
        elif kind == "cut":
            content = before
        elif kind == "drop":
            content = before + after[size:]
        elif kind == "repeat":
            content = before + after[:size] * 3 + after[size:]
        elif kind == "insert":
            content = before + value + after
        else:
            content = before + other[offset % len(other) :]
    return content


def update_checksums(content: bytes) -> bytes:
    """Recompute the chunk checksums of a PNG, so that decoders read the mutated content."""
    updated, offset = content[:8], 8
    while offset + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, offset)
        if offset + 12 + length > len(content):
            break
        updated += chunk(content[offset + 4 : offset + 8], content[offset + 8 : offset + 8 + length])
        offset += 12 + length
    return updated + content[offset:]


class Worker:
    """A child process that enhances pictures; `start` also restarts it after a crash."""

    def __init__(self, folder):
        self.folder = folder
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "support" / "fuzz_worker.py"), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr").open("ab"),
            env=ENVIRONMENT,
        )
        assert self.enhance(*SEEDS[0]) == "done"

    def enhance(self, suffix: str, content: bytes) -> str:
        """Enhance a picture; return "done", the reason of its failure, or "" if the process crashed or hung."""
        self.process.stdin.write(struct.pack("<I4s", len(content), suffix.ljust(4).encode()) + content)
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], HANG)
        return self.process.stdout.readline().decode().strip() if ready else ""

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    running = Worker(tmp_path_factory.mktemp("fuzz"))
    yield running
    running.stop()


def test_every_seed_is_a_valid_picture(worker):
    assert {worker.enhance(suffix, content) for suffix, content in SEEDS} == {"done"}


def test_a_chunk_with_a_huge_declared_length_allocates_no_memory(worker):
    content = encode("PNG")
    assert "memory" not in worker.enhance("png", content[:33] + struct.pack(">I", 2**31 - 1) + content[37:])


def test_exceeding_the_memory_limit_is_reported(worker):
    """A picture that needs more memory than the limit fails, and the next one is enhanced."""
    assert "not enough memory" in worker.enhance("png", png(8000, 8000, bytes(8000 * 24001)))
    assert worker.enhance(*SEEDS[0]) == "done"


@seed(0)
@settings(max_examples=COUNT, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, len(SEEDS) - 1),
    st.lists(EDITS, min_size=1, max_size=4),
    st.integers(0, len(SEEDS) - 1),
    st.booleans(),
)
def fuzz(worker, counts, first, edits, second, update):
    suffix, content = SEEDS[first]
    content = mutate(content, edits, SEEDS[second][1])
    content = update_checksums(content) if update and suffix == "png" else content
    message = worker.enhance(suffix, content)
    counts["tried"] += 1
    if not message or "memory" in message or message.startswith("left "):
        counts["crashed" if not message.startswith("left ") else "left"] += 1
        worker.stop()
        worker.start()
    counts[message == "done"] += 1
    assert message and "memory" not in message, f"crashed, hung or exceeded its memory limit: {content!r}"
    assert not message.startswith("left "), f"{message}: {content!r}"


def test_mutated_pictures_crash_no_process(worker):
    counts = dict.fromkeys(("tried", "left", "crashed", True, False), 0)
    fuzz(worker, counts)
    assert counts["tried"] >= COUNT
    assert counts[True] > COUNT / 20 and counts[False] > COUNT / 4  # both outcomes occur
