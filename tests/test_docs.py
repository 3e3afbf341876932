"""Commands and links in README and the documentation pages work."""

import re
import shlex
import subprocess

import pytest
from faults import ROOT

from ssdie.cli import COMMANDS, main
from ssdie.cli.training import parse_train_config

PAGES = [p for p in ROOT.rglob("*.md") if not {".venv", "runs", "node_modules", "build", "generated"} & set(p.parts)]
LINES = [
    line.split("#")[0].strip()
    for page in PAGES
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


@pytest.mark.quick
@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_resolve(page):
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("line", [t for t in LINES if re.match(r"(python -m )?ssdie ", t)])
def test_documented_commands_parse(line, monkeypatch):
    words = shlex.split(re.sub(r"^(python -m )?ssdie ", "", line))
    if words[0] == "train":  # its options are derived from the settings, and parsed by the function that trains
        assert parse_train_config(words[1:]).stage == words[1]
    else:
        monkeypatch.setitem(COMMANDS, words[0], COMMANDS[words[0]]._replace(run=lambda args: 0))
        assert main(words) == 0


def test_documented_make_targets_exist():
    lines = [t for t in LINES if t.startswith("make ")]
    assert lines
    for line in lines:
        done = subprocess.run(["make", "-n", *line.split()[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_make_lab_opens_the_first_notebook_in_the_projects_environment():
    words = ["make", "-n", "--no-print-directory", "lab", "LAB=--no-browser"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    last = done.stdout.splitlines()[-1].split()
    assert last[1:] == [".venv/bin/jupyter-lab", "--no-browser", "notebooks/00_enhance_a_photo.ipynb"]
    assert (ROOT / last[-1]).is_file()
