"""Dust over a folder of clear photos: dusty copies, and what was drawn for each."""

import argparse
import csv
from pathlib import Path

import torch
from tqdm import tqdm

from ssdie.data import derive_seed
from ssdie.depth import Source, estimate_depth, write_depth
from ssdie.depth_gan import DEPTH_MODEL, load_depth_model
from ssdie.dust import add_dust
from ssdie.images import list_images, read_image, write_image
from ssdie.paths import atomic
from ssdie.weather import RECIPES, sample_dust

COLUMNS = ("file", "recipe", "seed", *(f"{name}_{c}" for name in ("beta", "airlight", "tint") for c in "rgb"))


def ramp_depth(clear: torch.Tensor) -> torch.Tensor:
    """The plainest guess of depth, near at the bottom and far at the top: (N, 3, H, W) to (N, 1, H, W).

    Example:
        >>> ramp_depth(torch.zeros(1, 3, 3, 2))[0, 0, :, 0].tolist()
        [1.0, 0.5, 0.0]
    """
    count, _, height, width = clear.shape
    return torch.linspace(1, 0, height, device=clear.device).view(1, 1, -1, 1).expand(count, 1, height, width)


def dust_folder(
    folder: str | Path,
    out: str | Path,
    depth: Source = ramp_depth,
    recipe: str = "measured",
    density: float | None = None,
    seed: int = 0,
) -> list[Path]:
    """Lay dust over every photo of a folder, at its own size.

    Args:
        folder: of clear photos.
        out: folder for the dusty photos, of the same names; also gets `dust.csv`, the weather of each, and `depth/`,
            16-bit PNG files of the depth that was used.
        depth: folder of depth files of the same stems, a depth model, or a function of `clear`.
        recipe, density: see `ssdie.weather.sample_dust`.
        seed: a photo's weather derives from it and the photo's place in the folder.

    Returns:
        The files written.

    Raises:
        ValueError: `out` is `folder`.
        FileNotFoundError: a photo has no depth file.
    """
    folder, out = Path(folder), Path(out)
    if folder.resolve() == out.resolve():
        raise ValueError(f"{out} is the folder of the clear photos, which would be overwritten; give another one.")
    rows, written = [], []
    for place, path in enumerate(tqdm(list_images(folder), "dust", unit="photo")):
        clear = read_image(path)[None]
        distance = estimate_depth(clear, depth, [path.stem])
        generator = torch.Generator().manual_seed(derive_seed(seed, place))
        dust = sample_dust(1, generator, recipe, density)
        write_image(out / path.name, add_dust(clear, distance, dust, generator).dusty)
        write_depth(out / "depth" / f"{path.stem}.png", distance[0])
        weather = torch.cat((dust.beta[0], dust.airlight[0], dust.tint[0])).tolist()
        rows.append((path.name, recipe, seed, *(round(v, 4) for v in weather)))
        written.append(out / path.name)
    with atomic(out / "dust.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows((COLUMNS, *rows))
    return written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m ssdie dust`."""
    parser.add_argument("folder", type=Path, help="folder of clear photos")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the dusty ones")
    parser.add_argument(
        "--depth",
        default="ramp",
        help="folder of depth files (8- or 16-bit PNG, npy) of the same stems; weights of a depth model; "
        '"model": the shipped depth model; "ramp": near at the bottom, far at the top (default)',
    )
    parser.add_argument("--recipe", choices=RECIPES, default="measured", help="(default: measured)")
    parser.add_argument("--density", type=float, help="0.4 haze, 2 dust, 6 sandstorm (default: drawn for each photo)")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Run `python -m ssdie dust`."""
    depth = ramp_depth
    if args.depth == "model" or args.depth.endswith(".safetensors"):
        depth = load_depth_model(DEPTH_MODEL if args.depth == "model" else args.depth)
    elif args.depth != "ramp":
        depth = Path(args.depth)
    written = dust_folder(args.folder, args.out, depth, args.recipe, args.density, args.seed)
    print(f"{len(written)} dusty photos in {args.out}")
    return 0
