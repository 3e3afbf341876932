"""Calibration of the metrics: ten images, measured by the package and by independent implementations.

`python tests/support/calibration.py` in the repository root writes docs/calibration.csv.
"""

from collections.abc import Container
from pathlib import Path

import numpy as np
import pandas as pd
import reference_metrics
import torch
from skimage import data

from ssdie.evaluation.fade import _models
from ssdie.evaluation.metrics import METRICS, measure
from ssdie.evaluation.niqe import load_pristine

TABLE = Path(__file__).parents[2] / "docs" / "calibration.csv"
DUST = (204, 153, 102)
PUBLISHED = {("waves", "fade"): 0.5080, ("waves in light fog", "fade"): 1.0430, ("waves in fog", "fade"): 2.3519}
# Largest relative difference to the independent implementation. NIQE: Pillow resizes in single precision;
# tint: rounding may put a pixel at the edge of the veil inside or outside of its mask.
TOLERANCES = dict.fromkeys(METRICS, 1e-4) | {"niqe": 2e-3, "tint": 1e-3}
ABSOLUTE_TOLERANCE = 1e-3


def images() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Enhanced, dusty and reference image, (128, 192, 3), integer levels from 0 to 255, by name."""
    y, x = np.mgrid[:128, :192]
    waves = [
        128 + 90 * np.sin(x / 7) * np.cos(y / 11),
        120 + 60 * np.cos(x / 13 + y / 5),
        100 + 40 * np.sin(x / 3 - y / 17),
    ]
    waves = np.floor(np.stack(waves, axis=-1))
    texture = 2 * np.sin(1.7 * x + 0.9 * y)  # in flat blocks NIQE and FADE would measure rounding errors
    grey = lambda plane: np.clip(np.floor(plane + texture), 0, 255)[..., None].repeat(3, axis=2)  # noqa: E731
    pictures = {
        "blot": grey(np.where((abs(x - 60) < 25) & (abs(y - 60) < 25), 40, 160)),
        "orange": grey(250) * (0.8, 0.5, 0.2) // 1,
        "ramp": grey(64 + x * 2 / 3),
        "checks": grey(255 * ((x // 12 + y // 12) % 2)),
        "waves": waves,
        "waves in light fog": np.floor(0.6 * waves + 0.4 * 200 + 0.5),
        "waves in fog": np.floor(0.3 * waves + 0.7 * 200 + 0.5),
    }
    for name in ("chelsea", "astronaut", "coffee"):
        pictures[name] = getattr(data, name)()[80:208, 120:312].astype(float)
    triples = {}
    for name, image in pictures.items():
        dusty = grey(160.0) if name == "blot" else np.rint(0.6 * image + 0.4 * np.array(DUST))
        triples[name] = image, dusty, np.rint(0.9 * image + 12)
    return triples


def calibrate(referenced: Container[str] | None = None) -> pd.DataFrame:
    """Columns image, metric, ours, reference, source; NaN where a metric is undefined.

    Args:
        referenced: names of the images that the independent implementations measure too; None takes all.
    """
    pristine, rows = load_pristine("ssdie"), []
    for name, triple in images().items():
        tensors = [torch.from_numpy(image / 255).permute(2, 0, 1)[None].float() for image in triple]
        arrays = [tensor[0].permute(1, 2, 0).double().numpy() for tensor in tensors]
        ours = measure(*tensors)
        for metric, row in METRICS.items():
            source, value = "independent implementation", np.nan
            if (name, metric) in PUBLISHED:
                value, source = PUBLISHED[name, metric], "value computed from the equations of the release"
            elif referenced is not None and name not in referenced:
                pass
            elif metric == "niqe":
                value = reference_metrics.niqe(arrays[0], pristine.mean, pristine.covariance)
            elif metric == "fade":
                value = reference_metrics.fade(arrays[0], _models())
            else:
                others = {"clear": arrays[2:], "dusty": arrays[1:2], "": []}[row.needs]
                value = getattr(reference_metrics, metric)(arrays[0], *others)
            rows.append({"image": name, "metric": metric, "ours": ours[metric], "reference": value, "source": source})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    calibrate().to_csv(TABLE, index=False, float_format="%.6g")
