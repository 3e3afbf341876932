"""The style of all figures, and figures made of images; every function takes data and returns a Figure."""

import functools
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ssdie.ops.images import resize, to_display
from ssdie.utils.paths import atomic
from ssdie.utils.provenance import figure_metadata

STYLE = Path(__file__).with_name("ssdie.mplstyle")
SETTINGS = matplotlib.rc_params_from_file(STYLE, use_default_template=False)
PAGE, COLUMN = SETTINGS["figure.figsize"][0], 3.5  # width of a figure over two columns and over one column, inches
INK, FAINT = SETTINGS["text.color"], "#6f757d"
PALETTE = SETTINGS["axes.prop_cycle"].by_key()["color"]
BLUE, ORANGE = PALETTE[:2]
DEPTH_COLORMAP = SETTINGS["image.cmap"]  # near is bright, far is dark
GAP, TITLE, LABEL = 0.03, 0.22, 0.2  # space between images, above them and left of them, inches
CREDIT = 0.115  # height of a line of credit, inches
Picture = torch.Tensor | np.ndarray  # (3, H, W), (1, H, W), or the same with a batch axis of 1; in [0, 1]


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a function that draws a figure: use the project's style, and close the figure in pyplot.

    A closed figure is displayed once in a notebook, as the value of its cell.
    """

    @functools.wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with plt.style.context(STYLE, after_reset=True):  # independent of the user's settings
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
    """Write a figure as PNG and PDF, without dates: equal figures and metadata give equal files.

    Args:
        figure: figure; its size is kept.
        name: file name without suffix.
        folder: folder to write to; created if it is missing.
        metadata: additional fields, such as {"commit": "1a2b3c4"}, written as text chunks of the PNG and keywords of
            the PDF; None takes the manifest of the running notebook.

    Returns:
        The paths of the PNG and the PDF file.
    """
    paths = [Path(folder) / f"{name}{suffix}" for suffix in (".png", ".pdf")]
    metadata = {key: str(value) for key, value in (figure_metadata() if metadata is None else metadata).items()}
    document = {"Title": name, "Creator": "ssdie", "CreationDate": None}
    if metadata:
        document["Keywords"] = "; ".join(f"{key}: {value}" for key, value in metadata.items())
    for path, fields in zip(paths, ({"Software": "ssdie", **metadata}, document), strict=True):
        with atomic(path) as temporary, plt.style.context(STYLE, after_reset=True):
            figure.savefig(temporary, metadata=fields)
    return paths


# Pictures ---------------------------------------------------------------------------------------------------


def crop_to_fill(picture: Picture, size: tuple[int, int]) -> torch.Tensor:
    """Resize an image to cover a size, and crop the centre.

    Args:
        picture: (C, H, W) or (1, C, H, W) in [0, 1].
        size: (height, width) of the result, pixels.

    Returns:
        (C, height, width) in [0, 1], on the CPU.

    Example:
        >>> crop_to_fill(torch.rand(3, 40, 80), (10, 10)).shape
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
    """Draw an image (3, H, W), or a depth map (1, H, W) with `DEPTH_COLORMAP`, without ticks."""
    image = to_display(picture)
    axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap=DEPTH_COLORMAP, vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def make_cells(
    rows: int, columns: int, width: float, aspect: float, titles: int = 1, labels: bool = False
) -> tuple[Figure, np.ndarray]:
    """Make a figure of exactly this width with a grid of axes for images of equal aspect ratio.

    Args:
        rows, columns: number of cells.
        width: width of the figure, inches.
        aspect: width over height of a cell.
        titles: number of rows, from the top, with space for a title.
        labels: leave space for a label left of each row.

    Returns:
        The figure and its axes (rows, columns).
    """
    left = LABEL if labels else 0.0
    wide = (width - left - GAP * (columns - 1)) / columns
    high = wide / aspect
    between = TITLE if titles > 1 else GAP
    height = TITLE + rows * high + (rows - 1) * between
    figure, grid = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    figure.subplots_adjust(
        left=left / width, right=1, bottom=0, top=1 - TITLE / height, wspace=GAP / wide, hspace=between / high
    )
    return figure, grid


def write_titles(cells: Iterable[Axes], titles: Sequence[str], width: float, largest: float = 9.0) -> None:
    """Write titles above images that are `width` inches wide, in the font size at which the longest fits.

    Args:
        cells: axes of the images.
        titles: one for each of the first axes.
        width: width of an image, inches.
        largest: largest font size, points.
    """
    fitting = 125 * width / max(map(len, titles))  # a letter of DejaVu Sans is 0.58 times its size wide
    for axes, title in zip(cells, titles, strict=False):
        axes.set_title(title, loc="center", fontsize=min(largest, fitting), pad=3.5)


