"""The command line: `ssdie COMMAND`, the same as `python -m ssdie COMMAND`.

- `photos`: enhance, report; `output`: their messages. `app`: app; `page_server`: its web server.
- `training`: train, train-dust-score, dust, depth, export, fit-airlight.
- `evaluation`: evaluate, realism, bench. `workbook`: reproduce, download.

All options, help texts and exit statuses are in this folder. Torch and Jupyter are imported only by the commands that
need them.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from ssdie import __version__
from ssdie.cli import app, evaluation, photos, training, workbook

COMMANDS = photos.COMMANDS | app.COMMANDS | evaluation.COMMANDS | training.COMMANDS | workbook.COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: words after `ssdie`; None takes those of the process.

    Returns:
        The exit status: 0 success, 1 some files or steps failed, 2 invalid input, 130 interrupted.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrix products are small here: more threads do not help
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments and arguments[0] in COMMANDS else ""
    try:
        if name == "train":
            return training.train(arguments[1:])
        args = parse(arguments, name)
        return COMMANDS[args.command].run(args)
    except KeyboardInterrupt:
        print(f"ssdie {name}: interrupted", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ssdie"):
            raise
        install = f'Install it with: pip install "ssdie[{COMMANDS[name].extra or "all"}]"'
        message = str(error) if "pip install" in str(error) else f"needs {error.name}. {install}"
    except (OSError, ValueError, TypeError) as error:
        system = isinstance(error, OSError) and error.strerror
        message = f"{error.filename}: {error.strerror}" if system else str(error)
    print(f"ssdie {name}: {message}", file=sys.stderr)
    return 2


def parse(arguments: Sequence[str], name: str) -> argparse.Namespace:
    """Parse the words after `ssdie`; only the options of the command `name` are built, which may import modules."""
    parser = argparse.ArgumentParser(prog="ssdie", description="Sand-dust image enhancement.")
    parser.add_argument("--version", action="version", version=f"ssdie {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for known, command in COMMANDS.items():
        about = f"{command.help[0].upper()}{command.help[1:]}."
        options = commands.add_parser(known, help=command.help, description=about)
        if known == name:
            command.add_options(options)
    return parser.parse_args(arguments)
