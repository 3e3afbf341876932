"""Photos for training: where they lie, and seeded crops of them.

The one rule: what sample k is, is a function of the seed and k alone. Order, crops and dust need no state to be stored,
do not depend on the number of workers or processes, and continue after an interruption as if there had been none.
"""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ssdie.data.sample import draw_embedded, embedded_names
from ssdie.ops.depth_maps import read_depth, read_side_by_side
from ssdie.ops.images import read_image, resize
from ssdie.photo.files import list_images
from ssdie.synthesis.dust import add_dust
from ssdie.utils.paths import data_root

EMBEDDED = {"train": 24, "val": 6, "test": 4}  # pictures of the embedded sample, by split


@dataclass
class Photo:
    """A photo that is read when it is wanted.

    Args:
        name: of its file, without suffix.
        read: gives (3, H, W), or (4, H, W) with depth as the fourth channel, in [0, 1].
        files: that it reads; none for a drawn one.
    """

    name: str
    read: Callable[[], torch.Tensor]
    files: tuple[Path, ...] = ()


@dataclass
class Sources:
    """The photos of one split: `clear` with depth, `dusty` real and unpaired; `origin` says where they come from."""

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
            published one (`SPLIT/clean` with photo and jet depth side by side, `SPLIT/dust`; `test` with dusty photos);
            None takes SSDIE_DATA, and where that is not set the embedded sample.
        split: "train", "val" or "test".

    Returns:
        Sources; photos in name order.

    Raises:
        FileNotFoundError: neither layout is there.
        ValueError: a clear photo has no depth.

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
            f"{root} has neither clear/ and dusty/ nor train/clean and train/dust; see data/README.md for both layouts."
        )
    unpaired = [Photo(p.stem, _reader(p), (p,)) for p in list_images(dusty)] if dusty.is_dir() else []
    return Sources(pairs, unpaired, origin)


def _with_depth(clear: Path, depth: Path) -> list[Photo]:
    """Clear photos with the depth file of the same stem."""
    depths = {p.stem: p for p in sorted(depth.iterdir())} if depth.is_dir() else {}
    photos = list_images(clear)
    missing = [p.name for p in photos if p.stem not in depths]
    if missing:
        raise ValueError(
            f"{len(missing)} photos of {clear} have no depth in {depth} ({', '.join(missing[:3])}); "
            "make it with `python -m ssdie depth`, or move them away."
        )
    return [Photo(p.stem, _reader(p, depths[p.stem]), (p, depths[p.stem])) for p in photos]


def _reader(path: Path, *depth: Path | None) -> Callable[[], torch.Tensor]:
    """Reader of a photo; with a depth path, of photo and depth; with None, of a side-by-side file."""

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
    """Read a file; whatever a decoder raises becomes a sentence."""
    try:
        return read(path)
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"{path} cannot be read ({reason}); replace it, or move it away.") from error


def _embedded(split: str) -> Sources:
    """The sample inside the package: clear pictures with depth, and others dusted in the place of real ones."""
    count = EMBEDDED[split]
    names = embedded_names(2 * count, "train" if split == "train" else "val")
    clear = [Photo(name, functools.partial(_draw, name)) for name in names[:count]]
    dusty = [Photo(name, functools.partial(_draw_dusty, name, seed)) for seed, name in enumerate(names[count:])]
    return Sources(clear, dusty, "embedded sample")


@functools.cache
def _draw(name: str) -> torch.Tensor:
    """Picture and depth (4, H, W) of the embedded sample, drawn once."""
    return torch.cat(draw_embedded(name))


@functools.cache
def _draw_dusty(name: str, seed: int) -> torch.Tensor:
    """The same under dust, (3, H, W)."""
    picture = _draw(name)[None]
    return add_dust(picture[:, :3], picture[:, 3:], "measured", seed).dusty[0]


def fingerprint(sources: Sources, limit: int = 0) -> dict[str, dict]:
    """Tell the photos of a split from others: by kind, their number and a digest of their files.

    Args:
        sources: as `ssdie.data.photos.find_photos` gives it.
        limit: the files' bytes are read too where they are fewer in all; beyond, names and sizes must do.

    Example:
        >>> from ssdie.data.photos import Photo
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
    """Fingerprints of the splits that notebooks look at, by contents where that is quickly read."""
    return {split: fingerprint(find_photos(split=split), GIBIBYTE) for split in ("train", "val")}


GIBIBYTE = 2**30
