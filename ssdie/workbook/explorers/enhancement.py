"""The enhancement explorer: methods, strength and working size, before and after, and download at full size."""

import html
import threading
from collections.abc import Mapping
from pathlib import Path

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure

from ssdie.enhancement.photo import WORKING_SIZE
from ssdie.enhancement.runtime import Model, load_model
from ssdie.evaluation.baselines import BASELINES, METHOD_TITLES
from ssdie.evaluation.metrics import METRICS
from ssdie.networks.generators import Generator
from ssdie.ops.images import fit_long_side
from ssdie.ops.priors import dark_channel
from ssdie.photo.files import explain
from ssdie.photo.reading import Photo
from ssdie.workbook.explorers import charts
from ssdie.workbook.explorers import widgets as panels
from ssdie.workbook.explorers.files import (
    METHODS,
    as_photo,
    encode_download,
    enhance_file,
    enhance_full_size,
    photo_to_tensor,
)
from ssdie.workbook.explorers.views import PREVIEW, SHOWN_METRICS, crop, measure_shown, preview, split_view
from ssdie.workbook.explorers.widgets import Compare, Download, Gallery, Panel, slider
from ssdie.workbook.figures.grids import add_credits, plot_grid

SIZES = range(64, 385, 64)  # working sizes to choose from, pixels
VIEWS = ("photo", "dark channel", "zoom")
UNCHANGED = {"e": 0.0, "r": 1.0, "saturated": 0.0}  # metrics of a photo compared with itself
HINT = (
    "Uploads are limited to 10 MB. For a larger photo, enter its path on the computer that runs Jupyter, "
    "or run <code>ssdie enhance PHOTO -o FOLDER</code>."
)


