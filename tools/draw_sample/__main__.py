"""Make ssdie/data/sample: drawn scenes with exact depth, depth maps of photographs, and an index of both.

python tools/draw_sample
"""

import csv
import hashlib
from pathlib import Path

import numpy as np
from photographs import PHOTOGRAPHS, make_depth
from PIL import Image
from scenes import render_scene

SAMPLE = Path(__file__).resolve().parents[2] / "ssdie" / "data" / "sample"
SCENES = {"val": range(100_000, 100_013), "train": range(44)}  # seeds
CREDIT, LICENCE = "drawn by tools/draw_sample", "MIT"  # the licence of the project


def write_depth(name: str, depth: np.ndarray) -> str:
    """Write an 8-bit depth map; return its SHA-256."""
    path = SAMPLE / f"{name}_depth.png"
    Image.fromarray(np.rint(255 * depth).astype(np.uint8)).save(path, optimize=True)
    return digest(path)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Write all files of the sample."""
    SAMPLE.mkdir(exist_ok=True)
    rows = []
    for photograph in PHOTOGRAPHS:
        name = f"photo_{photograph.name}"
        measured = photograph.measured
        about = name, photograph.split, "measured" if measured else "estimated", photograph.credit, photograph.licence
        rows.append((*about, "", "" if measured else write_depth(name, make_depth(photograph))))
    for split, seeds in SCENES.items():
        for seed in seeds:
            name = f"scene_{seed:06d}"
            clear, depth = render_scene(seed)
            path = SAMPLE / f"{name}.jpg"
            Image.fromarray(np.rint(255 * clear).astype(np.uint8)).save(path, quality=95, subsampling=0, optimize=True)
            rows.append((name, split, "exact", CREDIT, LICENCE, digest(path), write_depth(name, depth)))
    with (SAMPLE / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "split", "depth", "credit", "licence", "sha256", "depth_sha256"))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
