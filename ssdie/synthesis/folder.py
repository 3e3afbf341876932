"""Add dust to a folder of clear photos and record the parameters of each."""

import csv
from pathlib import Path

import torch
from tqdm import tqdm

from ssdie.ops.depth_maps import write_depth
from ssdie.ops.images import read_image, write_image
from ssdie.photo.files import list_images
from ssdie.synthesis.depth import Source, estimate_depth, ramp_depth
from ssdie.synthesis.dust import add_dust
from ssdie.synthesis.recipes import sample_dust
from ssdie.utils.devices import derive_seed
from ssdie.utils.paths import atomic

COLUMNS = ("file", "recipe", "seed", *(f"{name}_{c}" for name in ("beta", "airlight", "tint") for c in "rgb"))


def dust_folder(
    folder: str | Path,
    out: str | Path,
    depth: Source = ramp_depth,
    recipe: str = "measured",
    density: float | None = None,
    seed: int = 0,
) -> list[Path]:
    """Add dust to every photo of a folder, at its own size.

    Args:
        folder: folder of clear photos.
        out: folder for the dusty photos, under the same names; `dust.csv` lists the parameters of each, and `depth/`
            holds the depth maps that were used, as 16-bit PNG files.
        depth: folder of depth files with the same stems, a depth model, or a function of `clear`.
        recipe, density: see `ssdie.synthesis.recipes.sample_dust`.
        seed: of the random numbers; the parameters of a photo also depend on its position in the folder.

    Returns:
        The written files.

    Raises:
        ValueError: `out` is `folder`.
        FileNotFoundError: a photo has no depth file.
    """
    folder, out = Path(folder), Path(out)
    if folder.resolve() == out.resolve():
        raise ValueError(
            f"out: expected another folder than that of the clear photos, got {out}, which would be overwritten."
        )
    rows, written = [], []
    for place, path in enumerate(tqdm(list_images(folder), "dust", unit="photo")):
        clear = read_image(path)[None]
        distance = estimate_depth(clear, depth, [path.stem])
        generator = torch.Generator().manual_seed(derive_seed(seed, place))
        dust = sample_dust(1, generator, recipe, density)
        write_image(out / path.name, add_dust(clear, distance, dust, generator).dusty)
        write_depth(out / "depth" / f"{path.stem}.png", distance[0])
        parameters = torch.cat((dust.beta[0], dust.airlight[0], dust.tint[0])).tolist()
        rows.append((path.name, recipe, seed, *(round(v, 4) for v in parameters)))
        written.append(out / path.name)
    with atomic(out / "dust.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows((COLUMNS, *rows))
    return written
