"""Web server for the page that repairs photos in the browser; it listens on the local interface only."""

from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from ssdie.utils.paths import PACKAGE, WEIGHTS

PAGE = PACKAGE / "app_page"  # built by `make web`
NETWORK = WEIGHTS / "msff.onnx"  # served beside the page
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def make_server(port: int, page: Path = PAGE) -> ThreadingHTTPServer:
    """Make a server of the page on the local interface.

    Args:
        port: 0 takes a free one.
        page: folder that `make web` builds.

    Raises:
        FileNotFoundError: the page is not built.
        OSError: the port is in use.
    """
    if not (page / "index.html").is_file():
        raise FileNotFoundError(
            f"app: expected the page in {page}, which is not built. Build it with `make web` (needs Node.js)."
        )
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), make_handler(page))
    except (OSError, OverflowError) as error:
        raise OSError(f"port: {port} cannot be used ({error}). Give another one with --port.") from error


def make_handler(page: Path) -> type[SimpleHTTPRequestHandler]:
    """Make the request handler for the files of a folder and for the network."""

    class Handler(SimpleHTTPRequestHandler):
        extensions_map = SimpleHTTPRequestHandler.extensions_map | {
            ".js": "text/javascript",
            ".mjs": "text/javascript",
            ".wasm": "application/wasm",
            ".onnx": "application/octet-stream",
            ".svg": "image/svg+xml",
            ".webmanifest": "application/manifest+json",
        }

        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(page), **options)

        def translate_path(self, path: str) -> str:
            """Return the file for a URL path."""
            return str(NETWORK) if urlsplit(path).path == f"/{NETWORK.name}" else super().translate_path(path)

        def list_directory(self, path):
            """Refuse to list folders."""
            self.send_error(HTTPStatus.NOT_FOUND)

        def end_headers(self) -> None:
            """Send the headers that restrict the page to its own origin."""
            for name, value in HEADERS.items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, format: str, *values) -> None:
            """Do not log requests."""

    return Handler