def add_credits(figure: Figure, credits: Sequence[str]) -> Figure:
    """Write credits below a figure; the figure becomes higher, and what it showed stays as large.

    Args:
        figure: changed in place.
        credits: of the photographs in it, in their order; the same one twice is written once. None: no change.

    Returns:
        The same figure.
    """
    width, height = figure.get_size_inches()
    lines = [line for credit in dict.fromkeys(credits) for line in textwrap.wrap(credit, round(width * 25))]
    if lines:
        room = LABEL / 2 + CREDIT * len(lines)
        kept = height / (height + room)
        for axes in figure.axes:
            left, bottom, wide, high = axes.get_position(original=True).bounds
            axes.set_position((left, 1 - kept * (1 - bottom), wide, kept * high))
        figure.set_size_inches(width, height + room)
        figure.text(0, 1 - kept - LABEL / 2 / (height + room), "\n".join(lines), fontsize=6, color=FAINT, va="top")
    return figure


@styled
def plot_grid(
    rows: Sequence[Mapping[str, Picture]],
    labels: Sequence[str] | None = None,
    width: float = PAGE,
    aspect: float = 1.5,
    pixels: int = 300,
) -> Figure:
    """Arrange images in a grid with a column for each name.

    Args:
        rows: images of each row by column name; single-channel images are drawn with the colour map of depth.
        labels: labels of the rows.
        width: width of the figure, inches.
        aspect: width over height of every cell, to which images are cropped around their centre.
        pixels: width of a cell, pixels.
    """
    columns = list(rows[0])
    figure, grid = make_cells(len(rows), len(columns), width, aspect, labels=labels is not None)
    for row, line in zip(rows, grid, strict=True):
        for name, axes in zip(columns, line, strict=True):
            show_picture(axes, crop_to_fill(row[name], (round(pixels / aspect), pixels)))
    write_titles(grid[0], columns, width / len(columns))
    for label, axes in zip(labels or (), grid[:, 0], strict=False):
        axes.set_ylabel(label, fontsize=7.5, color=FAINT, labelpad=3)
    return figure


@styled
def plot_pictures(
    pictures: Mapping[str, Picture],
    columns: int = 4,
    width: float = PAGE,
    aspect: float = 1.5,
    pixels: int = 400,
) -> Figure:
    """Arrange images in rows of `columns`, each with its name as title; other arguments as for `plot_grid`."""
    rows = -(-len(pictures) // columns)
    figure, grid = make_cells(rows, columns, width, aspect, titles=rows)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, picture in zip(grid.flat, pictures.values(), strict=False):
        show_picture(axes, crop_to_fill(picture, (round(pixels / aspect), pixels)))
    write_titles(grid.flat, list(pictures), width / columns, 8.0)
    return figure


@styled
def plot_maps(dusty: Picture, gain: Picture, veil: Picture, enhanced: Picture, width: float = PAGE) -> Figure:
    r"""Draw an enhancement in terms of the scattering model.

    .. math:: J = g\, (I - v), \qquad g = 1 / t, \qquad v = A\, (1 - t)

    Args:
        dusty, enhanced: I and J; (3, H, W) in [0, 1].
        gain: g; (3, H, W) above 0; drawn as log2 of its mean over the channels.
        veil: v; (3, H, W) in [-1, 1]; drawn as (v + 1) / 2, so that no veil is medium grey.
        width: width of the figure, inches.
    """
    aspect = dusty.shape[-1] / dusty.shape[-2]
    figure, grid = make_cells(2, 2, width, aspect, titles=2)
    log_gain = torch.as_tensor(gain).float().mean(0).clamp_min(1e-3).log2().numpy()
    top = max(1.0, float(np.quantile(np.abs(log_gain), 0.995)))
    panels = {
        "dusty $I$": torch.as_tensor(dusty),
        "enhanced $J = g\\,(I - v)$": torch.as_tensor(enhanced),
        "veil $v$; medium grey: none": (torch.as_tensor(veil) + 1) / 2,
    }
    for axes, (title, picture) in zip(grid.flat, panels.items(), strict=False):
        show_picture(axes, picture.clamp(0, 1))
        axes.set_title(title, loc="center", pad=3.5)
    axes = grid[1, 1]
    drawn = axes.imshow(log_gain, cmap="RdBu_r", vmin=-top, vmax=top)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title("gain $g$, as $\\log_2$", loc="center", pad=3.5)
    axes.add_patch(Rectangle((0.6, 0.02), 0.38, 0.17, transform=axes.transAxes, fc="white", alpha=0.85))
    bar = figure.colorbar(drawn, cax=axes.inset_axes((0.64, 0.12, 0.3, 0.045)), orientation="horizontal")
    bar.ax.tick_params(labelsize=7, pad=2)
    bar.ax.locator_params(nbins=3)
    bar.outline.set_visible(False)
    return figure
