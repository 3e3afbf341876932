"""Clear outdoor scenes with exact depth, drawn from a seed, and photos that ship inside scikit-image.

They let everything run with neither network nor SSDIE_DATA.
"""

from collections.abc import Iterator

import numpy as np
import torch
from skimage import data as photos
from torch.nn.functional import interpolate

from ssdie.data import sprites, terrain
from ssdie.data.terrain import Canvas, linear
from ssdie.ops.images import resize

PHOTOS = {
    "train": ("motorcycle", "astronaut", "coffee", "rocket"),
    "val": ("chelsea",),
}  # in scikit-image's wheel
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
    """Draw camera, sky, hills and ground of a scene."""
    light, sky = terrain.draw_light(rng)
    height = rng.uniform(*{"street": (1.5, 4), "town": (2, 22)}.get(kind, (1.5, 7)))
    canvas = Canvas(size, rng.uniform(0.75, 1.25), rng.uniform(0.36, 0.6), height, light)
    terrain.draw_sky(canvas, **sky, offset=rng.random(2))
    low, high = (linear(c) for c in pick(rng, HILLS.get(kind, WILD_HILLS)))
    far = rng.uniform(400, 1500)
    for share in [*np.sort(rng.uniform(1.5, 8.0, rng.integers(0, 4)))[::-1], 1.0]:
        z = far * share
        height = z * rng.uniform(0.03, 0.2) * (0.4 if share == 1 else 1)
        haze, veil = np.exp(-z / 9000), (1 - np.exp(-z / 9000)) * 0.6 * sky["horizon"]
        colours = low * haze + veil, high * haze + veil
        terrain.draw_ridge(canvas, z, height, rng.uniform(0.25, 0.45), *colours, rng.random(2))
    first, second = (linear(c) for c in pick(rng, GROUND.get(kind, WILD_GROUND)))
    waves = rng.uniform(0.05, 0.16) * (kind in ("desert", "field")) * rng.integers(2)
    terrain.draw_ground(canvas, first, second, rng.uniform(0.25, 0.5), far, waves, rng.random(2))
    return canvas


def line_street(rng, middle: float, half: float, leaf) -> Iterator[tuple]:
    """Yield houses, trees and lamps along both sides of a street that is 2 `half` metres wide."""
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
    """Yield cars in both lanes and at the kerb."""
    for z in rng.uniform(9, 110, rng.integers(1, 8)):
        lane = rng.choice([-0.5, 0.5, -0.5, 0.5, -0.82, 0.82])
        yield z, sprites.draw_car, middle + lane * half, z, linear(pick(rng, CARS)), bool(lane > 0)


def raise_masts(rng, middle: float, half: float) -> Iterator[tuple]:
    """Yield the masts along one side of a country road."""
    side = rng.choice([-1, 1])
    for z in np.arange(rng.uniform(10, 25), 350, 32):
        yield z, sprites.draw_pole, middle + side * (half + 2), z, 8.5, side * 0.9, linear("5c5048")


def build_town(rng) -> Iterator[tuple]:
    """Yield rows of houses across the view, the farther the taller."""
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
    """Yield people on the pavements, or anywhere where there is no road (`half` is 0)."""
    for z in rng.uniform(7, 60, rng.integers(1, 8)):
        x = middle + rng.choice([-1, 1]) * (half + rng.uniform(0.5, 2.5)) if half else rng.uniform(-0.5, 0.5) * z
        colours = [linear(pick(rng, CLOTHES)) for _ in range(2)]
        yield z, sprites.draw_person, x, z, rng.uniform(1.55, 1.85), *colours, rng.uniform(0, 0.6)


def plant_trees(rng, half: float, leaves: list) -> Iterator[tuple]:
    """Yield trees and bushes of all kinds beside a road, or anywhere."""
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


def place_things(rng: np.random.Generator, canvas: Canvas, kind: str) -> None:
    """Draw the road and the things of a scene, far ones first."""
    half, middle, things = 0.0, 0.0, []
    leaves = [linear(c) * rng.uniform(0.6, 0.9) for c in rng.choice(LEAVES, 3)]
    if kind in ("street", "road"):
        half, middle = rng.uniform(3.2, 6.5), rng.uniform(-3, 3)
        kerb = linear(pick(rng, KERBS)) if kind == "street" else None
        terrain.draw_road(canvas, middle, 2 * half, 400, kerb, rng.random(2))
        things += drive_cars(rng, middle, half)
    if kind == "street":
        things += line_street(rng, middle, half, leaves[0])
    if kind == "road":
        things += raise_masts(rng, middle, half)
    if kind == "town":
        things += build_town(rng)
    if kind in ("street", "town"):
        things += walk_people(rng, middle, half)
    if kind in ("road", "field", "town"):
        things += plant_trees(rng, abs(middle) + half, leaves)
    if kind in ("desert", "field"):
        things += scatter_rocks(rng, linear("9a7d60" if kind == "desert" else "8a867c"))
    for _, draw, *place in sorted(things, key=lambda thing: -thing[0]):
        draw(canvas, *place)


