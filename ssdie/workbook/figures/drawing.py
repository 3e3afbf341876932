"""Elements of diagrams: boxes, images, arrows, and axes in inches."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ssdie.workbook.figures.grids import INK, Picture, crop_to_fill, show_picture

# face and edge colour of a box
PLAIN, NETWORK, LOSS, ADVERSARY = (
    ("#f2f4f7", "#aab2bd"),
    ("#dcebf7", "#0173b2"),
    ("#fdebd5", "#de8f05"),
    ("#dff3ea", "#029e73"),
)


@dataclass
class Box:
    """A rectangle in the figure: lower left corner, width and height, inches."""

    x: float
    y: float
    width: float
    height: float

    def at(self, right: float = 0.5, up: float = 0.5) -> tuple[float, float]:
        """Point inside the box, given as fractions of width and height; returns (x, y) in inches."""
        return self.x + right * self.width, self.y + up * self.height


def draw_box(
    axes: Axes, box: Box, text: str, colors: tuple[str, str] = PLAIN, size: float = 7.0, name: str | None = None
) -> Box:
    """Draw a rounded box with centred text.

    Args:
        axes: axes in inches, from `make_canvas`.
        box: position and size.
        text: label; mathematics between dollar signs.
        colors: colours of face and edge.
        size: font size, points.
        name: name of the module that the box represents, stored as gid of the patch.

    Returns:
        `box`.
    """
    style = {"boxstyle": "round,pad=0,rounding_size=0.06", "fc": colors[0], "ec": colors[1], "lw": 0.9, "zorder": 2}
    axes.add_patch(FancyBboxPatch((box.x, box.y), box.width, box.height, gid=name, **style))
    axes.text(*box.at(), text, ha="center", va="center", fontsize=size, linespacing=1.35, zorder=3)
    return box


def draw_picture(axes: Axes, box: Box, picture: Picture, caption: str) -> Box:
    """Draw an image, cropped to the box, with a caption below; returns `box`."""
    inner = axes.inset_axes((box.x, box.y, box.width, box.height), transform=axes.transData)
    show_picture(inner, crop_to_fill(picture, (round(box.height * 250), round(box.width * 250))))
    axes.text(box.at(0.5)[0], box.y - 0.05, caption, ha="center", va="top", fontsize=7, linespacing=1.2)
    return box


def draw_arrow(axes: Axes, points: Sequence[tuple[float, float]], color: str = INK) -> None:
    """Draw a polyline through points in inches, with an arrow head at its end."""
    style = {"color": color, "lw": 0.9, "zorder": 1.5}
    if len(points) > 2:
        axes.plot(*zip(*points[:-1], strict=True), solid_capstyle="round", solid_joinstyle="round", **style)
    head = {"arrowstyle": "-|>", "mutation_scale": 7, "shrinkA": 0, "shrinkB": 0, "joinstyle": "miter"}
    axes.add_patch(FancyArrowPatch(*points[-2:], **head, **style))


def make_canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure of that size, and axes that fill it and whose units are inches."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes
