"""Objects of a procedural scene: buildings, trees, rocks, cars, people and poles. Lengths are in metres."""

import numpy as np
from terrain import Canvas, draw_shadow, linear, mix, noise, soft, vary

WALLS = ("c9b79c", "b5654a", "d8cfc0", "a89a8a", "93735c", "d9c089", "8f969c", "bfb2a4", "cfa58a", "7d6a5d")


def stand(canvas: Canvas, x: float, z: float, width: float, height: float):
    """Return the pixels of an upright rectangle, s (from its middle), t (above ground) and the size of a pixel."""
    where = canvas.box(x - width / 2, x + width / 2, 0, height, z)
    if where is None:
        return None
    return where, canvas.x[:, where[1]] * z - x, canvas.height - canvas.y[where[0]] * z, canvas.pixel * z


def facade(s, t, foot, height: float, style: dict, light) -> np.ndarray:
    """Colour a wall (s along it, t above ground): windows, a shop floor, stains, a cornice."""
    bay, storey = style["bay"], style["storey"]
    column, row = np.floor(s / bay), np.floor((t - style["shop"]) / storey)
    chance = style["chances"][(column * 7 + row * 13).astype(np.int32) % 64]
    a, b = s - (column + 0.5) * bay, t - style["shop"] - (row + 0.45) * storey
    half, tall = bay * style["glass"] / 2, storey * 0.31
    frame = soft(half + 0.12 - np.abs(a), foot) * soft(tall + 0.12 - np.abs(b), foot)
    pane = soft(half - np.abs(a), foot) * soft(tall - np.abs(b), foot)
    pane = pane * (1 - 0.7 * soft(0.05 - np.abs(a), foot))
    inside = soft(height - 0.9 - t, foot) * soft(t - style["shop"] - 0.1, foot)
    glass = mix(
        linear("1c2328"),
        light.ambient * 0.55 + 0 * chance[..., None],
        np.clip(chance * 0.9 + 0.12 * b / tall, 0, 1),
    )
    rough = noise(s / 14 + style["shift"], t / 14, 4, foot / 14, 0.75)
    stain = noise(s / 3 + style["shift"], t / 40, 2, foot / 3)
    courses = style["brick"] * soft(0.03 - np.abs((t % 0.3) - 0.15), foot)
    wall = style["wall"] * vary(0.08 * rough + 0.05 * stain - 0.25 * courses)
    wall = mix(wall, style["trim"], 0.85 * soft(0.35 - np.abs(t - height + 0.35), foot))
    wall = mix(wall, style["trim"], 0.8 * frame * inside)
    front = soft(style["shop"] - 0.8 - t, foot) * soft(bay * 0.42 - np.abs(a), foot) * soft(t - 0.4, foot)
    wall = mix(wall, linear("2a2d2e") * (0.6 + chance[..., None]), 0.85 * front)
    sign = soft(0.35 - np.abs(t - style["shop"] + 0.4), foot) * (style["shop"] > 2)
    wall = mix(wall, style["sign"], 0.7 * sign * (style["chances"][column.astype(np.int32) % 64] > 0.25))
    return wall * (1 - 0.35 * np.exp(-np.maximum(t, 0) / 0.7))[..., None], glass, pane * inside


def building_style(rng: np.random.Generator) -> dict:
    """Draw the appearance of a building at random."""
    return {
        "wall": linear(WALLS[rng.integers(len(WALLS))]) * rng.uniform(0.7, 1.05),
        "trim": linear(["e6e1d6", "8d8478", "5b534b", "b9ac9a"][rng.integers(4)]),
        "sign": linear(["8c2f2a", "27567d", "c99b2f", "2f6b45", "e4dfd3"][rng.integers(5)]),
        "roof": linear(["8a4632", "6b5147", "5d6064", "a1603f"][rng.integers(4)]),
        "bay": rng.uniform(2.2, 4.0),
        "storey": rng.uniform(2.9, 3.7),
        "glass": rng.uniform(0.35, 0.68),  # fraction of the bay
        "shop": rng.choice([0.2, 4.0]),
        "brick": float(rng.random() < 0.4),
        "shift": rng.random(),
        "chances": rng.random(64).astype(np.float32) ** 1.6,
    }


