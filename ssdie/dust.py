"""Dust laid over clear photos by the scattering model, I_c = J_c t_c + A_c (1 - t_c), t_c = exp(-beta_c d)."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from ssdie.airlight import draw_airlight, draw_looks, measure_look
from ssdie.camera import add_sensor_noise, compress_jpeg
from ssdie.images import check_image
from ssdie.paths import atomic
from ssdie.priors import gaussian_blur
from ssdie.tone import luminance

RECIPES = ("measured", "scattering", "reference")
# extinction of green per unit of depth, log-uniform, haze to sandstorm
DENSITY = {"measured": (1.2, 45.0), "scattering": (0.6, 7.0)}
FAR = 0.8  # depth beyond which a surface counts as sky
SPREAD = 2.3  # sigma of the light spread by multiple scattering; pixels of a picture of 256 pixels
LOOKS = 2  # looks of real photos that a picture may choose from


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
        looks: of real dusty photos, see `ssdie.airlight.measure_look`; (N, K, 9). The camera's white balance and
            exposure give a picture the nearest of its K looks; zeros leave it as the light came.
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
    looks: torch.Tensor
    noise: torch.Tensor
    quality: torch.Tensor

    def to(self, device: torch.device | str) -> "Dust":
        """Copy to a device."""
        return Dust(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def __getitem__(self, index) -> "Dust":
        """Pick pictures by index, slice or mask."""
        return Dust(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def where(self, mask: torch.Tensor, other: "Dust") -> "Dust":
        """Take pictures from `self` where `mask` (N,) holds, from `other` elsewhere."""
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Dust(**{name: torch.where(mask.view(-1, *(1,) * (a.ndim - 1)), a, b) for name, a, b in pairs})


@dataclass
class DustyPair:
    """A synthetic pair: `dusty`, `clear` and `transmission` are (N, 3, H, W), `airlight` (N, 3); all in [0, 1]."""

    dusty: torch.Tensor
    clear: torch.Tensor
    transmission: torch.Tensor
    airlight: torch.Tensor


def transmission_from_depth(depth: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """Share of light that arrives: t_c(x) = exp(-beta_c d(x)).

    Args:
        depth: (N, 1, H, W), 0 at the camera.
        beta: (N, 3) per unit of depth.

    Returns:
        (N, 3, H, W) in (0, 1].

    Source: method section 1.

    Example:
        >>> transmission_from_depth(torch.zeros(1, 1, 1, 1), torch.tensor([[1.0, 2.0, 3.0]])).flatten().tolist()
        [1.0, 1.0, 1.0]
    """
    return torch.exp(-beta[:, :, None, None] * depth)


def scatter(clear: torch.Tensor, transmission: torch.Tensor, airlight: torch.Tensor) -> torch.Tensor:
    """Mix scene and veil: I = J t + A (1 - t).

    Args:
        clear: J; (N, 3, H, W) in [0, 1].
        transmission: t; (N, 3, H, W) or (N, 1, H, W) in [0, 1].
        airlight: A; (N, 3), or (N, 3, H, W) where it changes over the picture.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: method section 1.

    Example:
        >>> veil = scatter(torch.rand(1, 3, 1, 1), torch.zeros(1, 1, 1, 1), torch.tensor([[0.8, 0.6, 0.2]]))
        >>> [round(v, 2) for v in veil.flatten().tolist()]  # nothing arrives: the veil alone
        [0.8, 0.6, 0.2]
    """
    airlight = airlight[:, :, None, None] if airlight.ndim == 2 else airlight
    return clear * transmission + airlight * (1 - transmission)


def sample_dust(
    count: int, generator: torch.Generator, recipe: str = "measured", density: float | None = None
) -> Dust:
    """Draw the weather of `count` pictures.

    Args:
        count: N.
        generator: of random numbers, on the CPU.
        recipe: "measured" (the default); "scattering", the same physics without the looks of real photos; or
            "reference", exactly the recipe of the method, section 2.
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

    zero, none = torch.zeros(count), torch.zeros(count, LOOKS, 9)
    if recipe == "reference":
        coloured = torch.cat((uniform(0.7, 1.0, 1), uniform(0.3, 0.5, 1), uniform(0.0, 0.1, 1)), 1)
        grey = uniform(0.7, 0.8, 1).expand(-1, 3)
        airlight = torch.where(uniform(0, 1, 1) < 0.7, coloured, grey)
        beta = uniform(0.4, 1.0, 1).expand(-1, 3) if density is None else torch.full((count, 3), float(density))
        one, day, even = torch.ones(count), torch.ones(count, 3), torch.zeros(count, 2)
        return Dust(beta, airlight, day, one, even, one, zero, zero, zero, none, zero, 101 * one)

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
        glow=0.1 * torch.randn((count, 2), generator=generator),
        near=uniform(0, 0.01),
        sky=2.5 * uniform(0, 1) ** 2,
        spread=uniform(0.2, 1),
        blur=uniform(0, 0.8),
        looks=draw_looks(count, LOOKS, generator) if recipe == "measured" and density is None else none,
        noise=uniform(0, 0.004),
        quality=torch.where(uniform(0, 1) < 0.2, 101 * torch.ones(count), uniform(40, 98)),
    )


