"""Pages from files outside docs/, with links rewritten for the documentation."""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

PAGES = {  # file of the repository: page
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "data/README.md": "data",
    "ssdie/weights/MODEL_CARD.md": "model_card",
    "ssdie/weights/RUNS.md": "releases",
}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")


def find_source(file: Path, root: Path, source: Path) -> Path:
    """Return the page of the documentation that is made from a file, or the file itself.

    Args:
        file: absolute path of a file or folder of the repository.
        root: of the repository.
        source: folder of the sources, `docs`.
    """
    name = file.relative_to(root).as_posix()
    if name in PAGES:
        return source / "generated" / "pages" / f"{PAGES[name]}.md"
    if name.startswith("notebooks/") and name.endswith(".ipynb"):
        return source / "generated" / "gallery" / file.name
    return file


def rewrite_links(text: str, file: Path, target: Path, root: Path, source: Path) -> str:
    """Rewrite the relative links of a Markdown text that is moved to another folder.

    Args:
        text: Markdown.
        file: original path.
        target: path of the copy.
        root, source: as for `find_source`.

    Raises:
        FileNotFoundError: the target of a link does not exist.
    """

    def rewrite(match: re.Match) -> str:
        linked = (file.parent / match[1]).resolve()
        if not linked.exists():
            raise FileNotFoundError(f"{file}: the link target {match[1]} does not exist. Correct the link.")
        return Path(os.path.relpath(find_source(linked, root, source), target.parent)).as_posix()

    return LINK.sub(rewrite, text)


def write_pages(app: Sphinx) -> None:
    """Copy the files to generated/pages, with their links rewritten."""
    source, root = Path(app.srcdir), Path(app.srcdir).parent
    for name, page in PAGES.items():
        target = source / "generated" / "pages" / f"{page}.md"
        text = rewrite_links((root / name).read_text(encoding="utf-8"), root / name, target, root, source)
        write_if_changed(target, text.encode())


def read_page(app: Sphinx, name: str, content: list[str]) -> None:
    """Rewrite links of a page in docs/ to files outside it, which the documentation has as pages."""
    source = Path(app.srcdir)
    file = source / f"{name}.md"
    if file.is_file() and not name.startswith("generated/"):
        content[0] = rewrite_links(content[0], file, file, source.parent, source)


def write_if_changed(path: Path, content: bytes) -> None:
    """Write a file unless it already has this content, so that Sphinx reads only changed files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx collects its sources."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", read_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
