"""Pages that work offline: copies of the scripts for formulas and widgets, and a check of every built page."""

import importlib.util
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

COPIES = {  # file in node_modules: file in _static
    "mathjax/es5/tex-svg.js": "mathjax/tex-svg.js",
    "requirejs/require.js": "widgets/require.js",
    "@jupyter-widgets/html-manager/dist/embed-amd.js": "widgets/embed-amd.js",
}
PATHS = """\
(function () {
  const folder = document.currentScript.src.replace(/paths\\.js.*$/, "");
  window.requirejs.config({ paths: { anywidget: folder + "anywidget" } });
})();
"""
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


class References(HTMLParser):
    """References of a page: `links`, `loaded` (scripts, styles, pictures), and its own `anchors`."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Collect the references of an element."""
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if values.get(LOADED.get(tag, "")) and values.get("rel") not in ("canonical", "author"):
            self.loaded.append(values[LOADED[tag]])


def find_faults(folder: Path) -> list[str]:
    """Check the pages in a folder: local links resolve, and nothing is loaded from other servers.

    Args:
        folder: with the built pages.

    Returns:
        A sentence for each fault.
    """
    files = [path.resolve() for path in folder.rglob("*.html") if "_static" not in path.parts]
    pages = {path: References(path.read_text(encoding="utf-8")) for path in files}
    faults = []
    for path, page in pages.items():
        name = path.relative_to(folder.resolve())
        for target in page.loaded:
            if urlsplit(target).netloc:
                faults.append(f"{name} loads {target}, which needs a network.")
        for target in page.loaded + page.links:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not file.is_file():
                faults.append(f"{name} refers to {target}, which does not exist.")
            elif anchor and file in pages and anchor not in pages[file].anchors:
                faults.append(f"{name} refers to {target}, and that page has no such anchor.")
    return sorted(set(faults))


def copy_scripts(app: Sphinx) -> None:
    """Copy the scripts into a folder that becomes part of _static."""
    modules, target = Path(app.srcdir) / "node_modules", Path(app.srcdir) / "generated" / "static"
    missing = [name for name in COPIES if not (modules / name).is_file()]
    if missing:
        raise ExtensionError(f"{modules / missing[0]} does not exist. Run `npm ci --prefix docs` once, with a network.")
    sources = {modules / name: target / copy for name, copy in COPIES.items()}
    widget = Path(importlib.util.find_spec("anywidget").origin).parent / "nbextension" / "index.js"
    for source, copy in (sources | {widget: target / "widgets" / "anywidget.js"}).items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    (target / "widgets" / "paths.js").write_text(PATHS, encoding="utf-8")
    app.config.html_static_path.append(str(target))


def check_pages(app: Sphinx, exception: Exception | None) -> None:
    """Fail if a page has a fault."""
    if exception is None and app.builder.name == "html":
        faults = find_faults(Path(app.outdir))
        if faults:
            raise ExtensionError("\n".join([f"{len(faults)} faults in the pages:", *faults]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Copy scripts before the build, check pages after it."""
    app.connect("builder-inited", copy_scripts)
    app.connect("build-finished", check_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
