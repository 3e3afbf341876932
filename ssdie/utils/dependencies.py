"""Optional dependencies: import one, or say which extra brings it."""

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import a module that an extra of ssdie brings.

    Args:
        module: name to import.
        extra: name of the extra in pyproject.toml.

    Raises:
        ModuleNotFoundError: the module or one that it needs is missing; the message gives the command that installs it.

    Example:
        >>> require("json", "train").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        message = f'needs {error.name}. Install it with: pip install "ssdie[{extra}]"'
        raise ModuleNotFoundError(message, name=error.name) from error
