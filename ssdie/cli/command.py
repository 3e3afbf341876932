"""Description of a command, and converters shared by several commands."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import NamedTuple


class Command(NamedTuple):
    """A command: its line in `ssdie --help`, its options, the function that runs it, the extra that it needs."""

    help: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
    extra: str = ""


def strength(text: str) -> float | str:
    """Convert the value of --strength."""
    return text if text == "auto" else float(text)
