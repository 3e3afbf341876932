"""Make a CUDA build of torchvision importable with a CPU-only torch; import this module before torchvision.

torchvision's wheel registers `nms` and `qnms` from a compiled library that needs CUDA. Without it, `import torchvision`
fails when it registers shape functions for the two operators, although ssdie never calls them. Declaring their
signatures is enough; if the compiled library loads, nothing is declared.
"""

import ctypes
import importlib.util
from pathlib import Path

import torch

SIGNATURES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def compiled_operators_load() -> bool:
    """Return whether torchvision's compiled operators can be loaded on this machine."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    libraries = sorted(Path(spec.origin).parent.glob("_C*.so")) + sorted(Path(spec.origin).parent.glob("_C*.pyd"))
    for library in libraries:
        try:
            ctypes.CDLL(str(library))
        except OSError:
            continue
        return True
    return False


def declare_missing_operators() -> torch.library.Library | None:
    """Declare torchvision's `nms` and `qnms` if their compiled library cannot be loaded; return the declaration."""
    if compiled_operators_load():
        return None
    library = torch.library.Library("torchvision", "DEF")
    for signature in SIGNATURES:
        library.define(signature)
    return library


_declaration = declare_missing_operators()  # kept alive: the operators exist as long as the object
