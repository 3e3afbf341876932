"""Copies of public benchmarks: matching dusty images with their reference images, and resizing them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ssdie.ops.images import fit_long_side, resize
from ssdie.photo.files import list_images

RULES = ("stem", "number", "order")
SID_NAME = r"(.+)_c\d+"  # n_c1, n_c2, n_c3: three dust colours of the scene n


def match_pairs(dusty: Sequence[Path], clear: Sequence[Path], rule: str = "stem") -> list[tuple[Path, Path]]:
    r"""Find the reference image of each dusty image.

    Args:
        dusty: dusty images.
        clear: reference images; one may belong to several dusty images.
        rule: "stem": both have the same name without suffix; "number": the first number in both names is the same;
            "order": both lists are sorted alike; or a regular expression for the whole stem of a dusty image, whose
            first group is the stem of its reference image, such as `(.+)_c\d+`.

    Returns:
        Pairs (dusty, clear), in the order of `dusty`.

    Raises:
        ValueError: there is no dusty image, two reference images fit one name, the lists differ in length ("order"), or
            the regular expression is invalid or does not fit.
        FileNotFoundError: a dusty image has no reference image.

    Example:
        >>> [c.name for _, c in match_pairs([Path("7_c1.png"), Path("7_c2.png")], [Path("7.jpg")], r"(.+)_c\d+")]
        ['7.jpg', '7.jpg']
    """
    if not dusty:
        raise ValueError("pairs: expected at least one dusty image, got none. Check the folder.")
    if rule == "order":
        if len(dusty) != len(clear):
            got = f"{len(dusty)} and {len(clear)}"
            raise ValueError(f"pairs: expected as many reference as dusty images, got {got}. Use another rule.")
        return list(zip(sorted(dusty), sorted(clear), strict=True))
    dusty_key, clear_key = _keys(rule)
    index: dict[str, Path] = {}
    for path in clear:
        if (other := index.setdefault(clear_key(path.stem), path)) != path:
            raise ValueError(f"pairs: expected one reference image per name, got {other} and {path}. Remove one.")
    keys = [dusty_key(path.stem) for path in dusty]
    missing = [path.name for path, key in zip(dusty, keys, strict=True) if key not in index]
    if missing:
        some = ", ".join(missing[:5])
        raise FileNotFoundError(f"pairs: expected a reference image for {some}, got none by rule {rule!r}.")
    return [(path, index[key]) for path, key in zip(dusty, keys, strict=True)]


def _keys(rule: str) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """Return functions of the stem of a dusty and of a reference image whose results are equal for a pair."""
    if rule == "stem":
        return str, str
    if rule == "number":
        return _first_number, _first_number
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise ValueError(
            f"match: expected {', '.join(RULES)} or a regular expression, got {rule!r}: {error}."
        ) from None
    if pattern.groups < 1:
        raise ValueError(f"match: expected {', '.join(RULES)} or a regular expression with a group, got {rule!r}.")

    def extract(stem: str) -> str:
        found = pattern.fullmatch(stem)
        if found is None:
            raise ValueError(f"match: expected names that fit {rule!r}, got {stem!r}. Use another rule.")
        return found[1]

    return extract, str


def _first_number(stem: str) -> str:
    """First number in a name, without leading zeros."""
    found = re.search(r"\d+", stem)
    if found is None:
        raise ValueError(f"match: expected a number in each name, got {stem!r}. Use another rule.")
    return str(int(found[0]))


def list_sie(root: str | Path) -> list[tuple[Path, Path]]:
    """List the synthetic pairs of SIE: folders Sand_dust_images and Ground_truth, matched by the number in the names.

    Source: layout of Liang et al., The Visual Computer 2022, doi 10.1007/s00371-022-02448-8.
    """
    folders = {}
    for name in ("Sand_dust_images", "Ground_truth"):
        found = sorted(p for p in Path(root).rglob("*") if p.is_dir() and p.name.lower() == name.lower())
        found = [p for p in found if name != "Sand_dust_images" or (p.parent / "Ground_truth").is_dir()]
        if len(found) != 1:
            raise FileNotFoundError(f"{root}: expected one folder {name}, got {len(found)}. Give the folder above it.")
        folders[name] = list_images(found[0])
    return match_pairs(folders["Sand_dust_images"], folders["Ground_truth"], "number")


def list_sid(root: str | Path) -> list[tuple[Path, Path]]:
    """List the pairs of SID: images n_c1, n_c2, n_c3 and the reference image n, in the same or in other folders.

    Source: naming of SIDNet, Signal Processing 199:108612, 2022, doi 10.1016/j.sigpro.2022.108612.
    """
    images = list_images(root, recursive=True)
    dusty = [path for path in images if re.fullmatch(SID_NAME, path.stem)]
    return match_pairs(dusty, [path for path in images if path not in set(dusty)], SID_NAME)


PRESETS: dict[str, Callable[[str | Path], list[tuple[Path, Path]]]] = {"sie": list_sie, "sid": list_sid}


def parse_size(text: str) -> tuple[int, int] | int:
    """Parse "N" (longest side) or "WIDTHxHEIGHT", in pixels.

    Returns:
        N, or (height, width).

    Example:
        >>> parse_size("640"), parse_size("440x330")
        (640, (330, 440))
    """
    found = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", str(text))
    if found is None:
        raise ValueError(f"size: expected N or WIDTHxHEIGHT in pixels, got {text!r}.")
    return int(found[1]) if found[2] is None else (int(found[2]), int(found[1]))


def fit_size(image: torch.Tensor, size: tuple[int, int] | int | None) -> torch.Tensor:
    """Resize (N, 3, H, W) to (height, width), or shrink it to a longest side; None keeps its size."""
    if size is None:
        return image
    return fit_long_side(image, size) if isinstance(size, int) else resize(image, size)
