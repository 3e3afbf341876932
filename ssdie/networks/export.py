"""The whole chain at the working size as an ONNX file: small photo in, affine colour maps and dust score out.

ONNX Runtime and onnxruntime-web run this file without PyTorch; `ssdie.enhancement.correction` applies the maps.
"""

import copy
import tempfile
import warnings
from pathlib import Path

import onnxruntime
import torch
from torch import nn

from ssdie.networks.dust_classifier import DustClassifier
from ssdie.networks.generators import Generator
from ssdie.networks.layers import CrossAttention, attend_explicitly
from ssdie.ops import tone
from ssdie.ops.affine import fit_correction
from ssdie.utils.dependencies import require
from ssdie.utils.paths import atomic

EXAMPLE = (1, 3, 96, 128)  # shape of the traced input; height and width stay dynamic


class Chain(nn.Module):
    """A generator with everything around it at the working size.

    The output of the network is post-processed, and affine colour maps are fitted to the change.

    Args:
        model: generator in evaluation mode.
        classifier: network of the dust score in evaluation mode; None: no dust score.
    """

    def __init__(self, model: Generator, classifier: DustClassifier | None = None):
        super().__init__()
        self.model, self.classifier = model, classifier

    def forward(
        self, photo: torch.Tensor, postprocess: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Compute the maps and the dust score.

        Args:
            photo: (1, 3, h, w) in [0, 1].
            postprocess: shape (); 1 applies the post-processing of veil and levels, 0 omits it.

        Returns:
            Maps (1, 12, h, w): 9 coefficients a[c, k] in the order c, k, then 3 offsets b[c]; with a classifier also
            the dust score (1,) in [0, 1].
        """
        enhanced = self.enhance(photo)
        enhanced = torch.lerp(enhanced, tone.postprocess(enhanced), postprocess)
        slope, offset = fit_correction(photo, enhanced - photo)
        maps = torch.cat((slope.flatten(1, 2), offset), 1)
        return maps if self.classifier is None else (maps, torch.sigmoid(self.classifier(photo)))

    def enhance(self, photos: torch.Tensor) -> torch.Tensor:
        """Compute `Generator.forward` without branches on the size, so that the exported graph accepts any size.

        Args:
            photos: (N, 3, h, w) in [0, 1].

        Returns:
            (N, 3, h, w) in [0, 1].
        """
        height, width = photos.shape[-2:]
        padded = 2 * photos - 1
        for dim in (2, 3):
            padded = padded.index_select(dim, self.mirrored_index(photos.shape[dim], photos.device))
        return ((self.model.transform(padded)[..., :height, :width].float() + 1) / 2).clamp(0.0, 1.0)

    def mirrored_index(self, length: int, device: torch.device) -> torch.Tensor:
        """Indices that pad a side of `length` pixels to a multiple by mirroring, as `pad_to_multiple` does."""
        multiple = self.model.multiple
        padded = (torch.sym_max(length, self.model.min_size) + multiple - 1) // multiple * multiple
        index = torch.arange(padded, device=device)
        index = torch.remainder(index, index.new_full((), 2 * length))
        return torch.minimum(index, 2 * length - 1 - index)


def prepare_for_export(model: Generator) -> Generator:
    """Copy a generator and replace modules for export.

    Attention becomes the plain formula. A transposed convolution of stride 1 becomes the equal convolution with the
    mirrored kernel, which ONNX Runtime computes faster.
    """
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        if isinstance(module, CrossAttention):
            module.attend = attend_explicitly
        for name, child in module.named_children():
            if isinstance(child, nn.ConvTranspose2d) and child.stride == (1, 1):
                setattr(module, name, as_convolution(child))
    return model


def as_convolution(transposed: nn.ConvTranspose2d) -> nn.Conv2d:
    """Make the convolution that equals a transposed convolution of stride 1.

    Example:
        >>> transposed, x = nn.ConvTranspose2d(2, 3, 3, padding=1, bias=False), torch.rand(1, 2, 5, 6)
        >>> torch.allclose(as_convolution(transposed)(x), transposed(x), atol=1e-6)
        True
    """
    rows, columns = transposed.kernel_size
    padding = (rows - 1 - transposed.padding[0], columns - 1 - transposed.padding[1])
    sizes = (transposed.in_channels, transposed.out_channels, transposed.kernel_size)
    convolution = nn.Conv2d(*sizes, padding=padding, bias=transposed.bias is not None)
    convolution.weight = nn.Parameter(transposed.weight.transpose(0, 1).flip(2, 3).contiguous())
    if transposed.bias is not None:
        convolution.bias = transposed.bias
    return convolution


def export_onnx(model: Generator, path: str | Path, classifier: DustClassifier | None = None) -> Path:
    """Write the chain of a generator as an ONNX file.

    Args:
        model: generator on the CPU.
        path: file to write; its name ends in .onnx.
        classifier: network of the dust score; None: the file computes none.

    Returns:
        The path.

    Raises:
        ValueError: `path` does not end in .onnx.
        ModuleNotFoundError: the packages of the extra "train" are missing.
    """
    require("onnxscript", "train")
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"out: expected a name that ends in .onnx, got {path}.")
    sides = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", FutureWarning)  # raised inside PyTorch by its own exporter
        program = torch.onnx.export(
            Chain(prepare_for_export(model), classifier).eval(),
            (torch.full(EXAMPLE, 0.5), torch.ones(())),
            dynamic_shapes=(sides, {}),
            input_names=["photo", "postprocess"],
            output_names=["maps"] if classifier is None else ["maps", "dust"],
            dynamo=True,
            verbose=False,
        )
    for node in program.model.graph:
        node.metadata_props.clear()  # stack traces of the exporter
    with atomic(path) as temporary, tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw.onnx")
        program.save(raw)
        optimize_onnx(raw, temporary)
    return path


def optimize_onnx(path: Path, target: Path) -> None:
    """Write an ONNX file with fused operators, for CPUs of every kind.

    ONNX Runtime optimises a graph whenever it is loaded, which takes longer than a pass of the network;
    `ssdie.enhancement.runtime.OnnxModel` loads the graph as it is.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
