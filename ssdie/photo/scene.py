"""Finding the scene in a photo, and enhancing only that: without bars, borders, transparent margins, flat pictures.

Grey photos stored as RGB, toned photos (sepia) and panoramas are handled here too.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from ssdie.photo.color import as_depth, as_float

LEVEL = 1 / 255
# Bars. Values are in [0, 1]; LEVEL is one 8-bit level.
BLACK, DARK, WHITE = 4 * LEVEL, 24 * LEVEL, 250 * LEVEL  # a bar is black or dark below, white above these values
LOOSE, STRICT = 6 * LEVEL, 1.5 * LEVEL  # largest mean deviation in a row of a bar: dark and white bars; other colours
EDGES = {"black": 0.0, "dark": 4 * LEVEL, "other": 12 * LEVEL}  # smallest difference between a bar and the scene
FEWEST = {"black": 2, "dark": 2, "other": 4}  # smallest number of rows of a bar
RINGING, RINGED = 16, 24 * LEVEL  # JPEG ringing beside the scene: largest number of rows, largest deviation
SOFT, SOFT_STEP = 2, 12 * LEVEL  # soft edge of a bar: largest number of rows, smallest step between them
OUTLIERS = 0.02  # fraction of a bar's row that may deviate by more than `RINGED`
LARGEST_BARS = 0.8  # fraction of a side that bars may cover
# Captions in bars: largest height, fraction of the side; largest part of a row; clear part of a row at each end.
CAPTION, WRITTEN, INSET = 0.12, 0.8, 0.015
# Flat pictures: the weight of the enhancement rises from 0 to 1 between the two values of each pair.
FLAT, LIVELY = 3 * LEVEL, 6 * LEVEL  # standard deviation of the values
PLAIN, MIXED = 0.85, 0.7  # fraction of the pixels that have the median colour
LUMA = np.array((0.299, 0.587, 0.114), np.float32)  # ITU-R BT.601, as in JPEG
SIDE = 256  # longer side of the copy for statistics, pixels
# Toned photos.
BLOCK, BLOCKS = 8, 128  # side of a block, pixels; largest number of blocks along a side
# Largest distances from the tone curve, of blocks and of means of GROUP x GROUP blocks, over which the noise of JPEG
# averages out; in dusty photos at least 3.7 and 2.6 levels.
TONED, TONED_GROUP, GROUP, GROUPS = 2 * LEVEL, 2.2 * LEVEL, 3, 60
COLORED = 0.01  # fraction of a grey photo's pixels that may have a colour, such as those of a caption
PALE = 0.55  # smallest ratio of the channels in the brightest tone
WRAP = 0.25  # fraction of a panorama's width that is repeated at each side

Enhance = Callable[[np.ndarray], np.ndarray]


def find_scene(pixels: np.ndarray, alpha: np.ndarray | None = None) -> tuple[slice, slice]:
    """Return the rows and columns of the scene: inside bars and borders of one colour, and inside transparent margins.

    Args:
        pixels: (H, W) or (H, W, 3), uint8, uint16 or float in [0, 1].
        alpha: (H, W), or None.

    Example:
        >>> picture = np.zeros((40, 60), np.uint8)
        >>> picture[10:30] = np.arange(60, 120)
        >>> find_scene(picture)
        (slice(10, 30, None), slice(0, 60, None))
    """
    height, width = pixels.shape[:2]
    top, bottom, left, right = 0, height, 0, width
    if alpha is not None and (seen := alpha > 0).any():
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        if not seen[top:bottom, left:right].all():  # hidden colours could be taken for bars
            return slice(int(top), int(bottom)), slice(int(left), int(right))
    for _ in range(2):  # bars at the sides may be visible only after those above and below are removed
        inner = pixels[top:bottom, left:right]
        start, end = _bars(inner)
        top, bottom = top + start, bottom - end
        inner = pixels[top:bottom, left:right]
        start, end = _bars(inner.swapaxes(0, 1))
        left, right = left + start, right - end
    if (bottom - top) < (1 - LARGEST_BARS) * height or (right - left) < (1 - LARGEST_BARS) * width:
        return slice(0, height), slice(0, width)
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _bars(pixels: np.ndarray) -> tuple[int, int]:
    """Number of rows of the bars at the start and at the end."""
    start, end = _bar(pixels), _bar(pixels[::-1])
    return (start, end) if start + end < len(pixels) else (0, 0)  # two areas that meet are a drawing, not bars


def _bar(pixels: np.ndarray) -> int:
    """Number of rows at the start that have the colour of the first one, up to a sharp edge."""
    color = np.quantile(as_float(pixels[0]), 0.5, axis=0)  # np.median would import numpy.ma
    plain = color.max() <= DARK or color.min() >= WHITE
    kind = "black" if color.max() <= BLACK else "dark" if color.max() <= DARK else "other"
    n = 0
    for row, values in enumerate(pixels):
        distance = np.abs(as_float(values) - color)
        if distance.mean() <= (LOOSE if plain else STRICT) and (distance > RINGED).mean() <= OUTLIERS:
            n = row + 1
        elif not (plain and n and row - n < CAPTION * len(pixels) and _is_caption(distance)):
            break
    else:
        return 0  # the whole picture has one colour
    if n < FEWEST[kind]:
        return 0
    means = np.array([np.abs(as_float(row) - color).mean() for row in pixels[n - 1 : n + RINGING + 1]])
    near = np.flatnonzero(means[1:] > RINGED)  # rows that deviate more than ringing does are part of the scene
    last = near[0] if len(near) else 0
    n += int(np.diff(means)[: last + 1].argmax())  # the largest step is where the scene begins
    for _ in range(SOFT):  # rows of a soft edge mix bar and scene; they would distort the correction
        here, there = (np.abs(as_float(row) - color).mean() for row in pixels[[n, min(n + 1, len(pixels) - 1)]])
        n += int(there - here > SOFT_STEP and here < 0.75 * there)
    beside = np.abs(as_float(pixels[n : n + 4]) - color).mean()
    return n if beside >= EDGES[kind] else 0


def _is_caption(distance: np.ndarray) -> bool:
    """Return whether a row, given as distances (W,) or (W, 3) from the colour of a bar, may belong to a caption."""
    written = (distance > RINGED) if distance.ndim == 1 else (distance > RINGED).any(axis=1)
    inset = max(1, round(INSET * len(written)))
    return bool(written.mean() <= WRITTEN and not written[:inset].any() and not written[-inset:].any())


def repair_weight(pixels: np.ndarray, seen: np.ndarray | None = None) -> float:
    """Return the weight of the enhancement: 0 for flat pictures and pages of one colour, 1 for photos, and between.

    Args:
        pixels: (H, W) or (H, W, 3), uint8, uint16 or float in [0, 1].
        seen: mask (H, W) of the pixels to consider; None considers all.

    Example:
        >>> repair_weight(np.full((30, 40, 3), 128, np.uint8))
        0.0
    """
    step = max(1, max(pixels.shape[:2]) // SIDE)
    values = as_float(pixels[::step, ::step])
    values = values.reshape(values.shape[0] * values.shape[1], -1)
    if seen is not None:
        values = values[seen[::step, ::step].ravel()]
    if not len(values):
        return 0.0
    spread = np.sqrt(values.var(axis=0).mean())
    middle = np.quantile(values, 0.5, axis=0)
    plain = (np.abs(values - middle).max(axis=1) <= 2 * LEVEL).mean()
    lively = np.clip((spread - FLAT) / (LIVELY - FLAT), 0, 1)
    return float(lively * np.clip((PLAIN - plain) / (PLAIN - MIXED), 0, 1))


def is_gray(pixels: np.ndarray) -> bool:
    """Return whether a picture is grey: its channels differ by at most 2 of 255 levels, except in a few pixels."""
    if pixels.ndim == 2:
        return True
    limit = 2 * LEVEL * (np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1)
    colored, most = 0, COLORED * pixels.shape[0] * pixels.shape[1]
    for start in range(0, len(pixels), 256):
        red, green, blue = np.moveaxis(pixels[start : start + 256], 2, 0)
        spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
        colored += np.count_nonzero(spread > limit)  # np.ptp over three values takes ten times as long
        if colored > most:
            return False
    return True


Tone = tuple[np.ndarray, np.ndarray]


def find_tone(pixels: np.ndarray) -> Tone | None:
    """Find the tone curve of a toned grey photo (sepia), in which each level of luma has one colour.

    Means of blocks are compared, since JPEG stores chroma at half the resolution, and coarsely.

    Returns:
        Levels (n,) of luma and the offsets (n, 3) of the colour from them, in [0, 1]; None if the photo is not toned.
    """
    height, width = pixels.shape[:2]
    columns = np.arange(0, width - BLOCK + 1, max(BLOCK, width // BLOCKS))
    means = []
    for top in range(0, height - BLOCK + 1, max(BLOCK, height // BLOCKS)):
        sums = np.cumsum(as_float(pixels[top : top + BLOCK]).mean(axis=0), axis=0, dtype=np.float64)
        sums = np.concatenate((np.zeros((1, 3)), sums))
        means.append((sums[columns + BLOCK] - sums[columns]) / BLOCK)
    if len(means) * len(columns) < 100:
        return None
    grid, colors = (len(means), len(columns)), np.concatenate(means)
    luma = colors @ LUMA
    bins = np.minimum((luma * 64).astype(int), 63)
    count = np.bincount(bins, minlength=64)
    used = count > 0
    levels = np.bincount(bins, luma, 64)[used] / count[used]
    offsets = np.stack([np.bincount(bins, c - luma, 64)[used] / count[used] for c in colors.T], axis=1)
    brightest = levels[-1] + offsets[-1]
    if brightest.min() < PALE * brightest.max():
        return None  # in opaque dust each level has one colour too, but a more saturated one
    away = colors - luma[:, None] - _offsets(luma, (levels, offsets))
    if _largest(away) <= TONED:
        return levels, offsets
    rows, columns = grid[0] // GROUP, grid[1] // GROUP
    away = away.reshape(*grid, 3)[: rows * GROUP, : columns * GROUP].reshape(rows, GROUP, columns, GROUP, 3)
    toned = rows * columns >= GROUPS and _largest(away.mean(axis=(1, 3)).reshape(-1, 3)) <= TONED_GROUP
    return (levels, offsets) if toned else None


def _largest(away: np.ndarray) -> float:
    """Return the largest value but for outliers, of distances (n, 3)."""
    return np.quantile(np.abs(away).max(axis=1), 0.99)


def _offsets(luma: np.ndarray, tone: Tone) -> np.ndarray:
    """Interpolate the offsets of the colour at each luma; those of black are 0."""
    levels, offsets = tone
    return np.stack([np.interp(luma, [0, *levels], [0, *channel]) for channel in offsets.T], axis=-1)


def _enhance_toned(pixels: np.ndarray, tone: Tone, enhance: Enhance) -> np.ndarray:
    """Enhance the luma of a toned photo as a grey photo, and tone the result by the photo's own curve."""
    gray = np.empty(pixels.shape[:2], pixels.dtype)
    for n in range(0, len(pixels), SIDE):
        gray[n : n + SIDE] = as_depth(as_float(pixels[n : n + SIDE]) @ LUMA, pixels.dtype)
    changed, result = enhance(gray), np.empty_like(pixels)
    for n in range(0, len(pixels), SIDE):
        before, after = as_float(gray[n : n + SIDE]), as_float(changed[n : n + SIDE])
        change = (after - before)[..., None] + _offsets(after, tone) - _offsets(before, tone)
        result[n : n + SIDE] = as_depth(np.clip(as_float(pixels[n : n + SIDE]) + change, 0, 1), pixels.dtype)
    return result


