"""Weak augmentation of a batch: one homography per image, all resampled at once on the device of the batch.

The steps of the method are multiplied into one homography, so that each image is interpolated once instead of five
times. A GPU receives one 3 x 3 matrix per image, without host-device synchronisation.
"""

import math

import torch
import torch.nn.functional as F

from ssdie.utils.devices import to_device

TRANSLATION = 0.1  # largest translation, as a fraction of the side
DISTORTION = 0.2  # largest displacement of a corner by the perspective transform, as a fraction of half the side
PERSPECTIVE = 0.5  # probability of a perspective transform
ROTATION = math.radians(5)  # largest angle of rotation
ENLARGEMENT = 1.4  # scale before the centre is cropped
CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))  # x to the right, y down; the border is at 1


def augment(
    image: torch.Tensor, generator: torch.Generator, depth: torch.Tensor | None = None
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Weakly augment a batch: translation, perspective transform, rotation, 1.4x zoom into the centre, horizontal flip.

    Args:
        image: (N, 3, H, W) in [0, 1].
        generator: random numbers, on the CPU; each image is augmented differently.
        depth: (N, 1, H, W), transformed like the images, with nearest-neighbour interpolation.

    Returns:
        Images like `image`; with `depth`, a tuple of both. Reflection padding avoids black corners.

    Source: method section 4: translation up to 10 %, perspective transform of strength 0.2 with probability 0.5,
    rotation up to 5 degrees.

    Example:
        >>> even = torch.full((1, 3, 8, 8), 0.5)
        >>> torch.allclose(augment(even, torch.Generator().manual_seed(0)), even)
        True
    """
    height, width = image.shape[-2:]
    homographies = sample_homographies(len(image), generator, width / height)
    warped = warp(image, homographies)
    return warped if depth is None else (warped, warp(depth, homographies, "nearest"))


def augment_copies(image: torch.Tensor, copies: int, generator: torch.Generator) -> torch.Tensor:
    """Return K weakly augmented copies of a batch (N, 3, H, W), one copy after the other: (K N, 3, H, W)."""
    return augment(image.repeat(copies, 1, 1, 1), generator)


def sample_homographies(count: int, generator: torch.Generator, aspect: float = 1.0) -> torch.Tensor:
    """Sample the homographies of the augmentation, from coordinates in the output to coordinates in the input.

    Args:
        count: N.
        generator: random numbers, on the CPU.
        aspect: width / height of the image, so that rotations do not shear it.

    Returns:
        (N, 3, 3) for homogeneous coordinates, with x and y in [-1, 1].
    """

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand((count, *shape), generator=generator)

    one = torch.eye(3).repeat(count, 1, 1)
    shift, rotation, scale = one.clone(), one.clone(), one.clone()
    shift[:, :2, 2] = 2 * uniform(-TRANSLATION, TRANSLATION, 2)
    with_perspective = uniform(0, 1) < PERSPECTIVE
    inwards = uniform(0, DISTORTION, 4, 2) * with_perspective[:, None, None]
    corners = torch.tensor(CORNERS)
    perspective = find_homographies(corners * (1 - inwards), corners.expand(count, 4, 2))
    angle = uniform(-ROTATION, ROTATION)
    rotation[:, 0, 0] = rotation[:, 1, 1] = angle.cos()
    rotation[:, 0, 1], rotation[:, 1, 0] = -angle.sin() / aspect, angle.sin() * aspect
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    scale[:, 0, 0], scale[:, 1, 1] = flip / ENLARGEMENT, 1 / ENLARGEMENT
    return shift @ perspective @ rotation @ scale


def find_homographies(points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    r"""Find the homographies that map four points to four target points.

    For each pair of a point (x, y) and a target (u, v), with :math:`h_9 = 1`, two linear equations hold:

    .. math::
        h_1 x + h_2 y + h_3 - u (h_7 x + h_8 y) &= u \\
        h_4 x + h_5 y + h_6 - v (h_7 x + h_8 y) &= v

    Args:
        points, targets: (N, 4, 2); no three points of four may lie on a line.

    Returns:
        (N, 3, 3) with 1 in the lower right corner.

    Source: Hartley and Zisserman, "Multiple view geometry", 2nd edition, section 4.1, with h_9 = 1.

    Example:
        >>> square = torch.tensor([CORNERS])
        >>> find_homographies(square, 2 * square)[0].diagonal().tolist()
        [2.0, 2.0, 1.0]
    """
    x, y = points.unsqueeze(3).unbind(2)  # (N, 4, 1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    u, v = targets.unsqueeze(3).unbind(2)
    rows = (x, y, one, zero, zero, zero, -u * x, -u * y), (zero, zero, zero, x, y, one, -v * x, -v * y)
    equations = torch.cat([torch.cat(row, 2) for row in rows], 1)  # (N, 8, 8)
    solved = torch.linalg.solve(equations, torch.cat((u, v), 1)[..., 0])
    return F.pad(solved, (0, 1), value=1).view(-1, 3, 3)


def warp(image: torch.Tensor, homographies: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """Resample images: each pixel takes the value at the coordinates that its homography gives, mirrored at the border.

    Args:
        image: (N, C, H, W).
        homographies: (N, 3, 3) for coordinates in [-1, 1], see `sample_homographies`; on any device.
        mode: interpolation, "bilinear" or "nearest".

    Returns:
        (N, C, H, W).

    Example:
        >>> flipped = warp(torch.tensor([[[[1.0, 2.0]]]]), torch.diag(torch.tensor([-1.0, 1.0, 1.0]))[None])
        >>> flipped.tolist()
        [[[[2.0, 1.0]]]]
    """
    height, width = image.shape[-2:]
    h = to_device(homographies.to(image.dtype), image.device)[..., None, None]
    down, right = ((torch.arange(n, device=image.device, dtype=image.dtype) + 0.5) * 2 / n - 1 for n in (height, width))
    x, y, scale = (h[:, :, 0] * right + h[:, :, 1] * down[:, None] + h[:, :, 2]).unbind(1)
    grid = torch.stack((x, y), 3) / scale[..., None]  # (N, H, W, 2)
    return F.grid_sample(image, grid, mode, "reflection", align_corners=False)
