"""Full-reference metrics: the enhanced image against the reference image."""

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ssdie.evaluation.batching import measure_each

SSIM_WINDOW = 11  # pixels


@measure_each
def psnr(enhanced, clear):
    r"""Compute the peak signal-to-noise ratio over all pixels and channels of each image.

    .. math:: \mathrm{PSNR} = -10 \log_{10} \operatorname{mean}\big((\hat J - J)^2\big)

    with the enhanced image :math:`\hat J` and the reference image :math:`J`.

    Args:
        enhanced: (N, 3, H, W) in [0, 1].
        clear: reference image, as `enhanced`.

    Returns:
        (N,), float64; dB, unbounded (infinite for equal images); higher is better.

    Source: scikit-image.

    Example:
        >>> import torch
        >>> round(psnr(torch.full((1, 3, 8, 8), 0.6), torch.full((1, 3, 8, 8), 0.5)).item(), 3)
        20.0
    """
    return peak_signal_noise_ratio(clear, enhanced, data_range=1) if (clear != enhanced).any() else np.inf


@measure_each
def ssim(enhanced, clear):
    r"""Compute the structural similarity, averaged over the image.

    .. math:: \frac{(2 \mu \hat\mu + c_1)(2 \sigma_{J \hat J} + c_2)}
              {(\mu^2 + \hat\mu^2 + c_1)(\sigma^2 + \hat\sigma^2 + c_2)}

    with means, variances and covariance of :math:`J` and :math:`\hat J` in a window around each pixel, and
    :math:`c_1 = 0.01^2, c_2 = 0.03^2`.

    Args:
        enhanced: (N, 3, H, W) in [0, 1]; each side at least 11 pixels.
        clear: reference image, as `enhanced`.

    Returns:
        (N,), float64; [-1, 1]; higher is better.

    Raises:
        ValueError: a side is shorter than the window of 11 pixels.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", TIP 2004, equation 13; by scikit-image.
    Gaussian window of 11 pixels, sigma 1.5; mean over R, G and B (on luma it is about 0.03 higher).

    Example:
        >>> import torch
        >>> ssim(torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 0.5)).item()
        1.0
    """
    if min(clear.shape[:2]) < SSIM_WINDOW:
        size = f"{clear.shape[1]} x {clear.shape[0]}"
        raise ValueError(f"image: expected sides of at least {SSIM_WINDOW} pixels, got {size}. Enlarge it for SSIM.")
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(clear, enhanced, data_range=1, channel_axis=2, **window)


@measure_each
def ciede2000(enhanced, clear):
    """Compute the mean CIEDE2000 colour difference over the image.

    Args:
        enhanced: (N, 3, H, W) in [0, 1], sRGB.
        clear: reference image, as `enhanced`.

    Returns:
        (N,), float64; 0 to about 100, 1 is just noticeable; lower is better.

    Source: Sharma, Wu, Dalal, Color Research and Application 2005; by scikit-image.

    Example:
        >>> import torch
        >>> white, black = torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
        >>> round(ciede2000(black, white).item(), 1), ciede2000(white, white).item()
        (100.0, 0.0)
    """
    return deltaE_ciede2000(rgb2lab(clear), rgb2lab(enhanced)).mean()
