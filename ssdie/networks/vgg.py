"""Frozen VGG features for the perceptual and style terms."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from ssdie.utils.paths import data_root, is_offline

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FeatureNetwork(nn.Module):
    """The frozen convolutional layers of VGG up to relu5_2; one forward pass returns all layers that the losses use.

    Args:
        weights: "vgg19", the ImageNet weights of torchvision, downloaded unless they are in its cache; a path of a
            safetensors file with the features of VGG-16; "random", seeded random weights for tests; or "auto", the
            file in SSDIE_DATA if there is one, else VGG-19 from torchvision's cache, without a download.

    Raises:
        FileNotFoundError: the weights are not available.

    Source: Simonyan and Zisserman, ICLR 2015.
    """

    PERCEPTUAL = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    STYLE = ("relu2_2", "relu3_4", "relu4_4", "relu3_3", "relu4_3", "relu5_2")

    def __init__(self, weights: str | Path = "auto"):
        super().__init__()
        layers = self._load(weights)
        sixteen = len(layers) <= 31  # VGG-19 has 37 layers
        style = ("relu2_2", *(("relu3_3", "relu4_3") if sixteen else ("relu3_4", "relu4_4")), "relu5_2")
        self.names: dict[int, str] = {}  # of the returned layers, by index
        stage, place = 1, 0
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.Conv2d):
                place += 1
            elif isinstance(layer, nn.MaxPool2d):
                stage, place = stage + 1, 0
            elif f"relu{stage}_{place}" in (*self.PERCEPTUAL, *style):
                self.names[index] = f"relu{stage}_{place}"
        self.layers = nn.Sequential(*list(layers)[: max(self.names) + 1])
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the feature maps.

        Args:
            image: (N, 3, H, W) in [0, 1]; H and W at least 16.

        Returns:
            (N, C, h, w) by name of the layer, such as "relu1_1".
        """
        features, maps = (image - self.mean) / self.std, {}
        for index, layer in enumerate(self.layers):
            features = layer(features)
            if index in self.names:
                maps[self.names[index]] = features
        return maps

    @staticmethod
    def _load(weights: str | Path) -> nn.Sequential:
        """Build the layers and load their weights; see the class."""
        # importing torchvision takes 2 CPU-seconds, which most processes that import the losses need not spend
        from ssdie.utils import torchvision_ops  # noqa: F401  before torchvision, see there

        from torchvision.models import VGG19_Weights, vgg16, vgg19  # isort: skip

        root = data_root()
        shared = root / "models" / "vgg16_features.safetensors" if root else None
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(VGG19_Weights.IMAGENET1K_V1.url).name
        if weights == "random":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return vgg16(weights=None).features
        if weights == "auto" and not (shared and shared.is_file()):
            if not cached.is_file():
                raise FileNotFoundError(
                    f"features: expected VGG weights in SSDIE_DATA or {cached}, found none. Set SSDIE_DATA, or give "
                    '"vgg19" (a download of 548 MB), the path of a VGG-16 feature file, or "random".'
                )
            weights = "vgg19"
        if weights == "vgg19":
            if is_offline() and not cached.is_file():
                raise FileNotFoundError(f"{cached} does not exist, and SSDIE_OFFLINE forbids its download. Unset it.")
            return vgg19(weights=VGG19_Weights.IMAGENET1K_V1).features
        path = shared if weights == "auto" else Path(weights)
        if not path.is_file():
            raise FileNotFoundError(
                f'features: expected "vgg19", "auto", "random" or a VGG-16 feature file, but {path} does not exist.'
            )
        state = {k.removeprefix("features."): v.float() for k, v in load_file(path).items()}
        with torch.device("meta"):  # no random weights are drawn
            layers = vgg16(weights=None).features[: max(int(k.split(".")[0]) for k in state) + 2]
        layers.load_state_dict(state, assign=True)
        return layers