def draw_building(canvas: Canvas, x: tuple, z: tuple, height: float, style: dict, roof: float = 0.0) -> None:
    """Paint a box, x and z its (least, greatest): the wall that faces the axis, the front, a pitched roof.

    The side wall lies in the plane x = const, so its distance at column u is const / u, exactly.
    """
    (left, right), (near, far), light = x, z, canvas.light
    plane = left if left > 0 else right
    if left > 0 or right < 0:
        depth = plane / np.where(canvas.x[0] == 0, 1e-6, canvas.x[0])
        columns = np.flatnonzero((depth >= near) & (depth <= far))
        where = canvas.box(-1e9, 1e9, 0, height, near)
        if len(columns) and where is not None:
            where = (where[0], slice(columns[0], columns[-1] + 1))
            depth = depth[None, where[1]]
            t, foot = canvas.height - canvas.y[where[0]] * depth, canvas.pixel * depth
            stretch = foot * np.maximum(1.0, depth / abs(plane))
            wall, glass, pane = facade(depth - near + 0 * t, t, stretch, height, style, light)
            color = mix(wall * light.on(right=-np.sign(plane)), glass, pane)
            canvas.paint(where, color, soft(height - t, foot) * soft(t, foot), depth + 0 * t)
    spot = stand(canvas, (left + right) / 2, near, right - left, height + roof)
    if spot is None:
        return
    where, s, t, foot = spot
    half = (right - left) / 2
    body = soft(half - np.abs(s), foot) * soft(np.minimum(height - t, t), foot)
    wall, glass, pane = facade(s + half + 0 * t, t + 0 * s, foot, height, style, light)
    canvas.paint(where, mix(wall * light.on(forward=-1), glass, pane), body, near + 0 * body)
    if roof > 0:
        rise = np.clip((t - height) / roof, 0, 1)
        slant = half + 0.3 - 0.25 * half * rise - np.abs(s)
        cover = soft(np.minimum(slant, np.minimum(height + roof - t, t - height)), foot)
        tiles = 0.14 * noise(s / 5, t / 2 + style["shift"], 3, foot / 4, 0.8)
        tiles = tiles + 0.18 * np.sin(t * 18) / (1 + (foot * 18) ** 2)
        color = style["roof"] * vary(tiles) * light.on(up=0.7, forward=-0.7)
        canvas.paint(where, color, cover, near + rise * (far - near) / 2 + 0 * s)


