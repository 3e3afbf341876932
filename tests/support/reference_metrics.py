"""Independent implementations of the metrics, from the formulas, on float64 arrays (H, W, 3) in [0, 1].

They probability no code with the package: loops over blocks, OpenCV and Pillow instead of PyTorch and SciPy.
"""

import functools

import cv2
import numpy as np
from PIL import Image
from scipy.signal import convolve2d
from scipy.special import gamma

LUMA = (0.299, 0.587, 0.114)


def psnr(enhanced: np.ndarray, clear: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((enhanced - clear) ** 2)))


def ssim(enhanced: np.ndarray, clear: np.ndarray) -> float:
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    mean = functools.partial(convolve2d, in2=window / window.sum(), mode="valid")
    c1, c2, values = 0.01**2, 0.03**2, []
    for x, y in zip(np.moveaxis(enhanced, -1, 0), np.moveaxis(clear, -1, 0), strict=True):
        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        values.append(((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    return float(np.mean(values))


def ciede2000(enhanced: np.ndarray, clear: np.ndarray) -> float:
    return float(delta_e(lab(clear), lab(enhanced)).mean())


def delta_e(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """CIEDE2000 of Lab colours (..., 3), term by term."""
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(x, dtype=float), -1, 0) for x in (one, two))
    chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1 + 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + 25.0**7)))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    hue_difference = (h2 - h1 + 180) % 360 - 180
    hue_difference = np.where(np.isclose(np.abs(h2 - h1), 180), h2 - h1, hue_difference)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(hue_difference) / 2)
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    far = np.abs(h1 - h2) > 180
    hue = np.where(far, (h1 + h2 + np.where(h1 + h2 < 360, 360, -360)) / 2, (h1 + h2) / 2)
    hue = np.where(c1 * c2 == 0, h1 + h2, hue)
    t = 1 - 0.17 * np.cos(np.radians(hue - 30)) + 0.24 * np.cos(np.radians(2 * hue))
    t += 0.32 * np.cos(np.radians(3 * hue + 6)) - 0.20 * np.cos(np.radians(4 * hue - 63))
    sl = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    rotation = 2 * np.sqrt(c**7 / (c**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    parts = (dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 - rotation * (dc / sc) * (dh / sh)
    return np.sqrt(np.maximum(parts, 0))


def lab(picture: np.ndarray) -> np.ndarray:
    """SRGB (H, W, 3) in [0, 1] to CIE Lab, white D65."""
    linear = np.where(picture > 0.04045, ((picture + 0.055) / 1.055) ** 2.4, picture / 12.92)
    matrix = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    x, y, z = np.moveaxis(linear @ np.array(matrix).T / (0.95047, 1.0, 1.08883), -1, 0)
    f = [np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116) for v in (x, y, z)]
    return np.stack((116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])), axis=-1)


def cast(enhanced: np.ndarray) -> float:
    return float(np.linalg.norm(lab(enhanced).mean(axis=(0, 1))[1:]))


