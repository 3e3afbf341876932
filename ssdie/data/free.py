"""Photographs under free licences, with their credits: dusty, Martian and clear ones, downloaded on request.

For each photograph, `free.csv` names a file of a public repository at a commit, its SHA-256, the author, the licence,
where the licence is stated, and how certain that statement is. No photograph is part of this package. If you show one,
or a picture made from it, show its credit beside it.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssdie.utils.paths import cache_folder, file_digest

REGISTRY = Path(__file__).with_name("free.csv")
BASE_URL = "https://raw.githubusercontent.com/"
KINDS = ("dusty", "mars", "clear")


@dataclass(frozen=True)
class FreePhoto:
    """A photograph of the registry, as listed in `free.csv`."""

    name: str
    kind: str  # "dusty", "mars" or "clear"
    title: str
    author: str
    licence: str
    certainty: str  # that this is the licence: from "high" to "medium-low"
    stated: str  # where the licence is stated
    original: str  # OWNER/REPOSITORY/COMMIT/PATH of the file
    sha256: str

    @property
    def path(self) -> Path:
        """Path of the file after its download."""
        return free_folder() / self.kind / self.name

    @property
    def credit(self) -> str:
        """Title, author and licence, to be shown with every picture made from it."""
        return f"{self.title}. By {self.author}. {self.licence}"


def free_folder() -> Path:
    """Folder of the downloaded photographs, in the user's cache."""
    return cache_folder() / "free"


def read_free_registry(names: Sequence[str] | None = None) -> list[FreePhoto]:
    """Read the registry.

    Args:
        names: kinds, or names of photographs; None means all.

    Raises:
        ValueError: a name is neither a kind nor in the registry, or the registry names a file outside the cache.

    Example:
        >>> photo = read_free_registry(["d10_m113_ntc_village.jpg"])[0]
        >>> photo.author, photo.licence.split(" (")[0]
        ('399scout / Wikimedia Commons', 'CC BY-SA 4.0')
    """
    with REGISTRY.open(newline="", encoding="utf-8") as file:
        photos = [FreePhoto(**row) for row in csv.DictReader(file)]
    outside = [p for p in photos if Path(p.name).name != p.name or p.kind not in KINDS]
    if outside:
        raise ValueError(f"{REGISTRY} names {outside[0].name!r}, not the name of a file. Restore the registry.")
    unknown = [name for name in names or () if name not in KINDS and all(name != p.name for p in photos)]
    if unknown:
        raise ValueError(
            f"names: expected {', '.join(KINDS)} or names in the registry, got {', '.join(unknown)}. "
            f"{REGISTRY} lists all names."
        )
    return [p for p in photos if names is None or p.name in names or p.kind in names]


def free_photos(*kinds: str) -> list[FreePhoto]:
    """List the photographs that have been downloaded with `ssdie download --free`; empty if there are none.

    Args:
        *kinds: "dusty", "mars" or "clear"; none means all.

    Returns:
        Photographs whose file exists with the right SHA-256.
    """
    listed = read_free_registry(kinds or None)
    return [photo for photo in listed if photo.path.is_file() and file_digest(photo.path) == photo.sha256]


def download_free(
    names: Sequence[str] | None = None,
    out: str | Path | None = None,
    base_url: str = BASE_URL,
    retries: int = 2,
    timeout: float = 30,
    offline: bool | None = None,
) -> tuple[list[Path], dict[str, str]]:
    """Download photographs to OUT/KIND/NAME. Existing files are verified and kept.

    Args:
        names: as for `read_free_registry`.
        out: folder; None is the user's cache, where `free_photos` looks for them.
        base_url, retries, timeout, offline: as for `ssdie.data.download.download`.

    Returns:
        As `ssdie.data.download.download`.
    """
    from ssdie.data.download import fetch_files

    files = {f"{p.kind}/{p.name}": (p.original, p.sha256) for p in read_free_registry(names)}
    return fetch_files(out or free_folder(), files, base_url, retries, timeout, offline)