def render_scene(seed: int, size: tuple[int, int] = (256, 384)) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw an outdoor scene and its exact depth d = n + (0.7 - n) r / (r + r0), d = 1 in the sky.

    r is the distance from the camera, less that of the nearest pixel; n, the depth of the nearest pixel, is
    drawn between 0 and 0.05; r0, at which d is half way, between 30 and 90 m. Far hills come near to 0.7.

    Args:
        seed: which scene; the same seed gives the same scene at any size, up to the pixels.
        size: height and width; pixels, at least 16.

    Returns:
        clear (3, H, W) RGB in [0, 1], depth (1, H, W): 0 near, below 0.7 on anything solid, 1 in the sky.

    Raises:
        ValueError: the size is too small.

    Example:
        >>> clear, depth = render_scene(3, (32, 48))
        >>> clear.shape, depth.shape, depth[0, 0].max().item()
        (torch.Size([3, 32, 48]), torch.Size([1, 32, 48]), 1.0)
    """
    if min(size) < 16:
        raise ValueError(f"size is {tuple(size)}; wanted are at least 16 x 16 pixels; ask for a larger scene.")
    rng = np.random.default_rng([2024, seed])
    kind = KINDS[rng.integers(len(KINDS))]
    canvas = build_canvas(rng, kind, size)
    place_things(rng, canvas, kind)
    distance = canvas.z * np.sqrt(1 + canvas.x**2 + canvas.y**2)  # metres along the ray
    distance, nearest, half = distance - distance.min(), rng.uniform(0, 0.05), rng.uniform(30, 90)
    solid = nearest + (0.7 - nearest) / (1 + half / np.maximum(distance, 1e-3))
    depth = np.where(np.isinf(distance), 1, solid).astype(np.float32)
    clear = terrain.develop(rng, canvas.colour).astype(np.float32)
    return torch.from_numpy(clear).permute(2, 0, 1).contiguous(), torch.from_numpy(depth)[None]


def read_photo(name: str, size: tuple[int, int] = (256, 384)) -> tuple[torch.Tensor, torch.Tensor]:
    """Read a photo that ships inside scikit-image, with a depth that is exact by construction.

    `motorcycle` has measured depth, z = f b / (disparity + offset), scaled to 0.04 .. 0.7. The others are
    taken as prints on a plane that leans away: 1/d is linear from the lowest row, 1/0.08, to the top, 1/0.6.

    Args:
        name: one of those in `PHOTOS`.
        size: height and width; pixels; the photo is cropped around its centre to this aspect.

    Returns:
        clear (3, H, W) RGB in [0, 1], depth (1, H, W) in [0, 1].

    Raises:
        ValueError: there is no such photo.

    Source: Scharstein et al., "High-resolution stereo datasets with subpixel-accurate ground truth", GCPR
        2014, for the motorcycle: f = 994.978 px, b = 193.001 mm, offset 31.086 px; holes take the value on
        their left.

    Example:
        >>> clear, depth = read_photo("coffee", (20, 30))
        >>> bool((depth[0, :-1] > depth[0, 1:]).all())
        True
    """
    known = [photo for split in PHOTOS.values() for photo in split]
    if name not in known:
        raise ValueError(f"name is {name!r}; wanted is one of {', '.join(known)}.")
    if name == "motorcycle":
        photo, _, disparity = photos.stereo_motorcycle()
        column = np.where(np.isfinite(disparity), np.arange(disparity.shape[1]), 0)
        disparity = np.take_along_axis(disparity, np.maximum.accumulate(column, axis=1), axis=1)
        z = 994.978 * 0.193001 / (np.where(np.isfinite(disparity), disparity, np.nanmin(disparity)) + 31.086)
        depth = 0.04 + 0.66 * (z - z.min()) / (z.max() - z.min())
    else:
        photo = getattr(photos, name)()
        depth = np.repeat(1 / np.linspace(1 / 0.6, 1 / 0.08, len(photo))[:, None], photo.shape[1], axis=1)
    height, width = photo.shape[:2]
    scale = min(height / size[0], width / size[1])
    rows, columns = round(size[0] * scale), round(size[1] * scale)
    top, left = (height - rows) // 2, (width - columns) // 2
    both = np.dstack([photo / 255, depth])[top : top + rows, left : left + columns]
    both = torch.from_numpy(both.astype(np.float32)).permute(2, 0, 1)[None]
    return resize(both[:, :3], size)[0], interpolate(both[:, 3:], size, mode="nearest-exact")[0]


def embedded_names(count: int, split: str = "train") -> list[str]:
    """Name the pictures of `embedded_sample`, without drawing them.

    Raises:
        ValueError: there is no such split.

    Example:
        >>> embedded_names(5, "val")
        ['scene_100000', 'scene_100001', 'scene_100002', 'scene_100003', 'photo_chelsea']
    """
    if split not in PHOTOS:
        raise ValueError(f"split is {split!r}; wanted is one of {', '.join(PHOTOS)}.")
    names, left, seed = [], list(PHOTOS[split]), {"train": 0, "val": 100_000}[split]
    for index in range(count):
        if index % 5 == 4 and left:
            names.append(f"photo_{left.pop(0)}")
        else:
            names.append(f"scene_{seed:06d}")
            seed += 1
    return names


def draw_embedded(name: str, size: tuple[int, int] = (256, 384)) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw or read the picture that `embedded_names` calls so: clear (3, H, W), depth (1, H, W)."""
    kind, _, which = name.partition("_")
    return render_scene(int(which), size) if kind == "scene" else read_photo(which, size)


def embedded_sample(
    count: int, split: str = "train", size: tuple[int, int] = (256, 384)
) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Give the pictures that need no network; every fifth is a photo until the photos are used up.

    Args:
        count: how many pictures.
        split: `train` or `val`; they share no scene and no photo.
        size: height and width; pixels.

    Returns:
        (name, clear (3, H, W), depth (1, H, W)) in a fixed order; a longer sample starts with the shorter.

    Raises:
        ValueError: there is no such split.

    Example:
        >>> [name for name, clear, depth in embedded_sample(2, "train", (16, 24))]
        ['scene_000000', 'scene_000001']
    """
    return [(name, *draw_embedded(name, size)) for name in embedded_names(count, split)]
