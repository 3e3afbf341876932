"""Parameters of synthetic dust and of the camera, and how they are drawn."""

import functools
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from tqdm import tqdm

from ssdie.ops.color import measure_color_statistics
from ssdie.ops.images import fit_short_side, read_image
from ssdie.ops.priors import estimate_airlight
from ssdie.photo.files import list_images
from ssdie.utils.devices import to_device
from ssdie.utils.paths import WEIGHTS, write_text

GRID = 6  # side of the coarse grid on which the density of uneven dust is drawn; cells
AIRLIGHT_FILE = WEIGHTS / "airlight.json"
RECIPES = ("measured", "scattering", "reference")
# extinction of green per unit of depth, log-uniform: haze to sandstorm for "measured", haze to dust for "scattering"
DENSITY = {"measured": (1.2, 45.0), "scattering": (0.3, 3.0)}


@dataclass
class Dust:
    """Parameters of dust and camera for N images.

    Args:
        beta: extinction coefficients; (N, 3) per unit of depth.
        airlight: colour of the dust veil; (N, 3) RGB in [0, 1].
        tint: colour of the light on the scene; (N, 3) RGB, 1 is daylight.
        vividness: chroma of the scene relative to the clear photo, since settled dust dulls surfaces; (N,) in [0, 1].
        glow: relative change of the airlight from the centre to the right and to the lower border; (N, 2).
        near: depth of the nearest surface, added to the relative depth; (N,).
        sky: extra depth of the sky; (N,).
        spread: weight of the blur by multiple scattering, which is proportional to 1 - t; (N,) in [0, 1].
        blur: sigma of the lens blur; (N,) in pixels of a 256-pixel image.
        color_statistics: statistics that white balance and exposure give the image, see
            `ssdie.ops.color.measure_color_statistics`; (N, 9); zeros: no change.
        noise: standard deviation of the sensor noise; (N,) as a fraction of full scale.
        quality: of the JPEG; (N,) 1 to 100; above 100 there is no compression.
        unevenness: logarithm of the relative density of the dust on a coarse grid over the image; (N, 6, 6); zeros:
            even dust.
    """

    beta: torch.Tensor
    airlight: torch.Tensor
    tint: torch.Tensor
    vividness: torch.Tensor
    glow: torch.Tensor
    near: torch.Tensor
    sky: torch.Tensor
    spread: torch.Tensor
    blur: torch.Tensor
    color_statistics: torch.Tensor
    noise: torch.Tensor
    quality: torch.Tensor
    unevenness: torch.Tensor

    def to(self, device: torch.device | str) -> "Dust":
        """Copy to a device without synchronising."""
        return Dust(**{f.name: to_device(getattr(self, f.name), torch.device(device)) for f in fields(self)})

    def __getitem__(self, index) -> "Dust":
        """Select images by index, slice or mask."""
        return Dust(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def where(self, mask: torch.Tensor, other: "Dust") -> "Dust":
        """Take images from `self` where `mask` (N,) is true, from `other` elsewhere."""
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Dust(**{name: torch.where(mask.view(-1, *(1,) * (a.ndim - 1)), a, b) for name, a, b in pairs})


def sample_dust(count: int, generator: torch.Generator, recipe: str = "measured", density: float | None = None) -> Dust:
    """Draw the dust and camera parameters of `count` images.

    Args:
        count: N.
        generator: random numbers, on the CPU.
        recipe: "measured" (the default); "scattering", the same without blur and without the colour statistics of real
            photos; or "reference", exactly the recipe of the method, section 2.
        density: extinction of green per unit of depth (0.4 haze, 2 dust, 6 sandstorm); None draws it. With a given
            density no colour statistics are imposed, since they would change the contrast.

    Returns:
        Dust on the CPU; beta_R <= beta_G <= beta_B except for "reference".

    Source: method section 2. "measured": log-uniform density; airlight from a kernel density fitted to real dusty
    photos, with their colour statistics (`ssdie/weights/airlight.json`, made by `ssdie fit-airlight`); extinction by
    channel and tint of the light follow the colour of the airlight, since the same dust causes all three.

    Example:
        >>> dust = sample_dust(4, torch.Generator().manual_seed(0))
        >>> bool((dust.beta.diff(dim=1) >= 0).all())
        True
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe: expected one of {', '.join(RECIPES)}, got {recipe!r}.")

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand((count, *shape), generator=generator)

    zero, none, level = torch.zeros(count), torch.zeros(count, 9), torch.zeros(count, GRID, GRID)
    if recipe == "reference":
        coloured = torch.cat((uniform(0.7, 1.0, 1), uniform(0.3, 0.5, 1), uniform(0.0, 0.1, 1)), 1)
        grey = uniform(0.7, 0.8, 1).expand(-1, 3)
        airlight = torch.where(uniform(0, 1, 1) < 0.7, coloured, grey)
        beta = uniform(0.4, 1.0, 1).expand(-1, 3) if density is None else torch.full((count, 3), float(density))
        one, day, even = torch.ones(count), torch.ones(count, 3), torch.zeros(count, 2)
        return Dust(beta, airlight, day, one, even, one, zero, zero, zero, none, zero, 101 * one, level)

    plain = recipe == "scattering"
    airlight = draw_airlight(count, generator)
    low, high = torch.tensor(DENSITY[recipe]).log()
    green = (low + (high - low) * uniform(0, 1)).exp() if density is None else torch.full((count,), float(density))
    # saturation of the dust, 0 grey to 1 orange: the more saturated, the more the channels differ
    colour = (airlight.amax(1) / airlight.amin(1).clamp_min(0.02)).log().clamp(0, 1.5) / 1.5
    red, blue = 1 - uniform(0, 0.4) * colour, 1 + uniform(0, 0.6) * colour
    beta = torch.stack((green * red, green, green * blue), 1)
    tint = (airlight / airlight.amax(1, keepdim=True)) ** (1.2 * uniform(0, 1, 1) ** 2) * uniform(0.85, 1.2, 1)
    return Dust(
        beta=beta,
        airlight=airlight,
        tint=tint,
        vividness=1 - 0.3 * uniform(0, 1) ** 2,
        glow=0.06 * torch.randn((count, 2), generator=generator) - torch.tensor([0.0, 0.06]),  # brighter above
        near=uniform(0, 0.01),
        sky=2.5 * uniform(0, 1) ** 2,
        spread=zero if plain else uniform(0.2, 1),
        blur=zero if plain else uniform(0, 0.8),
        color_statistics=none if plain or density is not None else draw_color_statistics(count, generator),
        noise=uniform(0, 0.004),
        quality=torch.where(uniform(0, 1) < 0.2, 101 * torch.ones(count), uniform(40, 98)),
        unevenness=level,
    )


def sample_unevenness(count: int, generator: torch.Generator, fraction: float = 1.0) -> torch.Tensor:
    """Draw the relative density of uneven dust: plumes, a layer along the ground, or a gradient from sky to ground.

    Args:
        count: N.
        generator: random numbers, on the CPU.
        fraction: part of the images with uneven dust; the three kinds are equally likely.

    Returns:
        The logarithm of the relative density for `Dust.unevenness`; (N, 6, 6), with a mean of 0 in each image.

    Example:
        >>> sample_unevenness(4, torch.Generator().manual_seed(0), fraction=0.0).abs().max().item()
        0.0
    """
    down = torch.linspace(-1, 1, GRID)[:, None]
    plumes = 0.8 * torch.randn((count, GRID, GRID), generator=generator)
    horizon, slope = (1.2 * torch.rand((count, 1, 1), generator=generator) - 0.6 for _ in range(2))
    layer = 1.2 * torch.tanh(4 * (down - horizon)).expand(-1, -1, GRID)  # thick below the horizon
    gradient = (2 * slope * down).expand(-1, -1, GRID)
    kind = torch.randint(3, (count, 1, 1), generator=generator)
    chosen = torch.where(kind == 0, plumes, torch.where(kind == 1, layer, gradient))
    chosen = chosen - chosen.mean((1, 2), keepdim=True)
    return torch.where(torch.rand((count, 1, 1), generator=generator) < fraction, chosen, 0.0)


def lighten(dust: Dust, generator: torch.Generator, undusted: float, hazed: float) -> Dust:
    """Replace the dust of some images by none or by light haze, so that a network learns to leave clear photos alone.

    Args:
        dust: parameters of N images.
        generator: random numbers, on the CPU.
        undusted: fraction of the images without any dust; only the JPEG compression remains.
        hazed: fraction of the images with light haze: extinction of green 0.1 to 0.6 per unit of depth, log-uniform.

    Returns:
        The parameters; with both fractions 0 unchanged, and no random numbers are drawn.

    Example:
        >>> random = torch.Generator().manual_seed(0)
        >>> lighten(sample_dust(2, random), random, undusted=1.0, hazed=0.0).beta.abs().max().item()
        0.0
    """
    if not undusted and not hazed:
        return dust
    count = len(dust.beta)
    haze = sample_dust(count, generator, "scattering")
    density = 0.1 * 6 ** torch.rand((count, 1), generator=generator)
    one, even = torch.ones(count), torch.zeros(count, 2)
    haze = replace(haze, beta=haze.beta / haze.beta[:, 1:2] * density, tint=torch.ones(count, 3), vividness=one)
    clean = replace(haze, beta=torch.zeros(count, 3), glow=even, noise=torch.zeros(count))
    draw = torch.rand(count, generator=generator)
    return clean.where(draw < undusted, haze.where(draw < undusted + hazed, dust))


def write_dust(path: str | Path, dust: Dust, about: dict | None = None) -> None:
    """Write the parameters as JSON, with further plain values in `about`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "dust.json"
        >>> write_dust(path, sample_dust(2, torch.Generator().manual_seed(0)))
        >>> read_dust(path).beta.shape
        torch.Size([2, 3])
    """
    values = {name: value.tolist() for name, value in asdict(dust).items()}
    write_text(path, json.dumps({**(about or {}), "dust": values}, indent=2) + "\n")


def read_dust(path: str | Path) -> Dust:
    """Read a file that `write_dust` wrote; values are restored exactly.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))["dust"]
        # Files of earlier versions have no unevenness, and name the colour statistics "look".
        values.setdefault("unevenness", [[[0.0] * GRID] * GRID] * len(values["beta"]))
        values.setdefault("color_statistics", values.get("look"))
        return Dust(**{field.name: torch.tensor(values[field.name]) for field in fields(Dust)})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a JSON file that `write_dust` wrote.") from error


