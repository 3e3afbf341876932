"""Controls that Jupyter lacks: two pictures under a divider, a row of pictures to choose from, a download."""

from pathlib import Path

import anywidget
import traitlets

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
