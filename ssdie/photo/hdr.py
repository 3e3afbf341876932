r"""Conversion from high to standard dynamic range: transfer functions PQ and HLG, primaries, tone mapping; in NumPy.

Luminance is in cd/m² (nits). The white of standard range has 203 cd/m², as ITU-R BT.2408 recommends.
"""

import numpy as np

SDR_WHITE = 203.0  # luminance of the white of standard range in an HDR picture; cd/m²
HDR_PEAK = 1000.0  # luminance of the brightest pixel, for files that do not state it; cd/m²
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # constants of PQ
A, B, C = 0.17883277, 0.28466892, 0.55991073  # constants of HLG
LUMINANCE_2020 = (0.2627, 0.6780, 0.0593)
# x, y of red, green, blue; all have the white point D65
PRIMARIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
}
D65 = (0.3127, 0.3290)


def pq_to_nits(signal: np.ndarray) -> np.ndarray:
    r"""Decode the perceptual quantiser.

    .. math:: L = 10000 \left(\frac{\max(E^{1/m_2} - c_1, 0)}{c_2 - c_3 E^{1/m_2}}\right)^{1/m_1}

    Args:
        signal: E, any shape; [0, 1].

    Returns:
        Luminance on the display; cd/m².

    Source: SMPTE ST 2084; ITU-R BT.2100-2, table 4.

    Example:
        >>> pq_to_nits(np.array([0.0, 0.58069, 1.0])).round(0).tolist()
        [0.0, 203.0, 10000.0]
    """
    power = np.clip(signal, 0, 1) ** (1 / M2)
    return 10000 * (np.maximum(power - C1, 0) / (C2 - C3 * power)) ** (1 / M1)


def nits_to_pq(nits: np.ndarray) -> np.ndarray:
    """Encode by the perceptual quantiser, the inverse of `pq_to_nits`.

    Example:
        >>> nits_to_pq(pq_to_nits(np.array([0.25, 0.75]))).round(6).tolist()
        [0.25, 0.75]
    """
    power = np.clip(np.asarray(nits) / 10000, 0, 1) ** M1
    return ((C1 + C2 * power) / (1 + C3 * power)) ** M2


def hlg_to_nits(signal: np.ndarray, peak: float = HDR_PEAK) -> np.ndarray:
    r"""Decode hybrid log-gamma to luminance on a display.

    .. math:: E = \begin{cases} E'^2 / 3 & E' \le 1/2 \\ (e^{(E' - c)/a} + b) / 12 & \text{otherwise} \end{cases}
        \qquad L_c = L_W\, Y^{\gamma - 1} E_c, \quad \gamma = 1.2 + 0.42 \log_{10}(L_W / 1000)

    Args:
        signal: E', (..., 3) with primaries of BT.2020; [0, 1].
        peak: :math:`L_W`, luminance of white; cd/m².

    Returns:
        (..., 3); cd/m².

    Source: ITU-R BT.2100-2, table 5.

    Example:
        >>> hlg_to_nits(np.full((1, 3), 0.75)).round(0).tolist()
        [[203.0, 203.0, 203.0]]
    """
    signal = np.clip(signal, 0, 1)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - C) / A) + B) / 12)
    gamma = 1.2 + 0.42 * np.log10(peak / 1000)
    luminance = scene @ np.array(LUMINANCE_2020)
    return peak * np.maximum(luminance, 1e-9)[..., None] ** (gamma - 1) * scene


def primaries_matrix(source: str, target: str = "bt709") -> np.ndarray:
    """Return the 3 x 3 matrix that converts linear RGB from one set of primaries to another.

    Args:
        source, target: keys of `PRIMARIES`.

    Example:
        >>> primaries_matrix("bt2020").sum(1).round(6).tolist()  # white stays white
        [1.0, 1.0, 1.0]
    """
    return np.linalg.solve(_rgb_to_xyz(target), _rgb_to_xyz(source))


def _rgb_to_xyz(name: str) -> np.ndarray:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in PRIMARIES[name]]).T
    white = np.array((D65[0] / D65[1], 1, (1 - D65[0] - D65[1]) / D65[1]))
    return columns * np.linalg.solve(columns, white)


def tone_map(nits: np.ndarray, peak: float = HDR_PEAK, white: float = SDR_WHITE) -> np.ndarray:
    """Compress highlights so that `peak` becomes `white`; all channels get the same factor, which preserves hue.

    The factor follows from the brightest channel, to which a spline is applied in PQ values. Below the knee of the
    spline nothing changes.

    Args:
        nits: (..., 3); cd/m².
        peak: brightest value in the picture; if it is at most `white`, values are only clipped; cd/m².
        white: brightest value of the result; cd/m².

    Source: ITU-R BT.2390-10, section 5.4.1 (EETF), applied to max(R, G, B).

    Example:
        >>> tone_map(np.array([[1000.0] * 3, [50.0] * 3])).round(0).tolist()
        [[203.0, 203.0, 203.0], [50.0, 50.0, 50.0]]
    """
    if peak <= white:
        return np.minimum(nits, white)
    brightest = np.maximum(nits.max(-1, keepdims=True), 1e-6)
    top = nits_to_pq(peak)
    value, most = np.minimum(nits_to_pq(brightest) / top, 1), nits_to_pq(white) / top
    knee = 1.5 * most - 0.5
    t = np.maximum(value - knee, 0) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    mapped = pq_to_nits(np.where(value < knee, value, spline) * top)
    return nits * np.where(value < knee, 1, mapped / brightest)


def srgb_encode(light: np.ndarray) -> np.ndarray:
    """Encode linear light in [0, 1] as sRGB (IEC 61966-2-1); other values are clipped."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def bt1886_encode(light: np.ndarray) -> np.ndarray:
    """Encode linear light in [0, 1] for a video display: exponent 1 / 2.4 (ITU-R BT.1886 with black at 0)."""
    return np.clip(light, 0, 1) ** (1 / 2.4)


def hdr_to_sdr(
    signal: np.ndarray, transfer: str, primaries: str = "bt2020", peak: float = HDR_PEAK, encode=srgb_encode
) -> np.ndarray:
    """Convert an HDR picture to standard range with primaries of BT.709 (those of sRGB).

    Args:
        signal: (..., 3) RGB in [0, 1] as stored.
        transfer: "pq" or "hlg".
        primaries: key of `PRIMARIES`.
        peak: brightest value of the picture (PQ) or of the display it was made for (HLG); cd/m².
        encode: curve of the result, `srgb_encode` or `bt1886_encode`.

    Returns:
        (..., 3) in [0, 1].

    Raises:
        ValueError: another transfer function.

    Example:
        >>> hdr_to_sdr(np.zeros((1, 3)), "pq").tolist()
        [[0.0, 0.0, 0.0]]
    """
    if transfer not in ("pq", "hlg"):
        raise ValueError(f"transfer: expected 'pq' or 'hlg', got {transfer!r}.")
    nits = pq_to_nits(signal) if transfer == "pq" else hlg_to_nits(signal, peak)
    nits = np.maximum(tone_map(nits, peak) @ primaries_matrix(primaries).T, 0)
    return encode(nits / SDR_WHITE)