class EnhancementExplorer(Panel):
    """A gallery with upload, a choice of methods, sliders, the photo before and after with a divider, and a download.

    Args:
        photos: dusty photos by name, at full size: tensors (3, H, W) in [0, 1], or paths of files, whose metadata,
            colour profile and bit depth the download keeps.
        model: network of "ssdie"; None takes the released weights.
        first: name of the photo shown first; None takes the first of `photos`.
        credits: credits by name, shown below the photos that have one.
    """

    def __init__(
        self,
        photos: Mapping[str, torch.Tensor | str | Path],
        model: Model | Generator | None = None,
        first: str | None = None,
        credits: Mapping[str, str] | None = None,
    ):
        self.credits, self.credit = credits or {}, widgets.HTML()
        self.model = model or load_model()
        self.photos: dict[str, torch.Tensor] = {}  # for display
        self.files: dict[str, Photo] = {}  # for the download
        self.previews: dict[tuple, torch.Tensor] = {}  # of the current photo at full strength, by method, working size
        self.full_size: tuple[tuple, torch.Tensor] | None = None  # the last result at full size, and its settings
        self.gallery = Gallery()
        for name, photo in photos.items():
            self._store(name, photo)
        self.gallery.value = first or next(iter(self.photos))
        self.upload = widgets.FileUpload(accept="image/*", description="your photo", layout={"width": "auto"})
        self.path = widgets.Text(
            description="or its path", placeholder="folder/photo.jpg", continuous_update=False,
            style={"description_width": panels.LABEL}, layout={"width": "auto"},
        )  # fmt: skip
        hint = widgets.HTML(f'<div style="font-size:12px;line-height:1.4;opacity:0.8">{HINT}</div>')
        self.controls = _make_controls()
        self.compare, self.download = Compare(), Download(description="download at full size")
        self.numbers, self.cast, self.status = widgets.HTML(), widgets.HTML(), panels.make_status()
        left = [self.upload, hint, self.path, *self.controls.values(), self.download, self.status]
        facts = [panels.captioned("metrics", self.numbers), panels.captioned("colour cast, in CIE Lab", self.cast)]
        super().__init__([self.gallery, panels.side_by_side(left, [self.compare, self.credit, widgets.HBox(facts)])])
        self._measure_later = panels.after_pause(panels.guard(self.measure, self.status))
        self.select_photo()
        callbacks = {
            self.select_photo: [self.gallery],
            self.add_upload: [self.upload],
            self.add_path: [self.path],
            self.draw: self.controls.values(),
        }
        for action, controls in callbacks.items():
            for control in controls:
                control.observe(panels.guard(lambda _, action=action: action(), self.status), "value")
        self.compare.observe(panels.guard(lambda _: self.zoom_to_focus(), self.status), "focus")
        self.download.on_click(panels.guard(self.send_download, self.status))

    @property
    def settings(self) -> tuple[str, int]:
        """Method and working size; the default working size for all methods but "ssdie", which alone uses it."""
        method = self.controls["method"].value
        return method, self.controls["working_size"].value if method == "ssdie" else WORKING_SIZE

    def select_photo(self) -> None:
        """Show the selected photo, and start to compute the previews of all methods in the background."""
        self.name, self.dusty, self.previews = self.gallery.value, self.photos[self.gallery.value], {}
        self.small = fit_long_side(self.dusty[None], PREVIEW)[0]
        credit = html.escape(self.credits.get(self.name, ""))
        self.credit.value = f'<div style="font-size:12px;line-height:1.4;opacity:0.8">{credit}</div>'
        self.before = {name: measure_shown(self.small, self.small)[name] for name in SHOWN_METRICS} | UNCHANGED
        self.color, self.measured, self.shown_before = charts.mean_color(self.small), None, None
        self.draw()
        if not panels.is_static():
            threading.Thread(target=self._prepare, args=(self.previews,)).start()

    def _prepare(self, previews: dict) -> None:
        """Compute the previews of all methods and working sizes, so that sliders respond without delay."""
        for settings in [("ssdie", size) for size in SIZES] + [(method, WORKING_SIZE) for method in BASELINES]:
            if self.previews is not previews or not threading.main_thread().is_alive():
                return  # another photo was selected, or the kernel shuts down
            self._preview(previews, settings)

    def _preview(self, previews: dict, settings: tuple[str, int]) -> torch.Tensor:
        """Preview (3, h, w) at full strength, computed once."""
        if settings not in previews:
            method, working_size = settings
            previews[settings] = preview(self.dusty, method, self.model, working_size)
        return previews[settings]

    def enhanced(self) -> torch.Tensor:
        """Preview (3, h, w) in [0, 1] at the current settings."""
        return torch.lerp(self.small, self._preview(self.previews, self.settings), self.controls["strength"].value)

    def enhanced_full_size(self) -> torch.Tensor:
        """The enhanced photo (3, H, W) in [0, 1] at its own size and the current settings."""
        key = (self.name, *self.settings)
        if self.full_size is None or self.full_size[0] != key:
            method, working_size = self.settings
            panels.show_message(self.status, "enhancing at full size …")
            self.full_size = key, enhance_full_size(self.dusty, method, self.model, working_size)
            panels.show_message(self.status)
        return torch.lerp(self.dusty, self.full_size[1], self.controls["strength"].value)

    def draw(self) -> None:
        """Update the images before and after; metrics and the chart of the cast follow when the controls rest."""
        view, place = self.controls["view"].value, ()
        if view == "zoom":
            place = tuple(self.controls[name].value for name in ("zoom", "across", "down"))
            pair = (crop(picture, *place) for picture in (self.dusty, self.enhanced_full_size()))
            pair = tuple(fit_long_side(picture[None], PREVIEW)[0] for picture in pair)
        else:
            pair = self.small, self.enhanced()
        if view == "dark channel":
            pair = tuple(dark_channel(picture[None])[0] for picture in pair)
        for name in ("zoom", "across", "down"):
            self.controls[name].disabled = view != "zoom"
        self.controls["working_size"].disabled = self.settings[0] != "ssdie"
        with self.compare.hold_sync():
            if self.shown_before != (self.name, view, place):  # the slider of the strength changes only one image
                self.shown_before, self.compare.before = (self.name, view, place), panels.encode(pair[0])
            self.compare.after = panels.encode(pair[1])
            self.compare.labels = self.labels
        panels.clear_error(self.status)
        self._measure_later()

    @property
    def labels(self) -> tuple[str, str]:
        """Titles of the two images."""
        return METHOD_TITLES["input"], METHOD_TITLES[self.settings[0]]

    def measure(self) -> None:
        """Update the metrics and the chart of the cast, unless only the view has changed."""
        shown = (self.name, *self.settings, self.controls["strength"].value)
        if shown == self.measured:
            return
        enhanced = self.enhanced()
        self.measured, self.facts = shown, measure_shown(enhanced, self.small)
        self.numbers.value = _tabulate(self.before, self.facts)
        self.cast.value = charts.draw_cast(self.color, charts.mean_color(enhanced), self.labels)

    def zoom_to_focus(self) -> None:
        """Zoom in on the position of the last double click."""
        across, down = self.compare.focus
        if self.controls["view"].value == "zoom":  # the position is relative to the region shown
            zoom = self.controls["zoom"].value
            across, down = (
                self.controls[name].value + (part - 0.5) / zoom for name, part in (("across", across), ("down", down))
            )
        panels.assign(self.controls, {"across": across, "down": down})
        self.controls["view"].value = "zoom"

    def add_upload(self) -> None:
        """Add the uploaded photo to the gallery and show it; a file that cannot be read gives a message."""
        if self.upload.value:
            file = self.upload.value[0]
            self._add_file(file["name"], bytes(file["content"]))

    def add_path(self) -> None:
        """Add the photo at the entered path to the gallery and show it."""
        if text := self.path.value.strip():
            path = Path(text).expanduser()
            self._add_file(path.name, path)

    def _add_file(self, name: str, source: bytes | Path) -> None:
        """Add a photo file, or show why it cannot be read."""
        try:
            self.add_photo(name, source)
        except Exception as error:  # decoders raise many types
            message = f"{name} cannot be read: {explain(error)}. Choose a photo, such as JPEG, PNG, TIFF or WebP."
            panels.show_message(self.status, html.escape(message), wrong=True)

    def add_photo(self, name: str, source: torch.Tensor | str | Path | bytes) -> None:
        """Add a photo to the gallery, or replace the one of that name, and show it.

        Args:
            name: file name, also of the download.
            source: as for `ssdie.workbook.explorers.files.as_photo`.
        """
        self._store(name, source)
        if self.gallery.value == name:
            self.select_photo()
        self.gallery.value = name

    def _store(self, name: str, source: torch.Tensor | str | Path | bytes) -> None:
        """Read a photo and add its thumbnail."""
        self.files[name] = as_photo(source, name)
        self.photos[name] = source if isinstance(source, torch.Tensor) else photo_to_tensor(self.files[name])
        self.gallery.add(name, panels.encode(fit_long_side(self.photos[name][None], 120)[0]))

    def send_download(self) -> None:
        """Enhance the photo file at its own size and let the browser save it, with metadata and colour profile."""
        method, working_size = self.settings
        panels.show_message(self.status, "enhancing at full size …")
        strength = self.controls["strength"].value
        enhanced = enhance_file(self.files[self.name], method, self.model, working_size, strength)
        name, content, mime = encode_download(enhanced, self.name, method)
        self.download.send_file(name, content, mime)
        sentences = [f"downloaded {name}, {enhanced.size[0]} x {enhanced.size[1]} pixels.", *enhanced.notes]
        panels.show_message(self.status, html.escape(" ".join(sentences)))

    def figure(self) -> Figure:
        """Draw the photo, dusty, divided and enhanced, as a figure."""
        enhanced = self.enhanced()
        divided = split_view(self.small, enhanced, self.compare.divider)
        figure = plot_grid([{"dusty": self.small, "divided": divided, "enhanced": enhanced}])
        return add_credits(figure, [self.credits[self.name]] if self.name in self.credits else [])


