"""Depth files: grey PNG or npy, and the published side-by-side format with depth coded in colours."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ssdie.ops.images import check_image, read_image, write_image
from ssdie.utils.paths import atomic

DEPTH_SUFFIXES = (".png", ".npy")


# Grey files ---------------------------------------------------------------------------------------------------------


def read_depth(path: str | Path) -> torch.Tensor:
    """Read a depth map.

    Args:
        path: grey PNG of 8 or 16 bits (0 near, full scale far), or npy of shape (H, W), (1, H, W) or (H, W, 1) with
            floats in [0, 1], or with integers, which are divided by the largest value of their type.

    Returns:
        (1, H, W); float32 in [0, 1], 0 near, 1 far.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is coloured, has another shape, or values outside [0, 1].
    """
    if Path(path).suffix.lower() == ".npy":
        values = np.load(path, allow_pickle=False)
        if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
            values = values.squeeze(0 if values.shape[0] == 1 else -1)
        if values.ndim != 2:
            raise ValueError(f"{path}: expected shape (H, W), got {values.shape}. Save one depth map per file.")
        top = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
        depth = torch.from_numpy((values / top).astype(np.float32))[None]
        if not (depth.isfinite().all() and depth.min() >= 0 and depth.max() <= 1):
            got = f"values from {values.min():.4g} to {values.max():.4g}"
            raise ValueError(f"{path}: expected depth in [0, 1], 0 near, got {got}. Scale by (d - min) / (max - min).")
        return depth
    picture = read_image(path)
    if not torch.equal(picture[0], picture[1]) or not torch.equal(picture[0], picture[2]):
        raise ValueError(f"{path}: expected grey, got colours. Decode them with ssdie.ops.depth_maps.decode_depth.")
    return picture[:1]


def write_depth(path: str | Path, depth: torch.Tensor) -> None:
    """Write a depth map as 16-bit PNG or float32 npy, atomically.

    Args:
        path: file to write; its suffix, .png or .npy, gives the format.
        depth: (1, H, W) or (1, 1, H, W) in [0, 1].

    Raises:
        ValueError: the suffix or the depth is invalid.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "ramp.png"
        >>> write_depth(path, torch.linspace(0, 1, 5).expand(1, 2, 5))
        >>> [round(v, 4) for v in read_depth(path)[0, 0].tolist()]
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    depth = depth[None] if depth.ndim == 3 else depth
    check_image(depth, "depth", channels=1)
    values = depth[0, 0].detach().float().cpu().numpy()
    suffix = Path(path).suffix.lower()
    if suffix not in DEPTH_SUFFIXES:
        raise ValueError(f"path: expected a name ending in {' or '.join(DEPTH_SUFFIXES)}, got {path}.")
    with atomic(path) as temporary:
        if suffix == ".npy":
            np.save(temporary, values)
        else:
            Image.fromarray(np.rint(values * 65535).astype(np.uint16)).save(temporary)


# Published side-by-side files ---------------------------------------------------------------------------------------


@cache
def _jet() -> torch.Tensor:
    """Return matplotlib's colour map jet, from blue to red, rounded to 8 bits; (256, 3) in [0, 1]."""
    from matplotlib import colormaps

    return torch.from_numpy(np.round(colormaps["jet"](np.arange(256))[:, :3] * 255) / 255).float()


def encode_jet(depth: torch.Tensor) -> torch.Tensor:
    r"""Encode depth d as the colour of the colour map jet with the index k: red near, blue far.

    .. math:: k = \operatorname{round}\big(255\, (1 - d)\big)

    Args:
        depth: (N, 1, H, W) in [0, 1].

    Returns:
        RGB; (N, 3, H, W) in [0, 1].

    Example:
        >>> encode_jet(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2))[0, :, 0].T.tolist()  # dark red, dark blue
        [[0.501960813999176, 0.0, 0.0], [0.0, 0.0, 0.501960813999176]]
    """
    check_image(depth, "depth", channels=1)
    index = torch.round(255 * (1 - depth[:, 0])).long()
    return _jet().to(depth)[index].permute(0, 3, 1, 2)


def decode_depth(rgb: torch.Tensor, decoding: str = "jet") -> torch.Tensor:
    r"""Decode depth from colours.

    Args:
        rgb: (N, 3, H, W) in [0, 1].
        decoding: "jet" inverts `encode_jet`, with the entry k of jet that is nearest to the colour:

            .. math:: d = 1 - k / 255

            Five entries have the same blue in 8 bits; the middle one is used. "packed" is the decoding of the released
            code, for comparison only, since jet is not monotone in s:

            .. math::
                d = 1 - \frac{s - \min s}{\max s - \min s}, \qquad s = 65536 R + 256 G + B

    Returns:
        (N, 1, H, W) in [0, 1], 0 near, 1 far.

    Raises:
        ValueError: `decoding` is unknown.

    Source: method section 2. The released code computes s, which needs 24 bits, with overflow; this function does not.

    Example:
        >>> ramp = torch.linspace(0, 1, 256).view(1, 1, 1, 256)
        >>> bool((decode_depth(encode_jet(ramp)) - ramp).abs().max() < 2.1 / 255)
        True
    """
    check_image(rgb, "rgb")
    batch, _, height, width = rgb.shape
    if decoding == "jet":
        colours, inverse = rgb.permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0, return_inverse=True)
        table, entry = _jet().unique(dim=0, return_inverse=True)
        index = torch.zeros(len(table)).index_add(0, entry, torch.arange(256.0)) / entry.bincount()
        nearest = torch.cat([torch.cdist(part, table.to(rgb)).argmin(dim=1) for part in colours.split(2**16)])
        return 1 - index.to(rgb)[nearest][inverse].view(batch, 1, height, width) / 255
    if decoding == "packed":
        red, green, blue = torch.round(rgb * 255).long().unbind(dim=1)
        packed = (65536 * red + 256 * green + blue)[:, None]
        low, high = packed.amin((1, 2, 3), keepdim=True), packed.amax((1, 2, 3), keepdim=True)
        return (1 - (packed - low) / (high - low).clamp(min=1)).to(rgb.dtype)
    raise ValueError(f'decoding: expected "jet" or "packed", got {decoding!r}.')


def read_side_by_side(path: str | Path, decoding: str = "jet") -> tuple[torch.Tensor, torch.Tensor]:
    """Read a file of the published data set: photo on the left, depth in the colours of jet on the right.

    Returns:
        clear (3, H, W), depth (1, H, W); in [0, 1].

    Raises:
        ValueError: the width is odd, or `decoding` is unknown.
    """
    picture = read_image(path)
    if picture.shape[-1] % 2:
        raise ValueError(f"{path}: expected two halves of equal width, got a width of {picture.shape[-1]} pixels.")
    clear, coded = picture.chunk(2, dim=-1)
    return clear.contiguous(), decode_depth(coded[None], decoding)[0]


def write_side_by_side(path: str | Path, clear: torch.Tensor, depth: torch.Tensor) -> None:
    """Write clear (3, H, W) and depth (1, H, W) in the published side-by-side format."""
    write_image(path, torch.cat((clear[None], encode_jet(depth[None])), dim=-1))
