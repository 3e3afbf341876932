"""Import optional dependencies, or name the extra that installs them."""

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import a module that an extra of ssdie installs.

    Args:
        module: name to import.
        extra: name of the extra in pyproject.toml.

    Raises:
        ModuleNotFoundError: the module or one of its dependencies is missing; the message says how to install it.

    Example:
        >>> require("json", "train").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        message = f'needs {error.name}. Install it with: pip install "ssdie[{extra}]"'
        raise ModuleNotFoundError(message, name=error.name) from error
