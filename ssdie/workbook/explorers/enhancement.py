"""The explorer of enhancement: methods, strength and working size around functions that know nothing of widgets."""

import html
import io
import threading
from collections.abc import Mapping
from pathlib import Path

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure

from ssdie.enhancement.correction import apply_correction, downsample
from ssdie.enhancement.photo import WORKING_SIZE, as_model, enhance
from ssdie.enhancement.runtime import load_model
from ssdie.evaluation.baselines import BASELINES
from ssdie.evaluation.metrics import METRICS
from ssdie.networks.generators import Generator
from ssdie.ops.images import fit_long_side, read_image, to_display
from ssdie.ops.priors import dark_channel
from ssdie.photo.files import array_to_pil, explain
from ssdie.workbook.explorers import widgets as panels
from ssdie.workbook.explorers.widgets import Compare, Download, Gallery, Panel, slider
from ssdie.workbook.figures.grids import plot_grid

PREVIEW = 512  # longer side of what is shown, pixels
SIZES = range(64, 385, 64)  # working sizes to choose from, pixels
METHODS = ("ssdie", *BASELINES)
VIEWS = ("photo", "dark channel", "zoom")
SHOWN = ("cast", "dark_channel", "e", "r", "saturated")  # metrics that are quick enough for a slider
NOTHING_DONE = {"e": 0.0, "r": 1.0, "saturated": 0.0}  # of a photo against itself


def preview(dusty: torch.Tensor, method: str, model: Generator, working_size: int = WORKING_SIZE) -> torch.Tensor:
    """Enhance a photo at the size at which it is shown.

    Args:
        dusty: (3, H, W) in [0, 1].
        method: "ssdie" or a name in `ssdie.evaluation.baselines.BASELINES`.
        model: for "ssdie".
        working_size: longer side of what the network sees; pixels; for "ssdie" alone.

    Returns:
        (3, h, w), the longer side at most `PREVIEW`. Of "ssdie" it is what the full size looks like from afar; the
        baselines are applied to the small photo.
    """
    small = fit_long_side(dusty[None], PREVIEW)[0]
    if method != "ssdie":
        return enhance_whole(small, method, model, working_size)
    correction = as_model(model).correct(downsample(to_display(dusty), working_size))
    return torch.from_numpy(apply_correction(to_display(small), correction)).permute(2, 0, 1).contiguous()


def enhance_whole(dusty: torch.Tensor, method: str, model: Generator, working_size: int = WORKING_SIZE) -> torch.Tensor:
    """Enhance (3, H, W) at its own size; arguments as for `preview`."""
    if method == "ssdie":
        return enhance(dusty, model, strength=1.0, working_size=working_size)
    if method not in BASELINES:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}.")
    return BASELINES[method](dusty[None])[0]


def measure_shown(enhanced: torch.Tensor, dusty: torch.Tensor) -> dict[str, float]:
    """Give the metrics of `SHOWN` for (3, H, W) in [0, 1]."""
    pairs = ((enhanced[None], dusty[None]) if METRICS[name].needs else (enhanced[None],) for name in SHOWN)
    return {name: METRICS[name].function(*pair).item() for name, pair in zip(SHOWN, pairs, strict=True)}


def crop(picture: torch.Tensor, zoom: float, across: float, down: float) -> torch.Tensor:
    """Cut out what is seen at a zoom: 1 / zoom of each side, as near to the place as the border lets it.

    Args:
        picture: (C, H, W).
        zoom: at least 1.
        across, down: place of the middle as shares of width and height; [0, 1].

    Example:
        >>> crop(torch.arange(8.0).view(1, 1, 8), 4, 0.5, 0.5).flatten().tolist()
        [3.0, 4.0]
    """
    height, width = picture.shape[-2:]
    high, wide = max(1, round(height / zoom)), max(1, round(width / zoom))
    top = min(max(round(down * height - high / 2), 0), height - high)
    left = min(max(round(across * width - wide / 2), 0), width - wide)
    return picture[:, top : top + high, left : left + wide]


