"""Helpers for tests of the web page: a local server, Chromium with WebGL, uploads and downloads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from lab import find_chromium
from playwright.sync_api import BrowserContext, Locator, Page, sync_playwright

from ssdie.cli.page_server import PAGE, make_server
from ssdie.data.sample import sample_pair
from ssdie.synthesis.dust import add_dust
from ssdie.utils.paths import project_root

AXE = project_root() / "web" / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync",
         "--disable-component-update", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # fmt: skip
WAIT = 90_000  # timeout, milliseconds


def dusty(seed: int, width: int, height: int) -> np.ndarray:
    """A scene of the sample in synthetic dust."""
    clear_photo, depth = sample_pair(seed, (height, width))
    pixels = add_dust(clear_photo[None], depth[None], generator=seed).dusty[0]
    return (pixels.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


@contextmanager
def serve() -> Iterator[str]:
    """Serve the page; yield its address."""
    if not (PAGE / "index.html").is_file():
        pytest.fail("The page is not built. Build it with `make web`, or leave this test out: -m 'not external'.")
    with make_server(0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@contextmanager
def browse() -> Iterator:
    """Run Chromium with WebGL in software."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS, headless=True)
        yield browser
        browser.close()


@contextmanager
def visit(browser, address: str, requests: list | None = None, **options) -> Iterator[Page]:
    """Open the page in a new browser context and wait for the network to load; append requested URLs to `requests`."""
    context: BrowserContext = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
    context.set_default_timeout(WAIT)
    if requests is not None:
        context.on("request", lambda request: requests.append(request.url))
    page = context.new_page()
    page.goto(address)
    page.locator("#loading").wait_for(state="hidden")
    yield page
    context.close()


def entries(page: Page) -> Locator:
    """The photos in the strip."""
    return page.locator("#photos > li")


def choose(page: Page, *paths: Path) -> None:
    """Choose photos, and wait until each is repaired or refused."""
    count = entries(page).count()
    page.locator("#files").set_input_files(paths)
    page.wait_for_function(
        """count => {
            const found = [...document.querySelectorAll("#photos > li")];
            return found.length === count && found.every(entry => ["done", "refused"].includes(entry.dataset.state));
        }""",
        arg=count + len(paths),
    )


def full_strength(page: Page) -> None:
    """Set the strength to 100 %, independent of the dust score."""
    for key in ("Home", "End"):
        page.locator("#strength").press(key)


def select(page: Page, number: int) -> None:
    """Show a photo of the strip."""
    entries(page).nth(number).locator(".thumb").click()


def clear(page: Page) -> None:
    """Remove all photos."""
    while entries(page).count():
        entries(page).last.locator(".close").evaluate("button => button.click()")


def save(page: Page, button: str = "#save", lossless: bool = False) -> Path:
    """Download the repaired photo, or all of them; return the path, renamed to the suggested file name."""
    page.locator("#format").select_option("png" if lossless else "own")
    with page.expect_download() as download:
        page.locator(button).click()
    path = download.value.path()
    return path.rename(path.with_name(download.value.suggested_filename))
