"""Settings of a training run; the defaults are the paper's where it gives them."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ssdie.losses import LossWeights
from ssdie.ops.priors import DARK_CHANNELS
from ssdie.synthesis.recipes import RECIPES
from ssdie.utils.devices import PRECISIONS

STAGES = ("supervised", "dark-channel", "semi-supervised")


@dataclass
class TrainConfig:
    """Run one stage of training, or resume it."""

    stage: Literal["supervised", "dark-channel", "semi-supervised"]  # stage of training
    run: Path  # folder for checkpoint, log and weights; a checkpoint in it is resumed
    data: Path | None = None  # folder of photos, see data/README.md; default: SSDIE_DATA, else the sample
    generator: str = "msff"  # network to train: msff, unet or patch
    options: dict = field(default_factory=dict)  # arguments of the network, as JSON
    steps: int = 1000  # optimiser updates
    batch: int = 8  # images per update and process
    real_batch: int = 0  # real photos per update and process in the semi-supervised stage; 0: as many as `batch`
    size: int = 256  # side of the crops, pixels
    # side of the generator's input, pixels; its change is then applied to the whole crop, post-processing included,
    # as for a photo; 0: the crop itself
    working_size: int = 0
    learning_rate: float = 1e-4  # of Adam, reached after 100 steps
    betas: tuple[float, float] = (0.5, 0.999)  # of Adam
    schedule: str = "constant"  # of the learning rate: constant, or cosine down to a twentieth
    clip: float = 100.0  # largest norm of the gradient; a larger gradient is scaled down to it
    ema: float = 0.999  # decay per step of the moving average of the weights
    frozen_norm: bool = False  # keep the generator's BatchNorm at its running statistics
    copies: int = 5  # K, number of perturbed and of augmented copies of each real photo
    noise: float = 0.1  # sigma of the perturbation, in units of [-1, 1]
    # pass the copies one by one instead of in one batch: less memory, and BatchNorm sees each copy separately, as in
    # the paper; as fast on a CPU in float32, slower on a GPU
    sequential_copies: bool = False
    recipe: str = "measured"  # of the dust: measured, scattering, reference, or mixed (the three in turn)
    undusted: float = 0.0  # fraction of the pairs without dust, whose target is the photo itself
    hazed: float = 0.0  # fraction of the pairs with light haze
    uneven: float = 0.0  # fraction of the pairs with plumes, a layer or a gradient of dust
    full_chroma: bool = False  # target: the clear photo as it is, instead of with colours dulled by settled dust
    target: str = "clear"  # of the supervised terms: clear, or visible (ssdie.synthesis.dust.visible_target)
    pseudo_label: str = "retinex_joint"  # kind of pseudo-label, see ssdie.losses.make_pseudo_label
    dark_channel: str = "joint"  # kind of dark channel, see ssdie.ops.priors.block_dark_channel
    features: str = "auto"  # VGG weights, see ssdie.networks.vgg.FeatureNetwork; loaded if a term needs them
    weights: LossWeights = field(default_factory=LossWeights)  # of the terms
    init: Path | None = None  # weights of the generator to start from
    dark_channel_net: Path | None = None  # checkpoint of the dark-channel stage; the semi-supervised stage needs it
    seed: int = 0  # of all random numbers
    precision: str = "auto"  # auto (bf16 where the device is faster in it, else fp32), fp32, bf16 or fp16
    workers: int = 0  # processes that load photos
    report_every: int = 10  # steps between reports
    save_every: int = 500  # steps between checkpoints
    nonfinite: str = "stop"  # on a loss or gradient that is not finite: stop, or skip the update and count it

    def __post_init__(self):
        """Validate choices and fractions."""
        for name, value, known in (
            ("stage", self.stage, STAGES),
            ("recipe", self.recipe, (*RECIPES, "mixed")),
            ("target", self.target, ("clear", "visible")),
            ("dark_channel", self.dark_channel, DARK_CHANNELS),
            ("schedule", self.schedule, ("constant", "cosine")),
            ("nonfinite", self.nonfinite, ("stop", "skip")),
            ("precision", self.precision, (*PRECISIONS, "no")),
        ):
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}.")
        for name in ("undusted", "hazed", "uneven"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a fraction from 0 to 1, got {getattr(self, name)}.")
        if self.undusted + self.hazed > 1:
            raise ValueError(f"undusted, hazed: expected at most 1 together, got {self.undusted} and {self.hazed}.")
        self.run = Path(self.run)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: a linear warm-up over 100 steps, then `schedule`."""
        rise = min(1.0, (step + 1) / min(100, self.steps))
        if self.schedule == "constant":
            return self.learning_rate * rise
        fall = 0.525 + 0.475 * math.cos(math.pi * step / self.steps)  # 1 to 1/20
        return self.learning_rate * rise * fall
