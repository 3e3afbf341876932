"""Pictures of the method, computed from a photograph of the sample by the functions that they illustrate."""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
DENSITIES = {"haze": (0.6, 22), "dust": (1.8, 24), "storm": (3.2, 25)}  # extinction, seed
SOURCES = (  # files on which the pictures depend
    "ssdie/synthesis",
    "ssdie/networks",
    "ssdie/enhancement",
    "ssdie/ops",
    "ssdie/workbook/figures",
    "ssdie/weights",
    "docs/extensions/pictures.py",
)


def draw_pictures() -> dict[str, Figure]:
    """Draw the figures of docs/method.md; return them by name."""
    from ssdie.data.sample import read_pair
    from ssdie.enhancement.photo import enhance
    from ssdie.enhancement.runtime import RELEASED, load_model
    from ssdie.losses import LossWeights, make_pseudo_label
    from ssdie.networks.weights import load_weights
    from ssdie.ops.priors import dark_channel
    from ssdie.synthesis.dust import add_dust
    from ssdie.synthesis.recipes import sample_dust
    from ssdie.training.augmentation import augment
    from ssdie.workbook.figures.diagrams import draw_method, draw_network
    from ssdie.workbook.figures.grids import plot_grid, plot_pictures

    clear, depth = (part[None] for part in read_pair("photo_china"))
    model, network, pairs = load_model(), load_weights(RELEASED), {}
    for word, (density, seed) in DENSITIES.items():
        dust = sample_dust(1, torch.Generator().manual_seed(seed), density=density)
        pairs[word] = add_dust(clear, depth, dust, seed)
    dusty = {word: pair.dusty for word, pair in pairs.items()}
    restored = {word: enhance(picture, model) for word, picture in dusty.items()}
    pair = pairs["dust"]
    other, far = (part[None] for part in read_pair("scene_000008"))
    real = add_dust(other, far, sample_dust(1, torch.Generator().manual_seed(15), density=1.6), 0).dusty
    copy = augment(real, torch.Generator().manual_seed(0))
    drawn = clear, depth, pair.dusty, restored["dust"], real, copy, enhance(copy, model), make_pseudo_label(real)
    law = {
        "clear $J$": clear,
        "depth $d$, bright: near": depth,
        "transmission $t = e^{-\\beta d}$": pair.transmission,
        "dusty $I = J\\,t + A\\,(1-t)$": pair.dusty,
    }
    priors = {
        "dark channel, clear": dark_channel(clear).expand(-1, 3, -1, -1),
        "dark channel, dusty": dark_channel(pair.dusty).expand(-1, 3, -1, -1),
        "Retinex of the dusty photo": make_pseudo_label(pair.dusty),
    }
    return {
        "law": plot_pictures(law, columns=2),
        "densities": plot_grid([dusty, restored], labels=("dusty", "enhanced")),
        "training": draw_method(*(d[0] for d in drawn), network, LossWeights()),
        "network": draw_network(network),
        "priors": plot_pictures(priors, columns=3),
    }


def write_example(folder: Path) -> None:
    """Write the enhanced example photo of the first tutorial, and both side by side."""
    from PIL import Image

    import ssdie

    example = ROOT / "docs" / "example.jpg"
    ssdie.enhance(example).save(folder / "example_repaired.jpg")
    with Image.open(example) as before, Image.open(folder / "example_repaired.jpg") as after:
        both = Image.new("RGB", (2 * before.width + 8, before.height), "white")
        both.paste(before, (0, 0))
        both.paste(after, (before.width + 8, 0))
        both.save(folder / "before_after.jpg", quality=92)


def write_pictures(app: Sphinx) -> None:
    """Write the pictures to generated/pictures, unless they are newer than their sources."""
    from ssdie.workbook.figures.grids import save_figure

    folder = Path(app.srcdir) / "generated" / "pictures"
    done = folder / ".done"
    sources = [ROOT / name for name in SOURCES]
    files = [path for source in sources for path in (source.rglob("*") if source.is_dir() else [source])]
    if done.is_file() and all(path.stat().st_mtime < done.stat().st_mtime for path in files if path.suffix != ".pyc"):
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_example(folder)
    for name, figure in draw_pictures().items():
        save_figure(figure, name, folder, {})
    done.touch()


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw before Sphinx collects its sources."""
    app.connect("builder-inited", write_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
