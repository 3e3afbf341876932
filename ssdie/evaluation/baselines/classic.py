"""Classical methods of colour correction, contrast enhancement and haze removal."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ssdie.ops.filters import gaussian_blur, guided_filter
from ssdie.ops.images import check_image, to_display
from ssdie.ops.priors import estimate_airlight, estimate_transmission

SCALES = (15.0, 80.0, 250.0)  # sigma of the three surrounds of Retinex; pixels
COARSE = 8.0  # largest sigma that is blurred at full resolution; wider surrounds use a smaller copy; pixels


def gray_world(dusty: torch.Tensor) -> torch.Tensor:
    r"""Scale the channels so that the mean colour is grey, and clip.

    .. math:: J_c = I_c \frac{\bar I}{\bar I_c}

    Args:
        dusty: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: Buchsbaum, "A spatial processor model for object colour perception", J. Franklin Institute 1980.

    Example:
        >>> orange = torch.tensor([0.8, 0.5, 0.2]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        >>> [round(v, 3) for v in gray_world(orange)[0, :, 0, 0].tolist()]
        [0.5, 0.5, 0.5]
    """
    check_image(dusty)
    means = dusty.mean(dim=(2, 3), keepdim=True)
    return (dusty * means.mean(dim=1, keepdim=True) / means.clamp_min(1e-3)).clamp(0, 1)


def clahe_lab(dusty: torch.Tensor, clip: float = 2.0, tiles: int = 8) -> torch.Tensor:
    """Equalise the histogram of L* tile by tile with limited contrast; a* and b*, and with them the cast, are kept.

    Args:
        dusty: (N, 3, H, W) in [0, 1].
        clip: limit of a histogram bin, in multiples of the mean bin.
        tiles: number along each side.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV 1994; by OpenCV.

    Example:
        >>> flat = 0.4 + 0.1 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> bool(clahe_lab(flat).std() > flat.std())
        True
    """

    def equalise(lab: np.ndarray) -> np.ndarray:
        lab[..., 0] = _clahe(lab[..., 0], clip, tiles)
        return lab

    return _in_lab(dusty, equalise)


def dark_channel_prior(
    dusty: torch.Tensor,
    window: int = 15,
    omega: float = 0.95,
    least: float = 0.1,
    radius: int = 30,
    eps: float = 1e-3,
) -> torch.Tensor:
    r"""Remove the veil with a transmission from the dark channel, refined by a guided filter.

    .. math:: J = \frac{I - A}{\max(t, t_0)} + A

    Args:
        dusty: (N, 3, H, W) in [0, 1].
        window: of the dark channel; odd, pixels.
        omega: fraction of the veil that is removed; [0, 1].
        least: smallest transmission :math:`t_0`; (0, 1].
        radius: of the guided filter; pixels.
        eps: of the guided filter.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: He, Sun, Tang, "Single image haze removal using dark channel prior", TPAMI 2011, equation 16; the
    guided filter of 2013 replaces soft matting.

    Example:
        >>> half = torch.cat((torch.zeros(1, 3, 64, 64), torch.full((1, 3, 64, 64), 0.9)), dim=3)
        >>> bool(dark_channel_prior(half)[..., :32].max() < 0.02)  # black stays black
        True
    """
    check_image(dusty)
    airlight = estimate_airlight(dusty, window)
    transmission = estimate_transmission(dusty, airlight, window, omega)
    transmission = guided_filter(dusty, transmission, radius, eps).clamp(least, 1)
    veil = airlight[:, :, None, None]
    return ((dusty - veil) / transmission + veil).clamp(0, 1)


def gray_world_dcp(dusty: torch.Tensor) -> torch.Tensor:
    """Apply gray world, which turns dust into grey haze, then the dark channel prior, which is made for haze.

    Args:
        dusty: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 3, H, W) in [0, 1].

    Example:
        >>> gray_world_dcp(torch.full((1, 3, 32, 32), 0.5)).shape
        torch.Size([1, 3, 32, 32])
    """
    return dark_channel_prior(gray_world(dusty))


def msrcr(dusty: torch.Tensor, scales: tuple[float, ...] = SCALES, clip: float = 0.01) -> torch.Tensor:
    r"""Multi-scale Retinex with colour restoration.

    .. math:: R_c = C_c \operatorname{mean}_s \big(\log I_c - \log(G_s * I_c)\big), \qquad
              C_c = 46 \log \frac{125\, I_c}{I_R + I_G + I_B}

    with :math:`I` in grey levels plus one; :math:`C_c` restores the colour that the logarithms remove.

    Args:
        dusty: (N, 3, H, W) in [0, 1].
        scales: sigma of the Gaussian surrounds; pixels.
        clip: fraction of the values of each channel that becomes black, and that becomes white.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: Jobson, Rahman, Woodell, "A multiscale Retinex for bridging the gap between color images and the
    human observation of scenes", TIP 1997. Their fixed gain and offset (192, -30) are replaced by a stretch
    between quantiles, as by Petro, Sbert, Morel, "Multiscale Retinex", IPOL 2014.

    Example:
        >>> ramp = torch.linspace(0.4, 0.6, 64).expand(1, 3, 64, 64)
        >>> bool(msrcr(ramp).std() > 2 * ramp.std())
        True
    """
    check_image(dusty)
    light = 255 * dusty + 1
    retinex = sum(torch.log(light / _surround(light, sigma)) for sigma in scales) / len(scales)
    color = 46 * torch.log(125 * light / light.sum(dim=1, keepdim=True))
    return _stretch(color * retinex, clip)


def lab_color_balance(dusty: torch.Tensor, clip: float = 0.005) -> torch.Tensor:
    """Centre a* and b* on grey and stretch L*, which a dust veil shifts and compresses.

    Args:
        dusty: (N, 3, H, W) in [0, 1].
        clip: fraction of the pixels that becomes black in L*, and that becomes white.

    Returns:
        (N, 3, H, W) in [0, 1].

    Source: in the spirit of Gao et al., "Color balance and sand-dust image enhancement in Lab space",
    Multimedia Tools and Applications 2022: chromaticity centred, lightness stretched, without their further steps.

    Example:
        >>> orange = torch.tensor([0.8, 0.5, 0.2]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
        >>> shades = orange * torch.linspace(0.5, 1, 16)
        >>> balanced = lab_color_balance(shades).mean(dim=(2, 3))
        >>> bool(balanced.amax() - balanced.amin() < 0.1)  # from 0.45
        True
    """

    def balance(lab: np.ndarray) -> np.ndarray:
        low, high = np.quantile(lab[..., 0], (clip, 1 - clip))
        lab[..., 0] = np.clip((lab[..., 0] - low) / max(high - low, 1e-3), 0, 1) * 100
        lab[..., 1:] -= lab[..., 1:].mean(axis=(0, 1))
        return lab

    return _in_lab(dusty, balance)


def _in_lab(image: torch.Tensor, change: Callable[[np.ndarray], np.ndarray]) -> torch.Tensor:
    """Apply `change` to each image as a CIE Lab array (H, W, 3), L* in [0, 100], and convert back to RGB."""
    check_image(image)
    changed = []
    for rgb in image:
        lab = change(cv2.cvtColor(np.ascontiguousarray(to_display(rgb)), cv2.COLOR_RGB2LAB))
        changed.append(torch.from_numpy(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)).permute(2, 0, 1))
    return torch.stack(changed).to(image).clamp(0, 1).contiguous()


def _clahe(lightness: np.ndarray, clip: float, tiles: int) -> np.ndarray:
    """Equalise L* in [0, 100] with OpenCV, in 16 bit."""
    levels = np.rint(lightness.clip(0, 100) * 655.35).astype(np.uint16)
    return cv2.createCLAHE(clip, (tiles, tiles)).apply(levels).astype(np.float32) / 655.35


def _surround(light: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur; a wide one is computed on a copy shrunk until its sigma is `COARSE`."""
    height, width = light.shape[-2:]
    shrink = max(1.0, min(sigma / COARSE, height / 8, width / 8))
    small = (max(1, round(height / shrink)), max(1, round(width / shrink)))
    blurred = gaussian_blur(F.interpolate(light, small, mode="area"), sigma * small[1] / width)
    return F.interpolate(blurred, (height, width), mode="bilinear", align_corners=False)


def _stretch(values: torch.Tensor, clip: float) -> torch.Tensor:
    """Stretch each channel of each image to [0, 1] between its quantiles `clip` and 1 - `clip`."""
    rows = values.flatten(2).sort(dim=2).values
    last = rows.shape[2] - 1
    low, high = (rows[..., round(level * last), None, None] for level in (clip, 1 - clip))
    return ((values - low) / (high - low).clamp_min(1e-3)).clamp(0, 1)