def draw_tree(canvas: Canvas, x: float, z: float, height: float, kind: str, leaf, seed: np.ndarray) -> None:
    """Paint a `broad` tree (clumps on a trunk), a `conifer` (a ragged cone) or a `bush` (low clumps)."""
    wide = {"broad": 1.0, "conifer": 0.5, "bush": 1.8}[kind] * height
    draw_shadow(canvas, x, z, wide * 0.4, height * 0.7)
    spot = stand(canvas, x, z, wide * 1.25, height * 1.1)
    if spot is None:
        return
    where, s, t, foot = spot
    light, unit = canvas.light, foot / height
    p, q = s / height, t / height
    rough = noise(p * 0.8 + seed[0], q * 0.8 + seed[1], 3, unit * 0.8, 0.6)
    leaves = noise(p * 4 + seed[1], q * 4 + seed[0], 3, unit * 4, 0.9)
    if kind == "broad":
        lean = np.abs(p + 0.015 * np.sin(6 * q + seed[0] * 6))
        trunk = soft(np.minimum(0.025 * (1.6 - q) - lean, np.minimum(0.6 - q, q)), unit)
        bark = 0.25 * noise(p * 6, q + seed[1], 3, unit * 6) + 6 * p * light.direction[0]
        color = linear("54453a") * vary(bark) * light.on(forward=-0.6, up=0.5)
        canvas.paint(where, color, trunk, z + 0 * trunk)
    if kind == "conifer":
        tier = (q * (7 + 4 * seed[2]) + 0.25 * rough + 0.5 * np.abs(p)) % 1
        reach = (0.21 + 0.02 * seed[3]) * (1 - q) * (1.15 - 0.5 * tier)
        field = np.where(q > 0.07, 12 * (reach - np.abs(p)) + 0.3 * leaves, -1)
        lobes = 0.62 - 0.4 * tier + 1.6 * p * light.direction[0]
    else:
        clumps = np.stack([seed[2:9] * 0.66 - 0.33, 0.46 + 0.40 * seed[9:16], 0.15 + 0.10 * seed[13:20]], 1)
        clumps = np.concatenate([[[0.0, 0.66, 0.29]], clumps])
        if kind == "bush":
            clumps = clumps * [2.0, 0.55, 1.5] - [0, 0.1, 0]
        field, lobes = np.full(np.broadcast_shapes(p.shape, q.shape), -9.0, np.float32), 0.5
        for a, b, radius in clumps.astype(np.float32):
            here = 1 - ((p - a) ** 2 + (q - b) ** 2) / radius**2
            toward = ((p - a) * light.direction[0] + (q - b) * 0.9) / radius
            lobes = np.where(here > field, 0.5 + 0.42 * toward, lobes)
            field = np.maximum(field, here)
        field = 2.4 * field + 0.55 * rough + 0.45 * leaves
    lit = np.clip(lobes + 0.20 * leaves + 0.10 * rough, 0.05, 1.3)[..., None]
    color = leaf * vary(0.15 * leaves) * (light.ambient * (0.3 + 0.6 * lit) + light.sun * 0.9 * lit**1.5)
    canvas.paint(where, color, np.clip(field / (0.4 + unit) + 0.5, 0, 1) * soft(t, foot), z + 0 * field)


def draw_rock(canvas: Canvas, x: float, z: float, size: float, stone, seed: np.ndarray) -> None:
    """Paint a boulder that sticks out of the ground."""
    draw_shadow(canvas, x, z, size * 0.7, size * 0.6, 0.75)
    spot = stand(canvas, x, z, size * 2, size)
    if spot is None:
        return
    where, s, t, foot = spot
    p, q, unit, turn = s / size, t / size, foot / size, canvas.light.direction[0]
    u, v = p * 0.14 + seed[0], q * 0.14 + seed[1]
    rough = noise(u, v, 5, unit * 0.14, 0.5)
    slope = rough - noise(u + 0.006 * np.sign(turn), v + 0.008, 5, unit * 0.14, 0.5)
    field = 1 - np.abs(p / 0.85) ** 2.5 - (q / (0.55 + 0.35 * seed[0])) ** 2 + 0.2 * rough
    lit = np.clip(0.25 + 0.55 * q + 0.5 * p * turn + 0.9 * slope, 0.05, 1.2)[..., None]
    grain = noise(p * 2 + seed[1], q * 2, 3, unit * 2, 0.9)
    color = (
        stone * vary(0.1 * rough + 0.12 * grain) * (canvas.light.ambient * (0.5 + 0.5 * lit) + canvas.light.sun * lit)
    )
    canvas.paint(where, color, soft(field * 0.4, unit) * soft(t, foot), z + 0 * field)


