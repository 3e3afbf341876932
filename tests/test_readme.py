import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from ssdie.__main__ import COMMANDS, main
from ssdie.bench_report import markdown

ROOT = Path(__file__).parent.parent
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


def test_every_command_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(command in readme for command in COMMANDS)


def test_the_table_of_speed_is_that_of_the_committed_benchmark():
    known = markdown(json.loads((ROOT / "docs" / "bench.json").read_text(encoding="utf-8"))).splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## Speed")[1].split("## ")[0]
    shown = [line for line in section.splitlines() if line.startswith("|")]
    assert len(shown) > 10 and set(shown) <= set(known)
