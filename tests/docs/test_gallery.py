"""The gallery of the documentation: it shows executed notebooks, and no picture of other data."""

import base64
import re
from types import SimpleNamespace

import gallery
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

SAMPLE = "ssdie 0\ndata   embedded sample: 24 clear photos with depth\nwrites runs/x\n"
PICTURE = base64.b64encode(b"the pixels of a photo").decode()


def write_notebook(path, *, printed: str | None, error: bool = False, **parameters) -> None:
    """Write a notebook; `printed` is what its first cell printed, None if it was not executed."""
    outputs = [[], []]
    if printed is not None:
        outputs = [[new_output("stream", text=printed)], [new_output("display_data", {"image/png": PICTURE})]]
    if error:
        outputs[1] = [new_output("error", ename="ValueError", evalue="dust", traceback=[])]
    count = None if printed is None else 1
    cells = [
        new_markdown_cell("# Dust\n\n**What is <it>?**\n\n[next](02_supervised_pretraining.ipynb)"),
        new_code_cell("open", execution_count=count, outputs=outputs[0]),
        new_code_cell("draw", execution_count=count, outputs=outputs[1]),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"papermill": {"parameters": parameters}}), path)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with two notebooks, of which the second has been executed on the sample."""
    monkeypatch.setattr(gallery, "NOTEBOOKS", ("01_dust_synthesis", "02_supervised_pretraining"))
    for name in gallery.NOTEBOOKS:
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", printed=None)
    write_notebook(tmp_path / "runs" / "quick" / "02_supervised_pretraining.ipynb", printed=SAMPLE)
    return tmp_path


def build(checkout) -> str:
    """Write the gallery; return all files written, as one string."""
    gallery.write_gallery(SimpleNamespace(srcdir=checkout / "docs"))
    written = sorted(p for p in (checkout / "docs" / "generated").rglob("*") if p.is_file())
    return "\n".join(f"{p.name}: {p.read_bytes().decode()}" for p in written)


def test_an_executed_notebook_is_shown_with_its_outputs_and_a_card_with_its_first_picture(checkout):
    written = build(checkout)
    assert PICTURE in written and "02_supervised_pretraining.png: the pixels of a photo" in written
    assert "grid-item-card} Dust" in written and ":img-top: generated/gallery/02_supervised_pretraining.png" in written
    page = nbformat.read(checkout / "docs" / "generated" / "gallery" / "02_supervised_pretraining.ipynb", 4)
    assert page.cells[2].metadata["mystnb"]["image"]["alt"] == "Dust: Dust"


@pytest.mark.parametrize(
    "executed, reason",
    [
        ({"printed": "data   SSDIE_DATA: 1904 clear photos with depth\n"}, "SSDIE_DATA"),
        ({"printed": SAMPLE + "data   SSDIE_DATA: 3 clear photos\n"}, "SSDIE_DATA"),
        ({"printed": "nothing about data\n"}, "SSDIE_DATA"),
        ({"printed": SAMPLE, "photo": "holiday.jpg"}, "photo of your own"),
        ({"printed": SAMPLE, "error": True}, "did not run to its end"),
        ({"printed": None}, "did not run to its end"),
        (None, "has not been run"),
    ],
)
def test_no_picture_of_other_photos_leaks_into_the_gallery(checkout, executed, reason):
    """This includes a picture that an earlier build wrote."""
    (checkout / "runs" / "quick" / "02_supervised_pretraining.ipynb").unlink()
    path = checkout / "runs" / "quick" / "01_dust_synthesis.ipynb"
    write_notebook(path, printed=SAMPLE)
    assert PICTURE in build(checkout)
    path.unlink()
    if executed:
        write_notebook(path, **executed)
    written = build(checkout)
    assert PICTURE not in written and "the pixels" not in written
    page = nbformat.read(checkout / "docs" / "generated" / "gallery" / "01_dust_synthesis.ipynb", 4)
    assert reason in page.cells[1].source and "make reproduce" in page.cells[1].source


def test_the_gallery_recognises_the_data_line_that_notebooks_print(tmp_path, monkeypatch, capsys, photo_folder):
    from ssdie.workbook.session import open_folder

    for data, embedded in (("", True), (str(photo_folder), False)):
        monkeypatch.setenv("SSDIE_DATA", data)
        open_folder(tmp_path, "01_dust")
        origin = re.search(r"^data +(.+)$", capsys.readouterr().out, re.MULTILINE)[1]
        assert origin.startswith(gallery.EMBEDDED) == embedded
