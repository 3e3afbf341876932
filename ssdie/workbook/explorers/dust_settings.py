"""Functions of the dust explorer, without widgets: dust parameters from six settings, the images, saved files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from matplotlib.colors import to_hex, to_rgb

from ssdie.ops.images import write_image
from ssdie.ops.priors import dark_channel
from ssdie.synthesis.depth import Source, ramp_depth
from ssdie.synthesis.dust import add_dust, transmission_from_depth
from ssdie.synthesis.recipes import Dust, sample_dust, write_dust

DEFAULT_SETTINGS = {"density": 2.0, "ratio": 1.5, "airlight": "#d9a461", "light": 0.5, "noise": 0.01, "quality": 90}
SEED = 0  # of the noise


def depth_by_dark_channel(clear: torch.Tensor) -> torch.Tensor:
    r"""Estimate depth from haze by the dark channel prior: the brighter the dark channel, the farther the pixel.

    .. math:: d(x) = \frac{D(x) - \min D}{\max D - \min D}, \qquad D = \text{dark channel of } J

    Args:
        clear: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 1, H, W); from 0, near, to 1, far.
    """
    dark = dark_channel(clear)
    low, high = dark.amin((2, 3), keepdim=True), dark.amax((2, 3), keepdim=True)
    return (dark - low) / (high - low).clamp_min(1e-3)


def flat_depth(clear: torch.Tensor) -> torch.Tensor:
    """Set the depth of every pixel to 0.5, as of a wall; (N, 3, H, W) to (N, 1, H, W)."""
    return torch.full_like(clear[:, :1], 0.5)


DEPTHS: dict[str, Source] = {
    "by height in the image": ramp_depth,
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
    r"""Make the dust parameters of one image from six settings.

    .. math:: \beta = \text{density}\, (\text{ratio}^{-1/2},\; 1,\; \text{ratio}^{1/2})

    Args:
        density: extinction of green per unit of depth, at least 0; 0.4 haze, 2 dust, 6 sandstorm.
        ratio: extinction of blue over that of red; at least 1.
        airlight: colour of the dust veil, as in HTML ("#rrggbb").
        light: tint of the light on the scene, from 0, daylight, to 1, the colour of the veil.
        noise: standard deviation of the sensor noise as a fraction of full scale, at least 0.
        quality: of the JPEG, 1 to 100; above 100 there is no compression.

    Raises:
        ValueError: a number is outside its range.

    Example:
        >>> dust = make_dust(density=2.0, ratio=4.0)
        >>> dust.beta[0].tolist()
        [1.0, 2.0, 4.0]
    """
    if not (density >= 0 and ratio >= 1 and 0 <= light <= 1 and noise >= 0 and quality >= 1):
        got = f"density {density}, ratio {ratio}, light {light}, noise {noise}, quality {quality}"
        expected = "density and noise of at least 0, light in [0, 1], ratio and quality of at least 1"
        raise ValueError(f"dust: expected {expected}; got {got}.")
    veil = torch.tensor([to_rgb(airlight)])
    one = torch.ones(1)
    plain = sample_dust(1, torch.Generator().manual_seed(0), "reference")  # no glow, no multiple scattering, daylight
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
    """Add dust to a scene and return the intermediate results.

    Args:
        clear: (3, H, W) in [0, 1].
        depth: (1, H, W) in [0, 1].
        **settings: for `make_dust`.

    Returns:
        pictures: clear, depth, transmission and dusty; each (C, H, W) in [0, 1].
        means: mean transmission of red, green and blue.
    """
    dust = make_dust(**settings)
    dusty = add_dust(clear[None], depth[None], dust, generator=SEED).dusty
    transmission = transmission_from_depth(depth[None], dust.beta)[0]
    pictures = {"clear": clear, "depth": depth, "transmission": transmission, "dusty": dusty[0]}
    means = transmission.mean((1, 2)).tolist()
    return pictures, dict(zip(("red", "green", "blue"), means, strict=True))


def draw_settings(seed: int) -> dict:
    """Draw settings of `make_dust` from the recipe "scattering", whose airlight is fitted to real dusty photos.

    Example:
        >>> sorted(draw_settings(3)) == sorted(DEFAULT_SETTINGS)
        True
    """
    dust = sample_dust(1, torch.Generator().manual_seed(seed), "scattering")  # no colour statistics: no slider
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
    """Write a dusty image as PNG, and its dust parameters as JSON that `ssdie.synthesis.dust.add_dust` reads.

    Args:
        folder: folder to write to; existing files are kept.
        scene: stem of the file names, to which a number is appended.
        dusty: (3, H, W) in [0, 1].
        settings: for `make_dust`.
        source: name of the source of depth, stored in the JSON file.

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
