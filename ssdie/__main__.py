"""The command line: `python -m ssdie COMMAND`."""

import argparse
import importlib
import sys

# command: (module with add_arguments and run, what it does)
COMMANDS = {
    "enhance": ("files", "repair dusty photos and videos at their own size"),
    "evaluate": ("evaluate", "measure methods on photos, as a table with intervals"),
    "reproduce": ("reproduce", "run the notebooks from first to last"),
    "site": ("site", "make an HTML gallery of the notebooks, on the embedded sample"),
    "train": ("commands", "run one stage of training, or resume it"),
    "dust": ("synthesis", "lay dust over a folder of clear photos"),
    "depth": ("depth", "estimate the depth of clear photos"),
    "export": ("export", "write the network as an ONNX file"),
    "download": ("download", "fetch the registered real dusty photos"),
    "fit-airlight": ("airlight", "fit the colours of dust to real photos"),
    "realism": ("realism", "measure how far synthetic dust is from real dust"),
    "bench": ("bench", "measure speed and memory against their goals"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; give its exit status: 0 done, 1 failed in part, 2 refused."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m ssdie", description="Sand-dust image enhancement.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, about) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        if arguments[:1] == [name]:  # only the module of the command in hand is imported
            module = importlib.import_module(f"ssdie.{module}")
            module.add_arguments(command)
            command.set_defaults(function=module.run)
    args = parser.parse_args(arguments)
    try:
        return args.function(args)
    except (OSError, ValueError, TypeError) as error:
        system = isinstance(error, OSError) and error.strerror
        told = f"{error.filename}: {error.strerror}" if system else error
        print(f"ssdie {args.command}: {told}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
