"""Weak augmentation of a batch: each picture by its own homography, all resampled at once on the batch's device.

The steps of the method are multiplied into one map of places, so a picture is interpolated once and not five times,
and a GPU gets one small matrix for each picture, which it need not be waited for.
"""

import math

import torch
import torch.nn.functional as F

from ssdie.utils.devices import to_device

TRANSLATION = 0.1  # up to this share of a side
DISTORTION, TILTED = 0.2, 0.5  # corners move in by up to this share of half a side, in this share of the pictures
ROTATION = math.radians(5)  # up to
ENLARGEMENT = 1.4
CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))  # x to the right, y downwards, the border at 1


def augment(
    image: torch.Tensor, generator: torch.Generator, depth: torch.Tensor | None = None
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Weakly augment a batch: translate, perspective, rotate, enlarge by 1.4 and cut the centre, flip.

    Args:
        image: (N, 3, H, W) in [0, 1].
        generator: of random numbers, on the CPU; each picture has its own draw.
        depth: (N, 1, H, W), moved in the same way.

    Returns:
        Like `image`; with `depth`, both. The border is reflected: no black corners.

    Source: method section 4: translation up to 10 %, perspective 0.2 with probability 0.5, rotation up to 5 degrees.

    Example:
        >>> even = torch.full((1, 3, 8, 8), 0.5)
        >>> torch.allclose(augment(even, torch.Generator().manual_seed(0)), even)
        True
    """
    height, width = image.shape[-2:]
    maps = sample_homographies(len(image), generator, width / height)
    return warp(image, maps) if depth is None else (warp(image, maps), warp(depth, maps, "nearest"))


def augment_copies(image: torch.Tensor, copies: int, generator: torch.Generator) -> torch.Tensor:
    """Give K weakly augmented copies, one after the other: (K N, 3, H, W)."""
    return augment(image.repeat(copies, 1, 1, 1), generator)


def sample_homographies(count: int, generator: torch.Generator, aspect: float = 1.0) -> torch.Tensor:
    """Draw where each pixel of an augmented picture comes from.

    Args:
        count: N.
        generator: of random numbers, on the CPU.
        aspect: width / height, in which a rotation is one.

    Returns:
        (N, 3, 3): homogeneous places in the augmented picture, x and y from -1 to 1, to places in the picture.
    """

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand((count, *shape), generator=generator)

    one = torch.eye(3).repeat(count, 1, 1)
    shift, turn, larger = one.clone(), one.clone(), one.clone()
    shift[:, :2, 2] = 2 * uniform(-TRANSLATION, TRANSLATION, 2)
    tilted = uniform(0, 1) < TILTED
    inwards = uniform(0, DISTORTION, 4, 2) * tilted[:, None, None]
    corners = torch.tensor(CORNERS)
    tilt = find_homographies(corners * (1 - inwards), corners.expand(count, 4, 2))
    angle = uniform(-ROTATION, ROTATION)
    turn[:, 0, 0] = turn[:, 1, 1] = angle.cos()
    turn[:, 0, 1], turn[:, 1, 0] = -angle.sin() / aspect, angle.sin() * aspect
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    larger[:, 0, 0], larger[:, 1, 1] = flip / ENLARGEMENT, 1 / ENLARGEMENT
    return shift @ tilt @ turn @ larger


def find_homographies(points: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Find the homographies that take four points each to four places.

    Args:
        points, places: (N, 4, 2), no three of them on a line.

    Returns:
        (N, 3, 3) with 1 in the last corner.

    Source: Hartley and Zisserman, "Multiple view geometry", 2nd edition, section 4.1, with h_9 = 1.

    Example:
        >>> square = torch.tensor([CORNERS])
        >>> find_homographies(square, 2 * square)[0].diagonal().tolist()
        [2.0, 2.0, 1.0]
    """
    x, y = points.unsqueeze(3).unbind(2)  # (N, 4, 1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    right, down = places.unsqueeze(3).unbind(2)
    rows = (x, y, one, zero, zero, zero, -right * x, -right * y), (zero, zero, zero, x, y, one, -down * x, -down * y)
    equations = torch.cat([torch.cat(row, 2) for row in rows], 1)  # (N, 8, 8)
    solved = torch.linalg.solve(equations, torch.cat((right, down), 1)[..., 0])
    return F.pad(solved, (0, 1), value=1).view(-1, 3, 3)


def warp(image: torch.Tensor, homographies: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """Give each pixel the value at the place that a homography takes it to; beyond the border the picture is mirrored.

    Args:
        image: (N, C, H, W).
        homographies: (N, 3, 3) between places from -1 to 1, see `sample_homographies`; on any device.
        mode: of the interpolation, "bilinear" or "nearest".

    Returns:
        (N, C, H, W).

    Example:
        >>> turned = warp(torch.tensor([[[[1.0, 2.0]]]]), torch.diag(torch.tensor([-1.0, 1.0, 1.0]))[None])
        >>> turned.tolist()
        [[[[2.0, 1.0]]]]
    """
    height, width = image.shape[-2:]
    maps = to_device(homographies.to(image.dtype), image.device)[..., None, None]
    down, right = ((torch.arange(n, device=image.device, dtype=image.dtype) + 0.5) * 2 / n - 1 for n in (height, width))
    x, y, scale = (maps[:, :, 0] * right + maps[:, :, 1] * down[:, None] + maps[:, :, 2]).unbind(1)
    grid = torch.stack((x, y), 3) / scale[..., None]  # (N, H, W, 2)
    return F.grid_sample(image, grid, mode, "reflection", align_corners=False)
