"""Let a CUDA build of torchvision be imported next to a CPU-only torch; imported before whatever needs torchvision.

torchvision's wheel registers `nms` and `qnms` from a compiled library that needs CUDA. Without it, `import torchvision`
fails while it attaches shape rules to the two operators, although nothing here ever calls them. Declaring their
signatures is enough; where the compiled library loads, its own declaration wins and nothing is added.
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
    """Say whether torchvision's compiled operators can be loaded on this machine."""
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
    """Declare torchvision's `nms` and `qnms` if their compiled library cannot be loaded; give back the declaration."""
    if compiled_operators_load():
        return None
    library = torch.library.Library("torchvision", "DEF")
    for signature in SIGNATURES:
        library.define(signature)
    return library


_declaration = declare_missing_operators()  # kept: the operators vanish with the object
