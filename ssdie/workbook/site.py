"""A gallery of the executed notebooks as HTML, from the embedded sample alone: every picture in it may be passed on."""

import base64
import html
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from ssdie.utils.paths import atomic
from ssdie.workbook.profiles import NOTEBOOKS

EMBEDDED = "embedded sample:"  # as ssdie.workbook.session.open_folder prints it, after "data"
WIDGET = "application/vnd.jupyter.widget-view+json"
INDEX = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ssdie, the workbook</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; color: #22262b; max-width: 72rem; margin: 3rem auto; padding: 0 1rem; }}
  main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.5rem; }}
  a {{ color: inherit; text-decoration: none; border: 1px solid #c9ced6; border-radius: .5rem; overflow: hidden; }}
  a:hover, a:focus {{ border-color: #0173b2; outline: 2px solid #0173b2; }}
  img {{ width: 100%; height: 13rem; object-fit: contain; background: white; }}
  h2 {{ font-size: 1.1rem; margin: .75rem 1rem 0; }}
  p {{ margin: .25rem 0 1rem; }}
  a p {{ margin: .25rem 1rem 1rem; }}
</style>
<h1>ssdie, the workbook</h1>
<p>Photos taken in sand and dust, repaired. Every notebook as it ran, on the sample that ships with the project.</p>
<main>
{cards}
</main>
</html>
"""
CARD = """\
<a href="{name}.html">{picture}<h2>{title}</h2><p>{question}</p></a>"""


def make_site(executed: str | Path, out: str | Path = "runs/site") -> Path:
    """Turn executed notebooks into HTML pages, and write an index with picture, title and question of each.

    Args:
        executed: folder with the executed copies, as `ssdie.workbook.runner.reproduce` leaves them.
        out: folder for the pages.

    Returns:
        The index.

    Raises:
        FileNotFoundError: there is no executed notebook.
        ValueError: a notebook saw other pictures than those of the embedded sample, or did not run to its end.
    """
    paths = [path for name in NOTEBOOKS if (path := Path(executed) / f"{name}.ipynb").is_file()]
    if not paths:
        raise FileNotFoundError(f"{executed} holds no executed notebook; run python -m ssdie site without --executed.")
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    for name, notebook in notebooks.items():
        check_origin(name, notebook)
    out, exporter, cards = Path(out), HTMLExporter(), []
    for name, notebook in notebooks.items():
        title, question = read_title(notebook)
        page, _ = exporter.from_notebook_node(prepare(notebook), {"metadata": {"name": f"{title} · ssdie"}})
        write(out / f"{name}.html", page.encode())
        picture = first_picture(notebook)
        if picture:
            write(out / f"{name}.png", picture)
        image = f'<img src="{name}.png" alt="">' if picture else ""
        cards.append(CARD.format(name=name, picture=image, title=html.escape(title), question=html.escape(question)))
    write(out / "index.html", INDEX.format(cards="\n".join(cards)).encode())
    return out / "index.html"


def check_origin(name: str, notebook: NotebookNode) -> None:
    """Refuse a notebook that saw pictures which may not be passed on, or that did not run to its end."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    outputs = [output for cell in cells for output in cell.outputs]
    if any(output.output_type == "error" for output in outputs) or not all(cell.execution_count for cell in cells):
        raise ValueError(f"{name} did not run to its end; a gallery is made of whole notebooks.")
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    origins = re.findall(r"^data +(.+)$", printed, re.MULTILINE)
    own = notebook.metadata.get("papermill", {}).get("parameters", {}).get("photo")
    if own or not origins or not all(origin.startswith(EMBEDDED) for origin in origins):
        came = own or ", ".join(origins) or "no word of its data"
        raise ValueError(f"{name} has {came}; a gallery shows the embedded sample alone: run it without SSDIE_DATA.")


def read_title(notebook: NotebookNode) -> tuple[str, str]:
    """Title and question of a notebook, from its first cell."""
    title, _, question, *_ = notebook.cells[0].source.splitlines()
    return title.removeprefix("# "), question.strip("*")


def first_picture(notebook: NotebookNode) -> bytes | None:
    """The first figure of a notebook, as PNG."""
    outputs = (o for cell in notebook.cells for o in cell.get("outputs", ()))
    shown = next((o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})), None)
    return base64.b64decode(shown) if shown else None


def prepare(notebook: NotebookNode) -> NotebookNode:
    """Make a copy for a page: links lead to pages, widgets give way to a sentence, figures say where they belong."""
    notebook = nbformat.from_dict(notebook)
    heading = title = read_title(notebook)[0]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = next(iter(re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE)[::-1]), heading)
            cell.source = re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.html)", cell.source)
        for output in cell.get("outputs", ()):
            if WIDGET in output.get("data", {}):
                output.data = {"text/plain": "Sliders: they move in JupyterLab, with `make lab`."}
            elif "image/png" in output.get("data", {}):
                alt, source = html.escape(f"{title}: {heading}"), output.data["image/png"].replace("\n", "")
                output.data = {"text/html": f'<img alt="{alt}" src="data:image/png;base64,{source}">'}
    notebook.metadata.pop("widgets", None)
    back = nbformat.v4.new_markdown_cell("[← all notebooks](index.html)", id="gallery")
    notebook.cells.insert(0, back)
    return notebook


def write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def without_data() -> Iterator[None]:
    """Take SSDIE_DATA out of the environment for a while: what runs meanwhile sees the embedded sample alone."""
    before = os.environ.pop("SSDIE_DATA", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["SSDIE_DATA"] = before
