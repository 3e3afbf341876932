"""Generated ICC profiles."""

import struct

import numpy as np


def profile_of(tags: list[tuple[bytes, bytes]], kind: bytes = b"mntrRGB XYZ ") -> bytes:
    """ICC profile of tags, of a class, a colour space and a connection space."""
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\2\0\0\0", kind, b"acsp"
    head[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    head[:4] = struct.pack(">I", 132 + 12 * len(tags) + len(body))
    return bytes(head) + table + body


def icc_profile(matrix: np.ndarray, gamma: float) -> bytes:
    """A minimal ICC profile from a matrix (linear RGB to XYZ, D50) and a gamma."""
    tags = [(name, b"XYZ \0\0\0\0" + struct.pack(">3i", *np.rint(column * 65536).astype(int)))
            for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True)]  # fmt: skip
    tags.append((b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)))
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return profile_of(tags)


def scanner_profile(corners: np.ndarray) -> bytes:
    """ICC profile of a scanner: a lookup table from RGB to Lab, and none back.

    Args:
        corners: (2, 2, 2, 3) Lab at the corners of the RGB cube.
    """
    scale = np.array((2.55, 1, 1)), np.array((0, 128, 128))
    cube = np.rint(corners * scale[0] + scale[1]).clip(0, 255).astype(np.uint8).tobytes()
    identity = struct.pack(">9i", *np.eye(3, dtype=int).ravel() * 65536)
    table = b"mft1\0\0\0\0" + bytes((3, 3, 2, 0)) + identity + bytes(range(256)) * 3 + cube + bytes(range(256)) * 3
    return profile_of([(b"A2B0", table), (b"wtpt", b"XYZ \0\0\0\0" + bytes(12))], b"scnrRGB Lab ")
