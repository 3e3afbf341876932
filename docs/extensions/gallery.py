"""The gallery: notebooks executed by `make reproduce`, with outputs only if they show the embedded sample.

A notebook that was not executed, did not run to its end, or used other photos is shown as it is in the repository,
without outputs, with a notice that gives the reason.
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

EMBEDDED = "embedded sample:"  # printed after "data" by ssdie.workbook.session.open_folder
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


def reason_to_hide(notebook: NotebookNode) -> str:
    """Return the reason why the outputs of a notebook must not be shown; empty if they may be shown.

    Outputs may be shown if every code cell ran without an error, no photo of the user's own was a parameter, and each
    line "data ..." that the notebook printed names the embedded sample. Photos in SSDIE_DATA may be private, or
    their licence may not allow redistribution.
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
        return "it shows photos of SSDIE_DATA, which may not be redistributed"
    return ""


def choose_notebook(committed: Path, executed: Path) -> tuple[NotebookNode, str]:
    """Choose the executed notebook if it may be shown, else the committed one.

    Returns:
        The notebook, and the sentence to be shown above it if its outputs are left out.
    """
    reason = "it has not been run"
    if executed.is_file():
        notebook = nbformat.read(executed, as_version=4)
        reason = reason_to_hide(notebook)
        if not reason:
            return notebook, ""
    remedy = "Run `make reproduce` without `SSDIE_DATA`, then `make docs`."
    return nbformat.read(committed, as_version=4), f"Without outputs: {reason}. {remedy}"


def prepare(notebook: NotebookNode, notice: str = "") -> NotebookNode:
    """Copy a notebook for a page: hide the injected parameters, add alternative texts to figures, insert the notice."""
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
    """Read title and question of a notebook from its first cell."""
    title, _, question, *_ = notebook.cells[0].source.splitlines()
    return title.removeprefix("# "), question.strip("*")


def first_picture(notebook: NotebookNode) -> bytes | None:
    """Return the first figure of a notebook as PNG; None without figures."""
    outputs = (o for cell in notebook.cells for o in cell.get("outputs", ()))
    encoded = next((o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})), None)
    return base64.b64decode(encoded) if encoded else None


def write_gallery(app: Sphinx) -> None:
    """Write the notebooks and their cards to generated/."""
    source, root = Path(app.srcdir), Path(app.srcdir).parent
    folder, cards = source / "generated" / "gallery", []
    for old in folder.glob("*"):
        if old.stem not in NOTEBOOKS or old.suffix == ".png":
            old.unlink()  # from an earlier build
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
        image = f"generated/gallery/{name}.png" if picture else "../figures/readme.jpg"
        cards.append(CARD.format(name=name, title=title, question=question, picture=image, alt=html.escape(title)))
    write_if_changed(source / "generated" / "cards.txt", "\n".join(cards).encode())


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the gallery before Sphinx collects its sources."""
    app.connect("builder-inited", write_gallery)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
