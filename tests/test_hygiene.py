"""No network access, no file outside the named folders, no secret, no path of a developer's machine, one lock file."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib

import pytest
from corpus import photo
from faults import ENVIRONMENT, ROOT, run_child
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Runs the commands in argv[2:] and writes what Python's audit hooks reported to argv[1].
WATCH = r"""
import json, os, sys

network, written, started = [], set(), set()
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")

def watch(event, values):
    if event == "socket.bind" and values[1][0] in ("127.0.0.1", "::1"):
        return  # urllib3 tests for IPv6 in this way
    if event in ("socket.connect", "socket.bind") and isinstance(values[1], (str, bytes)):
        return  # Unix socket: local
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        network.append(f"{event} {values[1:]}")
        raise OSError("the network is off")
    if event == "open" and isinstance(values[0], (str, bytes)) and (values[2] or 0) & WRITES:
        written.add(os.path.realpath(os.fsdecode(values[0])))
    if event in CHANGES:
        written.update(os.path.realpath(os.fsdecode(v)) for v in values[:2] if isinstance(v, (str, bytes)))
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
        started.add(str(values[0]))

sys.addaudithook(watch)
from ssdie.cli import main

report = sys.argv[1]
for command in map(json.loads, sys.argv[2:]):
    assert main(command) == 0, command
found = {"network": network, "written": sorted(written), "started": sorted(started)}
open(report, "w").write(json.dumps(found))
"""


def files_of_the_checkout() -> list:
    """The files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    """Name and content of every text file."""
    read = []
    for path in files_of_the_checkout():
        content = path.read_bytes()
        if b"\0" not in content[:8000]:
            read.append((path.relative_to(ROOT).as_posix(), content.decode("utf-8")))
    assert len(read) > 100
    return read


def test_commands_use_no_network_and_write_only_to_the_named_folders(tmp_path):
    """Runs enhance, evaluate, dust and train with an empty home folder and without a network."""
    for name in ("photos", "home", "here", "scratch", "out"):
        (tmp_path / name).mkdir()
    for seed in range(2):
        photo((64, 48), seed=seed).save(tmp_path / "photos" / f"{seed}.png")
    photos, out = str(tmp_path / "photos"), tmp_path / "out"
    weights = ["--weights.perceptual", "0", "--weights.style", "0"]
    train = ["--steps", "2", "--batch", "1", "--size", "32", "--options", '{"width": 8}', *weights]
    commands = [
        ["enhance", photos, "-o", str(out / "enhanced")],
        ["evaluate", "--dusty", photos, "--methods", "ssdie", "gray_world", "--out", str(out / "tables")],
        ["dust", photos, "-o", str(out / "dusty")],
        ["train", "supervised", "--run", str(out / "run"), *train],
    ]
    environment = ENVIRONMENT | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "scratch")}
    environment = {k: v for k, v in environment.items() if not k.startswith("XDG_")} | {"PYTHONDONTWRITEBYTECODE": "1"}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "home" / ".cache" / "torch")  # default: TMPDIR
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "ssdie").rglob("*")}
    words = [sys.executable, "-c", WATCH, out / "seen.json", *map(json.dumps, commands)]
    done = run_child(words, timeout=600, cwd=tmp_path / "here", env=environment)
    assert done.returncode == 0, done.stderr
    seen = json.loads((out / "seen.json").read_text())
    allowed = (str(out), str(tmp_path / "home" / ".cache"), "/dev/null", "/dev/shm/", "/proc/")
    outside = [path for path in seen["written"] if not path.startswith(allowed)]
    outside = [path for path in outside if not path.startswith(str(tmp_path / "scratch"))]  # checked below to be empty
    assert seen["network"] == [] and outside == []
    known = {"git", "lscpu", "ldconfig"}  # for the commit, the CPU, and torch's search for a GPU
    assert {path.rsplit("/", 1)[-1] for path in seen["started"]} <= known
    for name, left in (("home", {".cache"}), ("here", set()), ("scratch", {".ses"})):
        assert {p.name for p in (tmp_path / name).iterdir()} <= left, name
    assert sorted(p.name for p in (tmp_path / "photos").iterdir()) == ["0.png", "1.png"]
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "ssdie").rglob("*")} == before
    assert {"enhanced", "tables", "dusty", "run", "seen.json"} == {p.name for p in out.iterdir()}


SECRETS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "access key": r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{35}\b",
    "token": r"\b(gh[pousr]_\w{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|hf_\w{30,}|xox[abpr]-[\w-]{10,}|sk-\w{20,})",
    "password": r"""(?i)(password|passwd|secret|api_?key|token)\s*[:=]\s*["'][^"'\s]{6,}["']""",
    "password in a URL": r"://[^/\s:@'\"{}]+:[^/\s:@'\"{}]+@",
}


@pytest.mark.quick
@pytest.mark.parametrize(
    "kind, example",
    [
        ("private key", "-----BEGIN RSA " + "PRIVATE KEY-----"),
        ("access key", "AKIA" + 16 * "A"),
        ("token", "ghp_" + 36 * "a"),
        ("password", "api_key" + " = 'correct-horse'"),
        ("password in a URL", "https://user:" + "word@example.org"),
    ],
)
def test_patterns_of_secrets_match_an_example(kind, example):
    assert re.search(SECRETS[kind], example)


@pytest.mark.parametrize("kind", SECRETS)
def test_no_file_contains_a_secret(kind):
    found = {name: m.group()[:40] for name, text in texts() if (m := re.search(SECRETS[kind], text))}
    assert not found


def test_no_file_contains_a_path_of_a_developers_machine():
    pattern = r"(?<![\w.:/~>}\])])(/home/\w|/root/\w|/Users/\w|/tmp/\w|/mnt/\w|/work/\w)|\b[A-Z]:\\\\?Users"
    found = {name: m.group() for name, text in texts() if (m := re.search(pattern, text))}
    assert not found


def test_notebooks_contain_no_output_and_no_absolute_path():
    """Checks code cells, Markdown cells and metadata."""
    notebooks = [path for path in files_of_the_checkout() if path.suffix == ".ipynb"]
    assert len(notebooks) >= 8
    for path in notebooks:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None, path.name
            assert set(cell["metadata"]) <= {"tags"}, path.name
            assert not re.search(r"""["'`(](/|~/|[A-Za-z]:\\|file:)\w""", "".join(cell["source"])), path.name
        assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}, path.name


def read_project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.quick
def test_the_lock_file_satisfies_every_requirement_and_equals_the_installed_versions():
    project = read_project()
    locked = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    locked = {canonicalize_name(name): version for name, version in locked.items()}
    requirements = [
        *project["dependencies"],
        *(r for k, e in project["optional-dependencies"].items() if k != "audit" for r in e),
    ]
    checked = 0
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        if name != "ssdie":
            assert requirement.specifier.contains(locked[name]), requirement
            assert importlib.metadata.version(name).split("+")[0] == locked[name], name
            checked += 1
    assert checked > 30


@pytest.mark.quick
def test_the_extras_are_the_documented_ones_and_environment_yml_installs_all():
    project, environment = read_project(), (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert {"formats", "train", "workbook", "cluster", "bench", "all", "dev"} <= set(project["optional-dependencies"])
    assert "--editable .[all]" in environment and "--constraint constraints.txt" in environment
    low = project["requires-python"].removeprefix(">=")
    assert f"python={low}" in environment
    supported = [c.rsplit(" :: ", 1)[1] for c in project["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert supported[0] == low and f"{sys.version_info.major}.{sys.version_info.minor}" in supported
