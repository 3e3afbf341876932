"""Classical methods to compare with, each written from the equations of its paper.

- `classic`: gray world, CLAHE, dark channel prior, gray world followed by it, multi-scale Retinex, Lab colour balance.
- `white_correction` (2019), `rank_one_prior` (ROP, 2021, and ROP+, 2023), `chromatic_variance` (CVCGCBD, 2022),
  `sigmoid_curve` (Bartani, 2022): methods that recent papers compare with.

Every method takes and returns (N, 3, H, W) in [0, 1] and processes each image independently. ROP and ROP+ are patented;
see `ssdie.evaluation.baselines.rank_one_prior` before using them for anything but research.
"""

from collections.abc import Callable

import torch

from ssdie.evaluation.baselines.chromatic_variance import cvcgcbd
from ssdie.evaluation.baselines.classic import (
    clahe_lab,
    dark_channel_prior,
    gray_world,
    gray_world_dcp,
    lab_color_balance,
    msrcr,
)
from ssdie.evaluation.baselines.rank_one_prior import rop, rop_plus
from ssdie.evaluation.baselines.sigmoid_curve import bartani
from ssdie.evaluation.baselines.white_correction import airlight_white

BASELINES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gray_world": gray_world,
    "clahe_lab": clahe_lab,
    "dark_channel_prior": dark_channel_prior,
    "gray_world_dcp": gray_world_dcp,
    "msrcr": msrcr,
    "lab_colour_balance": lab_color_balance,
    "airlight_white": airlight_white,
    "rop": rop,
    "rop_plus": rop_plus,
    "cvcgcbd": cvcgcbd,
    "bartani": bartani,
}
METHOD_TITLES = {  # names in figures and explorers
    "input": "dusty",
    "gray_world": "gray world",
    "clahe_lab": "CLAHE",
    "dark_channel_prior": "DCP",
    "gray_world_dcp": "gray world + DCP",
    "msrcr": "MSRCR",
    "lab_colour_balance": "Lab balance",
    "airlight_white": "airlight white",
    "rop": "ROP",
    "rop_plus": "ROP+",
    "cvcgcbd": "CVCGCBD",
    "bartani": "Bartani 2022",
    "toenet": "TOENet",
    "ssdie": "SSDIE-Net",
}
