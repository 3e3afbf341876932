"""The two explorers: sliders around functions that know nothing of widgets."""

import functools
import html
import io
from collections.abc import Callable, Mapping
from dataclasses import replace

import ipywidgets as widgets
import torch
from matplotlib.colors import to_rgb

from ssdie.baselines import BASELINES
from ssdie.dust import Dust, add_dust, sample_dust, transmission_from_depth
from ssdie.enhance import enhance
from ssdie.images import array_to_pil, fit_long_side, read_image, to_display
from ssdie.metrics import METRICS, colour_cast
from ssdie.networks import Generator

DUST = {"density": 2.0, "ratio": 1.5, "airlight": "#d9a461", "light": 0.5, "noise": 0.01, "quality": 90}
PREVIEW = 640  # longer side of what the explorers show, pixels
SHOWN = ("cast", "e", "r", "saturated", "dark_channel")  # metrics that are quick enough for a slider


# Dust -------------------------------------------------------------------------------------------------------


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
        raise ValueError(
            f"{came}; wanted is density and noise from 0, light in [0, 1], ratio and quality from 1."
        )
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


def view_dust(
    clear: torch.Tensor, depth: torch.Tensor, **settings
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Lay dust over a scene and take the stages apart.

    Args:
        clear: (3, H, W) in [0, 1].
        depth: (1, H, W) in [0, 1].
        **settings: for `make_dust`.

    Returns:
        pictures: clear, depth, transmission (as red, green and blue), dusty; each (C, H, W).
        facts: the cast of the clear and the dusty picture, the mean transmission.
    """
    dust = make_dust(**settings)
    dusty = add_dust(clear[None], depth[None], dust, generator=0).dusty
    transmission = transmission_from_depth(depth[None], dust.beta)
    pictures = {"clear": clear, "depth": depth, "transmission": transmission[0], "dusty": dusty[0]}
    casts = {"cast, clear": colour_cast(clear[None]).item(), "cast, dusty": colour_cast(dusty).item()}
    return pictures, {**casts, "mean transmission": transmission.mean().item()}


def draw_settings(seed: int) -> dict:
    """Draw settings of `make_dust` as the measured recipe has them: colours of real dust.

    Example:
        >>> sorted(draw_settings(3)) == sorted(DUST)
        True
    """
    dust = sample_dust(1, torch.Generator().manual_seed(seed))
    veil = "#" + "".join(f"{round(255 * value):02x}" for value in dust.airlight[0].tolist())
    return {
        "density": round(float(dust.beta[0, 1]), 2),
        "ratio": round(float(dust.beta[0, 2] / dust.beta[0, 0]), 2),
        "airlight": veil,
        "light": 0.5,
        "noise": round(float(dust.noise), 3),
        "quality": min(100, round(float(dust.quality))),
    }


def explore_dust(scenes: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> widgets.VBox:
    """Build sliders for `view_dust`.

    Args:
        scenes: (clear (3, H, W), depth (1, H, W)) by name.
    """
    controls = {
        "scene": widgets.Dropdown(options=list(scenes), description="scene"),
        "density": _slider(
            widgets.FloatLogSlider, "density", DUST["density"], base=10, min=-1, max=0.9, step=0.02
        ),
        "ratio": _slider(widgets.FloatSlider, "blue : red", DUST["ratio"], min=1, max=4, step=0.05),
        "airlight": widgets.ColorPicker(value=DUST["airlight"], description="airlight"),
        "light": _slider(widgets.FloatSlider, "tinted light", DUST["light"], min=0, max=1, step=0.05),
        "noise": _slider(
            widgets.FloatSlider, "noise", DUST["noise"], min=0, max=0.05, step=0.001, readout_format=".3f"
        ),
        "quality": _slider(widgets.IntSlider, "JPEG quality", DUST["quality"], min=10, max=100),
    }

    def draw(scene: str, **settings) -> tuple[torch.Tensor, dict[str, float]]:
        pictures, facts = view_dust(*scenes[scene], **settings)
        return tile(pictures.values()), facts

    reset, real = widgets.Button(description="reset"), widgets.Button(description="draw as real")
    draws = iter(range(1, 10**9))
    reset.on_click(lambda _: _assign(controls, DUST))
    real.on_click(lambda _: _assign(controls, draw_settings(next(draws))))
    panel = connect(draw, controls)
    panel.children = (widgets.HBox([reset, real]), *panel.children)
    return panel


# Enhancement ------------------------------------------------------------------------------------------------


def view_enhancement(
    dusty: torch.Tensor,
    method: str = "ssdie",
    model: Generator | None = None,
    strength: float = 1.0,
    working_size: int = 384,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Enhance a photo by a method and measure the result.

    Args:
        dusty: (3, H, W) in [0, 1].
        method: "ssdie" or a name in `ssdie.baselines.BASELINES`.
        model: for "ssdie"; None takes the released weights.
        strength: 0 gives the photo back, 1 the full change.
        working_size: longer side of what the network sees; pixels; for "ssdie" alone.

    Returns:
        enhanced (3, H, W), and the metrics of `SHOWN`.
    """
    if method == "ssdie":
        enhanced = enhance(dusty, model, strength=strength, working_size=working_size)
    elif method in BASELINES:
        enhanced = torch.lerp(dusty, BASELINES[method](dusty[None])[0], strength)
    else:
        raise ValueError(f"method is {method!r}; wanted is one of ssdie, {', '.join(BASELINES)}.")
    metrics = (METRICS[name].function for name in SHOWN)
    pairs = ((enhanced[None], dusty[None]) if METRICS[name].needs else (enhanced[None],) for name in SHOWN)
    return enhanced, {name: f(*p).item() for name, f, p in zip(SHOWN, metrics, pairs, strict=True)}


def split_view(dusty: torch.Tensor, enhanced: torch.Tensor, divider: float = 0.5) -> torch.Tensor:
    """Show the photo before, left of the divider, and after, right of it.

    Example:
        >>> split_view(torch.zeros(3, 1, 4), torch.full((3, 1, 4), 0.5), 0.5)[0, 0].tolist()
        [0.0, 0.0, 1.0, 0.5]
    """
    width = dusty.shape[-1]
    place = min(max(round(divider * width), 0), width)
    picture = torch.cat((dusty[..., :place], enhanced[..., place:]), dim=-1).clone()
    line = slice(place, min(place + max(1, width // 300), width))
    picture[..., line] = 1.0
    return picture


def explore_enhancement(photos: Mapping[str, torch.Tensor], model: Generator | None = None) -> widgets.VBox:
    """Build the choice of photo and method, sliders and a divider for `view_enhancement`.

    Args:
        photos: dusty (3, H, W) in [0, 1] by name; a file of one's own can be added there.
        model: None takes the released weights.
    """
    controls = {
        "photo": widgets.Dropdown(options=list(photos), description="photo"),
        "upload": widgets.FileUpload(accept="image/*", description="your photo"),
        "method": widgets.Dropdown(options=["ssdie", *BASELINES], description="method"),
        "strength": _slider(widgets.FloatSlider, "strength", 1.0, min=0, max=1, step=0.05),
        "working_size": _slider(widgets.IntSlider, "working size", 384, min=128, max=640, step=64),
        "divider": _slider(widgets.FloatSlider, "divider", 0.5, min=0, max=1, step=0.01),
    }
    shown = {name: fit_long_side(photo[None], PREVIEW)[0] for name, photo in photos.items()}
    view = functools.lru_cache(maxsize=8)(lambda name, *options: view_enhancement(shown[name], *options))

    def draw(photo: str, upload: tuple, method: str, strength: float, working_size: int, divider: float):
        if upload:
            photo = f"{upload[0]['name']}, {upload[0]['size']} bytes"
            if photo not in shown:
                shown[photo] = fit_long_side(read_upload(bytes(upload[0]["content"]))[None], PREVIEW)[0]
        enhanced, facts = view(photo, method, model, strength, working_size)
        return split_view(shown[photo], enhanced, divider), facts

    return connect(draw, controls)


def read_upload(content: bytes) -> torch.Tensor:
    """Read the bytes of a picture file: (3, H, W), upright.

    Raises:
        PIL.UnidentifiedImageError: they are no picture.
    """
    return read_image(io.BytesIO(content))


# Parts ------------------------------------------------------------------------------------------------------


def connect(
    draw: Callable[..., tuple[torch.Tensor, dict[str, float]]], controls: dict[str, widgets.Widget]
) -> widgets.VBox:
    """Draw now, and again whenever a control changes; what goes wrong then is said below the picture.

    Args:
        draw: takes the controls' values by name; gives a picture (3, H, W) and facts.
        controls: by name.
    """
    picture, text = widgets.Image(format="jpeg", layout={"max_width": "100%"}), widgets.HTML()

    def show() -> None:
        image, facts = draw(**{name: control.value for name, control in controls.items()})
        picture.value = encode(image)
        text.value = " · ".join(f"{html.escape(name)} <b>{value:.2f}</b>" for name, value in facts.items())

    def update(_) -> None:
        try:
            show()
        except Exception as error:  # of a callback: the kernel would log it where nobody looks
            text.value = f"<b>{type(error).__name__}</b>: {html.escape(str(error))}"

    show()
    for control in controls.values():
        control.observe(update, "value")
    items = list(controls.values())
    columns = [widgets.VBox(items[k::2]) for k in range(2)]
    return widgets.VBox([widgets.HBox(columns), picture, text])


def tile(pictures, columns: int = 2) -> torch.Tensor:
    """Lay pictures of one size side by side, in rows: (3, rows H, columns W).

    Example:
        >>> tile([torch.zeros(3, 4, 6)] * 3 + [torch.zeros(1, 4, 6)]).shape
        torch.Size([3, 8, 12])
    """
    shown = [1 - p.expand(3, -1, -1) if len(p) == 1 else p for p in pictures]  # depth: near is bright
    rows = [torch.cat(shown[k : k + columns], dim=2) for k in range(0, len(shown), columns)]
    return torch.cat(rows, dim=1)


def encode(image: torch.Tensor) -> bytes:
    """Write (3, H, W) as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    array_to_pil(to_display(image)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _slider(kind: type, label: str, value: float, **limits) -> widgets.Widget:
    """A slider that reports when it is let go."""
    style = {"description_width": "6.5em"}
    return kind(value=value, description=label, continuous_update=False, style=style, **limits)


def _assign(controls: Mapping[str, widgets.Widget], values: Mapping) -> None:
    """Set controls, each within its own limits."""
    for name, value in values.items():
        low, high = getattr(controls[name], "min", None), getattr(controls[name], "max", None)
        if isinstance(controls[name], widgets.FloatLogSlider):
            low, high = 10**low, 10**high
        controls[name].value = value if low is None else min(max(value, low), high)
