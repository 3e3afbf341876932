"""Tag directories of TIFF and EXIF: read them, patch numbers in place, append directories."""

import struct
from dataclasses import dataclass

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
MOST_ENTRIES, MOST_VALUES = 4096, 1 << 24  # a directory with more entries, or a tag with more values, is damaged


@dataclass(frozen=True)
class Entry:
    """One tag of a directory."""

    tag: int
    type: int  # key of `SIZES`
    count: int
    place: int  # offset of the value in the block
    size: int  # bytes of the value


@dataclass(frozen=True)
class Directory:
    """The tags of one directory by number."""

    entries: dict[int, Entry]
    next: int  # offset of the next directory; 0 if there is none
    next_place: int  # where this offset is stored


class TagBlock:
    """A TIFF file, BigTIFF file or EXIF block whose bytes can be patched.

    Args:
        data: the file or block, from its byte order mark on; copied.

    Raises:
        ValueError: the header is not that of TIFF.

    Example:
        >>> block = TagBlock(b"II*\\0\\x08\\0\\0\\0" + b"\\1\\0" + b"\\x12\\1\\3\\0\\1\\0\\0\\0\\6\\0\\0\\0" + bytes(4))
        >>> block.number(block.directory(block.first), 0x0112)
        6
    """

    def __init__(self, data: bytes):
        self.data = bytearray(data)
        self.order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]), "")
        version = struct.unpack_from(f"{self.order}H", data, 2)[0] if self.order and len(data) >= 8 else 0
        if version not in (42, 43) or (version == 43 and len(data) < 16):
            raise ValueError("the header of its tags is damaged")
        self.big = version == 43
        self.offset_code, self.first_place = ("Q", 8) if self.big else ("I", 4)
        self.first = self.unpack(self.offset_code, self.first_place)

    def unpack(self, code: str, place: int) -> int:
        """Read one number of a struct format code; ValueError beyond the end."""
        try:
            return struct.unpack_from(self.order + code, self.data, place)[0]
        except struct.error:
            raise ValueError("its tags point beyond its end") from None

    def pack(self, code: str, place: int, value: int) -> None:
        """Write one number of a struct format code in place."""
        struct.pack_into(self.order + code, self.data, place, value)

    def directory(self, place: int) -> Directory:
        """Read the directory at an offset; entries of unknown type, or with values beyond the end, are left out."""
        count = self.unpack("Q" if self.big else "H", place)
        if count > MOST_ENTRIES:
            raise ValueError("its tags are damaged")
        head, width, inline = (8, 20, 8) if self.big else (2, 12, 4)
        next_place = place + head + count * width
        following = self.unpack(self.offset_code, next_place) if next_place + inline <= len(self.data) else 0
        if next_place > len(self.data):
            raise ValueError("its tags point beyond its end")
        entries = {}
        for at in range(place + head, next_place, width):
            tag, kind = self.unpack("H", at), self.unpack("H", at + 2)
            number = self.unpack(self.offset_code, at + 4)
            size = SIZES.get(kind, 0) * number
            value = at + 4 + inline
            if size > inline:
                value = self.unpack(self.offset_code, value)
            if size and value + size <= len(self.data):
                entries.setdefault(tag, Entry(tag, kind, number, value, size))
        return Directory(entries, following, next_place)

    def directories(self) -> list[tuple[int, Directory]]:
        """List the chain of directories with their offsets, from the first one; a loop ends the list."""
        found, place = {}, self.first
        while place and place not in found and len(found) < MOST_ENTRIES:
            found[place] = self.directory(place)
            place = found[place].next
        return list(found.items())

    def numbers(self, directory: Directory, tag: int) -> tuple[int, ...]:
        """Return the values of an integer tag; empty if there is no such tag."""
        entry = directory.entries.get(tag)
        if entry is None or entry.type not in INTEGERS or entry.count > MOST_VALUES:
            return ()
        return struct.unpack_from(f"{self.order}{entry.count}{INTEGERS[entry.type]}", self.data, entry.place)

    def number(self, directory: Directory, tag: int, default: int = 0) -> int:
        """Return the first value of an integer tag, or `default`."""
        values = self.numbers(directory, tag)
        return values[0] if values else default

    def raw(self, directory: Directory, tag: int) -> bytes:
        """Return the bytes of a tag; empty if there is no such tag."""
        entry = directory.entries.get(tag)
        return bytes(self.data[entry.place : entry.place + entry.size]) if entry else b""

    def set_numbers(self, directory: Directory, tag: int, value: int) -> None:
        """Set every value of an integer tag in place, where the tag exists and its type can hold the value."""
        entry = directory.entries.get(tag)
        if entry and entry.type in INTEGERS and value < 1 << (8 * SIZES[entry.type]) and entry.count <= 16:
            for n in range(entry.count):
                self.pack(INTEGERS[entry.type], entry.place + n * SIZES[entry.type], value)

    def append(self, content: bytes) -> int:
        """Append bytes at an even offset; return the offset."""
        self.data += bytes(len(self.data) % 2)
        place = len(self.data)
        self.data += content
        return place

    def append_directory(self, tags: dict[int, tuple[int, int, bytes]], following: int = 0) -> int:
        """Append a directory of {tag: (type, count, value bytes)}; return its offset.

        Args:
            tags: the entries.
            following: offset of the next directory; 0 for none.
        """
        inline, body = (8 if self.big else 4), b""
        for tag, (kind, count, value) in sorted(tags.items()):
            if len(value) > inline:
                value = struct.pack(self.order + self.offset_code, self.append(value))
            body += struct.pack(f"{self.order}HH{self.offset_code}", tag, kind, count) + value.ljust(inline, b"\0")
        head = struct.pack(self.order + ("Q" if self.big else "H"), len(tags))
        return self.append(head + body + struct.pack(self.order + self.offset_code, following))
