"""What a command is."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import NamedTuple


class Command(NamedTuple):
    """A command: what `ssdie --help` says about it, its options, the function that runs it, the extra it needs."""

    help: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    extra: str = ""


def strength(text: str) -> float | str:
    """Convert the value of --strength."""
    return text if text == "auto" else float(text)
