"""ssdie: semi-supervised enhancement of photos taken in sand and dust."""

from ssdie import torchvision_ops as _torchvision_ops  # noqa: F401  first: lets torchvision be imported on a CPU

__version__ = "0.1.0"
