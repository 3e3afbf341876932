"""The gallery: notebooks as `make reproduce` executed them, from pictures that may be passed on and nothing else.

A notebook that was not executed, did not run to its end, or saw photos other than those of the embedded sample is
shown as it is in the repository, without outputs, and says why.
"""

import base64
import html
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from repository import rewrite_links, write_if_changed
from sphinx.application import Sphinx
from sphinx.util import logging

from ssdie.workbook.profiles import NOTEBOOKS

EMBEDDED = "embedded sample:"  # as ssdie.workbook.session.open_folder prints it, after "data"
RUN = "runs/quick"
CARD = """\
:::{{grid-item-card}} {title}
:link: generated/gallery/{name}
:link-type: doc
:img-top: {picture}
:img-alt: {alt}

{question}
:::
"""
log = logging.getLogger(__name__)


def why_not_shown(notebook: NotebookNode) -> str:
    """Say why the outputs of a notebook must not be shown; empty if they may be shown.

    Outputs may be shown if every code cell ran without an error, no photo of the user's own was a parameter, and each
    line "data ..." that the notebook printed names the embedded sample. Photos in SSDIE_DATA may be private, or
    their licence may not allow to pass them on.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    outputs = [output for cell in cells for output in cell.outputs]
    if any(output.output_type == "error" for output in outputs) or not all(cell.execution_count for cell in cells):
        return "it did not run to its end"
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    origins = re.findall(r"^data +(.+)$", printed, re.MULTILINE)
    if notebook.metadata.get("papermill", {}).get("parameters", {}).get("photo"):
        return "it shows a photo of your own"
    if not origins or not all(origin.startswith(EMBEDDED) for origin in origins):
        return "it shows photos of SSDIE_DATA, which may not be passed on"
    return ""


def choose_notebook(committed: Path, executed: Path) -> tuple[NotebookNode, str]:
    """Choose the executed notebook if it may be shown, else the committed one.

    Returns:
        The notebook, and the sentence to be shown above it if its outputs are left out.
    """
    reason = "it has not been run"
    if executed.is_file():
        notebook = nbformat.read(executed, as_version=4)
        reason = why_not_shown(notebook)
        if not reason:
            return notebook, ""
    remedy = "Run `make reproduce` without `SSDIE_DATA`, then `make docs`."
    return nbformat.read(committed, as_version=4), f"Without outputs: {reason}. {remedy}"


def prepare(notebook: NotebookNode, notice: str = "") -> NotebookNode:
    """Make a copy for a page: no settings of the runner, figures with a text that names them, a notice on top."""
    notebook = nbformat.from_dict(notebook)
    heading = title = read_title(notebook)[0]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = next(iter(re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE)[::-1]), heading)
        elif "injected-parameters" in cell.metadata.get("tags", ()):
            cell.metadata["tags"] = ["hide-input"]  # they repeat the cell above it, which has the comments
        elif any("image/png" in output.get("data", {}) for output in cell.outputs):
            cell.metadata["mystnb"] = {"image": {"alt": f"{title}: {heading}"}}
    if notice:
        cell = nbformat.v4.new_markdown_cell(f":::{{note}}\n{notice}\n:::", id="notice")
        notebook.cells.insert(1, cell)
    return notebook


def read_title(notebook: NotebookNode) -> tuple[str, str]:
    """Title and question of a notebook, from its first cell."""
    title, _, question, *_ = notebook.cells[0].source.splitlines()
    return title.removeprefix("# "), question.strip("*")


def first_picture(notebook: NotebookNode) -> bytes | None:
    """The first figure of a notebook, as PNG."""
    outputs = (o for cell in notebook.cells for o in cell.get("outputs", ()))
    shown = next((o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})), None)
    return base64.b64decode(shown) if shown else None


def write_gallery(app: Sphinx) -> None:
    """Write the notebooks and their cards to generated/."""
    source, root = Path(app.srcdir), Path(app.srcdir).parent
    folder, cards = source / "generated" / "gallery", []
    for old in folder.glob("*"):
        if old.stem not in NOTEBOOKS or old.suffix == ".png":
            old.unlink()  # of another run, whose pictures may be others
    for name in NOTEBOOKS:
        committed = root / "notebooks" / f"{name}.ipynb"
        notebook, notice = choose_notebook(committed, root / RUN / committed.name)
        if notice:
            log.info("gallery: %s: %s", name, notice)
        page = prepare(notebook, notice)
        for cell in page.cells:
            if cell.cell_type == "markdown":
                cell.source = rewrite_links(cell.source, committed, folder / committed.name, root, source)
        write_if_changed(folder / committed.name, (nbformat.writes(page) + "\n").encode())
        title, question = read_title(notebook)
        picture = first_picture(notebook)
        if picture:
            write_if_changed(folder / f"{name}.png", picture)
        shown = f"generated/gallery/{name}.png" if picture else "../figures/readme.jpg"
        cards.append(CARD.format(name=name, title=title, question=question, picture=shown, alt=html.escape(title)))
    write_if_changed(source / "generated" / "cards.txt", "\n".join(cards).encode())


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the gallery before Sphinx looks for its sources."""
    app.connect("builder-inited", write_gallery)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
