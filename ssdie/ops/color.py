"""The look of a photo: mean and spread of its colours, what dust, white balance and exposure made of them."""

import torch

from ssdie.utils.devices import constant_like

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def luminance(image: torch.Tensor) -> torch.Tensor:
    """Weighted sum of the channels, Y = 0.299 R + 0.587 G + 0.114 B: (N, 3, H, W) to (N, 1, H, W)."""
    return (image * constant_like(LUMA, image).view(1, 3, 1, 1)).sum(1, keepdim=True)


def measure_color_statistics(photos: torch.Tensor) -> torch.Tensor:
    """Measure mean and spread of the colours of photos.

    Args:
        photos: (N, 3, H, W) in [0, 1].

    Returns:
        (N, 9): mean of R, G, B; the lower triangle, row by row, of the Cholesky factor of their covariance.

    Example:
        >>> measure_looks(torch.full((1, 3, 8, 8), 0.5))[0, :3].tolist()
        [0.5, 0.5, 0.5]
    """
    mean = photos.mean((2, 3))
    rest = photos.flatten(2) - mean[..., None]
    rows, columns = _lower(photos.device)
    covariance = 1e-5 * torch.eye(3, device=photos.device).repeat(len(photos), 1, 1)
    covariance[:, rows, columns] += (rest[:, rows] * rest[:, columns]).mean(2)
    factor, _ = torch.linalg.cholesky_ex(covariance)  # of the lower half; the ridge makes it definite; no GPU is asked
    return torch.cat((mean, factor[:, rows, columns]), 1)


def color_transfer(photos: torch.Tensor, looks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the affine maps of colour, c -> turn c + shift, that give photos other looks.

    Args:
        photos: (N, 3, H, W) in [0, 1].
        looks: (N, 9); all zero: the photo stays as it is.

    Returns:
        turn (N, 3, 3), lower triangular, and shift (N, 3).

    Source: with Cholesky factors F of the photo's covariance and G of the look's, turn = G F^-1 takes one to the other.

    Example:
        >>> photo = torch.rand(1, 3, 8, 8)
        >>> turn, shift = find_turn(photo, measure_looks(photo))
        >>> torch.allclose(turn[0], torch.eye(3), atol=1e-3), torch.allclose(shift, torch.zeros(3), atol=1e-3)
        (True, True)
    """
    own = measure_color_statistics(photos)
    turn = torch.linalg.solve_triangular(_unfold(own), _unfold(looks), upper=False, left=False)
    shift = looks[:, :3] - torch.einsum("nij,nj->ni", turn, own[:, :3])
    none = looks.abs().sum(1) == 0
    same = torch.eye(3, device=photos.device)
    return torch.where(none[:, None, None], same, turn), torch.where(none[:, None], torch.zeros_like(shift), shift)


def _unfold(looks: torch.Tensor) -> torch.Tensor:
    """Cholesky factors (N, 3, 3) of looks (N, 9)."""
    factor = looks.new_zeros(len(looks), 3, 3)
    rows, columns = _lower(looks.device)
    factor[:, rows, columns] = looks[:, 3:]
    return factor


def _lower(device: torch.device) -> torch.Tensor:
    """Rows and columns of the lower triangle of a 3 x 3 matrix: (2, 6)."""
    return torch.tril_indices(3, 3, device=device)