def _edges(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel gradient, and whether its local contrast is visible; by OpenCV."""
    luma = picture @ LUMA
    sobel = functools.partial(cv2.Sobel, luma, cv2.CV_64F, ksize=3, borderType=cv2.BORDER_REPLICATE)
    gradient = np.hypot(sobel(dx=1, dy=0), sobel(dx=0, dy=1)) / 4
    mean = cv2.blur(luma, (7, 7), borderType=cv2.BORDER_REPLICATE)
    return gradient, gradient >= 0.05 * np.maximum(mean, 1 / 255)


def e(enhanced: np.ndarray, dusty: np.ndarray) -> float:
    before, after = (int(_edges(picture)[1].sum()) for picture in (dusty, enhanced))
    return (after - before) / max(1, before)


def r(enhanced: np.ndarray, dusty: np.ndarray) -> float:
    gradient, visible = _edges(enhanced)
    if not visible.any():
        return np.nan
    return float(np.exp(np.mean(np.log(gradient[visible]) - np.log(np.maximum(_edges(dusty)[0][visible], 0.1 / 255)))))


def saturated(enhanced: np.ndarray, dusty: np.ndarray) -> float:
    after, before = (np.rint(picture @ LUMA * 255) for picture in (enhanced, dusty))
    return 100 * float(np.mean(np.isin(after, (0, 255)) & ~np.isin(before, (0, 255))))


def dark_channel(enhanced: np.ndarray) -> float:
    return float(cv2.erode(enhanced.min(axis=2), np.ones((15, 15))).mean())


def entropy(enhanced: np.ndarray) -> float:
    counts = np.histogram(np.rint(enhanced @ LUMA * 255), np.arange(257) - 0.5)[0]
    probability = counts[counts > 0] / counts.sum()
    return float(abs((probability * np.log2(probability)).sum()))


def _small_lab(picture: np.ndarray) -> np.ndarray:
    """Lab of a copy whose longer side is at most 320 pixels."""
    scale = min(1, 320 / max(picture.shape[:2]))
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    return lab(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _even_veil(dusty: np.ndarray) -> np.ndarray:
    """Flat part of the dusty image, within 6 L* of its median."""
    lightness = _small_lab(dusty)[..., 0]
    variance = cv2.blur(lightness**2, (15, 15)) - cv2.blur(lightness, (15, 15)) ** 2
    flat = np.sqrt(np.maximum(variance, 0)) < 1.5
    if flat.mean() <= 0.02:
        return np.zeros_like(flat)
    return flat & (np.abs(lightness - np.median(lightness[flat])) < 6)


def smoke(enhanced: np.ndarray, dusty: np.ndarray) -> float:
    veil = _even_veil(dusty)
    values = cv2.blur(_small_lab(enhanced)[..., 0], (9, 9))[veil]
    return 100 * float(np.mean(values < np.percentile(values, 80) - 20)) if veil.any() else np.nan


def tint(enhanced: np.ndarray, dusty: np.ndarray) -> float:
    veil = _even_veil(dusty)
    return float(np.linalg.norm(_small_lab(enhanced)[veil][:, 1:], axis=1).mean()) if veil.any() else np.nan


def light(enhanced: np.ndarray) -> float:
    return float(_small_lab(enhanced)[..., 0].mean())


def crushed(enhanced: np.ndarray) -> float:
    return 100 * float((_small_lab(enhanced)[..., 0] < 8).mean())


def _distances(enhanced: np.ndarray) -> np.ndarray:
    colors = _small_lab(enhanced)[..., 1:].reshape(-1, 2)
    return np.linalg.norm(colors - colors.mean(axis=0), axis=1)


def chroma(enhanced: np.ndarray) -> float:
    return float(_distances(enhanced).mean())


def vivid(enhanced: np.ndarray) -> float:
    return float(np.percentile(_distances(enhanced), 98))


def fit_one(values: np.ndarray) -> tuple[float, float, float]:
    """Asymmetric generalised Gaussian of one block: shape by table search, left and right scale by moments."""
    shapes = np.arange(0.2, 10.001, 0.001)
    ratios = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    left, right = (np.sqrt(np.mean(side**2)) for side in (values[values < 0], values[values > 0]))
    skew, ratio = left / right, np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    shape = shapes[np.argmin(np.abs(ratios - ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2))]
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale


def niqe(picture: np.ndarray, mean: np.ndarray, covariance: np.ndarray, rounded: bool = False) -> float:
    """NIQE block by block, from the paper; the half-size image is resized with Pillow."""
    offsets = np.arange(-3, 4)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    luma = 16 + picture @ (65.481, 128.553, 24.966)
    luma = np.rint(luma) if rounded else luma
    luma = luma[: luma.shape[0] // 96 * 96, : luma.shape[1] // 96 * 96]
    half = Image.fromarray(luma.astype(np.float32)).resize((luma.shape[1] // 2, luma.shape[0] // 2), Image.BICUBIC)
    features = []
    for plane, side in ((luma, 96), (np.asarray(half, dtype=float), 48)):
        blur = lambda x: convolve2d(np.pad(x, 3, mode="edge"), window, mode="valid")  # noqa: E731
        local = blur(plane)
        plane = (plane - local) / (np.sqrt(np.abs(blur(plane**2) - local**2)) + 1)
        rows = []
        for top in range(0, plane.shape[0], side):
            for left in range(0, plane.shape[1], side):
                block = plane[top : top + side, left : left + side]
                shape, low, high = fit_one(block)
                row = [shape, (low + high) / 2]
                for offset in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    shape, low, high = fit_one(block * np.roll(block, offset, axis=(0, 1)))
                    row += [shape, (high - low) * gamma(2 / shape) / gamma(1 / shape), low, high]
                rows.append(row)
        features.append(rows)
    features = np.concatenate(features, axis=1)
    features = features[np.isfinite(features).all(axis=1)]
    if not len(features):
        return np.nan
    gap = features.mean(axis=0) - mean
    spread = np.cov(features, rowvar=False) if len(features) > 1 else 0 * covariance
    return float(np.sqrt(gap @ np.linalg.pinv((spread + covariance) / 2) @ gap))


def _energy(plane: np.ndarray, threshold: float) -> np.ndarray:
    """Contrast energy of FADE; the filter as an explicit sum over shifted copies."""
    offsets = range(-9, 11)
    weight = np.array([np.exp(-((o - 0.25) ** 2) / 21.125) for o in offsets])
    weight = np.array([((o - 0.25) ** 2 / 3.25**4 - 1 / 3.25**2) for o in offsets]) * weight / weight.sum()
    weight -= weight.mean()
    weight /= sum((o - 0.25) ** 2 * w / 2 for o, w in zip(offsets, weight, strict=True))
    responses = []
    for side in (plane, plane.T):
        longer = np.concatenate((side[:10], side, side[-10:]))
        total = sum(w * longer[10 + o : 10 + o + len(side)] for o, w in zip(offsets, weight, strict=True))
        responses.append(total if side is plane else total.T)
    response = np.hypot(*responses)
    top = response.max()
    if top == 0:
        return response
    excess = top * response / (response + 0.1 * top) - threshold
    return excess * (excess > 1e-7)


def _spread(values: np.ndarray) -> float:
    """Variance with divisor n - 1: 0 for one value, NaN for none."""
    return np.nan if len(values) == 0 else 0.0 if len(values) == 1 else float(np.var(values, ddof=1))


def fade(picture: np.ndarray, models: tuple) -> float:
    """FADE block by block, with the covariance matrix of each block written out.

    Args:
        picture: (H, W, 3) in [0, 1].
        models: mean (12,) and covariance (12, 12) of fog-free and of foggy photos.
    """
    image = np.rint(255 * picture)
    red, green, blue = np.moveaxis(image, -1, 0)
    grey = np.floor(0.298936 * red + 0.587043 * green + 0.114021 * blue + 0.5)
    blur = functools.partial(
        cv2.GaussianBlur, ksize=(7, 7), sigmaX=7 / 6, sigmaY=7 / 6, borderType=cv2.BORDER_REPLICATE
    )
    mean = blur(grey)
    deviation = np.sqrt(np.abs(blur(grey * grey) - mean**2))
    normal = (grey - mean) / (deviation + 1)
    above = normal * np.concatenate((normal[-1:], normal[:-1]))
    rg, yb = red - green, (red + green) / 2 - blue
    energies = _energy(image @ LUMA, 0.2352502), _energy(yb, 0.2287158), _energy(rg, 0.0527667)
    distances = []
    for top in range(0, image.shape[0] - 7, 8):
        for left in range(0, image.shape[1] - 7, 8):
            part = np.s_[top : top + 8, left : left + 8]
            products, block = above[part].ravel(), image[part].reshape(-1, 3)
            probability = np.unique(grey[part], return_counts=True)[1] / 64
            features = [
                _spread(normal[part].ravel()),
                _spread(products[products >= 0]),
                _spread(products[products <= 0]),
            ]
            with np.errstate(divide="ignore", invalid="ignore"):
                features += [deviation[part].mean(), (deviation[part] / mean[part]).mean()]
            features += [energy[part].mean() for energy in energies] + [-(probability * np.log2(probability)).sum()]
            high = block.max(axis=1)
            features += [block.min(axis=1).mean() / 255, ((high - block.min(axis=1)) / np.maximum(high, 1)).mean()]
            colorfulness = np.sqrt(_spread(rg[part].ravel()) + _spread(yb[part].ravel()))
            features.append(colorfulness + 0.3 * np.hypot(rg[part].mean(), yb[part].mean()))
            logs = np.log(1 + np.array(features))
            if np.isfinite(logs).all():
                gaps = [(mu - logs, (sigma + np.var(logs, ddof=1)) / 2) for mu, sigma in models]
                distances.append([np.sqrt(gap @ np.linalg.solve(sigma, gap)) for gap, sigma in gaps])
    if not distances:
        return np.nan
    fog_free, foggy = np.mean(distances, axis=0)
    return float(fog_free / (foggy + 1))
