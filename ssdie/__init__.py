"""ssdie: semi-supervised enhancement of photos taken in sand and dust.

`ssdie.enhance(photo)` and `ssdie.load_model()` are all that most users need; the modules hold the rest.
"""

from ssdie import torchvision_ops as _torchvision_ops  # noqa: F401  first: lets torchvision be imported on a CPU
from ssdie.enhance import enhance, load_model

__version__ = "0.1.0"
__all__ = ["enhance", "load_model"]