def split_view(dusty: torch.Tensor, enhanced: torch.Tensor, divider: float = 0.5) -> torch.Tensor:
    """Show the photo before, left of the divider, and after, right of it.

    Example:
        >>> split_view(torch.zeros(3, 1, 4), torch.full((3, 1, 4), 0.5), 0.5)[0, 0].tolist()
        [0.0, 0.0, 1.0, 0.5]
    """
    width = dusty.shape[-1]
    place = min(max(round(divider * width), 0), width)
    picture = torch.cat((dusty[..., :place], enhanced[..., place:]), dim=-1).clone()
    picture[..., place : place + max(1, width // 300)] = 1.0
    return picture


class EnhancementExplorer(Panel):
    """A gallery and an upload, a choice of method, sliders, and the photo before and after under a divider.

    Args:
        photos: dusty (3, H, W) in [0, 1] by name, at full size.
        model: None takes the released weights.
        first: name of the photo to begin with; None takes the first.
    """

    def __init__(self, photos: Mapping[str, torch.Tensor], model: Generator | None = None, first: str | None = None):
        self.photos, self.model = dict(photos), model or load_model()
        self.known: dict[tuple, torch.Tensor] = {}  # previews of the photo on display, by method and working size
        self.whole: tuple[tuple, torch.Tensor] | None = None  # the last one at full size, and of what it is
        self.gallery = Gallery(value=first or next(iter(self.photos)))
        for name, photo in self.photos.items():
            self.gallery.add(name, _thumbnail(photo))
        self.upload = widgets.FileUpload(accept="image/*", description="your photo", layout={"width": "auto"})
        self.controls = _make_controls()
        self.compare, self.download = Compare(), Download(description="download at full size")
        self.numbers, self.cast, self.status = widgets.HTML(), widgets.HTML(), panels.make_status()
        rest = [self.upload, *self.controls.values(), self.download, self.status]
        facts = [panels.captioned("measured", self.numbers), panels.captioned("colour cast, in Lab", self.cast)]
        super().__init__([self.gallery, panels.side_by_side(rest, [self.compare, widgets.HBox(facts)])])
        self.take_photo()
        listen = {
            self.take_photo: [self.gallery],
            self.take_upload: [self.upload],
            self.draw: self.controls.values(),
        }
        for action, controls in listen.items():
            for control in controls:
                control.observe(panels.guard(lambda _, action=action: action(), self.status), "value")
        self.compare.observe(panels.guard(lambda _: self.look_closer(), self.status), "focus")
        self.download.on_click(panels.guard(self.send_whole, self.status))

    @property
    def settings(self) -> tuple[str, int]:
        """Method and working size; the latter counts for "ssdie" alone."""
        method = self.controls["method"].value
        return method, self.controls["working_size"].value if method == "ssdie" else WORKING_SIZE

    def take_photo(self) -> None:
        """Show the chosen photo; meanwhile prepare it by all methods."""
        self.name, self.dusty, self.known = self.gallery.value, self.photos[self.gallery.value], {}
        self.small = fit_long_side(self.dusty[None], PREVIEW)[0]
        self.before = {name: measure_shown(self.small, self.small)[name] for name in SHOWN} | NOTHING_DONE
        self.colour, self.measured = panels.mean_color(self.small), None
        self.draw()
        if not panels.is_static():
            threading.Thread(target=self._prepare, args=(self.known,)).start()

    def _prepare(self, known: dict) -> None:
        """Enhance the photo on display by every method and size, so that sliders answer at once."""
        for settings in [("ssdie", size) for size in SIZES] + [(method, WORKING_SIZE) for method in BASELINES]:
            if self.known is not known or not threading.main_thread().is_alive():
                return  # another photo, or the end
            self._preview(known, settings)

    def _preview(self, known: dict, settings: tuple[str, int]) -> torch.Tensor:
        """The photo at full strength, computed once."""
        if settings not in known:
            method, working_size = settings
            known[settings] = preview(self.dusty, method, self.model, working_size)
        return known[settings]

    def enhanced(self) -> torch.Tensor:
        """The photo as shown, at the strength of the slider."""
        return torch.lerp(self.small, self._preview(self.known, self.settings), self.controls["strength"].value)

    def enhanced_whole(self) -> torch.Tensor:
        """The photo at its own size, at the strength of the slider."""
        key = (self.name, *self.settings)
        if self.whole is None or self.whole[0] != key:
            method, working_size = self.settings
            panels.show_message(self.status, "enhancing at full size …")
            self.whole = key, enhance_whole(self.dusty, method, self.model, working_size)
            panels.show_message(self.status)
        return torch.lerp(self.dusty, self.whole[1], self.controls["strength"].value)

    def draw(self) -> None:
        """Show before and after, then measure."""
        view, enhanced = self.controls["view"].value, self.enhanced()
        pair = self.small, enhanced
        if view == "dark channel":
            pair = tuple(dark_channel(picture[None])[0] for picture in pair)
        elif view == "zoom":
            place = [self.controls[name].value for name in ("zoom", "across", "down")]
            pair = (crop(picture, *place) for picture in (self.dusty, self.enhanced_whole()))
            pair = tuple(fit_long_side(picture[None], PREVIEW)[0] for picture in pair)
        for name in ("zoom", "across", "down"):
            self.controls[name].disabled = view != "zoom"
        self.controls["working_size"].disabled = self.settings[0] != "ssdie"
        with self.compare.hold_sync():
            self.compare.before, self.compare.after = map(panels.encode, pair)
            self.compare.labels = "dusty", self.settings[0]
        panels.clear_error(self.status)
        shown = (self.name, *self.settings, self.controls["strength"].value)
        if shown == self.measured:
            return  # another view of the same
        self.measured, self.facts = shown, measure_shown(enhanced, self.small)
        self.numbers.value = _tabulate(self.before, self.facts)
        self.cast.value = panels.draw_cast(self.colour, panels.mean_color(enhanced), ("dusty", self.settings[0]))

    def look_closer(self) -> None:
        """Zoom to where the picture was double-clicked."""
        across, down = self.compare.focus
        if self.controls["view"].value == "zoom":  # the click was on the region, not on the photo
            zoom = self.controls["zoom"].value
            across, down = (
                self.controls[name].value + (share - 0.5) / zoom for name, share in (("across", across), ("down", down))
            )
        panels.assign(self.controls, {"across": across, "down": down})
        self.controls["view"].value = "zoom"

    def take_upload(self) -> None:
        """Add the uploaded photo to the gallery and show it; what is no picture is said so."""
        if not self.upload.value:
            return
        file = self.upload.value[0]
        try:
            photo = read_image(io.BytesIO(bytes(file["content"])))
        except Exception as error:
            told = html.escape(f"{file['name']}: {explain(error)}")
            panels.show_message(self.status, f"{told}; choose a JPEG, PNG, TIFF, WebP or BMP file.", wrong=True)
            return
        self.photos[file["name"]] = photo
        self.gallery.add(file["name"], _thumbnail(photo))
        if self.gallery.value == file["name"]:
            self.take_photo()
        self.gallery.value = file["name"]

    def send_whole(self) -> None:
        """Hand the result to the browser, at the photo's own size, as PNG where the photo was one, else as JPEG."""
        buffer, name = io.BytesIO(), Path(self.name)
        picture = array_to_pil(to_display(self.enhanced_whole()))
        png = name.suffix.lower() == ".png"
        picture.save(buffer, *(("PNG",) if png else ("JPEG",)), **({} if png else {"quality": 95, "subsampling": 0}))
        file = f"{name.stem}_{self.settings[0]}.{'png' if png else 'jpg'}"
        self.download.hand_over(file, buffer.getvalue(), "image/png" if png else "image/jpeg")
        size = f"{picture.width} x {picture.height} pixels"
        panels.show_message(self.status, f"downloaded {html.escape(file)}, {size}")

    def figure(self) -> Figure:
        """Draw the photo before and after as a figure."""
        enhanced = self.enhanced()
        divided = split_view(self.small, enhanced, self.compare.divider)
        return plot_grid([{"dusty": self.small, "divided": divided, "enhanced": enhanced}])


def _thumbnail(photo: torch.Tensor) -> bytes:
    return panels.encode(fit_long_side(photo[None], 120)[0])


def _make_controls() -> dict[str, widgets.Widget]:
    """What can be chosen, apart from the photo."""
    unit = {"min": 0.0, "max": 1.0, "step": 0.02}
    views = widgets.ToggleButtons(options=VIEWS, style={"button_width": "auto"}, layout={"width": "auto"})
    return {
        "method": panels.dropdown("method", METHODS),
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
    """Metrics before and after, as an HTML table; the arrow says which direction is better."""
    cell = '<td style="text-align:right;padding:1px 12px">'
    head = f"<tr><td></td>{cell}dusty</td>{cell}enhanced</td></tr>"
    rows = ""
    for name in SHOWN:
        arrow = "↓" if METRICS[name].direction == "lower" else "↑"
        unit = f" {METRICS[name].unit}" if METRICS[name].unit else ""
        rows += f"<tr><td>{METRICS[name].title}{unit} {arrow}</td>{cell}{before[name]:.2f}</td>"
        rows += f"{cell}<b>{after[name]:.2f}</b></td></tr>"
    return f'<table style="font-size:12px;line-height:1.4">{head}{rows}</table>'
