"""Procedural outdoor scenes with exact depth: five kinds of place, composed from a seed."""

from collections.abc import Iterator

import numpy as np
import sprites
import terrain
from terrain import Canvas, linear

KINDS = ("street", "road", "field", "desert", "town")
LEAVES = ("5f7a35", "4d6b2f", "7c8a3e", "3f5a33", "8b7a35", "6a8446")
CARS = ("b9bcbf", "2b2d30", "e8e8e6", "7d1d1b", "27446b", "8d8a80", "5c6a58", "c2a34a")
CLOTHES = ("2f3d5c", "7b2d2a", "c9c4b8", "3d4a35", "1f2023", "8c7a5e", "b5894a", "5a6f86")
KERBS = ("a8a297", "b5a999", "8f8d88")
WILD_HILLS = (("4d6136", "6f7350"), ("3f5233", "7d7a68"), ("6f7a45", "93895f"), ("54604a", "a09a90"))
WILD_GROUND = (("6b8040", "8d8a4c"), ("5d7638", "76803f"), ("a39a58", "7f7f45"), ("8a7a55", "6f7a42"))
HILLS = {
    "desert": (("a8875f", "8f7152"), ("c3a27c", "b4967a"), ("8a7a6a", "a59682")),
    "street": (("5b6a45", "77785f"), ("6d7357", "8a8570")),
}
GROUND = {
    "desert": (("d2b78e", "b8976c"), ("dcc59e", "c4a67c"), ("c09a72", "a98662"), ("b9ab94", "a3937a")),
    "street": (("8d8775", "6f7a4a"), ("94907f", "7e7865"), ("6d7d45", "8a8463")),
    "town": (("8f8b80", "a19c90"), ("7a8450", "94886a"), ("a09078", "86795f")),
}


def pick(rng: np.random.Generator, options):
    """Draw one of the options."""
    return options[rng.integers(len(options))]


def build_canvas(rng: np.random.Generator, kind: str, size: tuple[int, int]) -> Canvas:
    """Draw the sky, hills and ground of a scene, seen by a random camera."""
    light, sky = terrain.draw_light(rng)
    height = rng.uniform(*{"street": (1.5, 4), "town": (2, 22)}.get(kind, (1.5, 7)))
    canvas = Canvas(size, rng.uniform(0.75, 1.25), rng.uniform(0.36, 0.6), height, light)
    terrain.draw_sky(canvas, **sky, offset=rng.random(2))
    low, high = (linear(c) for c in pick(rng, HILLS.get(kind, WILD_HILLS)))
    far = rng.uniform(400, 1500)
    for fraction in [*np.sort(rng.uniform(1.5, 8.0, rng.integers(0, 4)))[::-1], 1.0]:
        z = far * fraction
        height = z * rng.uniform(0.03, 0.2) * (0.4 if fraction == 1 else 1)
        haze, veil = np.exp(-z / 9000), (1 - np.exp(-z / 9000)) * 0.6 * sky["horizon"]
        colors = low * haze + veil, high * haze + veil
        terrain.draw_ridge(canvas, z, height, rng.uniform(0.25, 0.45), *colors, rng.random(2))
    first, second = (linear(c) for c in pick(rng, GROUND.get(kind, WILD_GROUND)))
    waves = rng.uniform(0.05, 0.16) * (kind in ("desert", "field")) * rng.integers(2)
    terrain.draw_ground(canvas, first, second, rng.uniform(0.25, 0.5), far, waves, rng.random(2))
    return canvas


def line_street(rng, middle: float, half: float, leaf) -> Iterator[tuple]:
    """Yield houses, trees and street lamps along both sides of a street of half-width `half`, in metres."""
    for side in (-1, 1):
        z, setback = rng.uniform(4, 14), half + rng.uniform(3.2, 7)
        while z < 220:
            deep, wall, tall = rng.uniform(8, 24), side * (setback + rng.uniform(0, 2)), rng.uniform(5, 26)
            span = tuple(sorted((middle + wall, middle + wall + side * 20)))
            yield z, sprites.draw_building, span, (z, z + deep), tall, sprites.building_style(rng)
            z += deep + (rng.uniform(2, 12) if rng.random() < 0.4 else 0.3)
        for z in rng.uniform(8, 90, rng.integers(1, 6)):
            x = middle + side * (half + rng.uniform(1.2, 2.4))
            yield z, sprites.draw_tree, x, z, rng.uniform(4, 9), "broad", leaf, rng.random(20)
        for z in np.arange(rng.uniform(8, 20), 130, 24):
            yield z, sprites.draw_pole, middle + side * (half + 0.5), z, 7.0, -side * 1.8, linear("55585a")


def drive_cars(rng, middle: float, half: float) -> Iterator[tuple]:
    """Yield cars in both lanes and parked at the kerb."""
    for z in rng.uniform(9, 110, rng.integers(1, 8)):
        lane = rng.choice([-0.5, 0.5, -0.5, 0.5, -0.82, 0.82])
        yield z, sprites.draw_car, middle + lane * half, z, linear(pick(rng, CARS)), bool(lane > 0)


def raise_masts(rng, middle: float, half: float) -> Iterator[tuple]:
    """Yield utility poles along one side of a country road."""
    side = rng.choice([-1, 1])
    for z in np.arange(rng.uniform(10, 25), 350, 32):
        yield z, sprites.draw_pole, middle + side * (half + 2), z, 8.5, side * 0.9, linear("5c5048")


