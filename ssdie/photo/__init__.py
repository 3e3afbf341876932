"""Reading and writing photos and videos as arrays, with the metadata of their files; no torch.

- `reading`, `writing`: `read_photo` returns a `Photo`, which has a method `save`. `conversion`: losses between formats.
- `formats`: the table of formats. `decoders`, `optional`: decoders of each, without and with the extra `formats`.
- `scene`: bars, flat pictures, grey stored as RGB, panoramas. `color`, `hdr`: colour management.
- `tags`, `exif`, `metadata`, `boxes`, `jpeg`, `jxl`, `tiff`, `tiff_strips`: the parts of files, patched in place.
- `files`: 8-bit photos for research. `video_*`: videos.
"""

import importlib

__all__ = ["Photo", "read_photo"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'ssdie.photo' has no attribute {name!r}")
    return getattr(importlib.import_module("ssdie.photo.reading"), name)
