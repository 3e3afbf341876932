"""The network as an ONNX file, for machines without PyTorch's fast bfloat16 or without PyTorch: out, and in again.

Exported is what the network does at its working size; what carries the change to the photo's own pixels stays in
`ssdie.enhancement.photo`. Needs the extra "onnx": pip install "ssdie[onnx]".
"""

import functools
import hashlib
from pathlib import Path

import torch

from ssdie.networks.generators import Generator
from ssdie.networks.weights import check_sum, load_weights
from ssdie.utils.dependencies import require
from ssdie.utils.paths import WEIGHTS


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
        onnxruntime, path = require("onnxruntime", "onnx"), Path(path)
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


RELEASED = WEIGHTS / "msff.safetensors"


def load_model(path: str | Path | None = None, device: str | torch.device = "cpu") -> Generator:
    """Load a generator in evaluation mode.

    Args:
        path: of weights that `python -m ssdie train` wrote, or of an ONNX file that `python -m ssdie export` wrote;
            None takes the released ones, whose sha256 is checked.
        device: to put it on.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged or was not written by ssdie.
    """
    if path is None:
        check_sum(RELEASED)
    elif Path(path).suffix == ".onnx":
        return OnnxGenerator(path)
    return load_weights(path or RELEASED).to(device, memory_format=torch.channels_last)


@functools.cache
def released_model() -> Generator:
    """The released network, loaded once."""
    return load_model()