def build_town(rng) -> Iterator[tuple]:
    """Yield rows of houses across the view; distant rows are taller."""
    for z in np.cumsum(rng.uniform(18, 60, rng.integers(2, 6))) + 14:
        x, tall = rng.uniform(-1.0, -0.6) * z, rng.uniform(5, 12) * (1 + z / 120 * rng.random())
        while x < 0.8 * z:
            wide, high, deep = rng.uniform(8, 24), tall * rng.uniform(0.6, 1.5), rng.uniform(8, 14)
            roof = rng.uniform(2, 4) if high < 12 and rng.random() < 0.6 else 0.0
            yield (
                z,
                sprites.draw_building,
                (x, x + wide),
                (z, z + deep),
                high,
                sprites.building_style(rng),
                roof,
            )
            x += wide + (rng.uniform(3, 20) if rng.random() < 0.4 else 0.2)


def walk_people(rng, middle: float, half: float) -> Iterator[tuple]:
    """Yield people on the pavements, or anywhere if there is no road (`half` is 0)."""
    for z in rng.uniform(7, 60, rng.integers(1, 8)):
        x = middle + rng.choice([-1, 1]) * (half + rng.uniform(0.5, 2.5)) if half else rng.uniform(-0.5, 0.5) * z
        colors = [linear(pick(rng, CLOTHES)) for _ in range(2)]
        yield z, sprites.draw_person, x, z, rng.uniform(1.55, 1.85), *colors, rng.uniform(0, 0.6)


def plant_trees(rng, half: float, leaves: list) -> Iterator[tuple]:
    """Yield trees and bushes beside a road, or anywhere."""
    for z in 13 * np.exp(rng.uniform(0, 3.2, rng.integers(8, 36))):
        x = rng.uniform(-0.65, 0.65) * z
        x = x if abs(x) > half + 3 else np.copysign(half + rng.uniform(3, 12), x)
        kind = str(rng.choice(["broad", "conifer", "bush"], p=[0.5, 0.25, 0.25]))
        tall = rng.uniform(1, 2.5) if kind == "bush" else rng.uniform(4, 13)
        yield z, sprites.draw_tree, x, z, tall, kind, pick(rng, leaves), rng.random(20)


def scatter_rocks(rng, stone) -> Iterator[tuple]:
    """Yield rocks and shrubs."""
    for z in 9 * np.exp(rng.uniform(0, 3.2, rng.integers(4, 24))):
        x, size = rng.uniform(-0.6, 0.6) * z, 0.3 * np.exp(rng.uniform(0, 2.2)) * min(1, z / 25)
        yield z, sprites.draw_rock, x, z, size, stone * rng.uniform(0.6, 1), rng.random(2)
    for z in 7 * np.exp(rng.uniform(0, 3.2, rng.integers(6, 30))):
        x, leaf = rng.uniform(-0.6, 0.6) * z, linear("7d7a4e") * rng.uniform(0.6, 1)
        yield z, sprites.draw_tree, x, z, rng.uniform(0.4, 1.3), "bush", leaf, rng.random(20)


def place_objects(rng: np.random.Generator, canvas: Canvas, kind: str) -> None:
    """Draw the road and the objects of a scene, the farthest first."""
    half, middle, objects = 0.0, 0.0, []
    leaves = [linear(c) * rng.uniform(0.6, 0.9) for c in rng.choice(LEAVES, 3)]
    if kind in ("street", "road"):
        half, middle = rng.uniform(3.2, 6.5), rng.uniform(-3, 3)
        kerb = linear(pick(rng, KERBS)) if kind == "street" else None
        terrain.draw_road(canvas, middle, 2 * half, 400, kerb, rng.random(2))
        objects += drive_cars(rng, middle, half)
    if kind == "street":
        objects += line_street(rng, middle, half, leaves[0])
    if kind == "road":
        objects += raise_masts(rng, middle, half)
    if kind == "town":
        objects += build_town(rng)
    if kind in ("street", "town"):
        objects += walk_people(rng, middle, half)
    if kind in ("road", "field", "town"):
        objects += plant_trees(rng, abs(middle) + half, leaves)
    if kind in ("desert", "field"):
        objects += scatter_rocks(rng, linear("9a7d60" if kind == "desert" else "8a867c"))
    for _, draw, *place in sorted(objects, key=lambda item: -item[0]):
        draw(canvas, *place)


def render_scene(seed: int, size: tuple[int, int] = (256, 384)) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw an outdoor scene and its exact depth.

    .. math:: d = n + (0.7 - n) \frac{r}{r + r_0}, \qquad d = 1 \text{ in the sky}

    r is the distance from the camera minus that of the nearest pixel, in metres. The depth n of the nearest pixel is
    drawn from [0, 0.05], and the distance r0, at which d is halfway to 0.7, from 30 to 90 m.

    Args:
        seed: number of the scene. The same seed gives the same scene at every size, apart from the grain.
        size: height and width; pixels, at least 16.

    Returns:
        clear (H, W, 3), sRGB in [0, 1], and depth (H, W): 0 near, below 0.7 on solid surfaces, 1 in the sky.
    """
    rng = np.random.default_rng([2024, seed])
    kind = KINDS[rng.integers(len(KINDS))]
    canvas = build_canvas(rng, kind, size)
    place_objects(rng, canvas, kind)
    distance = canvas.z * np.sqrt(1 + canvas.x**2 + canvas.y**2)  # metres along the ray
    distance, nearest, half = distance - distance.min(), rng.uniform(0, 0.05), rng.uniform(30, 90)
    solid = nearest + (0.7 - nearest) / (1 + half / np.maximum(distance, 1e-3))
    depth = np.where(np.isinf(distance), 1, solid).astype(np.float32)
    return terrain.develop(rng, canvas.color).astype(np.float32), depth
