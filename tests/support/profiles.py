"""Generated ICC profiles."""

import struct

import numpy as np


def icc_profile(matrix: np.ndarray, gamma: float) -> bytes:
    """A minimal ICC profile from a matrix (linear RGB to XYZ, D50) and a gamma."""
    tags = [(name, b"XYZ \0\0\0\0" + struct.pack(">3i", *np.rint(column * 65536).astype(int)))
            for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True)]  # fmt: skip
    tags.append((b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)))
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\2\0\0\0", b"mntrRGB XYZ ", b"acsp"
    head[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    head[:4] = struct.pack(">I", 132 + 12 * len(tags) + len(body))
    return bytes(head) + table + body
