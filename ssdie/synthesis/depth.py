"""Depth of clear photos: a conditional GAN (pix2pix), its training and weights, and other sources of depth."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from ssdie.networks.discriminators import PatchDiscriminator
from ssdie.networks.generators import UNetGenerator
from ssdie.networks.weights import load_weights, read_header, save_weights
from ssdie.ops.depth_maps import DEPTH_SUFFIXES, read_depth
from ssdie.ops.images import check_image, fit_short_side, resize
from ssdie.utils.paths import WEIGHTS, check_sum

DEPTH_MODEL = WEIGHTS / "depth.safetensors"
Source = str | Path | nn.Module | Callable[[torch.Tensor], torch.Tensor]
SIDE = 256  # default shorter side of the model's input, pixels


def draw_crops(pairs: Sequence, batch: int, size: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw square crops of 60 to 100 % of the shorter side, half of them mirrored.

    Args:
        pairs: (clear (3, H, W), depth (1, h, w)), or (name, clear, depth); both of any size.
        batch: number of crops.
        size: side of the crops after resizing, pixels.
        random: random numbers, on the CPU.

    Returns:
        clear (batch, 3, size, size), depth (batch, 1, size, size).
    """
    crops = []
    for index in torch.randint(len(pairs), (batch,), generator=random).tolist():
        *_, clear, depth = pairs[index]
        scale, down, right, mirror = torch.rand(4, generator=random).tolist()
        height, width = clear.shape[-2:]
        depth = F.interpolate(depth[None], (height, width), mode="bilinear")
        side = max(1, round(min(height, width) * (0.6 + 0.4 * scale)))
        top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
        crop = torch.cat((clear[None], depth), 1)[..., top : top + side, left : left + side]
        crop = F.interpolate(crop, (size, size), mode="bilinear", antialias=True)
        crops.append(crop.flip(-1) if mirror < 0.5 else crop)
    clear, depth = torch.cat(crops).split((3, 1), dim=1)
    return clear, depth


def train_depth(
    model: UNetGenerator,
    pairs: Sequence,
    steps: int = 20_000,
    batch: int = 8,
    size: int = 256,
    seed: int = 0,
    accelerator: Accelerator | None = None,
    l1_weight: float = 100.0,
    learning_rate: float = 2e-4,
    report_every: int = 50,
) -> Iterator[dict[str, float]]:
    r"""Train a network from photo to depth.

    .. math:: \min_G \max_D\ \log D(J, d) + \log(1 - D(J, G(J))) + \lambda\, |G(J) - d|_1

    Args:
        model: `UNetGenerator(3, 1)`; trained in place, left in evaluation mode; its `side` becomes `size`.
        pairs: as for `draw_crops`.
        steps: updates of both networks.
        batch, size: crops per step, and their side in pixels; at least 32, preferably a multiple of 2^levels.
        seed: of crops, dropout and the discriminator; the initial weights are those of `model`.
        accelerator: device, precision and processes; None makes a default one.
        l1_weight: :math:`\lambda`.
        learning_rate: of both networks; Adam with betas (0.5, 0.999).
        report_every: steps between reports.

    Yields:
        Means since the last report: {"step", "l1", "adversarial", "discriminator"}.

    Source: Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017,
        equations 1 to 4.
    """
    accelerator, model.side = accelerator or Accelerator(), size
    random = torch.Generator().manual_seed(seed + 1_000_003 * accelerator.process_index)
    torch.manual_seed(seed)
    model, discriminator = (n.to(memory_format=torch.channels_last) for n in (model, PatchDiscriminator(4)))
    adam = [torch.optim.Adam(n.parameters(), learning_rate, (0.5, 0.999)) for n in (model, discriminator)]
    generator, discriminator, *adam = accelerator.prepare(model, discriminator, *adam)
    generator.train()
    sums, bce = torch.zeros(3, device=accelerator.device), F.binary_cross_entropy_with_logits
    for step in range(1, steps + 1):
        clear, depth = (x.to(accelerator.device) for x in draw_crops(pairs, batch, size, random))
        torch.manual_seed(int(torch.randint(2**62, (), generator=random)))  # dropout and latent noise
        estimate = generator(clear)

        discriminator.requires_grad_(True)
        real = discriminator(torch.cat((clear, depth), 1))
        fake = discriminator(torch.cat((clear, estimate.detach()), 1))
        discriminator_loss = (bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))) / 2
        accelerator.backward(discriminator_loss)
        adam[1].step()
        adam[1].zero_grad()

        discriminator.requires_grad_(False)
        fake = discriminator(torch.cat((clear, estimate), 1))
        adversarial, l1 = bce(fake, torch.ones_like(fake)), F.l1_loss(estimate, depth)
        accelerator.backward(adversarial + l1_weight * l1)
        adam[0].step()
        adam[0].zero_grad()

        sums += torch.stack((l1, adversarial, discriminator_loss)).detach().float()
        if step % report_every == 0 or step == steps:
            means = (sums / ((step - 1) % report_every + 1)).tolist()
            sums.zero_()
            yield {"step": step, **dict(zip(("l1", "adversarial", "discriminator"), means, strict=True))}
    accelerator.unwrap_model(generator, keep_fp32_wrapper=False).eval()


