"""The look of a photo: mean and spread of its colours, what dust, white balance and exposure made of them."""

import torch


def measure_look(photo: torch.Tensor) -> torch.Tensor:
    """Measure mean and spread of a photo's colours.

    Args:
        photo: (3, H, W) in [0, 1].

    Returns:
        (9,): mean of R, G, B; the lower triangle, row by row, of the Cholesky factor of their covariance.

    Example:
        >>> measure_look(torch.full((3, 8, 8), 0.5))[:3].tolist()
        [0.5, 0.5, 0.5]
    """
    colours = photo.flatten(1)
    covariance = torch.cov(colours, correction=0) + 1e-5 * torch.eye(3, device=photo.device)
    rows, columns = torch.tril_indices(3, 3)
    return torch.cat((colours.mean(1), torch.linalg.cholesky(covariance)[rows, columns]))


def find_look(photos: torch.Tensor, looks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the affine maps of colour, c -> turn c + shift, that give photos the looks they are nearest to already.

    Args:
        photos: (N, 3, H, W) in [0, 1].
        looks: K to choose from for each photo; (N, K, 9). All zero: the photo stays as it is.

    Returns:
        turn (N, 3, 3), lower triangular, and shift (N, 3).
    """
    own = torch.stack([measure_look(photo) for photo in photos])
    same, none = torch.eye(3, device=photos.device), looks.abs().sum((1, 2)) == 0
    turns = _unfold(looks) @ torch.linalg.inv(_unfold(own))[:, None]  # (N, K, 3, 3)
    nearest = (turns - same).square().sum((2, 3)).argmin(1)
    each = torch.arange(len(photos), device=photos.device)
    turn = torch.where(none[:, None, None], same, turns[each, nearest])
    shift = looks[each, nearest, :3] - torch.einsum("nij,nj->ni", turn, own[:, :3])
    return turn, torch.where(none[:, None], torch.zeros_like(shift), shift)


def _unfold(looks: torch.Tensor) -> torch.Tensor:
    """Cholesky factors (..., 3, 3) of looks (..., 9)."""
    factor = looks.new_zeros(*looks.shape[:-1], 3, 3)
    rows, columns = torch.tril_indices(3, 3)
    factor[..., rows, columns] = looks[..., 3:]
    return factor
