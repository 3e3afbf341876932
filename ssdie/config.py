"""The settings of a training run, the paper's where it names them."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from ssdie.devices import PRECISIONS
from ssdie.priors import DARK_CHANNELS
from ssdie.weather import RECIPES

STAGES = ("supervised", "dark-channel", "semi-supervised")


@dataclass
class LossWeights:
    """Weight of each term; the paper's, but for `gradient`, `psnr`, `ssim`, `fit`: this project's own, and off.

    Args:
        reconstruction, perceptual, style: supervised, on synthetic pairs.
        consistency, dark_channel, retinex, adversarial: unsupervised, on real photos.
        gradient, psnr, ssim: supervised, on synthetic pairs.
        fit: what the affine fit takes from the generator's output, where crops exceed `working_size`.
    """

    reconstruction: float = 100.0
    perceptual: float = 1.0
    style: float = 1.0
    consistency: float = 1.0
    dark_channel: float = 1.0
    retinex: float = 0.1
    adversarial: float = 1.0
    gradient: float = 0.0
    psnr: float = 0.0
    ssim: float = 0.0
    fit: float = 0.0


@dataclass
class TrainConfig:
    """Settings of a run.

    Args:
        stage: "supervised", "dark-channel" or "semi-supervised".
        run: folder for checkpoint, log and weights.
        data: folder of photos (see `ssdie.data.find_photos`); None takes SSDIE_DATA or the embedded sample.
        generator, options: network to train, as for `ssdie.networks.build_generator`.
        steps: optimiser updates; batch: pictures an update on one process; size: side of the crops, pixels.
        working_size: side of what the generator sees of a crop, pixels; the terms look at the crop's own pixels, to
            which the change is carried as to a photo's, last touch included; 0, or `size` and more: the crop itself.
        learning_rate, betas: of Adam; schedule: "constant", or "cosine" down to a twentieth; both rise for 100 steps.
        clip: largest norm of the gradient; ema: decay of the averaged weights at each step.
        frozen_norm: keep the generator's BatchNorm at its running statistics.
        copies: K, disturbed and augmented copies of a real photo; noise: sigma of the disturbance in [-1, 1] units.
        apart: the copies pass the networks one by one, and not in one batch: less memory, and BatchNorm looks
            at each by itself, as in the paper. As fast on a processor in float32, slower on a GPU.
        recipe: "measured", "scattering", "reference", or "mixed": the three in turn.
        target: "clear", the clear photo, or "visible", `ssdie.dust.visible_target`.
        pseudo_label: kind for `ssdie.losses.make_pseudo_label`; dark_channel: for `ssdie.priors.block_dark_channel`.
        features: weights for `ssdie.features.FeatureNetwork`; loaded only if a term that needs them has a weight.
        weights: of the terms.
        init: weights of the generator to start from; judge: checkpoint of stage 2, for stage 3.
        seed: of everything; precision: "auto" (bf16 where the device is faster in it, else fp32),
            "fp32", "bf16" or "fp16"; workers: processes that load photos.
        report_every, save_every: steps.
        nonfinite: what a loss or gradient that is not finite does: "stop" the run, or "skip" the update and count it.
    """

    stage: str
    run: Path
    data: Path | None = None
    generator: str = "msff"
    options: dict = field(default_factory=dict)
    steps: int = 1000
    batch: int = 8
    size: int = 256
    working_size: int = 0
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: str = "constant"
    clip: float = 100.0
    ema: float = 0.999
    frozen_norm: bool = False
    copies: int = 5
    noise: float = 0.1
    apart: bool = False
    recipe: str = "measured"
    target: str = "clear"
    pseudo_label: str = "retinex_joint"
    dark_channel: str = "joint"
    features: str = "auto"
    weights: LossWeights = field(default_factory=LossWeights)
    init: Path | None = None
    judge: Path | None = None
    seed: int = 0
    precision: str = "auto"
    workers: int = 0
    report_every: int = 10
    save_every: int = 500
    nonfinite: str = "stop"

    def __post_init__(self):
        """Refuse what no stage understands."""
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
                raise ValueError(f"{name} is {value!r}; wanted is one of {', '.join(known)}.")
        self.run = Path(self.run)

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / min(100, self.steps))
        if self.schedule == "constant":
            return self.learning_rate * rise
        fall = 0.525 + 0.475 * math.cos(math.pi * step / self.steps)  # 1 to 1/20
        return self.learning_rate * rise * fall
