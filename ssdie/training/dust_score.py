r"""Training of the dust classifier, whose output, the dust score, is 0 for a photo without dust and 1 for dense dust.

The target of a photo with synthetic dust rises with the light lost in the dust, the mean of 1 - t over the photo:

.. math:: y = S\left(\frac{\overline{1 - t} - 0.05}{0.55}\right), \qquad S(x) = 3x^2 - 2x^3 \text{ for } x \in [0, 1]

If a fifth of the light is lost, which is a barely visible haze, the target is 0.18; if half is lost, it is 0.91. Real
dusty photos have the target 1. Clear photos, whatever their exposure, white balance and contrast, and drawn pictures
have 0; enhanced photos have `ENHANCED`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from ssdie.data.photos import Photo, find_photos
from ssdie.data.sample import list_sample, read_pair
from ssdie.enhancement.tensors import enhance_tensor, released_network
from ssdie.networks.dust_classifier import DustClassifier, save_dust_classifier
from ssdie.networks.generators import Generator
from ssdie.networks.weights import load_weights
from ssdie.ops.color import luminance
from ssdie.ops.images import fit_long_side
from ssdie.synthesis.dust import DustyPair, add_dust, visible_target
from ssdie.synthesis.recipes import Dust, sample_dust
from ssdie.training.batches import Crops, load_batches
from ssdie.utils.devices import derive_seed
from ssdie.utils.provenance import current_commit

WEIGHTS_FILE = "dust.safetensors"
LOST = (0.05, 0.6)  # fraction of lost light up to which the target is 0, and from which it is 1
ENHANCED = 0.03  # target of enhanced photos: some dust may be left
THIN = (0.05, 3.0)  # extinction of green per unit of depth of thin dust, log-uniform
WHOLE = 160  # longer side of the photos that are enhanced as examples; pixels
GRAPHICS = 2  # drawn pictures in a batch


@dataclass
class DustScoreConfig:
    """Train the dust classifier, which gives the dust score of a photo."""

    run: Path  # folder for the weights
    data: Path | None = None  # folder of photos, see data/README.md; default: SSDIE_DATA, else the sample
    enhancer: Path | None = None  # weights of the generator whose outputs count as clear; default: the released ones
    steps: int = 500  # optimiser updates
    batch: int = 24  # clear photos per update; half of them get synthetic dust
    size: int = 96  # side of the crops, pixels
    learning_rate: float = 4e-3  # largest learning rate of AdamW
    seed: int = 0  # of all random numbers
    report_every: int = 100  # steps between reports


def train_dust_classifier(config: DustScoreConfig) -> Iterator[dict[str, float]]:
    """Train the classifier, write its weights into `config.run` and yield a report every `report_every` steps.

    Yields:
        "step", "loss" (cross-entropy to the soft targets) and the mean score of "clear", "enhanced", "thin", "thick"
        (synthetic) and "real" dusty photos since the last report.

    Raises:
        ValueError: photos of a kind are missing, or one cannot be read.
    """
    torch.manual_seed(config.seed)  # initial weights
    sources = find_photos(config.data)
    network = DustClassifier().train()
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, config.steps)
    drawn = [Photo(p.name, lambda name=p.name: torch.cat(read_pair(name))) for p in list_sample("train")]
    enhanced = enhance_photos(sources.dusty, config.enhancer)
    half = config.batch // 2
    kinds = ((sources.clear, config.batch), (sources.dusty, half), (enhanced, half // 2), (drawn, GRAPHICS))
    streams = [
        load_batches(Crops(photos, config.size, derive_seed(config.seed, k)), count)
        for k, (photos, count) in enumerate(kinds)
    ]
    sums, count = {}, 0
    for step in range(config.steps):
        random = torch.Generator().manual_seed(derive_seed(config.seed, 10, step))
        photos, targets, groups = make_examples(*(next(stream) for stream in streams), random)
        logits = network(photos)
        loss = F.binary_cross_entropy_with_logits(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        scores = logits.detach().sigmoid().split(list(groups.values()))
        values = dict(zip(groups, (score.mean().item() for score in scores), strict=True))
        for name, value in {"loss": loss.item(), **values}.items():
            sums[name] = sums.get(name, 0.0) + value
        count += 1
        if (step + 1) % config.report_every == 0 or step + 1 == config.steps:
            yield {"step": step + 1} | {name: value / count for name, value in sums.items()}
            sums, count = {}, 0
    settings = {k: v for k, v in asdict(config).items() if not isinstance(v, Path)}
    about = {"config": settings, "commit": current_commit(), "data": sources.origin, "photos": sources.counts}
    save_dust_classifier(config.run / WEIGHTS_FILE, network.eval(), about)


def enhance_photos(photos: list[Photo], weights: Path | None) -> list[Photo]:
    """Enhance photos by a generator at strength 1; the classifier learns that enhanced photos have little dust."""
    network: Generator = load_weights(weights) if weights else released_network()
    done = []
    for photo in photos:
        small = fit_long_side(photo.read()[None], WHOLE)
        output = enhance_tensor(small, network, strength=1.0, working_size=WHOLE * 3 // 5)[0]
        done.append(Photo(photo.name, lambda output=output: output))
    return done


def make_examples(
    clear: torch.Tensor, dusty: torch.Tensor, enhanced: torch.Tensor, drawn: torch.Tensor, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, dict[str, int]]:
    """Make a batch of examples.

    Args:
        clear: photos and depth, (N, 4, H, W); the first half gets synthetic dust.
        dusty, enhanced: real dusty photos, and enhanced photos; (M, 3, H, W).
        drawn: drawn pictures and depth; (K, 4, H, W).
        random: random numbers, on the CPU.

    Returns:
        Photos (B, 3, H, W), targets (B,) in [0, 1], and the number of photos of each kind, in their order.
    """
    half, quarter = len(clear) // 2, len(clear) // 4
    thin = add_thin_dust(clear[:quarter], random)
    thick = _add_without_jpeg(clear[quarter:half], sample_dust(half - quarter, random), random)
    repaired = torch.cat((enhanced, visible_target(thick)[: quarter // 2]))  # outputs and targets of a generator
    undusted = torch.cat((clear[half:, :3], drawn[:, :3], draw_graphics(len(drawn), clear.shape[-1], random)))
    groups = {
        "clear": (vary_colors(undusted, random), torch.zeros(len(undusted))),
        "enhanced": (vary_colors(repaired, random, 0.5), torch.full((len(repaired),), ENHANCED)),
        "thin": (vary_colors(thin.dusty, random, 0.5), dust_target(thin)),
        "thick": (vary_colors(thick.dusty, random, 0.3), dust_target(thick)),
        "real": (vary_colors(dusty, random, 0.3), torch.ones(len(dusty))),
    }
    photos, targets = (torch.cat(parts) for parts in zip(*groups.values(), strict=True))
    return photos, targets, {name: len(photos) for name, (photos, _) in groups.items()}


def add_thin_dust(clear: torch.Tensor, random: torch.Generator) -> DustyPair:
    """Add thin dust to photos and depth (N, 4, H, W), without imposing the colour statistics of dusty photos."""
    dust = sample_dust(len(clear), random, "measured", 1.0)
    low, high = torch.tensor(THIN).log()
    dust.beta *= (low + (high - low) * torch.rand(len(clear), 1, generator=random)).exp()
    return _add_without_jpeg(clear, dust, random)


def _add_without_jpeg(clear: torch.Tensor, dust: Dust, random: torch.Generator) -> DustyPair:
    """Add dust to (N, 4, H, W) without JPEG compression, whose artefacts would distinguish dusty from clear crops."""
    dust.quality = torch.full_like(dust.quality, 101)
    return add_dust(clear[:, :3], clear[:, 3:], dust, random)


def dust_target(pair: DustyPair) -> torch.Tensor:
    """Compute the target y of the module's formula, (N,) in [0, 1].

    Example:
        >>> one = torch.ones(1, 3, 2, 2)
        >>> pair = DustyPair(one, one, 0.5 * one, one[:, :, 0, 0], one[:, :1])
        >>> round(dust_target(pair).item(), 2)
        0.91
    """
    low, high = LOST
    x = ((1 - pair.transmission.mean((1, 2, 3)) - low) / (high - low)).clamp(0, 1)
    return x * x * (3 - 2 * x)


def vary_colors(photos: torch.Tensor, random: torch.Generator, amount: float = 1.0) -> torch.Tensor:
    """Vary tone curve, saturation, white balance (candle light to shade) and exposure of each photo; black stays black.

    Args:
        photos: (N, 3, H, W) in [0, 1].
        random: random numbers, on the CPU.
        amount: factor on the standard deviations of all variations; 0 changes nothing.

    Example:
        >>> vary_colors(torch.zeros(1, 3, 2, 2), torch.Generator().manual_seed(0)).max().item()
        0.0
    """

    def normal(sigma: float) -> torch.Tensor:
        return amount * sigma * torch.randn(len(photos), 1, 1, 1, generator=random)

    photos = photos.clamp(0, 1) ** (2 ** normal(0.4))
    saturation = (1 + normal(0.4)).clamp(0, 2)
    photos = torch.lerp(luminance(photos), photos, saturation).clamp(0, 1)
    warmth, green = normal(0.45) + 0.15 * amount, normal(0.08)
    gains = 2 ** torch.cat((0.7 * warmth, green, -1.1 * warmth), 1)  # (N, 3, 1, 1)
    exposure = 2 ** (normal(0.6) - 0.3 * amount)
    gray = luminance(gains)  # keeps the brightness
    return (photos * gains / gray * exposure).clamp(0, 1)


def draw_graphics(count: int, side: int, random: torch.Generator) -> torch.Tensor:
    """Draw mosaics of flat colours, (count, 3, side, side)."""
    drawn = []
    for _ in range(count):
        cells = [int(n) for n in torch.randint(2, 12, (2,), generator=random)]
        drawn.append(F.interpolate(torch.rand(1, 3, *cells, generator=random), (side, side), mode="nearest"))
    return torch.cat(drawn)
