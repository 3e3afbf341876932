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


def find_turn(photos: torch.Tensor, looks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the affine maps of colour, c -> turn c + shift, that give photos other looks.

    Args:
        photos: (N, 3, H, W) in [0, 1].
        looks: (N, 9); all zero: the photo stays as it is.

    Returns:
        turn (N, 3, 3), lower triangular, and shift (N, 3).

    Source: with Cholesky factors F of the photo's covariance and G of the look's, turn = G F^-1 takes one to the other.

    Example:
        >>> photo = torch.rand(1, 3, 8, 8)
        >>> turn, shift = find_turn(photo, measure_look(photo[0])[None])
        >>> torch.allclose(turn[0], torch.eye(3), atol=1e-3), torch.allclose(shift, torch.zeros(3), atol=1e-3)
        (True, True)
    """
    own = torch.stack([measure_look(photo) for photo in photos])
    turn = _unfold(looks) @ torch.linalg.inv(_unfold(own))
    shift = looks[:, :3] - torch.einsum("nij,nj->ni", turn, own[:, :3])
    none = looks.abs().sum(1) == 0
    same = torch.eye(3, device=photos.device)
    return torch.where(none[:, None, None], same, turn), torch.where(none[:, None], torch.zeros_like(shift), shift)


def _unfold(looks: torch.Tensor) -> torch.Tensor:
    """Cholesky factors (N, 3, 3) of looks (N, 9)."""
    factor = looks.new_zeros(len(looks), 3, 3)
    rows, columns = torch.tril_indices(3, 3)
    factor[:, rows, columns] = looks[:, 3:]
    return factor
