"""The gallery: pages from small executed notebooks, and which notebooks it refuses."""

import base64
import os
import re
import subprocess

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

import ssdie.workbook.site
from ssdie.cli import main
from ssdie.utils.paths import project_root
from ssdie.workbook.figures.grids import plot_grid, save_figure
from ssdie.workbook.runner import Outcome
from ssdie.workbook.site import WIDGET, make_site, prepare

EMBEDDED = "ssdie 0\ndata   embedded sample: 24 clear photos with depth\nwrites runs/x\n"


@pytest.fixture
def picture(tmp_path):
    """A figure as PNG."""
    return save_figure(plot_grid([{"dusty": [[[0.5, 0.2]]] * 3}]), "figure", tmp_path / "figure")[0].read_bytes()


def execute(folder, name: str, title: str, picture: bytes, printed: str = EMBEDDED, **parameters) -> None:
    """Write a notebook as if it had been executed."""
    data = {"image/png": base64.b64encode(picture).decode(), "text/plain": "<Figure>"}
    cells = [
        new_markdown_cell(f"# {title}\n\n**What is <it>?**\n\n$t = e^{{-d}}$"),
        new_code_cell("open", execution_count=1, outputs=[new_output("stream", text=printed)]),
        new_markdown_cell("## The law"),
        new_code_cell("draw", execution_count=2, outputs=[new_output("display_data", data)]),
        new_code_cell("play", execution_count=3, outputs=[new_output("display_data", {WIDGET: {"model_id": "1"}})]),
        new_markdown_cell("**Next:** [01 · Dust](01_dust_synthesis.ipynb)"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {}, "papermill": {"parameters": parameters}})
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


def test_pages_and_an_index_with_picture_title_and_question(tmp_path, picture):
    for name, title in (("01_dust_synthesis", "Dust"), ("00_enhance_a_photo", "Enhance")):
        execute(tmp_path / "run", name, title, picture)
    index = make_site(tmp_path / "run", tmp_path / "site")
    assert sorted(p.name for p in index.parent.iterdir()) == [
        "00_enhance_a_photo.html", "00_enhance_a_photo.png", "01_dust_synthesis.html", "01_dust_synthesis.png",
        "index.html",
    ]  # fmt: skip
    assert (index.parent / "01_dust_synthesis.png").read_bytes() == picture
    text = index.read_text()
    cards = re.findall(r'<a href="(.+?)"><img src="(.+?)" alt=""><h2>(.+?)</h2><p>(.+?)</p>', text)
    assert [card[2:] for card in cards] == [("Enhance", "What is &lt;it&gt;?"), ("Dust", "What is &lt;it&gt;?")]
    assert all((index.parent / file).is_file() for card in cards for file in card[:2])
    page = (index.parent / "00_enhance_a_photo.html").read_text()
    assert base64.b64encode(picture).decode() in page
    assert 'href="01_dust_synthesis.html"' in page and 'href="index.html"' in page
    assert 'alt="Enhance: The law"' in page and "they move in JupyterLab" in page
    assert "<title>Enhance · ssdie</title>" in page


def test_the_same_notebooks_give_the_same_pages(tmp_path, picture):
    execute(tmp_path / "run", "01_dust_synthesis", "Dust", picture)
    pages = [(make_site(tmp_path / "run", tmp_path / k).parent / "01_dust_synthesis.html").read_bytes() for k in "ab"]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    "printed, parameters",
    [
        ("data   photos: 1904 clear photos with depth\n", {}),
        (EMBEDDED + "data   photos: 3 clear photos\n", {}),
        ("nothing about data\n", {}),
        (EMBEDDED, {"photo": "holiday.jpg"}),
    ],
)
def test_notebooks_that_saw_other_pictures_are_refused_and_nothing_is_written(tmp_path, picture, printed, parameters):
    execute(tmp_path / "run", "00_enhance_a_photo", "Enhance", picture)
    execute(tmp_path / "run", "01_dust_synthesis", "Dust", picture, printed, **parameters)
    with pytest.raises(ValueError, match="01_dust_synthesis .*SSDIE_DATA"):
        make_site(tmp_path / "run", tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_what_a_notebook_prints_of_its_data_is_what_the_gallery_looks_for(tmp_path, monkeypatch, capsys, photo_folder):
    from ssdie.workbook.session import open_folder

    for data, expected in (("", True), (str(photo_folder), False)):
        monkeypatch.setenv("SSDIE_DATA", data)
        open_folder(tmp_path, "01_dust")
        origin = re.search(r"^data +(.+)$", capsys.readouterr().out, re.MULTILINE)[1]
        assert origin.startswith(ssdie.workbook.site.EMBEDDED) == expected


def test_a_notebook_that_failed_is_refused(tmp_path, picture):
    execute(tmp_path / "run", "01_dust_synthesis", "Dust", picture)
    path = tmp_path / "run" / "01_dust_synthesis.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells[3].outputs = [new_output("error", ename="ValueError", evalue="dust", traceback=[])]
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match="01_dust_synthesis did not run to its end"):
        make_site(tmp_path / "run", tmp_path / "site")


def test_a_folder_without_notebooks_is_refused(tmp_path, capsys):
    assert main(["site", "--executed", str(tmp_path), "--out", str(tmp_path / "site")]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_the_notebook_itself_stays_as_it_is(tmp_path, picture):
    execute(tmp_path, "01_dust_synthesis", "Dust", picture)
    notebook = nbformat.read(tmp_path / "01_dust_synthesis.ipynb", 4)
    before = nbformat.writes(notebook)
    assert prepare(notebook).cells[0].source != notebook.cells[0].source and nbformat.writes(notebook) == before


def test_the_notebooks_run_without_ssdie_data_and_write_no_committed_figure(tmp_path, monkeypatch, photo_folder):
    seen = {}

    def note(profile, parameters, out):
        seen.update(data=os.environ.get("SSDIE_DATA"), profile=profile, out=out, **parameters)
        return [Outcome("00_enhance_a_photo", "failed", 1.0, "the dust won")]

    monkeypatch.setattr("ssdie.workbook.runner.reproduce", note)
    monkeypatch.setenv("SSDIE_DATA", str(photo_folder))
    assert main(["site", "--out", str(tmp_path)]) == 1  # nothing is made of a failed run
    assert seen == {"data": None, "profile": "quick", "out": "runs/embedded", "figures": "runs/embedded/figures"}
    assert os.environ["SSDIE_DATA"] == str(photo_folder) and not list(tmp_path.iterdir())


def test_make_lab_opens_the_first_notebook_in_the_projects_environment():
    words = ["make", "-n", "--no-print-directory", "lab", "LAB=--no-browser"]
    done = subprocess.run(words, cwd=project_root(), capture_output=True, text=True)
    last = done.stdout.splitlines()[-1].split()
    assert last[1:] == [".venv/bin/jupyter-lab", "--no-browser", "notebooks/00_enhance_a_photo.ipynb"]
    assert (project_root() / last[-1]).is_file()
