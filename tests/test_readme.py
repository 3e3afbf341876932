import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest

from ssdie.__main__ import COMMANDS, main
from ssdie.bench_report import archive_table, markdown
from ssdie.profiles import NOTEBOOKS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [p for p in ROOT.rglob("*.md") if not {".venv", "runs", "node_modules"} & set(p.parts)]
TOLD = [
    line.split("#")[0].strip()
    for page in PAGES
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if re.search(r"-m ssdie |^make ", line)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("line", [t for t in TOLD if "-m ssdie " in t])
def test_commands_are_understood(line, monkeypatch):
    words = shlex.split(line.split("-m ssdie ")[1])
    module = __import__(f"ssdie.{COMMANDS[words[0]][0]}", fromlist=["run"])
    monkeypatch.setattr(module, "run", lambda args: 0)
    assert main(words) == 0


def test_make_knows_the_targets():
    for line in (t for t in TOLD if t.startswith("make ")):
        done = subprocess.run(["make", "-n", *line.split()[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_picture_comes_first():
    assert README.splitlines()[2].startswith("![")


def test_badges_are_true():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    badges = dict(re.findall(r"\[!\[(\w+) ([^\]]+)\]\(https://img\.shields\.io/badge/", README))
    assert len(badges) == README.count("img.shields.io")
    python, torch = badges.pop("Python"), badges.pop("PyTorch")
    assert python == re.match(r">=([\d.]+)", project["requires-python"])[1] + " or newer"
    assert any(re.match(rf"torch[=>]=\s*{re.escape(torch)}\b", wanted) for wanted in project["dependencies"])
    assert badges == {"Licence": project["license"]} and "MIT License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    for name, value in {"Python": python, "PyTorch": torch, "licence": project["license"]}.items():
        assert f"/badge/{name}-{value.replace(' ', '_')}-" in README  # the picture says what its description says


def test_three_doors_lead_to_their_sections_with_a_time():
    doors = re.findall(r"^\| \[(.+?)\]\(#(.+?)\) \| (.+?) \| (.+?) \|$", README, re.MULTILINE)
    assert [door[0] for door in doors] == ["enhance my photos", "understand the method", "reproduce the paper"]
    for title, anchor, typed, time in doors:
        assert anchor == title.replace(" ", "-") and f"\n### {title.capitalize()}\n" in README
        assert re.search(r"about \d+ (s|min)", time) and re.search(r"`(.+?)`", typed)[1] in TOLD


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_table_names_every_notebook_with_the_time_that_it_states(name):
    first = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells[0].source
    stated = re.search(r"Takes \(measured\)\*\* \| (?:about )?(\d+ (?:s|min))", first)[1]
    row = next(line for line in README.splitlines() if line.startswith("|") and f"(notebooks/{name}.ipynb)" in line)
    assert row.endswith(f"| {stated} |"), (row, stated)


def test_every_command_stands_in_the_readme():
    assert all(f"`python -m ssdie {command}`" in README or f"`{command}`" in README for command in COMMANDS)


def table_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_tables_of_speed_are_those_of_the_committed_benchmark():
    result = json.loads((ROOT / "docs" / "bench.json").read_text(encoding="utf-8"))
    shown = table_of(README.split("## Speed")[1].split("## ")[0])
    assert len(shown) > 20 and shown == table_of(markdown(result, goals=True))
    page = (ROOT / "docs" / "bench.md").read_text(encoding="utf-8")
    assert markdown(result) in page and archive_table(result) in page
    assert archive_table(result) in (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert not result["quick"] and result["machine"]["processor"] in README
