"""Setting of a procedural scene: noise, light, camera, sky, hills, ground and road, with exact distances.

A pinhole camera looks along z. A pixel has tangent coordinates x (right) and y (down, 0 at the horizon). A point
seen there at distance z is x z metres to the right and `height` - y z metres above the ground. Colours are in
linear light.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

TILE = 512  # texels along the side of the noise tile
# probability; horizon, zenith, cloud, sun, ambient; strength of sun and sky; range of the clouds' cover and edge
MOODS = {
    "blue": (0.35, "c4d6e6 4d83bd fdfdfd fff2dc 9db2c9", 2.6, 1.0, (-3.0, -0.7), (0.5, 1.6)),
    "cloudy": (0.30, "ccd6dd 6793bf fbfbfa fff0d8 a5b4c4", 2.0, 1.0, (-0.5, 0.6), (0.5, 1.8)),
    "grey": (0.20, "f0f2f4 c9d0d6 f2f4f6 c9c9c9 cdd2d8", 0.3, 1.6, (0.2, 2.0), (1.5, 3.0)),
    "evening": (0.15, "f0d3b0 7c93b8 f5d9c4 ffcf94 93a0b8", 2.0, 1.0, (-1.8, 0.3), (0.8, 2.5)),
}


def linear(code: str) -> np.ndarray:
    """Turn a hexadecimal sRGB colour into linear light (3,)."""
    return (np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255) ** 2.2


@cache
def noise_tile() -> np.ndarray:
    """Return a periodic tile (512, 512), mean 0, variance 1, with wavelengths of 1/16 to 1/4 of its side."""
    white = np.random.default_rng(512).standard_normal((TILE, TILE))
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None]) * TILE
    band = np.where((frequency >= 4) & (frequency <= 16), 1 / np.maximum(frequency, 1), 0)
    tile = np.fft.irfft2(np.fft.rfft2(white) * band, (TILE, TILE))
    return (tile / tile.std()).astype(np.float32)


def noise(u, v, octaves: int = 3, footprint=0.0, roughness: float = 0.5) -> np.ndarray:
    """Sum noise octaves, each 3 times finer and rotated by 37 degrees; octaves finer than a pixel fade out.

    Args:
        u, v: coordinates that broadcast together; 1 is a period of the coarsest octave.
        octaves: how many.
        footprint: size of a pixel in the unit of u and v; scalar or array.
        roughness: amplitude of an octave relative to the one before.

    Example:
        >>> flat = noise(np.linspace(0, 9, 50), np.zeros(50), footprint=1e3)
        >>> bool(np.abs(flat).max() < 1e-3)
        True
    """
    tile, total, amplitude, frequency = noise_tile(), 0.0, 1.0, 1.0
    for _ in range(octaves):
        texel = tile[(v * (frequency * TILE)).astype(np.int32) % TILE, (u * (frequency * TILE)).astype(np.int32) % TILE]
        total = total + texel * (amplitude / (1 + (footprint * (8 * frequency)) ** 2))
        u, v = 0.8 * u - 0.6 * v + 0.37, 0.6 * u + 0.8 * v + 0.61
        amplitude, frequency = amplitude * roughness, frequency * 3
    return total


def soft(distance, footprint) -> np.ndarray:
    """Turn a signed distance (positive inside) into a coverage in [0, 1]: an edge one pixel wide."""
    return np.clip(distance / footprint + 0.5, 0, 1)


def mix(a, b, fraction) -> np.ndarray:
    """Return a (1 - fraction) + b fraction for colours a, b (3,) or (h, w, 3) and a fraction (h, w)."""
    fraction = np.asarray(fraction, np.float32)[..., None]
    return a * (1 - fraction) + b * fraction


def vary(field) -> np.ndarray:
    """Turn texture (h, w) around 0 into a positive factor (h, w, 1) around 1."""
    return np.exp(field)[..., None]


@dataclass
class Light:
    """Sun and sky: the direction to the sun (right, up, forward) and two colours in linear light."""

    direction: np.ndarray
    sun: np.ndarray
    ambient: np.ndarray

    def on(self, right: float = 0.0, up: float = 0.0, forward: float = 0.0) -> np.ndarray:
        """Return the light (3,) that falls on a surface with this normal."""
        lambert = max(0.0, float(self.direction @ np.array([right, up, forward])))
        return self.ambient * (0.75 + 0.25 * up) + self.sun * lambert


def draw_light(rng: np.random.Generator) -> tuple[Light, dict]:
    """Draw the lighting at random: sun, ambient light, sky colours and clouds."""
    mood = rng.choice(list(MOODS), p=[m[0] for m in MOODS.values()])
    _, colors, strength, glow, cover, edge = MOODS[str(mood)]
    horizon, zenith, cloud, sun, ambient = (linear(c) for c in colors.split())
    turn, lift = rng.uniform(-np.pi, np.pi), rng.uniform(0.25, 0.95)
    level = np.sqrt(1 - lift**2)
    direction = np.array([level * np.sin(turn), lift, level * np.cos(turn)], np.float32)
    sky = {"horizon": horizon * 2.2, "zenith": zenith * 2.4, "cloud": cloud * 2.9}
    sky |= {"cover": rng.uniform(*cover), "edge": rng.uniform(*edge), "scale": rng.uniform(0.5, 1.6)}
    return Light(direction, sun * strength, ambient * glow), sky


class Canvas:
    """An image in linear light with a depth buffer: the distance of each pixel along z, in metres."""

    def __init__(self, size: tuple[int, int], focal: float, horizon: float, height: float, light: Light):
        """Set up a camera: focal length in units of the long side, horizon in image heights, height in metres."""
        rows, columns = size
        self.pixel = 1 / (focal * max(size))
        self.x = ((np.arange(columns, dtype=np.float32) + 0.5 - columns / 2) * self.pixel)[None]
        self.y = ((np.arange(rows, dtype=np.float32) + 0.5 - horizon * rows) * self.pixel)[:, None]
        self.color = np.zeros((rows, columns, 3), np.float32)
        self.z = np.full((rows, columns), np.inf, np.float32)
        self.height, self.light = height, light

    def box(self, left: float, right: float, low: float, high: float, z: float):
        """Return the pixel slices of a rectangle (metres) at distance z, or None if it is outside the image."""
        columns = np.searchsorted(self.x[0], np.array([left, right]) / z + np.array([-1, 1]) * self.pixel)
        rows = np.searchsorted(self.y[:, 0], (self.height - np.array([high, low])) / z + np.array([-1, 1]) * self.pixel)
        empty = columns[0] >= columns[1] or rows[0] >= rows[1]
        return None if empty else (slice(*map(int, rows)), slice(*map(int, columns)))

    def paint(self, where, color, coverage, z) -> None:
        """Blend a colour into the pixels `where` by its coverage, except where a nearer surface hides it."""
        behind = self.z[where]
        coverage = np.where(z <= behind, coverage, 0)
        self.color[where] = mix(self.color[where], color, coverage)
        self.z[where] = np.where(coverage > 0.5, z, behind)


def draw_sky(
    canvas: Canvas, horizon, zenith, cloud, cover: float, edge: float, scale: float, offset: np.ndarray
) -> None:
    """Paint a gradient from horizon to zenith with clouds on a far plane; the distance stays infinite.

    Args:
        canvas: the image to draw into.
        horizon, zenith, cloud: colours (3,).
        cover: cloud cover; -1.5 few clouds, 0 half, 1.5 overcast.
        edge: width of the clouds' edges; 0.4 sharp, 2 diffuse.
        scale: size of the clouds; about 1.
        offset: (2,) position in the noise tile.
    """
    height = np.maximum(-canvas.y, 0.0)
    sky = mix(horizon, zenith, 1 - np.exp(-3.5 * height))
    far = 0.16 / (height + 0.22) / scale
    u, v = canvas.x * far + offset[0], far * 1.3 + offset[1]
    density = noise(u, v, 5, roughness=0.52)
    thick = np.clip((density + cover) / edge, 0, 1)
    fraction = thick * thick * (3 - 2 * thick) * np.clip(height * 10, 0, 1)
    lit = density - noise(u + 0.012 * np.sign(canvas.light.direction[0]), v + 0.02, 4, roughness=0.52)
    shade = vary(np.clip(0.16 * lit - 0.07 * np.clip(density + cover - edge, 0, 4), -0.5, 0.2))
    canvas.color[:] = mix(sky + 0 * canvas.x[..., None], cloud * shade, fraction * 0.96)


def draw_ridge(canvas: Canvas, z: float, height: float, rugged: float, low, high, offset: np.ndarray) -> None:
    """Paint hills that start at distance z and recede by z / 2 up to their crest; colours low to high."""
    u = canvas.x * (z / height) * 0.06 + offset[0]
    crest = height * np.clip(0.55 + 0.22 * noise(u * 0.4, u * 0 + offset[1], 6, roughness=rugged), 0.04, 1.6)
    where = canvas.box(-1e9, 1e9, -9 * canvas.height, float(crest.max()) * 1.2, z)
    if where is None:
        return
    up = canvas.height - canvas.y[where[0]] * z
    fraction = np.clip(up / crest, 0, 1)
    distance = z * (1 + 0.5 * fraction)
    v, foot = up / height * 0.15 + 0.3 * fraction + offset[1], canvas.pixel * z / height * 0.06
    relief = -np.abs(noise(u, v, 5, foot, 0.5))
    slope = relief + np.abs(noise(u + 0.01 * np.sign(canvas.light.direction[0]), v + 0.008, 5, foot, 0.5))
    grain = noise(u * 12, v * 12, 3, foot * 6, 0.9)
    lambert = np.clip(0.5 + 0.6 * slope + 0.1 * grain, 0.06, 1.3)[..., None]
    albedo = mix(low, high, np.clip(fraction * 1.3 - 0.2 + 0.3 * relief + 0.1 * grain, 0, 1))
    color = albedo * vary(0.15 * grain) * (canvas.light.ambient + canvas.light.sun * lambert * 0.8)
    canvas.paint(where, color, soft(crest - up, canvas.pixel * z), distance)


def draw_ground(canvas: Canvas, first, second, contrast: float, far: float, waves: float, offset: np.ndarray) -> None:
    """Paint the ground plane z = height / y up to `far`, with patches of a second colour and waves."""
    below = canvas.y[:, 0] > canvas.height / far
    if not below.any():
        return
    where = (slice(int(np.argmax(below)), None), slice(None))
    z = canvas.height / canvas.y[where[0]]
    side, foot = canvas.x * z, canvas.pixel * z * np.sqrt(z / canvas.height)
    u, v = side / 60 + offset[0], z / 60 + offset[1]
    patches = noise(u, v, 3, foot / 60, 0.7)
    detail = noise(u * 11, v * 11, 4, foot / 5.5, 0.85)
    furrows = waves * np.sin((side * 0.8 + z * 0.6 + patches) * 9) / (1 + (foot * 9) ** 2)
    albedo = mix(first, second, np.clip(0.5 + 0.35 * patches + 0.12 * detail, 0, 1))
    tone = contrast * (0.5 * detail + 0.2 * patches) + furrows
    canvas.color[where] = albedo * vary(tone) * canvas.light.on(up=1)
    canvas.z[where] = z


def draw_road(canvas: Canvas, middle: float, width: float, far: float, kerb, offset: np.ndarray) -> None:
    """Paint an asphalt road along z with lane markings, and pavements if `kerb` is a colour."""
    where = canvas.box(-1e9, 1e9, -1e9, 0, far)
    if where is None:
        return
    z = canvas.height / np.maximum(canvas.y[where[0]], canvas.height / far)
    side = canvas.x * z - middle
    foot, long_foot = canvas.pixel * z, canvas.pixel * z * z / canvas.height
    detail = noise(side / 2 + offset[0], z / 4 + offset[1], 4, foot, 0.9)
    wear = noise(side / 9 + offset[1], z / 300 + offset[0], 2, foot / 9)
    asphalt = linear("6f6d6b") * vary(0.08 * detail + 0.08 * wear) * canvas.light.on(up=1)
    dash = np.clip(0.5 + 6 * np.sin(z * 0.7) / (1 + long_foot), 0, 1)
    lines = soft(0.08 - np.abs(side), foot) * dash + soft(0.09 - np.abs(np.abs(side) - width / 2 + 0.4), foot)
    fraction = np.clip(lines, 0, 1) * np.clip(0.10 / foot, 0, 1) * np.clip(0.75 + 0.2 * detail, 0, 1)
    asphalt = mix(asphalt, linear("e4e2da") * canvas.light.on(up=1), fraction)
    if kerb is not None:
        walk = np.abs(np.abs(side) - width / 2 - 1.5)
        slabs = soft(np.abs(side % 0.8 - 0.4) - 0.03, foot) * soft(np.abs(z % 0.8 - 0.4) - 0.03, long_foot)
        pavement = kerb * vary(0.15 * slabs + 0.05 * detail - 0.2) * canvas.light.on(up=1)
        canvas.color[where] = mix(canvas.color[where], pavement, soft(1.5 - walk, foot))
    canvas.color[where] = mix(canvas.color[where], asphalt, soft(width / 2 - np.abs(side), foot))


def draw_shadow(canvas: Canvas, x: float, z: float, radius: float, length: float, strength: float = 0.6) -> None:
    """Darken the ground beside the foot of an object, away from the sun."""
    sun = canvas.light.direction
    where = canvas.box(x - radius - length, x + radius + length, -1e9, 0, max(z - radius - length, 0.5))
    if where is None:
        return
    ground = canvas.height / np.maximum(canvas.y[where[0]], 1e-4)
    across, along = (
        canvas.x[:, where[1]] * ground - x + 0.5 * length * sun[0],
        ground - z + 0.5 * length * sun[2],
    )
    reach = np.hypot(sun[0], sun[2]) + 1e-6
    a = (across * sun[0] + along * sun[2]) / reach / (radius + 0.5 * length * reach)
    b = (across * sun[2] - along * sun[0]) / reach / radius
    fraction = np.clip(1.4 - 1.2 * (a * a + b * b), 0, 1) * strength
    fraction = np.where(np.abs(canvas.z[where] - ground) < 0.01 * ground, fraction, 0)
    canvas.color[where] *= 1 - fraction[..., None] * np.array([1.0, 0.97, 0.9], np.float32)


def develop(rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """Turn linear light (H, W, 3) into an sRGB photo: exposure, tone curve, black and white point, grain."""
    luminance = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    exposed = light * (rng.uniform(0.14, 0.24) / np.exp(np.log(luminance + 1e-3).mean()))
    white = max(1.2, float(np.percentile(exposed, 99.5)))
    toned = (exposed * (1 + exposed / white**2) / (1 + exposed)).clip(0, 1) ** (1 / 2.2)
    black, top = (float(v) for v in np.percentile(toned, [1, 99]))
    black, top = min(rng.uniform(0.6, 0.95) * black, 0.12), min(top / rng.uniform(0.85, 1.0), 1.0)
    grain = rng.standard_normal((*luminance.shape, 1)).astype(np.float32) * 0.006
    return ((toned - black) / (top - black) + grain).clip(0, 1)
