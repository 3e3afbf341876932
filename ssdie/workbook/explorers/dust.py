"""The explorer of dust: sliders around a function that knows nothing of widgets."""

import html
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets
import torch
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from ssdie.ops.images import write_image
from ssdie.ops.priors import dark_channel
from ssdie.synthesis.depth import Source, estimate_depth, ramp_depth
from ssdie.synthesis.dust import add_dust, transmission_from_depth
from ssdie.synthesis.recipes import Dust, draw_airlight, sample_dust, write_dust
from ssdie.workbook.explorers import widgets as panels
from ssdie.workbook.explorers.widgets import Panel, mean_color, slider
from ssdie.workbook.figures.grids import plot_grid

DUST = {"density": 2.0, "ratio": 1.5, "airlight": "#d9a461", "light": 0.5, "noise": 0.01, "quality": 90}
SEED = 0  # of the noise
OWN = "of the scene"  # depth that came with the scene


def depth_by_dark_channel(clear: torch.Tensor) -> torch.Tensor:
    """Guess depth by haze: pixels are as far as their dark channel is bright; (N, 1, H, W) from 0 to 1."""
    dark = dark_channel(clear)
    low, high = dark.amin((2, 3), keepdim=True), dark.amax((2, 3), keepdim=True)
    return (dark - low) / (high - low).clamp_min(1e-3)


def flat_depth(clear: torch.Tensor) -> torch.Tensor:
    """Put everything at half the way, like a wall; (N, 1, H, W)."""
    return torch.full_like(clear[:, :1], 0.5)


DEPTHS: dict[str, Source] = {
    "by height in the picture": ramp_depth,
    "by the dark channel": depth_by_dark_channel,
    "flat": flat_depth,
}


def make_dust(
    density: float = 2.0,
    ratio: float = 1.5,
    airlight: str = "#d9a461",
    light: float = 0.5,
    noise: float = 0.01,
    quality: int = 90,
) -> Dust:
    """Make the weather of one picture from a handful of numbers.

    Args:
        density: extinction of green per unit of depth; 0.4 haze, 2 dust, 6 sandstorm.
        ratio: extinction of blue over that of red; at least 1.
        airlight: colour of the veil, as in HTML.
        light: how far the light on the scene takes the veil's colour; 0 daylight, 1 all.
        noise: standard deviation, share of full scale.
        quality: of the JPEG, 1 to 100; above 100 no file is simulated.

    Example:
        >>> dust = make_dust(density=2.0, ratio=4.0)
        >>> dust.beta[0].tolist()
        [1.0, 2.0, 4.0]
    """
    if not (density >= 0 and ratio >= 1 and 0 <= light <= 1 and noise >= 0 and quality >= 1):
        came = f"density {density}, ratio {ratio}, light {light}, noise {noise}, quality {quality}"
        raise ValueError(f"{came}; wanted is density and noise from 0, light in [0, 1], ratio and quality from 1.")
    veil = torch.tensor([to_rgb(airlight)])
    one = torch.ones(1)
    plain = sample_dust(1, torch.Generator().manual_seed(0), "reference")  # no glow, no spread, daylight
    return replace(
        plain,
        beta=density * torch.tensor([[ratio**-0.5, 1.0, ratio**0.5]]),
        airlight=veil,
        tint=(veil / veil.amax().clamp_min(0.01)) ** light,
        near=0 * one,
        sky=0.5 * one,
        noise=noise * one,
        quality=quality * one,
    )