def enhance_scene(pixels: np.ndarray, alpha: np.ndarray | None, enhance: Enhance, wraps: bool = False) -> np.ndarray:
    """Enhance the scene in a frame; bars, borders and transparent pixels stay unchanged.

    Args:
        pixels: (H, W) or (H, W, 3), sRGB; uint8, uint16 or float in [0, 1].
        alpha: (H, W), or None.
        enhance: function from an array to one of the same shape and type.
        wraps: whether left and right sides meet, as in a panorama.

    Returns:
        An array like `pixels`.
    """
    rows, columns = (slice(None), slice(None)) if wraps else find_scene(pixels, alpha)
    inner, hidden = pixels[rows, columns], None
    if alpha is not None and (hidden := alpha[rows, columns] == 0).any():
        if hidden.all():
            return pixels
        before, inner = inner, inner.copy()
        inner[hidden] = np.rint(inner[~hidden].mean(axis=0)) if inner.dtype.kind == "u" else inner[~hidden].mean(axis=0)
    weight = repair_weight(inner, None if hidden is None else ~hidden)
    if weight == 0:
        return pixels
    gray = inner.ndim == 3 and is_gray(inner)
    source = np.ascontiguousarray(inner[..., 1] if gray else inner)
    if wraps:
        enhance = partial(_enhance_wrapped, enhance=enhance)
    tone = find_tone(source) if source.ndim == 3 else None
    changed = _enhance_toned(source, tone, enhance) if tone else enhance(source)
    if gray:
        tint = inner.astype(np.float32) - inner[..., 1:2]
        most = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
        # No channel is clipped on its own, so that a coloured logo keeps its colour.
        level = np.clip(changed, -tint.min(axis=2), most - tint.max(axis=2))
        changed = (level[..., None] + tint).astype(pixels.dtype)
    if weight < 1:
        mixed = as_float(inner) * (1 - weight) + as_float(changed) * weight
        changed = as_depth(mixed, pixels.dtype)
    result = pixels.copy()
    if hidden is not None and hidden.any():
        changed = changed.copy()
        changed[hidden] = before[hidden]
    result[rows, columns] = changed
    return result


def _enhance_wrapped(pixels: np.ndarray, enhance: Enhance) -> np.ndarray:
    """Enhance a panorama padded with its opposite sides; near the seam, blend both results so that there is no edge."""
    width = pixels.shape[1]
    margin = max(1, round(WRAP * width))
    padded = np.concatenate((pixels[:, -margin:], pixels, pixels[:, :margin]), axis=1)
    changed = as_float(enhance(np.ascontiguousarray(padded)))
    result = changed[:, margin : margin + width].copy()
    weight = (0.5 + 0.5 * (np.arange(margin) + 0.5) / margin).reshape(-1, *[1] * (pixels.ndim - 2)).astype(np.float32)
    result[:, :margin] = weight * result[:, :margin] + (1 - weight) * changed[:, margin + width :]
    result[:, -margin:] = weight[::-1] * result[:, -margin:] + (1 - weight[::-1]) * changed[:, :margin]
    return as_depth(result, pixels.dtype)
