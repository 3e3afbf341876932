"""What was tried: tests of faults count them by the fixture `tried`; docs/reliability.md must be what they counted.

A row belongs to the test file that counted it. Rows are compared, or written by `pytest --write-reliability`, for the
test files of which every test ran and passed; those of other files stay as they are.
"""

from pathlib import Path

import pytest

TABLE = Path(__file__).parent.parent / "docs" / "reliability.md"
HEAD = """# What was tried, and what was lost

Written by the tests that tried it, `pytest --write-reliability`; `make test` compares. *Tried*: how many cases. *Lost*:
how many cost something that was not at fault: a result that did not come, a file that was changed, half a file left
behind. *Crashed*: how many ended in anything but an answer: a traceback, a signal, a hang, memory above its bound.

| class of fault | tried | lost | crashed | by |
|---|---:|---:|---:|---|
"""

Row = tuple[str, str, int, int, int]  # test file, class of fault, tried, lost, crashed


class Counts:
    """Counts by test file and class of fault, and which test files passed as a whole."""

    def __init__(self):
        self.rows: dict[tuple[str, str], list[int]] = {}
        self.collected: dict[str, set[str]] = {}
        self.passed: dict[str, set[str]] = {}

    def add(self, file: str, fault: str, times: int, lost: int, crashed: int) -> None:
        """Add to a row; rows keep the order in which they first came."""
        row = self.rows.setdefault((file, fault), [0, 0, 0])
        row[:] = (a + b for a, b in zip(row, (times, lost, crashed), strict=True))

    def merged_with(self, known: list[Row]) -> list[Row]:
        """Rows of `known`, with those of the test files that passed as a whole replaced by what they counted."""
        whole = {file for file, tests in self.collected.items() if tests == self.passed.get(file)}
        counted = [(file, fault, *row) for (file, fault), row in self.rows.items() if file in whole]
        return sorted([row for row in known if row[0] not in whole] + counted, key=lambda row: row[0])


def read_rows(text: str) -> list[Row]:
    """Rows of a page, but for their sum.

    Example:
        >>> read_rows(render([("test_files.py", "empty file", 1000, 0, 1)]))
        [('test_files.py', 'empty file', 1000, 0, 1)]
    """
    cells = (line.strip("| ").split(" | ") for line in text.splitlines() if line.endswith(".py` |"))
    return [(by.strip("`"), fault, *(int(n.replace(",", "")) for n in counts)) for fault, *counts, by in cells]


def render(rows: list[Row]) -> str:
    """The whole page: head, a line a row, the sum."""
    lines = [f"| {fault} | {tried:,} | {lost} | {crashed} | `{file}` |\n" for file, fault, tried, lost, crashed in rows]
    tried, lost, crashed = (sum(row[i] for row in rows) for i in (2, 3, 4))
    return HEAD + "".join(lines) + f"| **all** | **{tried:,}** | **{lost}** | **{crashed}** | |\n"


# What pytest calls; imported by conftest.py ------------------------------------------------------------------------

COUNTS = pytest.StashKey[Counts]()


def pytest_addoption(parser):
    parser.addoption("--write-reliability", action="store_true", help="write docs/reliability.md instead of comparing")


def pytest_configure(config):
    config.stash[COUNTS] = Counts()


@pytest.hookimpl(tryfirst=True)  # before -k and the like take tests out
def pytest_collection_modifyitems(config, items):
    if not any("::" in argument for argument in config.args):
        for item in items:
            config.stash[COUNTS].collected.setdefault(item.path.name, set()).add(item.nodeid)
    items.sort(key=lambda item: item.path.name == "test_reliability.py")  # what compares comes last


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.passed:
        item.config.stash[COUNTS].passed.setdefault(item.path.name, set()).add(item.nodeid)


@pytest.fixture
def tried(request):
    """Count a fault that a test tried, in the row of docs/reliability.md that is named for its class."""

    def count(fault: str, times: int = 1, lost: int = 0, crashed: int = 0) -> None:
        request.config.stash[COUNTS].add(request.path.name, fault, int(times), int(lost), int(crashed))

    return count