def view_dust(clear: torch.Tensor, depth: torch.Tensor, **settings) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Lay dust over a scene and take the stages apart.

    Args:
        clear: (3, H, W) in [0, 1].
        depth: (1, H, W) in [0, 1].
        **settings: for `make_dust`.

    Returns:
        pictures: clear, depth, transmission (as red, green and blue), dusty; each (C, H, W).
        facts: the mean transmission of red, green and blue.
    """
    dust = make_dust(**settings)
    dusty = add_dust(clear[None], depth[None], dust, generator=SEED).dusty
    transmission = transmission_from_depth(depth[None], dust.beta)[0]
    pictures = {"clear": clear, "depth": depth, "transmission": transmission, "dusty": dusty[0]}
    means = transmission.mean((1, 2)).tolist()
    return pictures, dict(zip(("red", "green", "blue"), means, strict=True))


def draw_settings(seed: int) -> dict:
    """Draw settings of `make_dust` as the scattering recipe has them: colours of real dust.

    Example:
        >>> sorted(draw_settings(3)) == sorted(DUST)
        True
    """
    dust = sample_dust(1, torch.Generator().manual_seed(seed), "scattering")  # no look: it has no slider
    return {
        "density": round(float(dust.beta[0, 1]), 2),
        "ratio": round(float(dust.beta[0, 2] / dust.beta[0, 0]), 2),
        "airlight": to_hex(dust.airlight[0].tolist()),
        "light": round(float(torch.rand((), generator=torch.Generator().manual_seed(seed))), 2),
        "noise": round(float(dust.noise), 3),
        "quality": min(100, round(float(dust.quality))),
    }


def save_dusty(
    folder: str | Path, scene: str, dusty: torch.Tensor, settings: Mapping, source: str = ""
) -> tuple[Path, Path]:
    """Write a dusty picture, and beside it the dust as JSON that `ssdie.synthesis.dust.add_dust` takes.

    Args:
        folder: to write to; nothing in it is replaced.
        scene: name of the picture.
        dusty: (3, H, W) in [0, 1].
        settings: for `make_dust`.
        source: where the depth came from.

    Returns:
        Paths of the PNG and the JSON file.
    """
    folder = Path(folder)
    taken = {path.stem for path in folder.glob("*.json")}
    name = next(name for k in range(1, len(taken) + 2) if (name := f"{scene}-{k}") not in taken)
    write_image(folder / f"{name}.png", dusty)
    about = {"scene": scene, "depth": source, "seed": SEED, "settings": dict(settings)}
    write_dust(folder / f"{name}.json", make_dust(**settings), about)
    return folder / f"{name}.png", folder / f"{name}.json"


class DustExplorer(Panel):
    """Sliders for `view_dust`.

    Args:
        scenes: (clear (3, H, W), depth (1, H, W)) by name.
        folder: to save to.
        depths: more sources of depth by name, as for `ssdie.synthesis.depth.estimate_depth`, beside `DEPTHS`.
    """

    def __init__(
        self,
        scenes: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
        folder: str | Path,
        depths: Mapping[str, Source] | None = None,
    ):
        self.scenes, self.folder, self.depths = scenes, Path(folder), {OWN: None, **DEPTHS, **(depths or {})}
        self.random = torch.Generator().manual_seed(1)
        self.choice = {
            "scene": panels.dropdown("scene", list(scenes)),
            "source": panels.dropdown("depth", list(self.depths)),
        }
        self.sliders = _make_sliders()
        self.status, self.facts = panels.make_status(), widgets.HTML()
        self.pictures = {name: panels.picture() for name in ("clear", "dusty", "depth", "transmission")}
        self.charts = {"histogram": widgets.HTML(), "cast": widgets.HTML()}
        super().__init__([panels.side_by_side(self._controls(), self._shown())])
        self.take_scene()
        for control in self.choice.values():
            control.observe(panels.guard(lambda _: self.take_scene(), self.status), "value")
        self._redraw = panels.guard(lambda _: self.draw(), self.status)
        for control in self.sliders.values():
            control.observe(self._redraw, "value")

    @property
    def settings(self) -> dict:
        """What the sliders say, for `make_dust`."""
        return {name: control.value for name, control in self.sliders.items()}

    def take_scene(self) -> None:
        """Take the chosen scene and depth."""
        clear, depth = self.scenes[self.choice["scene"].value]
        source = self.depths[self.choice["source"].value]
        if source is not None:
            depth = estimate_depth(clear[None], source, [self.choice["scene"].value])[0]
        self.scene, self.colour = (clear, depth), mean_color(clear)
        self.pictures["clear"].value, self.pictures["depth"].value = panels.encode(clear), panels.encode(1 - depth)
        self.draw()

    def draw(self) -> None:
        """Lay the dust of the sliders over the scene and show it."""
        pictures, means = view_dust(*self.scene, **self.settings)
        for name in ("dusty", "transmission"):
            self.pictures[name].value = panels.encode(pictures[name])
        self.charts["histogram"].value = panels.draw_histogram(pictures["dusty"])
        self.charts["cast"].value = panels.draw_cast(self.colour, mean_color(pictures["dusty"]), ("clear", "dusty"))
        parts = " · ".join(f"{name} <b>{value:.2f}</b>" for name, value in means.items())
        self.facts.value = f'<div style="font-size:12px;line-height:1.5">light that arrives<br>{parts}</div>'
        panels.clear_error(self.status)

    def set(self, values: Mapping) -> None:
        """Set sliders and draw once."""
        for control in self.sliders.values():
            control.unobserve(self._redraw, "value")
        panels.assign(self.sliders, values)
        for control in self.sliders.values():
            control.observe(self._redraw, "value")
        self.draw()

    def draw_random(self) -> None:
        """Draw all settings as real dust has them."""
        self.set(draw_settings(int(torch.randint(2**31, (), generator=self.random))))

    def draw_real_airlight(self) -> None:
        """Draw the colour of the veil from those of real dusty photos."""
        self.set({"airlight": to_hex(draw_airlight(1, self.random)[0].tolist())})

    def save(self) -> None:
        """Write the dusty picture and its dust; say where."""
        dusty = view_dust(*self.scene, **self.settings)[0]["dusty"]
        scene, source = (control.value for control in self.choice.values())
        picture, dust = save_dusty(self.folder, scene, dusty, self.settings, source)
        names = f"{html.escape(picture.name)} and {html.escape(dust.name)}"
        panels.show_message(self.status, f"saved {names} in {self.folder}")

    def figure(self) -> Figure:
        """Draw what is shown as a figure."""
        return plot_grid([view_dust(*self.scene, **self.settings)[0]])

    def _controls(self) -> list[widgets.Widget]:
        """The left column."""
        buttons = [
            ("airlight from real", self.draw_real_airlight, "draw the veil's colour from those of real dusty photos"),
            ("random", self.draw_random, "draw all settings from those of real dust"),
            ("reset", lambda: self.set(DUST), "go back to the settings of the beginning"),
            ("save", self.save, "write the dusty picture, and its dust as JSON"),
        ]
        made = [panels.button(label, action, self.status, hint) for label, action, hint in buttons]
        rows = [widgets.HBox(made[:2]), widgets.HBox(made[2:])]
        return [*self.choice.values(), *self.sliders.values(), *rows, self.facts, self.status]

    def _shown(self) -> list[widgets.Widget]:
        """The right column: four pictures, two charts."""
        titles = {"depth": "depth: near is bright", "transmission": "transmission: the light that arrives"}
        titles |= {"histogram": "histogram of the dusty picture", "cast": "colour cast, in Lab"}
        shown = {**self.pictures, **self.charts}
        cells = [panels.captioned(titles.get(name, name), widget) for name, widget in shown.items()]
        return [widgets.HBox(cells[k : k + 2]) for k in range(0, len(cells), 2)]


def _make_sliders() -> dict[str, widgets.Widget]:
    """A control for each setting of `make_dust`."""
    looks = {"style": {"description_width": panels.LABEL}, "layout": {"width": "auto"}}
    return {
        "density": slider(widgets.FloatLogSlider, "density", DUST["density"], base=10, min=-1, max=0.9, step=0.02),
        "ratio": slider(widgets.FloatSlider, "blue : red", DUST["ratio"], min=1, max=4, step=0.05),
        "airlight": widgets.ColorPicker(value=DUST["airlight"], description="airlight", **looks),
        "light": slider(widgets.FloatSlider, "tint of light", DUST["light"], min=0, max=1, step=0.02),
        "noise": slider(widgets.FloatSlider, "noise", DUST["noise"], min=0, max=0.05, step=0.001, readout_format=".3f"),
        "quality": slider(widgets.IntSlider, "JPEG quality", DUST["quality"], min=10, max=100),
    }
