"""What a command is."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import NamedTuple


class Command(NamedTuple):
    """A command: what `ssdie --help` says about it, its options, and the function that runs it."""

    help: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
