"""Draw the picture of README.md and the examples of docs/ and web/: `python tools/draw_readme.py`.

Photograph: china.jpg of scikit-learn, by danielbuechele, CC BY 2.0.
"""

from pathlib import Path

import torch
from PIL import Image

from ssdie import enhance
from ssdie.data.sample import read_pair
from ssdie.ops.images import to_display
from ssdie.photo.files import array_to_pil
from ssdie.synthesis.dust import add_dust
from ssdie.synthesis.recipes import sample_dust

ROOT = Path(__file__).parents[1]
OUT, EXAMPLE = ROOT / "figures" / "readme.jpg", ROOT / "docs" / "example.jpg"
PAGE = ROOT / "web" / "public"
DENSITIES = (1.2, 1.8, 3.2)  # haze, dust, storm
SEEDS = (22, 24, 25)
SIZE = (300, 450)
GAP = 6


def main() -> None:
    """Draw the dusty pictures in the first row, the enhanced ones in the second."""
    clear, depth = read_pair("photo_china", SIZE)
    canvas = Image.new("RGB", (3 * SIZE[1] + 2 * GAP, 2 * SIZE[0] + GAP), "white")
    for column, (density, seed) in enumerate(zip(DENSITIES, SEEDS, strict=True)):
        random = torch.Generator().manual_seed(seed)
        dust = sample_dust(1, random, density=density)
        dusty = add_dust(clear[None], depth[None], dust, random).dusty[0]
        for row, picture in enumerate((dusty, enhance(dusty))):
            canvas.paste(array_to_pil(to_display(picture)), (column * (SIZE[1] + GAP), row * (SIZE[0] + GAP)))
    canvas.save(OUT, quality=90)
    print("written:", OUT, *write_examples())


def write_examples() -> list[Path]:
    """Write the dusty photograph at its original size, for the tutorials; for the page in the browser also enhanced."""
    clear, depth = read_pair("photo_china")
    random = torch.Generator().manual_seed(SEEDS[1])
    dusty = add_dust(clear[None], depth[None], sample_dust(1, random, density=DENSITIES[1]), random).dusty[0]
    paths = [EXAMPLE, PAGE / "example.jpg", PAGE / "example-repaired.jpg"]
    for path, picture in zip(paths, (dusty, dusty, enhance(dusty)), strict=True):
        array_to_pil(to_display(picture)).save(path, quality=90)
    return paths


if __name__ == "__main__":
    main()