def _make_controls() -> dict[str, widgets.Widget]:
    """Create the controls of method, strength, working size and view."""
    unit = {"min": 0.0, "max": 1.0, "step": 0.02}
    views = widgets.ToggleButtons(options=VIEWS, style={"button_width": "auto"}, layout={"width": "auto"})
    return {
        "method": panels.dropdown("method", [(METHOD_TITLES[name], name) for name in METHODS]),
        "strength": slider(widgets.FloatSlider, "strength", 1.0, **unit),
        "working_size": slider(
            widgets.IntSlider, "working size", WORKING_SIZE, min=SIZES[0], max=SIZES[-1], step=SIZES.step
        ),
        "view": views,
        "zoom": slider(widgets.FloatSlider, "zoom", 4.0, min=1, max=12, step=0.5, readout_format=".1f"),
        "across": slider(widgets.FloatSlider, "across", 0.5, **unit),
        "down": slider(widgets.FloatSlider, "down", 0.5, **unit),
    }


def _tabulate(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """Format the metrics before and after as an HTML table; an arrow marks the better direction."""
    cell = '<td style="text-align:right;padding:1px 12px">'
    head = f"<tr><td></td>{cell}dusty</td>{cell}enhanced</td></tr>"
    rows = ""
    for name in SHOWN_METRICS:
        arrow = "↓" if METRICS[name].direction == "lower" else "↑"
        unit = f" {METRICS[name].unit}" if METRICS[name].unit else ""
        rows += f"<tr><td>{METRICS[name].title}{unit} {arrow}</td>{cell}{before[name]:.2f}</td>"
        rows += f"{cell}<b>{after[name]:.2f}</b></td></tr>"
    return f'<table style="font-size:12px;line-height:1.4">{head}{rows}</table>'
