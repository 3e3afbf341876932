"""JupyterLab in headless Chromium for tests: start a server and a browser, run a notebook, operate its widgets."""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from ssdie.utils.paths import project_root
from ssdie.workbook.execution import own_kernel

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SETTINGS = {  # of JupyterLab: no news, no network; all cells are rendered, not only the visible ones
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}
START, RUN, RESPONSE = 90_000, 180_000, 60_000  # timeouts, ms
STDERR = "[data-mime-type='application/vnd.jupyter.stderr']"  # output with tracebacks and warnings
SCREENSHOTS = project_root() / "runs" / "browser"


def find_chromium() -> str:
    """Find the browser: that of the environment variable SSDIE_CHROMIUM, or one on the search path.

    Raises:
        FileNotFoundError: there is none.
    """
    names = (os.environ.get("SSDIE_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if not found:
        raise FileNotFoundError(
            "Chromium: expected a program on the search path, found none. Install it (Debian, Ubuntu: apt-get install "
            'chromium), set SSDIE_CHROMIUM to another, or leave these tests out: pytest -m "not external".'
        )
    return found


@contextmanager
def serve(notebooks: Path, folder: Path, data: Path) -> Iterator[str]:
    """Run JupyterLab with this interpreter as kernel.

    Args:
        notebooks: root folder of the server.
        folder: for its settings and log.
        data: value of SSDIE_DATA in the kernel.

    Yields:
        The address of the server.
    """
    for name, values in SETTINGS.items():
        path = folder / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    places |= {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_DATA_DIR": "data"}
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    options += ["--IdentityProvider.token=", f"--ServerApp.root_dir={notebooks}"]
    command = [sys.executable, "-m", "jupyterlab", *options]
    with own_kernel(interactive=True), (folder / "lab.log").open("w") as log:
        environment = os.environ | {name: str(folder / place) for name, place in places.items()}
        environment["SSDIE_DATA"] = str(data)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(project_root()), os.environ.get("PYTHONPATH"))))
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            _wait_for(f"http://127.0.0.1:{port}/api", server, folder / "lab.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    """Wait until the server responds, at most `START`.

    Raises:
        TimeoutError: it does not; the message ends with its log.
    """
    deadline = time.monotonic() + START / 1000
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    raise TimeoutError(f"JupyterLab does not respond:\n{log.read_text()[-2000:]}")


@contextmanager
def browse(folder: Path) -> Iterator[Browser]:
    """Run Chromium with its profile in `folder`; yield a context whose pages have 1440 x 900 pixels."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=find_chromium(), args=FLAGS, headless=True, accept_downloads=True,
            viewport={"width": 1440, "height": 900},
        )  # fmt: skip
        context.set_default_timeout(RESPONSE)
        yield context
        context.close()


def copy_notebook(name: str, folder: Path, **parameters) -> None:
    """Copy a notebook to `folder` and replace the values of parameters by name."""
    notebook = nbformat.read(project_root() / "notebooks" / f"{name}.ipynb", as_version=4)
    lines = notebook.cells[1].source.splitlines()
    for k, line in enumerate(lines):
        head = line.split(" = ")[0]
        if (key := head.split(":")[0]) in parameters:
            lines[k] = f"{head} = {parameters[key]!r}"
    notebook.cells[1].source = "\n".join(lines)
    nbformat.write(notebook, folder / f"{name}.ipynb")


def open_and_run(page: Page, address: str, name: str) -> None:
    """Open a notebook in JupyterLab, choose Run All Cells from the menu, and wait for the last cell."""
    page.goto(f"{address}/lab/tree/{name}.ipynb?reset", timeout=START)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=START)
    page.locator(".jp-NotebookPanel-toolbar").get_by_text("Python 3").wait_for(timeout=START)
    # Cells that are run before the kernel answers may never be executed.
    page.locator('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=START)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(
        """stderr => {
            const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].map(p => p.innerText);
            const done = prompts.length > 0 && prompts.every(prompt => /\\d/.test(prompt));
            return done || document.querySelector(stderr);
        }""",
        arg=STDERR,
        timeout=RUN,
    )


def list_errors(page: Page) -> list[str]:
    """List the tracebacks, warnings and undisplayed widgets on a page."""
    errors = [found.inner_text() for found in page.locator(STDERR).all()]
    undisplayed = page.get_by_text("Error displaying widget").count() + page.get_by_text("Loading widget").count()
    return errors + ["a widget is not displayed"] * undisplayed


def drag(page: Page, slider: Locator, position: float) -> None:
    """Drag the handle of a slider with the mouse to a position, a fraction of its length."""
    handle, track = slider.locator(".noUi-handle"), slider.locator(".noUi-base")
    start, box = handle.bounding_box(), track.bounding_box()
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + position * box["width"], start["y"] + start["height"] / 2, steps=6)
    page.mouse.up()


def wait_for_change(page: Page, picture: Locator, before: str) -> str:
    """Wait until the address of an image differs from `before` and the image is loaded; return the new address."""
    handle = picture.element_handle()
    page.wait_for_function("([img, before]) => img.src !== before && img.complete", arg=[handle, before])
    return picture.get_attribute("src")


def measure_response(page: Page, handle: Locator, picture: Locator, count: int = 12) -> float:
    """Measure the time from pressing an arrow key on a slider to the updated image.

    Args:
        page: the page.
        handle: handle of the slider.
        picture: the image.
        count: number of key presses.

    Returns:
        Median in ms, by the clock of the browser: from the key press to the frame that paints the decoded image.
    """
    page.evaluate(
        """([img, handle]) => {
            window.measured?.abort();  // listeners of another slider
            window.measured = new AbortController();
            window.times = [];
            const { signal } = window.measured;
            let pressed = 0;
            const record = () => window.times.push(performance.now() - pressed);
            handle.addEventListener("keydown", () => { pressed = performance.now(); }, { capture: true, signal });
            img.addEventListener("load", () => requestAnimationFrame(record), { signal });
        }""",
        [picture.element_handle(), handle.element_handle()],
    )
    for k in range(count):
        handle.press("ArrowRight" if k % 2 else "ArrowLeft")
        page.wait_for_function("count => window.times.length >= count", arg=k + 1)
    return statistics.median(page.evaluate("window.times"))


def record_time(name: str, milliseconds: float) -> None:
    """Write a measured time to runs/browser/answers.json."""
    path = SCREENSHOTS / "answers.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | {name: round(milliseconds)}, indent=2) + "\n")


def take_screenshot(page: Page, name: str) -> None:
    """Write a screenshot of the page to runs/browser."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
