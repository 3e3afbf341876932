"""The network as an ONNX file, for machines without PyTorch's fast bfloat16 or without PyTorch: out, and in again.

Exported is what the network does at its working size; what carries the change to the photo's own pixels stays in
`ssdie.enhance`. Needs the extra "onnx": pip install "ssdie[onnx]".
"""

import argparse
import hashlib
import importlib
import warnings
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from ssdie.attention import CrossAttention, attend_explicitly
from ssdie.networks import Generator
from ssdie.paths import atomic

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
    _need("onnxscript")
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


class OnnxGenerator(Generator):
    """A generator that ONNX Runtime runs on the CPU; `ssdie.load_model` gives it for a path that ends in .onnx.

    Args:
        path: that `export_onnx` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: ONNX Runtime cannot read it, or it is none of ssdie's; or the extra "onnx" is not installed.
    """

    def __init__(self, path: str | Path):
        super().__init__()
        onnxruntime, path = _need("onnxruntime"), Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is no file; give one that `python -m ssdie export` wrote.")
        digest = hashlib.sha256(path.read_bytes()).digest()
        self.register_buffer("digest", torch.tensor(list(digest), dtype=torch.uint8))  # tells one file from another
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            told = self.session.get_modelmeta().custom_metadata_map
            self.multiple, self.least = int(told["multiple"]), int(told["least"])
        except Exception as error:  # ONNX Runtime has its own kinds
            raise ValueError(f"{path} is none of ssdie's ONNX files ({error}); export it again.") from error

    def transform(self, x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Map (N, 3, H, W) in [-1, 1], sides multiples of `multiple`, to the same."""
        outputs = [self.session.run(None, {"dusty": picture.float().numpy()})[0] for picture in x.cpu().split(1)]
        return torch.cat([torch.from_numpy(output) for output in outputs]).to(x.device)


def _need(module: str) -> ModuleType:
    """Import what the extra "onnx" brings."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f'ONNX files need {error.name}, which is not here: pip install "ssdie[onnx]".') from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `python -m ssdie export`."""
    parser.add_argument("out", type=Path, help="file to write; ends in .onnx")
    parser.add_argument("--weights", type=Path, help="of a generator that you trained (default: the released ones)")


def run(args: argparse.Namespace) -> int:
    """Run `python -m ssdie export`."""
    from ssdie.enhance import load_model

    written = export_onnx(load_model(args.weights), args.out)
    print(f"written: {written}; use it by `python -m ssdie enhance --weights {written} ...`")
    return 0
