"""The command line: `ssdie COMMAND`, the same as `python -m ssdie COMMAND`.

- `photos`: enhance. `training`: train, dust, depth, export, fit-airlight.
- `evaluation`: evaluate, realism, bench. `workbook`: reproduce, site, download.

Every option, help text and exit status is here. Torch and Jupyter are imported by the command that needs them.
"""

import argparse
import sys
from collections.abc import Sequence

from ssdie.cli import evaluation, photos, training, workbook

COMMANDS = photos.COMMANDS | evaluation.COMMANDS | training.COMMANDS | workbook.COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: words after `ssdie`; None takes those of the process.

    Returns:
        The exit status: 0 done, 1 failed in part, 2 refused, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["train"]:
        return _run(training.train, arguments[1:], "train")
    parser = argparse.ArgumentParser(prog="ssdie", description="Sand-dust image enhancement.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        about = f"{command.help[0].upper()}{command.help[1:]}."
        options = commands.add_parser(name, help=command.help, description=about)
        if arguments[:1] == [name]:
            command.add_options(options)
    args = parser.parse_args(arguments)
    return _run(COMMANDS[args.command].run, args, args.command)


def _run(function, args, name: str) -> int:
    """Run a command and turn an error that the user can cause into one line and status 2."""
    try:
        return function(args)
    except (OSError, ValueError, TypeError, ModuleNotFoundError) as error:
        system = isinstance(error, OSError) and error.strerror
        message = f"{error.filename}: {error.strerror}" if system else error
        print(f"ssdie {name}: {message}", file=sys.stderr)
        return 2