def draw_car(canvas: Canvas, x: float, z: float, paint, away: bool) -> None:
    """Paint a car seen from behind (`away`) or from the front; 1.8 m wide, 1.5 m high."""
    draw_shadow(canvas, x, z, 1.1, 1.0, 0.75)
    spot = stand(canvas, x, z, 2.2, 1.6)
    if spot is None:
        return
    where, s, t, foot = spot
    light, side = canvas.light, np.abs(s)
    tyres = soft(0.13 - np.abs(side - 0.72), foot) * soft(np.minimum(0.5 - t, t), foot)
    canvas.paint(where, np.full(3, 0.015, np.float32), tyres, z + 0 * tyres)
    body = soft(0.9 - side - np.maximum(t - 0.85, 0) * 0.45, foot) * soft(np.minimum(1.48 - t, t - 0.22), foot)
    sheen = np.clip(0.55 + 0.55 * np.clip((t - 0.3) / 0.7, 0, 1) - 0.35 * ((t > 0.28) & (t < 0.34)), 0.1, 1.2)
    color = paint * (sheen * (1 - 0.1 * side))[..., None] * light.on(forward=-0.8, up=0.6)
    glass = soft(0.70 - side - np.maximum(t - 0.95, 0) * 0.35, foot) * soft(np.minimum(1.38 - t, t - 0.92), foot)
    color = mix(color, light.ambient * (0.12 + 0.35 * np.clip(t - 0.9, 0, 1))[..., None], glass * 0.92)
    lamps = soft(0.14 - np.abs(side - 0.72), foot) * soft(0.08 - np.abs(t - 0.74), foot)
    color = mix(color, linear("b3231c") if away else linear("f4f1e4"), lamps * 0.9)
    plate = soft(0.26 - side, foot) * soft(0.06 - np.abs(t - 0.56), foot)
    bumper = soft(0.10 - np.abs(t - 0.34), foot) * soft(0.88 - side, foot)
    color = mix(mix(color, np.full(3, 0.03, np.float32), bumper * 0.7), np.full(3, 0.6, np.float32), plate * 0.9)
    canvas.paint(where, color, body, z + 0 * body)


def draw_person(canvas: Canvas, x: float, z: float, height: float, top, bottom, stride: float) -> None:
    """Paint a standing or walking person."""
    draw_shadow(canvas, x, z, 0.3, 0.9)
    spot = stand(canvas, x, z, height * 0.5, height)
    if spot is None:
        return
    where, s, t, foot = spot
    p, q, unit, light = s / height, t / height, foot / height, canvas.light
    round_light = np.clip(0.75 + 3 * p * light.direction[0], 0.3, 1.2)[..., None] * light.on(forward=-0.7, up=0.4)
    leg = np.minimum(0.05 - np.abs(np.abs(p) - 0.05 - stride * (0.5 - q) * 0.25), np.minimum(0.5 - q, q))
    arms = np.minimum(0.03 - np.abs(np.abs(p) - 0.125 - 0.05 * (0.8 - q)), np.minimum(0.80 - q, q - 0.46))
    trunk = np.minimum(0.115 + 0.06 * (q - 0.6) - np.abs(p), np.minimum(0.83 - q, q - 0.46))
    head = 0.062 - np.hypot(p, (q - 0.92) * 0.85)
    for shape, color in ((leg, bottom), (arms, top * 0.8), (trunk, top), (head, linear("b98868"))):
        folds = vary(0.1 * noise(p * 2 + x, q, 3, unit * 2, 0.8))
        canvas.paint(where, color * folds * round_light, soft(shape, unit), z + 0 * shape)
    hair = np.minimum(head + 0.006, q - 0.925)
    canvas.paint(where, linear("2c231d") * round_light, soft(hair, unit), z + 0 * hair)


def draw_pole(canvas: Canvas, x: float, z: float, height: float, arm: float, tint) -> None:
    """Paint a lamp post or mast: a pole with an arm of `arm` metres (positive: to the right)."""
    draw_shadow(canvas, x, z, 0.12, height * 0.5, 0.4)
    spot = stand(canvas, x, z, 0.4 + 2 * abs(arm), height + 0.2)
    if spot is None:
        return
    where, s, t, foot = spot
    mast = np.minimum(0.09 * (1.3 - 0.6 * t / height) - np.abs(s), np.minimum(height - t, t))
    bar = np.minimum(0.06 - np.abs(t - height + 0.1), np.minimum(s * np.sign(arm), abs(arm) - s * np.sign(arm)))
    lamp = np.minimum(0.10 - np.abs(t - height + 0.12), 0.35 - np.abs(s - arm * 0.85))
    shape = np.maximum(mast, np.maximum(bar, lamp))
    shine = np.clip(0.75 + 3 * s * canvas.light.direction[0], 0.4, 1.2)[..., None]
    canvas.paint(where, tint * shine * canvas.light.on(forward=-0.7, up=0.2), soft(shape, foot), z + 0 * shape)
