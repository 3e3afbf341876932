"""2,000 mutated photos: none crashes or hangs the process, leaves a file behind or exceeds the bound on memory."""

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
HANG = 60  # seconds; a picture takes some hundredths


def seeds() -> list[tuple[str, bytes]]:
    """Small pictures of every kind, with what decoders also read: EXIF, profiles, several frames."""
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
PLACES = st.one_of(st.integers(0, 200), st.integers(0, 1 << 16))  # headers, where sizes and counts stand, and anywhere
STRANGE = st.sampled_from([b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0\0\0\1", b"\x80\0", bytes(64)])
EDITS = st.tuples(
    st.sampled_from(["flip", "put", "cut", "drop", "repeat", "splice", "insert"]),
    PLACES,
    st.integers(1, 255),
    st.one_of(st.binary(min_size=1, max_size=8), STRANGE),
)


def mutate(content: bytes, edits: list[tuple[str, int, int, bytes]], other: bytes) -> bytes:
    """Flip bits, put, cut, drop, repeat and insert bytes, go on with another picture."""
    for kind, place, size, value in edits:
        place %= max(1, len(content))
        before, after = content[:place], content[place:]
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
            content = before + other[place % len(other) :]
    return content


def mend_checksums(content: bytes) -> bytes:
    """Give the chunks of a PNG the checksums that they now need, so that a decoder looks at what is in them."""
    mended, place = content[:8], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        if place + 12 + length > len(content):
            break
        mended += chunk(content[place + 4 : place + 8], content[place + 8 : place + 8 + length])
        place += 12 + length
    return mended + content[place:]


class Worker:
    """A process that enhances what it is given, and is started again when it died."""

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
        assert self.ask(*SEEDS[0]) == "done"

    def ask(self, suffix: str, content: bytes) -> str:
        """What became of a picture: "done", a reason, or "" where the process crashed or hung."""
        self.process.stdin.write(struct.pack("<I4s", len(content), suffix.ljust(4).encode()) + content)
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], HANG)
        return self.process.stdout.readline().decode().strip() if ready else ""

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    made = Worker(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.stop()


def test_every_seed_is_a_good_picture(worker):
    assert {worker.ask(suffix, content) for suffix, content in SEEDS} == {"done"}


def test_a_chunk_that_says_it_is_long_takes_no_memory(worker):
    content = encode("PNG")
    assert "memory" not in worker.ask("png", content[:33] + struct.pack(">I", 2**31 - 1) + content[37:])


def test_memory_above_the_bound_is_told(worker):
    """What the bound is worth: a picture that truly needs more fails, and the next is done."""
    assert "not enough memory" in worker.ask("png", png(8000, 8000, bytes(8000 * 24001)))
    assert worker.ask(*SEEDS[0]) == "done"


@seed(0)
@settings(max_examples=COUNT, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, len(SEEDS) - 1),
    st.lists(EDITS, min_size=1, max_size=4),
    st.integers(0, len(SEEDS) - 1),
    st.booleans(),
)
def fuzz(worker, counts, first, edits, second, mend):
    suffix, content = SEEDS[first]
    content = mutate(content, edits, SEEDS[second][1])
    content = mend_checksums(content) if mend and suffix == "png" else content
    told = worker.ask(suffix, content)
    counts["tried"] += 1
    if not told or "memory" in told or told.startswith("left "):
        counts["crashed" if not told.startswith("left ") else "lost"] += 1
        worker.stop()
        worker.start()
    counts[told == "done"] += 1
    assert told and "memory" not in told, f"crashed, hung or above its memory: {content!r}"
    assert not told.startswith("left "), f"{told}: {content!r}"


def test_mutated_pictures_crash_nothing(worker):
    counts = dict.fromkeys(("tried", "lost", "crashed", True, False), 0)
    fuzz(worker, counts)
    assert counts["tried"] >= COUNT
    assert counts[True] > COUNT / 20 and counts[False] > COUNT / 4  # both ways were gone