def save_depth_model(path: str | Path, model: UNetGenerator, **about) -> None:
    """Write the model as safetensors; `about` (plain values: data, steps, scores) is stored in the header."""
    options = {"width": model.downs[0][-1].out_channels, "levels": len(model.downs)}
    options |= {"in_channels": 3, "out_channels": 1}
    size = getattr(model, "side", SIDE)
    save_weights(path, model, {**about, "size": size, "generator": "unet", "options": options})


def load_depth_model(path: str | Path = DEPTH_MODEL) -> UNetGenerator:
    """Load a depth model on the CPU, in evaluation mode.

    Args:
        path: file that `save_depth_model` wrote; by default the released one, whose SHA-256 is verified.

    Returns:
        The model; its `side` is the shorter side of its input, that of the crops it was trained on.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds another network, or the released one is damaged.
    """
    if Path(path) == DEPTH_MODEL:
        check_sum(DEPTH_MODEL)
    header = read_header(path)
    if header["options"].get("out_channels") != 1:
        raise ValueError(f"{path}: expected a depth model that `save_depth_model` wrote, got another network.")
    model = load_weights(path)
    model.side = header.get("size", SIDE)
    return model


# Depth of a photo --------------------------------------------------------------------------------------------------


@torch.no_grad()
def estimate_depth(clear: torch.Tensor, source: Source, names: Sequence[str] | None = None) -> torch.Tensor:
    """Estimate or read the depth of clear photos.

    Args:
        clear: (N, 3, H, W) in [0, 1]; any size.
        source: a folder of depth files (with `names`), one depth file (N = 1), a .safetensors file of the GAN,
            the loaded model (its input has the size of the crops that it was trained on), or any function from `clear`
            to depth.
        names: file names of the photos; depth files have the same stems.

    Returns:
        (N, 1, H, W) in [0, 1], 0 near, 1 far.

    Raises:
        FileNotFoundError: a depth file is missing.
        ValueError: names are missing, or the function returns no depth.

    Example:
        >>> picture = torch.rand(1, 3, 6, 8)
        >>> estimate_depth(picture, lambda clear: clear.mean(dim=1, keepdim=True)).shape
        torch.Size([1, 1, 6, 8])
    """
    check_image(clear, "clear")
    if isinstance(source, str | Path):
        path = Path(source)
        if path.suffix == ".safetensors":
            return estimate_depth(clear, load_depth_model(path).to(clear.device))
        files = [path] if path.is_file() else _depth_files(path, names)
        if len(files) != len(clear):
            raise ValueError(f"names: expected one for each photo, got {len(files)} for {len(clear)} photos.")
        return torch.cat([resize(read_depth(file)[None], clear.shape[-2:]) for file in files]).to(clear)
    if isinstance(source, nn.Module):
        return resize(source.eval()(fit_short_side(clear, getattr(source, "side", SIDE))), clear.shape[-2:])
    depth = source(clear)
    check_image(depth, "depth (from your function)", channels=1)
    return resize(depth, clear.shape[-2:])


def _depth_files(folder: Path, names: Sequence[str] | None) -> list[Path]:
    """Find the depth file of each name."""
    if names is None:
        raise ValueError(f"names: expected the file names of the photos, since {folder} is a folder, got None.")
    found = []
    for name in names:
        options = [folder / (Path(name).stem + suffix) for suffix in DEPTH_SUFFIXES]
        found += [option for option in options if option.is_file()][:1]
        if not any(option.is_file() for option in options):
            raise FileNotFoundError(f"{options[0]} is missing. Create it with `ssdie depth`.")
    return found


def ramp_depth(clear: torch.Tensor) -> torch.Tensor:
    """Return a vertical ramp as depth, 0 in the bottom row and 1 in the top row: (N, 3, H, W) to (N, 1, H, W).

    Example:
        >>> ramp_depth(torch.zeros(1, 3, 3, 2))[0, 0, :, 0].tolist()
        [1.0, 0.5, 0.0]
    """
    count, _, height, width = clear.shape
    return torch.linspace(1, 0, height, device=clear.device).view(1, 1, -1, 1).expand(count, 1, height, width)
