"""The network as an ONNX file, for machines without PyTorch's fast bfloat16 or without PyTorch: out, and in again.

Exported is what the network does at its working size; what carries the change to the photo's own pixels stays in
`ssdie.enhancement.photo`. Needs the extra "onnx": pip install "ssdie[onnx]".
"""

import warnings
from pathlib import Path

import torch
from torch import nn

from ssdie.networks.generators import Generator
from ssdie.networks.layers import CrossAttention, attend_explicitly
from ssdie.utils.dependencies import require
from ssdie.utils.paths import atomic

EXAMPLE = (1, 3, 96, 128)  # shape that the export is traced with; height and width stay open


class _Transform(nn.Module):
    """`Generator.transform` as a forward pass, attention as it is written."""

    def __init__(self, model: Generator):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.transform(x)


def export_onnx(model: Generator, path: str | Path) -> Path:
    """Write a generator as ONNX: input and output (1, 3, H, W) in [-1, 1], sides multiples of `model.multiple`.

    Args:
        model: from `ssdie.load_model`, on the CPU.
        path: to write to.

    Raises:
        ValueError: `path` does not end in .onnx, or the extra "onnx" is not installed.
    """
    require("onnxscript", "onnx")
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"{path} does not end in .onnx, by which ssdie knows such files; give another name.")
    blocks = [module for module in model.modules() if isinstance(module, CrossAttention)]
    kept = [block.attend for block in blocks]
    for block in blocks:
        block.attend = attend_explicitly
    try:
        sides = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
        example = torch.zeros(EXAMPLE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of PyTorch's exporter, about PyTorch
            program = torch.onnx.export(
                _Transform(model).eval(), (example,), dynamic_shapes=(sides,), input_names=["dusty"],
                output_names=["enhanced"], dynamo=True, verbose=False,
            )  # fmt: skip
    finally:
        for block, attend in zip(blocks, kept, strict=True):
            block.attend = attend
    program.model.metadata_props.update({"multiple": str(model.multiple), "least": str(model.least)})
    with atomic(path) as temporary:
        program.save(temporary)
    return path
