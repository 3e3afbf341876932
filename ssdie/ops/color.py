"""Luminance and colour statistics: mean and covariance of the colours of a photo, and transfer between photos."""

import torch

from ssdie.utils.devices import constant_like

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def luminance(image: torch.Tensor) -> torch.Tensor:
    r"""Compute the luma, (N, 3, H, W) to (N, 1, H, W).

    .. math::
        Y = 0.299 R + 0.587 G + 0.114 B

    Source: ITU-R BT.601.

    Example:
        >>> round(luminance(torch.full((1, 3, 1, 1), 0.5)).item(), 4)  # of grey: the grey value
        0.5
    """
    return (image * constant_like(LUMA, image).view(1, 3, 1, 1)).sum(1, keepdim=True)


def measure_color_statistics(photos: torch.Tensor) -> torch.Tensor:
    """Measure the mean and the covariance of the RGB values of each photo.

    Args:
        photos: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 9): mean of R, G, B, then the lower triangle, row by row, of the Cholesky factor of their covariance.

    Example:
        >>> measure_color_statistics(torch.full((1, 3, 8, 8), 0.5))[0, :3].tolist()
        [0.5, 0.5, 0.5]
    """
    mean = photos.mean((2, 3))
    centred = photos.flatten(2) - mean[..., None]
    rows, columns = _lower(photos.device)
    covariance = 1e-5 * torch.eye(3, device=photos.device).repeat(len(photos), 1, 1)
    covariance[:, rows, columns] += (centred[:, rows] * centred[:, columns]).mean(2)
    # cholesky_ex does not synchronise, and reads only the lower triangle; the ridge keeps the matrix positive definite.
    factor, _ = torch.linalg.cholesky_ex(covariance)
    return torch.cat((mean, factor[:, rows, columns]), 1)


def color_transfer(photos: torch.Tensor, statistics: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Find the affine colour map :math:`v \mapsto M v + s` of each photo that gives it the target colour statistics.

    .. math::
        M = G F^{-1}, \qquad s = \mu_G - M \mu_F

    :math:`F` and :math:`G` are the Cholesky factors of the covariances of the photo and of the target, :math:`\mu_F`
    and :math:`\mu_G` their means, so that :math:`M F F^T M^T = G G^T`.

    Args:
        photos: (N, 3, H, W) in [0, 1].
        statistics: target, as `measure_color_statistics` returns it; (N, 9); a row of zeros leaves its photo unchanged.

    Returns:
        M (N, 3, 3), lower triangular, and s (N, 3).

    Example:
        >>> photo = torch.rand(1, 3, 8, 8)
        >>> matrix, shift = color_transfer(photo, measure_color_statistics(photo))  # to its own statistics
        >>> torch.allclose(matrix[0], torch.eye(3), atol=1e-3), torch.allclose(shift, torch.zeros(3), atol=1e-3)
        (True, True)
    """
    own = measure_color_statistics(photos)
    matrix = torch.linalg.solve_triangular(_factors(own), _factors(statistics), upper=False, left=False)
    shift = statistics[:, :3] - torch.einsum("nij,nj->ni", matrix, own[:, :3])
    unchanged = statistics.abs().sum(1) == 0
    identity, zero = torch.eye(3, device=photos.device), torch.zeros_like(shift)
    return torch.where(unchanged[:, None, None], identity, matrix), torch.where(unchanged[:, None], zero, shift)


def _factors(statistics: torch.Tensor) -> torch.Tensor:
    """Arrange the covariance part of statistics (N, 9) as Cholesky factors (N, 3, 3)."""
    factor = statistics.new_zeros(len(statistics), 3, 3)
    rows, columns = _lower(statistics.device)
    factor[:, rows, columns] = statistics[:, 3:]
    return factor


def _lower(device: torch.device) -> torch.Tensor:
    """Row and column indices of the lower triangle of a 3 x 3 matrix: (2, 6)."""
    return torch.tril_indices(3, 3, device=device)