# Airlight and colour statistics of real photos ----------------------------------------------------------------------


def fit_airlight(folder: str | Path, path: str | Path = AIRLIGHT_FILE) -> dict:
    """Fit the airlight of real dusty photos by a kernel density of logit(A), and measure their colour statistics.

    Args:
        folder: folder of at least eight dusty photos.
        path: JSON file to write.

    Returns:
        What is written: `colours` (n, 3), the airlight of each photo in RGB; `bandwidth` (3, 3), the kernel's
        covariance in logits; `color_statistics` (n, 9), see `ssdie.ops.color.measure_color_statistics`.

    Raises:
        ValueError: the folder has fewer than eight photos.

    Source: airlight by `ssdie.ops.priors.estimate_airlight` at a short side of 128 pixels, from 40 % of the pixels (the
    veil fills much of the image; the brightest 0.1 % of He et al. would select lamps). The bandwidth is half of Scott's
    rule, which assumes a single peak, while the colours have three: grey, yellow and orange.
    """
    paths = list_images(folder)
    if len(paths) < 8:
        raise ValueError(f"folder: expected at least 8 dusty photos, got {len(paths)} in {folder}.")
    small = [fit_short_side(read_image(p)[None], 128) for p in tqdm(paths, "airlight", unit="photo")]
    colours = torch.cat([estimate_airlight(s, fraction=0.4) for s in small])
    statistics = torch.cat([measure_color_statistics(s) for s in small])
    scott = len(colours) ** (-1 / 7)  # n^(-1 / (d + 4))
    bandwidth = torch.cov(torch.logit(colours, eps=0.01).T) * (scott / 2) ** 2
    fitted = {
        "about": "airlight and colour statistics of real dusty photos; see ssdie.synthesis.recipes.fit_airlight",
        "bandwidth": [[round(v, 5) for v in row] for row in bandwidth.tolist()],
        "colours": [[round(v, 3) for v in colour] for colour in colours.tolist()],
        "color_statistics": [[round(v, 3) for v in row] for row in statistics.tolist()],
    }
    write_text(path, json.dumps(fitted) + "\n")
    _read_airlight.cache_clear()
    return fitted


@functools.cache
def _read_airlight(path: Path = AIRLIGHT_FILE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Colours as logits (n, 3), Cholesky factor of the bandwidth (3, 3), colour statistics (n, 9)."""
    fitted = json.loads(path.read_text(encoding="utf-8"))
    colours = torch.logit(torch.tensor(fitted["colours"]), eps=0.01)
    return colours, torch.linalg.cholesky(torch.tensor(fitted["bandwidth"])), torch.tensor(fitted["color_statistics"])


def draw_airlight(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw (count, 3) airlight colours from the distribution fitted to real photos."""
    colours, factor, _ = _read_airlight()
    picked = colours[torch.randint(len(colours), (count,), generator=generator)]
    return torch.sigmoid(picked + torch.randn((count, 3), generator=generator) @ factor.T)


def draw_color_statistics(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw (count, 9) colour statistics of real photos."""
    statistics = _read_airlight()[2]
    return statistics[torch.randint(len(statistics), (count,), generator=generator)]
