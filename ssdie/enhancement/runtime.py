"""Loading a network: ONNX Runtime on a CPU, PyTorch for GPUs and safetensors weights.

Both are wrapped as a `Model`, whose method `correct` computes affine colour maps and a dust score from a small photo.
"""

import ctypes
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ssdie.enhancement.correction import Correction
from ssdie.utils.dependencies import require
from ssdie.utils.paths import WEIGHTS, check_sum, file_digest

if TYPE_CHECKING:
    import torch

RELEASED = WEIGHTS / "msff.safetensors"
RELEASED_ONNX = WEIGHTS / "msff.onnx"


class Model(Protocol):
    """Interface of the models that `load_model` returns."""

    digest: str  # identifies the weights

    def correct(self, small: np.ndarray, postprocess: bool = True) -> Correction:
        """Compute the affine colour maps and the dust score of a photo at the working size.

        Args:
            small: (h, w, 3) float32 in [0, 1].
            postprocess: apply `ssdie.ops.tone.postprocess` after the network.

        Returns:
            Maps of the size of `small`, and the dust score.
        """


class OnnxModel:
    """A network that `ssdie export` wrote, run by ONNX Runtime on the CPU.

    Args:
        path: the .onnx file.
        threads: threads of ONNX Runtime; None takes OMP_NUM_THREADS, or else the number of cores, at most 4.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: `ssdie export` did not write the file.
    """

    def __init__(self, path: str | Path, threads: int | None = None):
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"weights: expected a file that `ssdie export` wrote, but {path} does not exist.")
        self.threads = threads or int(os.environ.get("OMP_NUM_THREADS", 0)) or min(4, os.cpu_count() or 1)
        self.digest = file_digest(self.path)
        self._session, self._process = self._open(), os.getpid()

    def _open(self):
        onnxruntime = require("onnxruntime", "all")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        # `ssdie export` has optimised the graph; doing it again would take longer than a pass of the network.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads must not use CPU time
        try:
            session = onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises types of its own
            raise ValueError(f"{self.path}: expected a file that `ssdie export` wrote. {error}") from error
        if [value.name for value in session.get_inputs()] != ["photo", "postprocess"]:
            raise ValueError(f"{self.path}: expected the inputs photo and postprocess. Export the network again.")
        return session

    def __reduce__(self):
        """Copy and pickle by opening the file again."""
        return OnnxModel, (self.path, self.threads)

    def correct(self, small: np.ndarray, postprocess: bool = True) -> Correction:
        """Compute the affine colour maps; see `Model.correct`."""
        if self._process != os.getpid():
            # The threads of a session do not survive a fork, and its destructor would wait for them: never call it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
            self._session, self._process = self._open(), os.getpid()
        photo = np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32)
        inputs = {"photo": photo, "postprocess": np.array(float(postprocess), np.float32)}
        maps, *dust = self._session.run(None, inputs)  # files of release 0.1.0 have no output for the dust score
        return Correction(maps[0], float(dust[0][0]) if dust else None)


def load_model(path: str | Path | None = None, device: "str | torch.device" = "cpu") -> Model:
    """Load a network for `ssdie.enhance`.

    Args:
        path: an .onnx file that `ssdie export` wrote, or a .safetensors file that `ssdie train` wrote; None takes the
            released weights, whose SHA-256 is verified.
        device: "cpu", or a torch device; on a CPU the released weights and .onnx files run without torch.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged or was not written by ssdie, or `device` does not fit an .onnx file.
        ModuleNotFoundError: torch is needed, but not installed.
    """
    on_cpu = str(device) == "cpu"
    if path is None and on_cpu:
        check_sum(RELEASED_ONNX)
        return OnnxModel(RELEASED_ONNX)
    if path is not None and Path(path).suffix == ".onnx":
        if not on_cpu:
            raise ValueError(f"device: expected cpu for an .onnx file, got {device}. Give a .safetensors file instead.")
        return OnnxModel(path)
    require("torch", "train")
    from ssdie.enhancement.tensors import TorchModel
    from ssdie.networks.dust_classifier import load_dust_classifier
    from ssdie.networks.weights import load_weights

    if path is None:
        check_sum(RELEASED)
    return TorchModel(load_weights(path or RELEASED), device, load_dust_classifier())


@functools.cache
def released_model() -> Model:
    """Return the released model on the CPU, loaded once."""
    return load_model()
