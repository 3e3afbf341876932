"""The dust explorer: widgets for the functions of `ssdie.workbook.explorers.dust_settings`."""

import html
from collections.abc import Mapping
from pathlib import Path

import ipywidgets as widgets
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ssdie.synthesis.depth import Source, estimate_depth
from ssdie.synthesis.recipes import draw_airlight
from ssdie.workbook.explorers import charts
from ssdie.workbook.explorers import widgets as panels
from ssdie.workbook.explorers.dust_settings import DEFAULT_SETTINGS, DEPTHS, draw_settings, save_dusty, view_dust
from ssdie.workbook.explorers.enhancement import EnhancementExplorer
from ssdie.workbook.explorers.widgets import Panel, slider
from ssdie.workbook.figures.grids import plot_grid

SCENE_DEPTH = "of the scene"  # use the depth map that belongs to the scene


class DustExplorer(Panel):
    """Sliders, images and charts of `view_dust`; a button opens the dusty image in an enhancement explorer.

    Args:
        scenes: (clear (3, H, W), depth (1, H, W)) by name; in [0, 1].
        folder: folder for saved images.
        depths: further sources of depth by name, as for `ssdie.synthesis.depth.estimate_depth`, beside `DEPTHS`.
    """

    def __init__(
        self,
        scenes: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
        folder: str | Path,
        depths: Mapping[str, Source] | None = None,
    ):
        self.scenes, self.folder, self.depths = scenes, Path(folder), {SCENE_DEPTH: None, **DEPTHS, **(depths or {})}
        self.random = torch.Generator().manual_seed(1)
        self.choice = {
            "scene": panels.dropdown("scene", list(scenes)),
            "source": panels.dropdown("depth", list(self.depths)),
        }
        self.sliders = _make_sliders()
        self.status, self.facts = panels.make_status(), widgets.HTML()
        self.pictures = {name: panels.picture() for name in ("clear", "dusty", "depth", "transmission")}
        self.charts = {"histogram": widgets.HTML(), "cast": widgets.HTML()}
        self.enhancement: EnhancementExplorer | None = None  # created by the first click on "enhance"
        self.below = widgets.VBox()
        super().__init__([panels.side_by_side(self._controls(), self._outputs()), self.below])
        self._update_charts = panels.after_pause(panels.guard(self.draw_charts, self.status))
        self.select_scene()
        for control in self.choice.values():
            control.observe(panels.guard(lambda _: self.select_scene(), self.status), "value")
        self._redraw = panels.guard(lambda _: self.draw(), self.status)
        for control in self.sliders.values():
            control.observe(self._redraw, "value")

    @property
    def settings(self) -> dict:
        """Values of the controls, for `make_dust`."""
        return {name: control.value for name, control in self.sliders.items()}

    def select_scene(self) -> None:
        """Load the selected scene and depth, and draw."""
        clear, depth = self.scenes[self.choice["scene"].value]
        source = self.depths[self.choice["source"].value]
        if source is not None:
            depth = estimate_depth(clear[None], source, [self.choice["scene"].value])[0]
        self.scene, self.color = (clear, depth), charts.mean_color(clear)
        self.pictures["clear"].value, self.pictures["depth"].value = panels.encode(clear), panels.encode(1 - depth)
        self.draw()

    def draw(self) -> None:
        """Add the dust of the current settings to the scene and update the images; the charts follow after a pause."""
        pictures, means = view_dust(*self.scene, **self.settings)
        for name in ("dusty", "transmission"):
            self.pictures[name].value = panels.encode(pictures[name])
        parts = " · ".join(f"{name} <b>{value:.2f}</b>" for name, value in means.items())
        self.facts.value = f'<div style="font-size:12px;line-height:1.5">mean transmission<br>{parts}</div>'
        panels.clear_error(self.status)
        self.shown = pictures["dusty"]
        self._update_charts()

    def draw_charts(self) -> None:
        """Draw the histogram and the colour cast of the dusty image."""
        cast = charts.draw_cast(self.color, charts.mean_color(self.shown), ("clear", "dusty"))
        self.charts["histogram"].value, self.charts["cast"].value = charts.draw_histogram(self.shown), cast

    def set(self, values: Mapping) -> None:
        """Set several controls by name, and draw once."""
        for control in self.sliders.values():
            control.unobserve(self._redraw, "value")
        panels.assign(self.sliders, values)
        for control in self.sliders.values():
            control.observe(self._redraw, "value")
        self.draw()

    def draw_random(self) -> None:
        """Draw all settings at random with `draw_settings`."""
        self.set(draw_settings(int(torch.randint(2**31, (), generator=self.random))))

    def draw_real_airlight(self) -> None:
        """Draw the airlight from the distribution fitted to real dusty photos."""
        self.set({"airlight": to_hex(draw_airlight(1, self.random)[0].tolist())})

    def save(self) -> None:
        """Write the dusty image and its dust parameters, and show the names of the files."""
        dusty = self.dusty()
        scene, source = (control.value for control in self.choice.values())
        picture, dust = save_dusty(self.folder, scene, dusty, self.settings, source)
        names = f"{html.escape(picture.name)} and {html.escape(dust.name)}"
        panels.show_message(self.status, f"saved {names} in {self.folder}")

    def dusty(self) -> torch.Tensor:
        """The dusty image (3, H, W) in [0, 1] at the current settings."""
        return view_dust(*self.scene, **self.settings)[0]["dusty"]

    def enhance(self) -> None:
        """Open the dusty image in an enhancement explorer below; later images are added to its gallery."""
        number = len(self.enhancement.photos) + 1 if self.enhancement else 1
        name = f"{self.choice['scene'].value}-{number}.png"
        if self.enhancement is None:
            self.enhancement = EnhancementExplorer({name: self.dusty()})
            self.below.children = [self.enhancement]
        else:
            self.enhancement.add_photo(name, self.dusty())
        panels.show_message(self.status, f"opened {html.escape(name)} in the enhancement explorer below")

    def figure(self) -> Figure:
        """Draw clear, depth, transmission and dusty as a figure."""
        return plot_grid([view_dust(*self.scene, **self.settings)[0]])

    def _controls(self) -> list[widgets.Widget]:
        """Create the left column."""
        buttons = [
            ("airlight from real", self.draw_real_airlight, "draw the airlight of real dusty photos"),
            ("random", self.draw_random, "draw all settings at random"),
            ("reset", lambda: self.set(DEFAULT_SETTINGS), "restore the initial settings"),
            ("save", self.save, "write the dusty image as PNG and its dust parameters as JSON"),
            ("enhance", self.enhance, "open the dusty image in the enhancement explorer"),
        ]
        made = [panels.button(label, action, self.status, hint) for label, action, hint in buttons]
        rows = [widgets.HBox(made[:2]), widgets.HBox(made[2:])]
        return [*self.choice.values(), *self.sliders.values(), *rows, self.facts, self.status]

    def _outputs(self) -> list[widgets.Widget]:
        """Create the right column: four images, two charts."""
        titles = {"depth": "depth: near is bright", "transmission": "transmission of each channel"}
        titles |= {"histogram": "histogram of the dusty image", "cast": "colour cast, in CIE Lab"}
        shown = {**self.pictures, **self.charts}
        cells = [panels.captioned(titles.get(name, name), widget) for name, widget in shown.items()]
        return [widgets.HBox(cells[k : k + 2]) for k in range(0, len(cells), 2)]


def _make_sliders() -> dict[str, widgets.Widget]:
    """Create a control for each setting of `make_dust`."""
    style = {"style": {"description_width": panels.LABEL}, "layout": {"width": "auto"}}
    start, fine = DEFAULT_SETTINGS, {"step": 0.001, "readout_format": ".3f"}
    return {
        "density": slider(widgets.FloatLogSlider, "density", start["density"], base=10, min=-1, max=0.9, step=0.02),
        "ratio": slider(widgets.FloatSlider, "blue : red", start["ratio"], min=1, max=4, step=0.05),
        "airlight": widgets.ColorPicker(value=start["airlight"], description="airlight", **style),
        "light": slider(widgets.FloatSlider, "tint of light", start["light"], min=0, max=1, step=0.02),
        "noise": slider(widgets.FloatSlider, "noise", start["noise"], min=0, max=0.05, **fine),
        "quality": slider(widgets.IntSlider, "JPEG quality", start["quality"], min=10, max=100),
    }
