"""The command `app`: the page that repairs photos in the browser, served on this machine."""

import argparse
import threading

from ssdie.cli.command import Command


def add_app_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ssdie app`."""
    parser.add_argument("--port", type=int, default=8321, help="port on this machine; 0: a free one (default: 8321)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address, do not open a browser")


def app(args: argparse.Namespace) -> int:
    """Run `ssdie app`: serve until Ctrl-C."""
    import webbrowser

    from ssdie.cli.page_server import make_server

    with make_server(args.port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"The page is at {address} (stop with Ctrl-C). Photos stay on this machine.", flush=True)
        if not args.no_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


COMMANDS = {
    "app": Command("repair photos in the browser, on this machine", add_app_options, app),
}
