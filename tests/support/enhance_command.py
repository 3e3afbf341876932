"""`ssdie enhance` with the released network at a small working size: command line, reported failures, files written."""

import re
from pathlib import Path

from corpus import photo
from faults import SSDIE


def command(*words) -> list:
    """The command line; without PyTorch, which takes seconds to import."""
    return [*SSDIE, "enhance", *words, "--working-size", "32"]


def failures(stderr: str) -> dict[str, str]:
    """Parse failures into {path: reason}; assert that all other lines are progress bars, notes or skipped files."""
    lines = re.split(r"[\r\n]+", stderr.replace("\x1b[A", ""))
    lines = [line for line in lines if line.strip() and not re.search(r"(file|frame)/s\]|s/(file|frame)\]", line)]
    assert all(line.startswith(("failed: ", "note: ", "skipped")) for line in lines), lines
    lines = [line for line in lines if line.startswith("failed: ")]
    reasons = dict(re.fullmatch(r"failed: (.+?): (.+)", line).groups() for line in lines)
    assert len(reasons) == len(lines), stderr
    return reasons


def written(folder: Path) -> list[str]:
    """Files in a folder, hidden ones included, except those of the journal."""
    files = (p.relative_to(folder) for p in folder.rglob("*") if not p.is_dir())
    return sorted(path.as_posix() for path in files if path.parts[0] != ".ssdie")


def make_photos(folder: Path) -> Path:
    """Write six valid photos into a new folder."""
    folder.mkdir()
    for seed in range(6):
        photo((60, 40), seed=seed).save(folder / f"{seed}.png")
    return folder
