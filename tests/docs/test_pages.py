"""Pages of the documentation: links, external resources, comments of settings, code of the tutorials."""

import json
import os
import re
import shutil
from dataclasses import dataclass

import pytest
from docstrings import read_field_comments
from faults import ROOT
from offline import COPIES, find_faults
from repository import PAGES, rewrite_links

from ssdie.training.config import TrainConfig

GOOD = '<h1 id="top">Dust</h1><script src="a.js"></script><a href="b.html#law">b</a><a href="https://doi.org/1">1</a>'


@pytest.fixture
def pages(tmp_path):
    """Two pages without a fault."""
    (tmp_path / "a.html").write_text(GOOD)
    (tmp_path / "b.html").write_text('<p id="law">I</p><a href="a.html">a</a><a href="#law">law</a>')
    (tmp_path / "a.js").write_text("")
    return tmp_path


def test_valid_pages_have_no_fault(pages):
    assert find_faults(pages) == []


@pytest.mark.parametrize(
    "added, fault",
    [
        ('<a href="c.html">c</a>', "refers to c.html, which does not exist"),
        ('<a href="b.html#veil">b</a>', "refers to b.html#veil, and that page has no such anchor"),
        ('<a href="#veil">b</a>', "refers to #veil"),
        ('<img src="missing.png">', "refers to missing.png"),
        ('<script src="https://cdn.example.org/x.js"></script>', "loads https://cdn.example.org/x.js, which needs"),
        ('<link rel="stylesheet" href="//fonts.example.org/f.css">', "needs a network"),
        ('<img src="http://example.org/x.png">', "needs a network"),
    ],
)
def test_broken_links_and_external_resources_are_reported(pages, added, fault):
    (pages / "a.html").write_text(GOOD + added)
    (found,) = find_faults(pages)
    assert found.startswith("a.html") and fault in found


def test_links_of_a_copied_page_are_rewritten(tmp_path):
    docs = tmp_path / "docs"
    for name in ("docs/peers.md", "CHANGELOG.md", "notebooks/01.ipynb", "examples/slurm.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    text = "[p](docs/peers.md#sets) [c](CHANGELOG.md) [n](notebooks/01.ipynb) [s](examples/slurm.py) [w](https://a.b)"
    moved = rewrite_links(text, tmp_path / "README.md", docs / "generated" / "pages" / "x.md", tmp_path, docs)
    assert re.findall(r"\((.+?)\)", moved) == [
        "../../peers.md#sets", "changelog.md", "../gallery/01.ipynb", "../../../examples/slurm.py", "https://a.b",
    ]  # fmt: skip
    with pytest.raises(FileNotFoundError, match="gone.md does not exist"):
        rewrite_links("[x](gone.md)", tmp_path / "README.md", docs / "x.md", tmp_path, docs)


def test_pages_that_are_copied_into_docs_exist():
    assert all((ROOT / name).is_file() for name in PAGES)


@dataclass
class Settings:
    """As `TrainConfig`: comments beside and above the fields."""

    size: int = 256  # side, pixels
    # of Adam,
    # reached late
    rate: float = 1e-4  # per step
    plain: int = 0


def test_comments_of_fields_are_read_beside_and_above():
    assert read_field_comments(Settings) == {"size": "side, pixels", "rate": "of Adam, reached late per step"}
    comments = read_field_comments(TrainConfig)
    assert comments["batch"] == "images per update and process" and set(comments) == set(TrainConfig.__annotations__)


def test_scripts_are_pinned_by_version_and_digest_without_a_url():
    locked = json.loads((ROOT / "docs" / "package-lock.json").read_text())["packages"]
    required = json.loads((ROOT / "docs" / "package.json").read_text())["dependencies"]
    assert {name for name in required} == {re.match(r"(@[^/]+/)?[^/]+", file)[0] for file in COPIES}
    for name, version in required.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    packages = [package for name, package in locked.items() if name]
    assert all(package["integrity"].startswith("sha512-") and "resolved" not in package for package in packages)


@pytest.mark.parametrize("tutorial", ["repair_photos", "understand_the_method"])
def test_the_code_of_a_tutorial_runs(tutorial, tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "example.jpg", tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "tutorials" / f"{tutorial}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    names: dict = {}
    exec("\n".join(blocks), names)  # in one namespace, as in an interactive session
    if tutorial == "repair_photos":
        assert os.path.getsize("repaired.jpg") > 10_000
    else:
        before, after = (names["measure"](p, names["pair"].dusty, names["clear"]) for p in
                         (names["pair"].dusty, names["enhanced"]))  # fmt: skip
        assert after["psnr"] > before["psnr"] and after["cast"] < before["cast"]
