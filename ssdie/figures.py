"""The style of all figures, and figures made of pictures: functions take data and give a Figure."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssdie.images import resize, to_display
from ssdie.manifest import figure_metadata
from ssdie.paths import atomic

INK, FAINT = "#22262b", "#8a9099"
BLUE, ORANGE = sns.color_palette("colorblind").as_hex()[:2]
STYLE = {
    **sns.axes_style("whitegrid"),
    **sns.plotting_context("paper"),
    "figure.dpi": 110,
    "savefig.dpi": 220,
    "figure.facecolor": "white",
    "axes.edgecolor": "#c9ced6",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.prop_cycle": plt.cycler(color=sns.color_palette("colorblind")),
    "grid.color": "#e6e9ee",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "ssdie",
}
DEPTH_COLOURS = "cividis_r"  # near bright, far dark

Picture = torch.Tensor | np.ndarray  # (3, H, W), (1, 3, H, W), or one channel in the same place; in [0, 1]


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the project's style; closed for pyplot, so that a notebook shows what a cell returns, once."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with plt.rc_context(STYLE):
            figure = draw(*args, **kwargs)
            plt.close(figure)
        return figure

    return wrapper


def save_figure(
    figure: Figure,
    name: str,
    folder: str | Path = "figures",
    metadata: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write `name`.png and `name`.pdf, without dates: equal figures and metadata give equal files.

    Args:
        figure: to write.
        name: of the files, without suffix.
        folder: made where it is missing.
        metadata: what else the files tell of themselves, such as {"commit": "1a2b3c4"}; text fields of the PNG,
            keywords of the PDF. None takes the manifest of the notebook that runs.

    Returns:
        The two paths.
    """
    paths = [Path(folder) / f"{name}{suffix}" for suffix in (".png", ".pdf")]
    metadata = {key: str(value) for key, value in (figure_metadata() if metadata is None else metadata).items()}
    document = {"Title": name, "Creator": "ssdie", "CreationDate": None}
    if metadata:
        document["Keywords"] = "; ".join(f"{key}: {value}" for key, value in metadata.items())
    for path, told in zip(paths, ({"Software": "ssdie", **metadata}, document), strict=True):
        with atomic(path) as temporary, plt.rc_context(STYLE):
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.04, metadata=told)
    return paths


# Pictures ---------------------------------------------------------------------------------------------------


def cover(picture: Picture, size: tuple[int, int]) -> torch.Tensor:
    """Scale a picture until it covers (height, width) and cut out the middle; (C, height, width) in [0, 1].

    Example:
        >>> cover(torch.rand(3, 40, 80), (10, 10)).shape
        torch.Size([3, 10, 10])
    """
    picture = torch.as_tensor(picture, dtype=torch.float32)
    picture = (picture if picture.ndim == 4 else picture[None]).clamp(0, 1)
    height, width = picture.shape[-2:]
    scale = max(size[0] / height, size[1] / width)
    picture = resize(picture, (max(size[0], round(height * scale)), max(size[1], round(width * scale))))[0]
    top, left = (picture.shape[1] - size[0]) // 2, (picture.shape[2] - size[1]) // 2
    return picture[:, top : top + size[0], left : left + size[1]].cpu()


def show_picture(axes: Axes, picture: torch.Tensor) -> None:
    """Draw (3, H, W) as it is, (1, H, W) in the colours of depth, without ticks."""
    image = to_display(picture)
    axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap=DEPTH_COLOURS, vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


@styled
def plot_grid(
    rows: Sequence[Mapping[str, Picture]],
    labels: Sequence[str] | None = None,
    width: float = 7.2,
    aspect: float = 1.5,
    pixels: int = 300,
) -> Figure:
    """Lay pictures out as a grid, a column for each name.

    Args:
        rows: the pictures of a row by column; one channel is drawn in the colours of depth.
        labels: of the rows.
        width: of the figure; inches.
        aspect: width over height of every cell; pictures are cut to it around their middle.
        pixels: width of a cell.
    """
    columns = list(rows[0])
    cell = width / len(columns)
    size = (width, cell / aspect * len(rows))  # titles stand above it
    figure, grid = plt.subplots(len(rows), len(columns), figsize=size, squeeze=False)
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.025, hspace=0.025 * aspect)
    for row, line in zip(rows, grid, strict=True):
        for name, axes in zip(columns, line, strict=True):
            show_picture(axes, cover(row[name], (round(pixels / aspect), pixels)))
    for name, axes in zip(columns, grid[0], strict=True):
        axes.set_title(name, loc="center", fontsize=min(9.0, 5.2 * cell), pad=4)
    for label, axes in zip(labels or (), grid[:, 0], strict=False):
        axes.set_ylabel(label, fontsize=7.5, color=FAINT, labelpad=3)
    return figure


@styled
def plot_pictures(
    pictures: Mapping[str, Picture],
    columns: int = 4,
    width: float = 7.2,
    aspect: float = 1.5,
    pixels: int = 400,
) -> Figure:
    """Lay pictures out in rows, each with its own title; arguments as for `plot_grid`."""
    rows = -(-len(pictures) // columns)
    high = width / columns / aspect + 0.2
    figure, grid = plt.subplots(rows, columns, figsize=(width, high * rows), squeeze=False)
    figure.subplots_adjust(
        left=0, right=1, bottom=0, top=1 - 0.2 / (high * rows), wspace=0.025, hspace=0.2 / high * 1.2
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (name, picture) in zip(grid.flat, pictures.items(), strict=False):
        show_picture(axes, cover(picture, (round(pixels / aspect), pixels)))
        axes.set_title(name, loc="center", fontsize=7.5, pad=3)
    return figure


@styled
def plot_maps(dusty: Picture, gain: Picture, veil: Picture, enhanced: Picture) -> Figure:
    """Show what a scattering head does to a photo: J = gain (I - veil).

    Args:
        dusty, enhanced: (3, H, W) in [0, 1].
        gain: (3, H, W) above 0; drawn as log2 of its mean over the channels.
        veil: (3, H, W); drawn as a colour.
    """
    height, width = dusty.shape[-2:]
    figure, axes = plt.subplots(2, 2, figsize=(7.2, 7.2 * height / width + 0.3), layout="constrained")
    log_gain = torch.as_tensor(gain).float().mean(0).clamp_min(1e-3).log2().numpy()
    top = max(1.0, float(np.quantile(np.abs(log_gain), 0.995)))
    for place, picture, title in (
        (axes[0, 0], dusty, "dusty I"),
        (axes[0, 1], enhanced, "enhanced J = g (I − v)"),
        (axes[1, 0], veil, "veil v"),
    ):
        show_picture(place, torch.as_tensor(picture).clamp(0, 1))
        place.set_title(title)
    drawn = axes[1, 1].imshow(log_gain, cmap="vlag", vmin=-top, vmax=top)
    axes[1, 1].set(xticks=[], yticks=[], title="gain g, in doublings")
    axes[1, 1].spines[:].set_visible(False)
    bar = figure.colorbar(
        drawn, cax=axes[1, 1].inset_axes((0.66, 0.12, 0.3, 0.045)), orientation="horizontal"
    )
    bar.ax.tick_params(labelsize=7, pad=2)
    bar.ax.locator_params(nbins=3)
    bar.outline.set_visible(False)
    return figure
