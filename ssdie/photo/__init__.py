"""Photos and videos as arrays, with everything that their files hold; no torch.

- `reading`, `writing`: `read_photo` gives a `Photo`, which saves itself. `decoders`: each kind of file.
- `formats`: the registry of kinds. `scene`: bars, flat pictures, grey stored as RGB, panoramas.
- `tags`, `exif`, `metadata`, `jpeg`, `tiff`: the parts of files, patched in place. `color`, `hdr`: colour management.
- `files`: 8-bit photos for research. `video_*`: videos.
"""

import importlib

__all__ = ["Photo", "read_photo"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'ssdie.photo' has no attribute {name!r}")
    return getattr(importlib.import_module("ssdie.photo.reading"), name)
