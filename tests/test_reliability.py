"""The table of what was tried is what was tried: this file runs last."""

from pathlib import Path

from reliability import COUNTS, TABLE, Counts, read_rows, render


def test_the_committed_table_is_what_the_tests_counted(request):
    text = TABLE.read_text(encoding="utf-8") if TABLE.is_file() else ""
    counted = render(request.config.stash[COUNTS].merged_with(read_rows(text)))
    if request.config.getoption("--write-reliability"):
        TABLE.write_text(counted, encoding="utf-8")
    else:
        assert text == counted, "docs/reliability.md is not what was tried; run pytest --write-reliability"


def test_rows_belong_to_tests_that_are_there():
    assert all((Path(__file__).parent / row[0]).is_file() for row in read_rows(TABLE.read_text(encoding="utf-8")))


def test_only_rows_of_files_that_passed_as_a_whole_are_replaced():
    counts = Counts()
    counts.collected = {"test_a.py": {"1", "2"}, "test_b.py": {"3", "4"}}
    counts.passed = {"test_a.py": {"1", "2"}, "test_b.py": {"3"}}
    for file, lost in (("test_b.py", 1), ("test_a.py", 0), ("test_a.py", 1)):
        counts.add(file, "cut", 10, lost, 0)
    known = [("test_a.py", "gone", 5, 0, 0), ("test_b.py", "cut", 7, 0, 0), ("test_c.py", "cut", 9, 0, 0)]
    rows = counts.merged_with(known)
    assert rows == [("test_a.py", "cut", 20, 1, 0), ("test_b.py", "cut", 7, 0, 0), ("test_c.py", "cut", 9, 0, 0)]
    assert read_rows(render(rows)) == rows
