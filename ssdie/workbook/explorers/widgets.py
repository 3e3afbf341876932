"""What the explorers are put together from: panels, sliders, messages, small charts drawn as SVG."""

import html
import io
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import anywidget
import ipywidgets as widgets
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from PIL import UnidentifiedImageError
from skimage.color import rgb2lab

from ssdie.ops.images import to_display
from ssdie.photo.files import array_to_pil, explain
from ssdie.workbook.figures.grids import BLUE, FAINT, ORANGE

STATIC = "SSDIE_STATIC"  # environment variable: nobody is there to move sliders
CHANNELS = (("red", "#d55e00", ""), ("green", "#029e73", "5 2"), ("blue", BLUE, "1.5 2"))  # told apart by dashes too
FONT = 'font-family="var(--jp-ui-font-family, sans-serif)" font-size="11" fill="var(--jp-ui-font-color1, #22262b)"'
LABEL = "7.2em"  # width of the labels of controls
REACH = 60.0  # of the chart of colour casts: a* and b* from -REACH to REACH


class Panel(widgets.VBox):
    """Controls and pictures; a notebook that runs without a reader shows `figure()` in their place."""

    def figure(self) -> Figure:
        """Draw what the panel shows now."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs):
        if not is_static():
            return super()._repr_mimebundle_(**kwargs)
        return {"image/png": encode_figure(self.figure()), "text/plain": "the first view, without sliders"}


def is_static() -> bool:
    """Say whether the notebook runs without a reader, as under `python -m ssdie reproduce`."""
    return bool(os.environ.get(STATIC))


# Messages -------------------------------------------------------------------------------------------------------


def make_status() -> widgets.HTML:
    """A line for messages that keeps its place while it is empty."""
    status = widgets.HTML(layout={"min_height": "2em", "width": "100%"})
    show_message(status)
    return status


def show_message(status: widgets.HTML, text: str = "", wrong: bool = False) -> None:
    """Put a message into a line made by `make_status`; what is wrong is marked by a sign, not by colour alone."""
    bar = f"border-left:4px solid {'#d55e00' if wrong else BLUE};padding:2px 10px;line-height:1.5" if text else ""
    sign = "<b>&#9888;</b> " if wrong else ""
    status.value = f'<div role="{"alert" if wrong else "status"}" style="{bar}">{sign}{text}</div>'


def clear_error(status: widgets.HTML) -> None:
    """Take back a message about something wrong; any other stays."""
    if 'role="alert"' in status.value:
        show_message(status)


def guard(action: Callable, status: widgets.HTML) -> Callable:
    """Let a callback say what went wrong in the notebook: the kernel would log it where nobody looks."""

    def guarded(*args) -> None:
        try:
            action(*args)
        except Exception as error:
            show_message(status, describe_error(error), wrong=True)

    return guarded


def describe_error(error: Exception) -> str:
    """Say what went wrong, as HTML: what a user can mend in a sentence, anything else with its traceback."""
    told = html.escape(explain(error))
    if isinstance(error, ValueError | OSError | UnidentifiedImageError):
        return told
    trace = f'<pre style="overflow:auto">{html.escape("".join(traceback.format_exception(error)))}</pre>'
    return f"<b>{type(error).__name__}</b>: {told}<details><summary>traceback</summary>{trace}</details>"


# Controls -------------------------------------------------------------------------------------------------------


def slider(kind: type, label: str, value: float, **limits) -> widgets.Widget:
    """A slider as wide as its column."""
    layout = {"width": "auto"}
    return kind(value=value, description=label, style={"description_width": LABEL}, layout=layout, **limits)


def dropdown(label: str, options) -> widgets.Dropdown:
    """A choice as wide as its column."""
    style = {"description_width": LABEL}
    return widgets.Dropdown(options=options, description=label, style=style, layout={"width": "auto"})


def button(label: str, action: Callable[[], None], status: widgets.HTML, hint: str = "") -> widgets.Button:
    """A button that says in `status` what goes wrong."""
    made = widgets.Button(description=label, tooltip=hint, layout={"width": "auto", "flex": "1 1 auto"})
    made.on_click(guard(lambda _: action(), status))
    return made


def assign(controls: Mapping[str, widgets.Widget], values: Mapping) -> None:
    """Set controls, each within its own limits."""
    for name, value in values.items():
        low, high = getattr(controls[name], "min", None), getattr(controls[name], "max", None)
        if isinstance(controls[name], widgets.FloatLogSlider):
            low, high = 10**low, 10**high
        controls[name].value = value if low is None else min(max(value, low), high)


def captioned(title: str, shown: widgets.Widget, width: str = "50%") -> widgets.VBox:
    """A picture or chart under its title."""
    caption = widgets.HTML(f'<div style="font-size:12px;line-height:1.6;opacity:0.75">{html.escape(title)}</div>')
    return widgets.VBox([caption, shown], layout={"width": width, "padding": "0 5px", "overflow": "hidden"})


def picture() -> widgets.Image:
    """A place for a picture, as wide as its column."""
    return widgets.Image(format="jpeg", layout={"width": "100%", "object_fit": "contain"})


def side_by_side(controls: list[widgets.Widget], shown: list[widgets.Widget]) -> widgets.HBox:
    """Controls on the left, what they change on the right."""
    left = widgets.VBox(controls, layout={"width": "300px", "flex": "0 0 300px", "overflow": "hidden"})
    right = widgets.VBox(shown, layout={"flex": "1 1 500px", "min_width": "0", "overflow": "hidden"})
    return widgets.HBox([left, right], layout={"width": "100%", "max_width": "1060px"})


def encode(image: torch.Tensor, quality: int = 88) -> bytes:
    """Write (3, H, W), or (1, H, W) as grey, as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    array_to_pil(to_display(image.expand(3, -1, -1))).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def encode_figure(figure: Figure, dpi: int = 130) -> bytes:
    """Write a figure as the bytes of a PNG file, quickly rather than small."""
    buffer = io.BytesIO()
    options = {"pil_kwargs": {"compress_level": 1}, "bbox_inches": "tight", "pad_inches": 0.04}
    figure.savefig(buffer, format="png", dpi=dpi, **options)
    return buffer.getvalue()


