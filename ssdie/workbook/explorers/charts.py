"""Small charts of the explorers as SVG text: histograms of the channels, and the colour cast in CIE Lab."""

import html

import numpy as np
import torch
from skimage.color import rgb2lab

from ssdie.ops.images import to_display
from ssdie.workbook.figures.grids import BLUE, FAINT, ORANGE

CHANNELS = (("red", "#d55e00", ""), ("green", "#029e73", "5 2"), ("blue", BLUE, "1.5 2"))  # name, colour, dashes
FONT = 'font-family="var(--jp-ui-font-family, sans-serif)" font-size="11" fill="var(--jp-ui-font-color1, #22262b)"'
CAST_LIMIT = 60.0  # largest absolute a* and b* in the chart of colour casts


def mean_color(image: torch.Tensor) -> tuple[float, float, float]:
    """Compute the mean L*, a* and b* of an image (3, H, W), sRGB in [0, 1].

    Example:
        >>> [round(abs(v)) for v in mean_color(torch.ones(3, 2, 2))]
        [100, 0, 0]
    """
    return tuple(rgb2lab(to_display(image)).mean(axis=(0, 1)).tolist())


def draw_histogram(image: torch.Tensor, bins: int = 64) -> str:
    """Draw the histograms of the three channels as SVG.

    Args:
        image: (3, H, W) in [0, 1].
        bins: number of intervals of [0, 1].

    Returns:
        SVG text. The second highest count fills the height, since one clipped value often dominates.
    """
    levels = (image.clamp(0, 1) * (bins - 1e-3)).byte().flatten(1).numpy()
    counts = np.stack([np.bincount(channel, minlength=bins) for channel in levels])
    heights = (counts / max(1, np.sort(counts, axis=None)[-2])).clip(0, 1)
    lines = []
    for row, (channel, (name, color, dashes)) in enumerate(zip(heights, CHANNELS, strict=True)):
        points = " ".join(f"{10 + 280 * k / (bins - 1):.1f},{128 - 108 * h:.1f}" for k, h in enumerate(channel))
        style = f'stroke="{color}" stroke-width="1.7" stroke-dasharray="{dashes}"'
        lines.append(f'<polyline points="{points}" fill="none" {style}/>')
        place = 10 + 62 * row
        lines.append(f'<line x1="{place}" x2="{place + 20}" y1="8" y2="8" {style}/>')
        lines.append(f'<text x="{place + 24}" y="12" {FONT}>{name}</text>')
    axis = f'<line x1="10" x2="290" y1="128" y2="128" stroke="{FAINT}"/>'
    ends = f'<text x="10" y="143" {FONT}>0</text><text x="290" y="143" text-anchor="end" {FONT}>1</text>'
    return _svg(300, 150, "histogram of red, green and blue", axis, ends, *lines)


def draw_cast(before: tuple, after: tuple, names: tuple[str, str] = ("before", "after")) -> str:
    """Draw two mean colours in the a*b* plane as SVG; grey is the centre.

    Args:
        before, after: (L*, a*, b*) from `mean_color`, drawn as a ring and as a disc with an arrow between them.
        names: labels of the two colours.

    Returns:
        SVG text; a colour beyond `CAST_LIMIT` is drawn at the border.
    """

    def place(color: tuple) -> tuple[float, float]:
        across, up = (max(-1.0, min(1.0, value / CAST_LIMIT)) for value in color[1:])
        return 75 + 66 * across, 75 - 66 * up

    (x0, y0), (x1, y1) = place(before), place(after)
    ring = f'<circle cx="75" cy="75" fill="none" stroke="{FAINT}" opacity="0.35"'
    grid = "".join(f'{ring} r="{radius}"/>' for radius in (22, 44, 66))
    cross = f'<path d="M9 75H141M75 9V141" stroke="{FAINT}" opacity="0.6"/>'
    arrow = f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="{ORANGE}" stroke-width="1.5"/>'
    ring = f'<circle cx="{x0:.1f}" cy="{y0:.1f}" r="4.5" fill="none" stroke="{BLUE}" stroke-width="2"/>'
    disc = f'<circle cx="{x1:.1f}" cy="{y1:.1f}" r="5" fill="{ORANGE}"/>'
    legend = ""
    for y, name, color, (_, a, b) in ((40, names[0], BLUE, before), (72, names[1], ORANGE, after)):
        style = f'fill="none" stroke="{BLUE}" stroke-width="2"' if color == BLUE else f'fill="{color}"'
        legend += f'<circle cx="162" cy="{y - 4}" r="4.5" {style}/>'
        legend += f'<text x="174" y="{y}" {FONT}>{html.escape(name)}</text>'
        legend += f'<text x="174" y="{y + 14}" {FONT}>cast {np.hypot(a, b):.1f}</text>'
    axes = f'<text x="156" y="118" {FONT} opacity="0.7">right: a*, to red</text>'
    axes += f'<text x="156" y="134" {FONT} opacity="0.7">up: b*, to yellow</text>'
    return _svg(300, 150, "mean colours in the plane of a* and b*", grid, cross, arrow, ring, disc, legend, axes)


def _svg(width: int, height: int, title: str, *parts: str) -> str:
    """Wrap SVG elements in an <svg> element of that size, with `title` as its accessible name."""
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}" style="width:100%;max-width:340px">'
    return f"{head}{''.join(parts)}</svg>"
