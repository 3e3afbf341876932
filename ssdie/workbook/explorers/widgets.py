"""Widgets shared by the explorers: panels, controls and status messages."""

import asyncio
import html
import io
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import anywidget
import ipywidgets as widgets
import torch
import traitlets
from matplotlib.figure import Figure
from PIL import UnidentifiedImageError

from ssdie.ops.images import to_display
from ssdie.photo.files import array_to_pil, explain
from ssdie.workbook.figures.grids import BLUE

STATIC = "SSDIE_STATIC"  # environment variable: set while notebooks run non-interactively
LABEL = "7.2em"  # width of the labels of controls
FRONT = Path(__file__).parent / "front"  # JavaScript and CSS of the widgets below


class Panel(widgets.VBox):
    """Controls and images; while a notebook runs non-interactively, `figure()` is displayed instead."""

    def figure(self) -> Figure:
        """Draw the current state of the panel as a static figure."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs):
        if not is_static():
            return super()._repr_mimebundle_(**kwargs)
        return {"image/png": encode_figure(self.figure()), "text/plain": "first view, without controls"}


def is_static() -> bool:
    """Return whether the notebook runs non-interactively, as under `ssdie reproduce`."""
    return bool(os.environ.get(STATIC))


# Messages -------------------------------------------------------------------------------------------------------


def make_status() -> widgets.HTML:
    """Create a line for messages; it keeps its height while it is empty."""
    status = widgets.HTML(layout={"min_height": "2em", "width": "100%"})
    show_message(status)
    return status


def show_message(status: widgets.HTML, text: str = "", wrong: bool = False) -> None:
    """Show a message in a line from `make_status`.

    Args:
        status: the line.
        text: HTML; "" empties the line.
        wrong: mark the message as an error, by a sign as well as by colour.
    """
    bar = f"border-left:4px solid {'#d55e00' if wrong else BLUE};padding:2px 10px;line-height:1.5" if text else ""
    sign = "<b>&#9888;</b> " if wrong else ""
    status.value = f'<div role="{"alert" if wrong else "status"}" style="{bar}">{sign}{text}</div>'


def clear_error(status: widgets.HTML) -> None:
    """Remove an error message; any other message stays."""
    if 'role="alert"' in status.value:
        show_message(status)


def guard(action: Callable, status: widgets.HTML) -> Callable:
    """Wrap a callback so that its exceptions are shown in `status`; the kernel would only log them."""

    def guarded(*args) -> None:
        try:
            action(*args)
        except Exception as error:
            show_message(status, describe_error(error), wrong=True)

    return guarded


def describe_error(error: Exception) -> str:
    """Format an exception as HTML: invalid input as one sentence, any other exception with its traceback."""
    message = html.escape(explain(error))
    if isinstance(error, ValueError | OSError | UnidentifiedImageError):
        return message
    trace = f'<pre style="overflow:auto">{html.escape("".join(traceback.format_exception(error)))}</pre>'
    return f"<b>{type(error).__name__}</b>: {message}<details><summary>traceback</summary>{trace}</details>"


def after_pause(action: Callable[[], None], seconds: float = 0.15) -> Callable[[], None]:
    """Wrap an action that may lag behind a slider: it runs once no call has come for a while.

    Args:
        action: what to run, such as the computation of metrics.
        seconds: length of the pause.

    Returns:
        A function that schedules `action`; it runs at once where no event loop is running, and non-interactively.
    """
    pending: list[asyncio.TimerHandle] = []

    def schedule() -> None:
        while pending:
            pending.pop().cancel()
        try:
            loop = None if is_static() else asyncio.get_running_loop()
        except RuntimeError:  # no event loop
            loop = None
        if loop is None:
            action()
        else:
            pending.append(loop.call_later(seconds, action))

    return schedule


# Controls -------------------------------------------------------------------------------------------------------


def slider(kind: type, label: str, value: float, **limits) -> widgets.Widget:
    """Create a slider as wide as its column; `limits` are passed to the widget `kind`."""
    layout = {"width": "auto"}
    return kind(value=value, description=label, style={"description_width": LABEL}, layout=layout, **limits)


def dropdown(label: str, options) -> widgets.Dropdown:
    """Create a drop-down list as wide as its column; `options` are values or pairs (label, value)."""
    style = {"description_width": LABEL}
    return widgets.Dropdown(options=options, description=label, style=style, layout={"width": "auto"})


def button(label: str, action: Callable[[], None], status: widgets.HTML, hint: str = "") -> widgets.Button:
    """Create a button that calls `action()`; exceptions are shown in `status`, `hint` is the tooltip."""
    made = widgets.Button(description=label, tooltip=hint, layout={"width": "auto", "flex": "1 1 auto"})
    made.on_click(guard(lambda _: action(), status))
    return made


def assign(controls: Mapping[str, widgets.Widget], values: Mapping) -> None:
    """Set controls by name, clamping each value to the limits of its control."""
    for name, value in values.items():
        low, high = getattr(controls[name], "min", None), getattr(controls[name], "max", None)
        if isinstance(controls[name], widgets.FloatLogSlider):
            low, high = 10**low, 10**high
        controls[name].value = value if low is None else min(max(value, low), high)


def captioned(title: str, shown: widgets.Widget, width: str = "50%") -> widgets.VBox:
    """Place a widget under a caption."""
    caption = widgets.HTML(f'<div style="font-size:12px;line-height:1.6;opacity:0.75">{html.escape(title)}</div>')
    return widgets.VBox([caption, shown], layout={"width": width, "padding": "0 5px", "overflow": "hidden"})


def picture() -> widgets.Image:
    """Create an image widget as wide as its column."""
    return widgets.Image(format="jpeg", layout={"width": "100%", "object_fit": "contain"})


def side_by_side(controls: list[widgets.Widget], shown: list[widgets.Widget]) -> widgets.HBox:
    """Lay out controls on the left and outputs on the right."""
    left = widgets.VBox(controls, layout={"width": "300px", "flex": "0 0 300px", "overflow": "hidden"})
    right = widgets.VBox(shown, layout={"flex": "1 1 500px", "min_width": "0", "overflow": "hidden"})
    return widgets.HBox([left, right], layout={"width": "100%", "max_width": "1060px"})


def encode(image: torch.Tensor, quality: int = 88) -> bytes:
    """Encode an image, (3, H, W) or (1, H, W) in [0, 1], as JPEG with `quality` from 1 to 100."""
    buffer = io.BytesIO()
    array_to_pil(to_display(image.expand(3, -1, -1))).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def encode_figure(figure: Figure, dpi: int = 130) -> bytes:
    """Encode a figure as PNG, with the fastest compression."""
    buffer = io.BytesIO()
    options = {"pil_kwargs": {"compress_level": 1}, "bbox_inches": "tight", "pad_inches": 0.04}
    figure.savefig(buffer, format="png", dpi=dpi, **options)
    return buffer.getvalue()


class Compare(anywidget.AnyWidget):
    """Two images of equal size with a divider, which the pointer or the arrow keys move.

    Args:
        before, after: encoded images, visible to the left and to the right of the divider.
        labels: names of the two images.
        divider: position as a fraction of the width; [0, 1].
        focus: position (x, y) of the last double click, as fractions of width and height.
    """

    _esm = FRONT / "compare.js"
    _css = FRONT / "style.css"
    before = traitlets.Bytes().tag(sync=True)
    after = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Tuple(("before", "after")).tag(sync=True)
    divider = traitlets.Float(0.5, min=0, max=1).tag(sync=True)
    focus = traitlets.List(traitlets.Float()).tag(sync=True)


class Gallery(anywidget.AnyWidget):
    """A row of thumbnails, one of which is selected.

    Args:
        names: names of the images.
        pictures: encoded images, in the order of `names`.
        value: name of the selected image.
    """

    _esm = FRONT / "gallery.js"
    _css = FRONT / "style.css"
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pictures = traitlets.List(traitlets.Bytes()).tag(sync=True)
    value = traitlets.Unicode().tag(sync=True)

    def add(self, name: str, picture: bytes) -> None:
        """Add a thumbnail, or replace the one of that name."""
        known = dict(zip(self.names, self.pictures, strict=True)) | {name: picture}
        with self.hold_sync():
            self.names, self.pictures = list(known), list(known.values())


class Download(anywidget.AnyWidget):
    """A button that creates a file on demand; the file is not stored in the notebook.

    Args:
        description: label of the button.
        busy: disables the button.
    """

    _esm = FRONT / "download.js"
    _css = FRONT / "style.css"
    description = traitlets.Unicode("download").tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)

    def on_click(self, action) -> None:
        """Call `action()` whenever the button is pressed."""
        self.on_msg(lambda *_: action())

    def send_file(self, name: str, content: bytes, kind: str = "image/jpeg") -> None:
        """Let the browser save a file of that name; `kind` is its MIME type."""
        self.send({"name": name, "type": kind}, [content])