# Charts ---------------------------------------------------------------------------------------------------------


def mean_color(image: torch.Tensor) -> tuple[float, float, float]:
    """Mean L*, a* and b* of (3, H, W) in [0, 1].

    Example:
        >>> [round(abs(v)) for v in mean_color(torch.ones(3, 2, 2))]
        [100, 0, 0]
    """
    return tuple(rgb2lab(to_display(image)).mean(axis=(0, 1)).tolist())


def draw_histogram(image: torch.Tensor, bins: int = 64) -> str:
    """Draw how often each value occurs in red, green and blue, as SVG; the highest bar but one fills the height."""
    levels = (image.clamp(0, 1) * (bins - 1e-3)).byte().flatten(1).numpy()
    counts = np.stack([np.bincount(channel, minlength=bins) for channel in levels])
    heights = (counts / max(1, np.sort(counts, axis=None)[-2])).clip(0, 1)
    lines = []
    for row, (heights_of, (name, colour, dashes)) in enumerate(zip(heights, CHANNELS, strict=True)):
        points = " ".join(f"{10 + 280 * k / (bins - 1):.1f},{128 - 108 * h:.1f}" for k, h in enumerate(heights_of))
        look = f'stroke="{colour}" stroke-width="1.7" stroke-dasharray="{dashes}"'
        lines.append(f'<polyline points="{points}" fill="none" {look}/>')
        place = 10 + 62 * row
        lines.append(f'<line x1="{place}" x2="{place + 20}" y1="8" y2="8" {look}/>')
        lines.append(f'<text x="{place + 24}" y="12" {FONT}>{name}</text>')
    axis = f'<line x1="10" x2="290" y1="128" y2="128" stroke="{FAINT}"/>'
    ends = f'<text x="10" y="143" {FONT}>0</text><text x="290" y="143" text-anchor="end" {FONT}>1</text>'
    return _svg(300, 150, "histogram of red, green and blue", axis, ends, *lines)


