"""ssdie: semi-supervised enhancement of photos taken in sand and dust.

`ssdie.enhance(photo)` and `ssdie.load_model()` are what most users need.

The method:      networks, losses, synthesis
Using it:        enhancement, training, evaluation
Supporting:      data, workbook, bench, cli
Foundations:     photo, batch, ops, utils, weights
"""

import importlib

__version__ = "0.1.0"
__all__ = ["add_dust", "enhance", "load_model"]

_PUBLIC = {"enhance": "enhancement.photo", "load_model": "enhancement.runtime", "add_dust": "synthesis.dust"}


def __getattr__(name: str) -> object:
    """Import a public function when it is first used: `import ssdie` alone loads neither torch nor Jupyter."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ssdie' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ssdie.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value
