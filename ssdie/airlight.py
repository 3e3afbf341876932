"""The colours of dust: airlight and looks, fitted to real dusty photos, and draws from them."""

import argparse
import functools
import json
from pathlib import Path

import torch
from scipy.stats import gaussian_kde
from tqdm import tqdm

from ssdie.images import fit_short_side, list_images, read_image
from ssdie.looks import measure_looks
from ssdie.paths import WEIGHTS, atomic
from ssdie.priors import estimate_airlight

AIRLIGHT_FILE = WEIGHTS / "airlight.json"


def fit_airlight(folder: str | Path, path: str | Path = AIRLIGHT_FILE) -> dict:
    """Fit airlight and look of real dusty photos and write them: a Gaussian kernel density of logit(A), and a list.

    Args:
        folder: of dusty photos, at least eight.
        path: JSON file to write.

    Returns:
        `colours` (n, 3), the airlight of each photo in RGB; `bandwidth` (3, 3), the kernel's covariance in logits;
        `looks` (n, 9), see `ssdie.looks.measure_looks`.

    Source: airlight by `ssdie.priors.estimate_airlight` at a short side of 128, voted for by 40 % of the pixels
    (a veil is wide, He's 0.1 % finds lamps); bandwidth half of Scott's rule, which is made for one peak (there are
    three: grey, yellow, orange).
    """
    paths = list_images(folder)
    if len(paths) < 8:
        raise ValueError(f"{folder} holds {len(paths)} photos; wanted are at least 8 dusty ones.")
    small = [fit_short_side(read_image(p)[None], 128) for p in tqdm(paths, "airlight", unit="photo")]
    colours = torch.cat([estimate_airlight(s, share=0.4) for s in small])
    looks = torch.cat([measure_looks(s) for s in small])
    scott = len(colours) ** (-1 / 7)  # n^(-1 / (d + 4))
    bandwidth = gaussian_kde(torch.logit(colours, eps=0.01).T.numpy(), bw_method=scott / 2).covariance
    fitted = {
        "about": "airlight and looks of real dusty photos; ssdie.airlight.fit_airlight says what the numbers are",
        "bandwidth": bandwidth.round(5).tolist(),
        "colours": [[round(v, 3) for v in colour] for colour in colours.tolist()],
        "looks": [[round(v, 3) for v in look] for look in looks.tolist()],
    }
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(fitted) + "\n", encoding="utf-8")
    _read_airlight.cache_clear()
    return fitted


@functools.cache
def _read_airlight(path: Path = AIRLIGHT_FILE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Colours in logits (n, 3), the Cholesky factor of the bandwidth (3, 3), looks (n, 9)."""
    fitted = json.loads(path.read_text(encoding="utf-8"))
    colours = torch.logit(torch.tensor(fitted["colours"]), eps=0.01)
    return colours, torch.linalg.cholesky(torch.tensor(fitted["bandwidth"])), torch.tensor(fitted["looks"])


def draw_airlight(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw (count, 3) airlight colours from the distribution fitted to real photos."""
    colours, factor, _ = _read_airlight()
    picked = colours[torch.randint(len(colours), (count,), generator=generator)]
    return torch.sigmoid(picked + torch.randn((count, 3), generator=generator) @ factor.T)


def draw_looks(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw (count, 9) looks of real photos."""
    looks = _read_airlight()[2]
    return looks[torch.randint(len(looks), (count,), generator=generator)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m ssdie fit-airlight`."""
    parser.add_argument("folder", type=Path, help="folder of real dusty photos")
    parser.add_argument("--out", type=Path, default=AIRLIGHT_FILE, help="JSON file to write (default: the shipped one)")


def run(args: argparse.Namespace) -> int:
    """Run `python -m ssdie fit-airlight`."""
    fitted = fit_airlight(args.folder, args.out)
    print(f"{args.out}: airlight of {len(fitted['colours'])} photos")
    return 0