def draw_cast(before: tuple, after: tuple, names: tuple[str, str] = ("before", "after")) -> str:
    """Draw two mean colours (L*, a*, b*) in the plane of a* and b*, as SVG; the middle is grey.

    Args:
        before, after: from `mean_colour`; drawn as a ring and, at the arrow's head, a disc.
        names: of the two.
    """

    def place(colour: tuple) -> tuple[float, float]:
        across, up = (max(-1.0, min(1.0, value / REACH)) for value in colour[1:])
        return 75 + 66 * across, 75 - 66 * up

    (x0, y0), (x1, y1) = place(before), place(after)
    ring = f'<circle cx="75" cy="75" fill="none" stroke="{FAINT}" opacity="0.35"'
    grid = "".join(f'{ring} r="{radius}"/>' for radius in (22, 44, 66))
    cross = f'<path d="M9 75H141M75 9V141" stroke="{FAINT}" opacity="0.6"/>'
    arrow = f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="{ORANGE}" stroke-width="1.5"/>'
    ring = f'<circle cx="{x0:.1f}" cy="{y0:.1f}" r="4.5" fill="none" stroke="{BLUE}" stroke-width="2"/>'
    disc = f'<circle cx="{x1:.1f}" cy="{y1:.1f}" r="5" fill="{ORANGE}"/>'
    told = ""
    for y, name, colour, (_, a, b) in ((40, names[0], BLUE, before), (72, names[1], ORANGE, after)):
        look = f'fill="none" stroke="{BLUE}" stroke-width="2"' if colour == BLUE else f'fill="{colour}"'
        told += f'<circle cx="162" cy="{y - 4}" r="4.5" {look}/><text x="174" y="{y}" {FONT}>{html.escape(name)}</text>'
        told += f'<text x="174" y="{y + 14}" {FONT}>cast {np.hypot(a, b):.1f}</text>'
    axes = f'<text x="156" y="118" {FONT} opacity="0.7">right: a*, to red</text>'
    axes += f'<text x="156" y="134" {FONT} opacity="0.7">up: b*, to yellow</text>'
    return _svg(300, 150, "mean colours in the plane of a* and b*", grid, cross, arrow, ring, disc, told, axes)


def _svg(width: int, height: int, title: str, *parts: str) -> str:
    """Wrap SVG elements."""
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}" style="width:100%;max-width:340px">'
    return f"{head}{''.join(parts)}</svg>"


FRONT = Path(__file__).parent / "front"  # what runs in the browser


class Compare(anywidget.AnyWidget):
    """Two pictures of one size with a divider, moved by pointer or arrow keys; a double click says where to zoom.

    Args:
        before, after: bytes of picture files; before is seen left of the divider, after right of it.
        labels: what to call the two.
        divider: its place as a share of the width; [0, 1].
        focus: where the last double click was, across and down, as shares.
    """

    _esm = FRONT / "compare.js"
    _css = FRONT / "style.css"
    before = traitlets.Bytes().tag(sync=True)
    after = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Tuple(("before", "after")).tag(sync=True)
    divider = traitlets.Float(0.5, min=0, max=1).tag(sync=True)
    focus = traitlets.List(traitlets.Float()).tag(sync=True)


class Gallery(anywidget.AnyWidget):
    """A row of small pictures, one of which is chosen.

    Args:
        names: of the pictures.
        pictures: bytes of picture files, in that order.
        value: name of the chosen one.
    """

    _esm = FRONT / "gallery.js"
    _css = FRONT / "style.css"
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pictures = traitlets.List(traitlets.Bytes()).tag(sync=True)
    value = traitlets.Unicode().tag(sync=True)

    def add(self, name: str, picture: bytes) -> None:
        """Add a picture, or replace the one of that name."""
        known = dict(zip(self.names, self.pictures, strict=True)) | {name: picture}
        with self.hold_sync():
            self.names, self.pictures = list(known), list(known.values())


class Download(anywidget.AnyWidget):
    """A button that makes a file when it is pressed; nothing of it stays in the notebook.

    Args:
        description: on the button.
        busy: takes no press.
    """

    _esm = FRONT / "download.js"
    _css = FRONT / "style.css"
    description = traitlets.Unicode("download").tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)

    def on_click(self, action) -> None:
        """Call `action()` at every press."""
        self.on_msg(lambda *_: action())

    def hand_over(self, name: str, content: bytes, kind: str = "image/jpeg") -> None:
        """Give the browser a file."""
        self.send({"name": name, "type": kind}, [content])
