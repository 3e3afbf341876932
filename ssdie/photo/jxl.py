"""Colour space of JPEG XL files, read from the header of the codestream, since the decoder returns only pixels."""

from ssdie.photo.metadata import read_boxes

PRIMARIES = {1: 1, 9: 9, 11: 12}  # codes of JPEG XL: those of ITU-T H.273; transfer functions have the same codes
SIZES = ((9, 1), (13, 1), (18, 1), (30, 1))
ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))


class Bits:
    """Reads the fields of a codestream, least significant bit first."""

    def __init__(self, data: bytes):
        self.value, self.left = int.from_bytes(data[:256], "little"), 8 * min(len(data), 256)

    def read(self, count: int) -> int:
        """Read an unsigned number of `count` bits; ValueError beyond the end."""
        if count > self.left:
            raise ValueError("it ends in its header")
        found, self.value, self.left = self.value & ((1 << count) - 1), self.value >> count, self.left - count
        return found

    def choose(self, ways: tuple[tuple[int, int], ...]) -> int:
        """Read a number of type U32: two bits select one of four pairs (bits, offset)."""
        bits, offset = ways[self.read(2)]
        return self.read(bits) + offset


def read_color(data: bytes) -> tuple[int, int] | None:
    """Return the primaries and the transfer function (codes of ITU-T H.273) of a JPEG XL file; None for sRGB.

    Raises:
        ValueError: the space is given by an ICC profile or its own primaries, or follows fields that are not supported.

    Source: ISO/IEC 18181-1, annexes A, D and E.
    """
    if data[:2] != b"\xff\x0a":
        places = [
            low + (4 if name == b"jxlp" else 0) for name, low, _ in read_boxes(data) if name in (b"jxlc", b"jxlp")
        ]
        data = data[places[0] : places[0] + 256] if places else b""
    bits = Bits(data[2:])
    small = bits.read(1)
    for side in range(2):
        if side == 0 or bits.read(3) == 0:  # the width may be a ratio of the height
            bits.read(5) if small else bits.choose(SIZES)
    if bits.read(1):
        return None  # all fields have their defaults
    if bits.read(1):
        bits.read(3)  # orientation
        if any(bits.read(1) for _ in range(3)):
            raise ValueError("it has an intrinsic size, a preview or frames")
    if bits.read(1):  # floating point
        bits.choose(((0, 32), (0, 16), (0, 24), (6, 1)))
        bits.read(4)
    else:
        bits.choose(((0, 8), (0, 10), (0, 12), (6, 1)))
    bits.read(1)  # whether 16 bit suffice
    for _ in range(bits.choose(((0, 0), (0, 1), (4, 2), (12, 1)))):
        if not bits.read(1):
            raise ValueError("it has extra channels of another kind than plain alpha")
    bits.read(1)  # XYB
    if bits.read(1):
        return None
    if bits.read(1):
        raise ValueError("it has an ICC profile")
    space = bits.choose(ENUM)
    white = bits.choose(ENUM)
    primaries = bits.choose(ENUM) if space == 0 else 1
    if space > 1 or white != 1 or primaries not in PRIMARIES or bits.read(1):
        raise ValueError("it has a space of its own")
    transfer = bits.choose(ENUM)
    return None if (primaries, transfer) == (1, 13) else (PRIMARIES[primaries], transfer)
