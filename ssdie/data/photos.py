"""Photos to train and evaluate on: find the photos of a split, read them, and fingerprint the data."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ssdie.data.sample import list_sample, read_pair
from ssdie.ops.depth_maps import read_depth, read_side_by_side
from ssdie.ops.images import read_image, resize
from ssdie.photo.files import list_images
from ssdie.synthesis.dust import add_dust
from ssdie.utils.paths import data_root

EMBEDDED = {"train": 24, "val": 6, "test": 4}  # number of clear and of dusty pictures in the embedded sample
GIBIBYTE = 2**30


@dataclass
class Photo:
    """A photo that is read on demand.

    Args:
        name: file name without suffix.
        read: function that returns (3, H, W), or (4, H, W) with depth as the fourth channel; in [0, 1].
        files: files that `read` opens; empty for a picture of the sample.
    """

    name: str
    read: Callable[[], torch.Tensor]
    files: tuple[Path, ...] = ()


@dataclass
class Sources:
    """The photos of one split: `clear` with depth, real unpaired `dusty`, and the `origin` of both."""

    clear: list[Photo] = field(default_factory=list)
    dusty: list[Photo] = field(default_factory=list)
    origin: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Number of photos of each kind."""
        return {"clear": len(self.clear), "dusty": len(self.dusty)}


def find_photos(root: str | Path | None = None, split: str = "train") -> Sources:
    """Find the photos of a split.

    Args:
        root: a folder in the layout of the research data (`clear/SPLIT`, `depth/SPLIT`, `dusty/SPLIT`) or in the
            published layout (`SPLIT/clean` with photo and jet-coded depth side by side, `SPLIT/dust`; `test` with
            dusty photos). None reads SSDIE_DATA, or the embedded sample if that is not set.
        split: "train", "val" or "test".

    Returns:
        The photos, in name order. In the embedded sample photographs come first; its dusty photos are synthetic, and
        its test split is part of its validation split.

    Raises:
        FileNotFoundError: the folder has neither layout.
        ValueError: a clear photo has no depth map.

    Example:
        >>> find_photos(split="val").clear[0].read().shape[0]  # picture and depth
        4
    """
    origin = "SSDIE_DATA" if root is None else str(root)
    root = Path(root) if root is not None else data_root()
    if root is None:
        return _embedded(split)
    if (root / "clear").is_dir() or (root / "dusty").is_dir():
        clear, dusty = root / "clear" / split, root / "dusty" / split
        pairs = _with_depth(clear, root / "depth" / split) if clear.is_dir() else []
    elif (root / "train").is_dir() or (root / "test").is_dir():
        clear, dusty = root / split / "clean", root / split / "dust"
        pairs = [Photo(p.stem, _reader(p, None), (p,)) for p in list_images(clear)] if clear.is_dir() else []
        dusty = dusty if dusty.is_dir() else root / split
    else:
        raise FileNotFoundError(
            f"{root}: expected clear/ and dusty/, or train/clean and train/dust; found neither. "
            "data/README.md describes both layouts."
        )
    unpaired = [Photo(p.stem, _reader(p), (p,)) for p in list_images(dusty)] if dusty.is_dir() else []
    return Sources(pairs, unpaired, origin)


def _with_depth(clear: Path, depth: Path) -> list[Photo]:
    """Pair clear photos with the depth files of the same stem."""
    depths = {p.stem: p for p in sorted(depth.iterdir())} if depth.is_dir() else {}
    photos = list_images(clear)
    missing = [p.name for p in photos if p.stem not in depths]
    if missing:
        raise ValueError(
            f"{depth}: expected a depth map for every photo of {clear}, {len(missing)} are missing "
            f"({', '.join(missing[:3])}). Make them with `ssdie depth`, or move the photos elsewhere."
        )
    return [Photo(p.stem, _reader(p, depths[p.stem]), (p, depths[p.stem])) for p in photos]


def _reader(path: Path, *depth: Path | None) -> Callable[[], torch.Tensor]:
    """Return a function that reads a photo; with a depth path, photo and depth; with None, a side-by-side file."""

    def read() -> torch.Tensor:
        if not depth:
            return _read_file(path, read_image)
        if depth[0]:
            clear, distance = _read_file(path, read_image), _read_file(depth[0], read_depth)
        else:
            clear, distance = _read_file(path, read_side_by_side)
        return torch.cat((clear, resize(distance[None], tuple(clear.shape[-2:]))[0]))

    return read


def _read_file(path: Path, read: Callable):
    """Read a file; convert any error of the decoder to a ValueError that names the file."""
    try:
        return read(path)
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"{path} cannot be read: {reason}. Replace the file, or move it elsewhere.") from error


def _embedded(split: str) -> Sources:
    """Split the sample: every second picture is clear with depth, the others get dust in place of real dusty photos."""
    count = EMBEDDED[split]
    names = [picture.name for picture in list_sample("train" if split == "train" else "val")][: 2 * count]
    clear = [Photo(name, functools.partial(_read_sample, name)) for name in names[::2]]
    dusty = [Photo(name, functools.partial(_read_dusty, name, seed)) for seed, name in enumerate(names[1::2])]
    return Sources(clear, dusty, "embedded sample")


def _read_sample(name: str) -> torch.Tensor:
    """Read picture and depth of the sample, (4, H, W)."""
    return torch.cat(read_pair(name))


@functools.cache
def _read_dusty(name: str, seed: int) -> torch.Tensor:
    """Read a picture of the sample and add dust, (3, H, W)."""
    clear, depth = read_pair(name)
    return add_dust(clear[None], depth[None], "measured", seed).dusty[0]


def fingerprint(sources: Sources, limit: int = 0) -> dict[str, dict]:
    """Identify the photos of a split: by kind, their number and a digest of their files.

    Args:
        sources: photos, as returned by `find_photos`.
        limit: bytes; if all files together are smaller, the digest covers their contents, otherwise their names and
            sizes only.

    Example:
        >>> one, two = (fingerprint(Sources([Photo(name, None)])) for name in "ab")
        >>> one["clear"]["count"], one["clear"] == two["clear"], one["dusty"] == two["dusty"]
        (1, False, True)
    """
    found = {}
    for kind in ("clear", "dusty"):
        digest, photos = hashlib.sha256(), getattr(sources, kind)
        sizes = {path: path.stat().st_size for photo in photos for path in photo.files}
        whole = sum(sizes.values()) < limit
        digest.update("\n".join(photo.name for photo in photos).encode())
        for path, size in sizes.items():
            digest.update(f"\n{path.name} {size}\n".encode())
            if whole:
                digest.update(path.read_bytes())
        of = "contents" if whole else "names and sizes"
        found[kind] = {"count": len(photos), "sha256": digest.hexdigest(), "of": of}
    return found


def fingerprint_splits() -> dict[str, dict]:
    """Fingerprint the splits "train" and "val", by contents if these are less than a gibibyte."""
    return {split: fingerprint(find_photos(split=split), GIBIBYTE) for split in ("train", "val")}