def add_dust(
    clear: torch.Tensor,
    depth: torch.Tensor,
    dust: Dust | str | Path = "measured",
    generator: torch.Generator | int = 0,
) -> DustyPair:
    """Lay dust over clear photos: I = (J L) t + A (1 - t), then lens, white balance and exposure, noise and JPEG.

    Args:
        clear: J; (N, 3, H, W) in [0, 1].
        depth: relative; (N, 1, H, W), 0 near, 1 far (sky).
        dust: the weather, the name of a recipe to draw it from, or a path (.json) that `write_dust` wrote.
        generator: of random numbers, or a seed; a CPU generator draws the weather, the noise is drawn on the device.

    Returns:
        DustyPair on the device of `clear`, its airlight as the camera saw it; the same seed gives the same pair.

    Raises:
        TypeError, ValueError: `clear` or `depth` are no such batches, or of different size.

    Source: method section 2; Narasimhan and Nayar, "Vision and the atmosphere", IJCV 2002, for the tinted light and
    the spread by multiple scattering (here one Gaussian, weighted by what the dust takes away).

    Example:
        >>> clear, depth = torch.full((1, 3, 32, 32), 0.4), torch.ones(1, 1, 32, 32)
        >>> pair = add_dust(clear, depth, "reference", generator=1)
        >>> bool((pair.transmission <= 0.45).all())  # exp(-0.4 * 2) at most
        True
    """
    check_image(clear, "clear")
    check_image(depth, "depth", channels=1)
    if clear.shape[-2:] != depth.shape[-2:] or len(clear) != len(depth):
        came = f"clear {tuple(clear.shape)} and depth {tuple(depth.shape)}"
        raise ValueError(f"{came} differ; wanted is the same N, H and W; resize one with ssdie.images.resize.")
    if isinstance(generator, int):
        generator = torch.Generator().manual_seed(generator)
    if isinstance(dust, str | Path):
        saved = str(dust).endswith(".json")
        dust = read_dust(dust) if saved else sample_dust(len(clear), generator, str(dust))
    dust = dust.to(clear.device)
    near, sky, spread = (v.view(-1, 1, 1, 1) for v in (dust.near, dust.sky, dust.spread))
    clear = torch.lerp(luminance(clear), clear, dust.vividness.view(-1, 1, 1, 1))
    distance = depth + near + sky * ((depth - FAR) / (1 - FAR)).clamp(0, 1)
    transmission = transmission_from_depth(distance, dust.beta)
    lit = (clear * dust.tint[:, :, None, None]).clamp(0, 1)
    soft = gaussian_blur(lit, SPREAD * min(clear.shape[-2:]) / 256)
    lit = torch.lerp(lit, soft, spread * (1 - transmission))
    dusty = scatter(lit, transmission, _glowing(dust, clear.shape[-2:])).clamp(0, 1)
    dusty = torch.cat([_blur(d, s * min(clear.shape[-2:]) / 256) for d, s in zip(dusty.split(1), dust.blur.tolist(), strict=True)])
    turn, shift = _find_look(dusty, dust.looks)
    airlight = (torch.einsum("nij,nj->ni", turn, dust.airlight) + shift).clamp(0, 1)
    dusty = (torch.einsum("nij,njhw->nihw", turn, dusty) + shift[:, :, None, None]).clamp(0, 1)
    noise = torch.Generator(clear.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    dusty = add_sensor_noise(dusty, dust.noise, noise)
    filed = compress_jpeg(dusty, dust.quality.clamp(1, 100))
    dusty = torch.where(dust.quality.view(-1, 1, 1, 1) > 100, dusty, filed)
    return DustyPair(dusty, clear.expand_as(dusty), transmission, airlight)


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur (1, 3, H, W) where sigma, in pixels, is wide enough to be seen."""
    return gaussian_blur(image, sigma) if sigma > 0.2 else image


def _find_look(dusty: torch.Tensor, looks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The affine map of colour (N, 3, 3), (N, 3) that gives each picture the look it is nearest to already."""
    own = torch.stack([measure_look(picture) for picture in dusty])
    same, none = torch.eye(3, device=dusty.device), looks.abs().sum((1, 2)) == 0
    turns = _unfold(looks) @ torch.linalg.inv(_unfold(own))[:, None]  # (N, K, 3, 3)
    nearest = (turns - same).square().sum((2, 3)).argmin(1)
    each = torch.arange(len(dusty), device=dusty.device)
    turn = torch.where(none[:, None, None], same, turns[each, nearest])
    shift = looks[each, nearest, :3] - torch.einsum("nij,nj->ni", turn, own[:, :3])
    return turn, torch.where(none[:, None], torch.zeros_like(shift), shift)


def _unfold(looks: torch.Tensor) -> torch.Tensor:
    """Cholesky factors (..., 3, 3) of looks (..., 9)."""
    factor = looks.new_zeros(*looks.shape[:-1], 3, 3)
    rows, columns = torch.tril_indices(3, 3)
    factor[..., rows, columns] = looks[..., 3:]
    return factor


def _glowing(dust: Dust, size: tuple[int, int]) -> torch.Tensor:
    """Airlight (N, 3, H, W) that grows brighter towards one side."""
    down, right = (torch.linspace(-1, 1, n, device=dust.glow.device) for n in size)
    glow = 1 + dust.glow[:, 0, None, None] * right + dust.glow[:, 1, None, None] * down[:, None]
    return (dust.airlight[:, :, None, None] * glow[:, None]).clamp(0, 1)


def visible_target(pair: DustyPair, low: float = 0.02, high: float = 0.12) -> torch.Tensor:
    """What an enhancer can honestly be asked for: J where light arrives, a light neutral veil where none does.

    A clear photo has a blue sky where the dusty one has opaque dust. Trained towards that, a network learns to invent
    blue skies; trained towards the whitened veil it leaves them light and neutral.

    Args:
        pair: a synthetic pair.
        low, high: transmission (of its best channel) below which nothing counts as visible, above which everything.

    Returns:
        (N, 3, H, W) in [0, 1].

    Example:
        >>> one = torch.ones(1, 3, 1, 1)
        >>> pair = DustyPair(one, 0.5 * one, 0 * one, torch.tensor([[0.81, 0.5, 0.1]]))
        >>> round(visible_target(pair).max().item(), 2)  # opaque: a little brighter than the veil, neutral
        0.85
    """
    seen = ((pair.transmission.amax(1, keepdim=True) - low) / (high - low)).clamp(0, 1)
    neutral = pair.airlight.amax(1)[:, None, None, None] ** 0.75
    return torch.lerp(neutral.expand_as(pair.clear), pair.clear, seen)


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
        raise ValueError(f"{path} holds no dust; give a JSON file that ssdie.dust.write_dust wrote.") from error
