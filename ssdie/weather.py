"""The weather and the camera that `ssdie.dust` lays over clear photos: what they are, and how they are drawn."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from ssdie.airlight import draw_airlight, draw_looks
from ssdie.devices import send
from ssdie.paths import atomic

RECIPES = ("measured", "scattering", "reference")
# extinction of green per unit of depth, log-uniform: haze to sandstorm; without the looks of storms, haze to dust
DENSITY = {"measured": (1.2, 45.0), "scattering": (0.3, 3.0)}


@dataclass
class Dust:
    """The weather and the camera of N pictures.

    Args:
        beta: extinction; (N, 3) per unit of depth.
        airlight: colour of the dust veil; (N, 3) RGB in [0, 1].
        tint: colour of the light on the scene; (N, 3) RGB, 1 is daylight.
        vividness: chroma of the scene against that of the clear photo: dust lies on everything; (N,) in [0, 1].
        glow: relative change of the airlight from the middle to the right and to the lower border; (N, 2).
        near: depth of the nearest surface, added to the relative depth; (N,).
        sky: extra depth of the sky; (N,).
        spread: share of the lost light that comes back spread by multiple scattering; (N,) in [0, 1].
        blur: sigma of the lens; (N,) pixels of a picture of 256 pixels.
        look: of a real dusty photo, see `ssdie.looks.measure_looks`; (N, 9). White balance and exposure of the camera
            give it to the picture; zeros leave it as the light came.
        noise: standard deviation of the sensor noise; (N,) share of full scale.
        quality: of the JPEG; (N,) from 1 to 100; above 100 no file is simulated.
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
    look: torch.Tensor
    noise: torch.Tensor
    quality: torch.Tensor

    def to(self, device: torch.device | str) -> "Dust":
        """Copy to a device, which need not be waited for."""
        return Dust(**{f.name: send(getattr(self, f.name), torch.device(device)) for f in fields(self)})

    def __getitem__(self, index) -> "Dust":
        """Pick pictures by index, slice or mask."""
        return Dust(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def where(self, mask: torch.Tensor, other: "Dust") -> "Dust":
        """Take pictures from `self` where `mask` (N,) holds, from `other` elsewhere."""
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Dust(**{name: torch.where(mask.view(-1, *(1,) * (a.ndim - 1)), a, b) for name, a, b in pairs})


def sample_dust(
    count: int, generator: torch.Generator, recipe: str = "measured", density: float | None = None
) -> Dust:
    """Draw the weather of `count` pictures.

    Args:
        count: N.
        generator: of random numbers, on the CPU.
        recipe: "measured" (the default); "scattering", single scattering alone, seen by a sharp lens and without
            the looks of real photos; or "reference", exactly the recipe of the method, section 2.
        density: extinction of green per unit of depth (0.4 haze, 2 dust, 6 sandstorm); None draws it. A density that is
            asked for is seen as it is: no look changes the contrast.

    Returns:
        Dust on the CPU; but for "reference", beta_R <= beta_G <= beta_B.

    Source: method section 2. "measured": log-uniform density; airlight from a kernel density fitted to real dusty
    photos, and their looks (`ssdie/weights/airlight.json`, made by `python -m ssdie fit-airlight`); extinction by
    channel and tint of the light follow the airlight's colour, since the same dust makes all three.

    Example:
        >>> dust = sample_dust(4, torch.Generator().manual_seed(0))
        >>> bool((dust.beta.diff(dim=1) >= 0).all())
        True
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe is {recipe!r}; wanted is one of {', '.join(RECIPES)}.")

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand((count, *shape), generator=generator)

    zero, none = torch.zeros(count), torch.zeros(count, 9)
    if recipe == "reference":
        coloured = torch.cat((uniform(0.7, 1.0, 1), uniform(0.3, 0.5, 1), uniform(0.0, 0.1, 1)), 1)
        grey = uniform(0.7, 0.8, 1).expand(-1, 3)
        airlight = torch.where(uniform(0, 1, 1) < 0.7, coloured, grey)
        beta = uniform(0.4, 1.0, 1).expand(-1, 3) if density is None else torch.full((count, 3), float(density))
        one, day, even = torch.ones(count), torch.ones(count, 3), torch.zeros(count, 2)
        return Dust(beta, airlight, day, one, even, one, zero, zero, zero, none, zero, 101 * one)

    plain = recipe == "scattering"
    airlight = draw_airlight(count, generator)
    low, high = torch.tensor(DENSITY[recipe]).log()
    green = (low + (high - low) * uniform(0, 1)).exp() if density is None else torch.full((count,), float(density))
    # how coloured the dust is: 0 grey, 1 orange; more of it means stronger differences between the channels
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
        look=none if plain or density is not None else draw_looks(count, generator),
        noise=uniform(0, 0.004),
        quality=torch.where(uniform(0, 1) < 0.2, 101 * torch.ones(count), uniform(40, 98)),
    )


def write_dust(path: str | Path, dust: Dust, about: dict | None = None) -> None:
    """Write the weather as JSON, with whatever else is worth knowing in `about`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "dust.json"
        >>> write_dust(path, sample_dust(2, torch.Generator().manual_seed(0)))
        >>> read_dust(path).beta.shape
        torch.Size([2, 3])
    """
    values = {name: value.tolist() for name, value in asdict(dust).items()}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({**(about or {}), "dust": values}, indent=2) + "\n", encoding="utf-8")


def read_dust(path: str | Path) -> Dust:
    """Read what `write_dust` wrote, to the last bit.

    Raises:
        ValueError: the file holds no dust.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))["dust"]
        return Dust(**{field.name: torch.tensor(values[field.name]) for field in fields(Dust)})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no dust; give a JSON file that ssdie.weather.write_dust wrote.") from error
