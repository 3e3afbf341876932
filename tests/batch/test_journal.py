"""The journal: rows survive a crash, only one process writes, journals of release 0.1.0 are imported."""

import json
import subprocess
import sys

import pytest
from faults import ENVIRONMENT

from ssdie.batch.journal import Journal, Row, find_csv_journals, open_journal
from ssdie.batch.report import format_summary, summarize

HEADER = "input,fingerprint,settings,output,written,seconds,status\n"
SETTINGS = "\"{'strength': 1.0, 'working_size': 128, 'touch': True, 'every': 5, 'model': '11df521d'}\""


def test_rows_are_found_again_and_replaced(tmp_path):
    first = Row("/in/a\udc80.jpg", 10, "5", "{}", "w", "a.jpg", "9-9", 1.5, None, "done", "", 100.0)
    with open_journal(tmp_path) as journal:
        journal.add(first)
        journal.add(Row("/in/b.jpg", outcome="failed", notes="damaged"))
    with open_journal(tmp_path) as journal:
        found = journal.find(first.input)
        assert found.input == "/in/a\\udc80.jpg" and found.output_stamp == "9-9" and found.dust_score is None
        journal.add(Row(first.input, output="a.jpg", outcome="failed", notes="later"))
        assert journal.find(first.input).outcome == "failed"
        assert journal.find(first.input).output_stamp == "9-9"  # that of the earlier output is kept
        assert [row.input for row in journal.rows("failed")] == ["/in/a\\udc80.jpg", "/in/b.jpg"]
        assert journal.find("/in/c.jpg") is None
    assert sorted(p.name for p in tmp_path.iterdir()) == [".ssdie"]


def test_rows_before_the_last_half_second_survive_a_killed_client(tmp_path):
    code = f"""
import os, signal, time
from ssdie.batch.journal import Row, open_journal
with open_journal({str(tmp_path)!r}) as journal:
    for k in range(20):
        journal.add(Row(str(k)))
    time.sleep(0.5)
    journal.add(Row("last"))
    journal.add(Row("pending"))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, timeout=60)
    with open_journal(tmp_path) as journal:
        found = {row.input for row in journal.rows()}
    assert found == {*map(str, range(20)), "last"}


def test_a_second_client_is_refused(tmp_path):
    code = f"from ssdie.batch.journal import open_journal\nwith open_journal({str(tmp_path)!r}): pass"
    with open_journal(tmp_path):
        done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert "BlockingIOError" in done.stderr and "in use" in done.stderr


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "journal.sqlite").write_text("something else " * 100)
    with pytest.raises(ValueError, match="expected a journal of ssdie"):
        Journal(tmp_path / "journal.sqlite")


def test_journals_of_release_010_are_imported(tmp_path):
    lines = f"/in/a.jpg,10-5,{SETTINGS},a.jpg,9-9,0.1,done\n/in/b.avi,1-1,{SETTINGS},b.avi,2-2,3,done\n"
    (tmp_path / "manifest.csv").write_text(f"{HEADER}{lines}/in/c.jpg,1-1,{SETTINGS},c.jpg,,,it is damaged\n")
    (tmp_path / "manifest-3.csv").write_text(f"{HEADER}/in/d.jpg,1-1,{SETTINGS},d.jpg,4-4,0.1,done\n/in/e.jpg,1-1,{{")
    (tmp_path / "manifest-4.csv").write_text("name,year\na.png,2020\n")
    paths = find_csv_journals(tmp_path)
    assert [path.name for path in paths] == ["manifest-3.csv", "manifest.csv"]
    with open_journal(tmp_path) as journal:
        journal.import_csv(paths)
        assert [row.input for row in journal.rows("done")] == ["/in/a.jpg", "/in/b.avi", "/in/d.jpg"]
        row = journal.find("/in/a.jpg")
        assert (row.size, row.stamp, row.output_stamp, row.weights) == (10, "5", "9-9", "crc32:11df521d")
        assert json.loads(row.settings) == {"strength": 1.0, "working_size": 128, "postprocess": True}
        assert json.loads(journal.find("/in/b.avi").settings)["every"] == 5


def test_the_report_counts_failures_by_reason_and_lists_the_slowest(tmp_path):
    with open_journal(tmp_path) as journal:
        for k in range(5):
            journal.add(Row(f"/in/{k}.jpg", 1000, seconds=k, outcome="done", finished=100.0 + k))
        journal.add(Row("/in/a.png", outcome="failed", notes="it declares 9 x 9 pixels"))
        journal.add(Row("/in/b.png", outcome="failed", notes="it declares 30 x 30 pixels"))
        journal.add(Row("/in/c.txt", outcome="skipped", notes=".txt"))
    summary = summarize(tmp_path, 2)
    assert summary["files"] == {"done": 5, "failed": 2, "skipped": 1}
    assert summary["failures"] == {"it declares N x N pixels": 2} and summary["skipped"] == {".txt": 1}
    assert summary["slowest"] == [(4.0, "/in/4.jpg"), (3.0, "/in/3.jpg")]
    assert summary["bytes"] == 5000 and summary["files_per_hour"] == pytest.approx(5 / 4 * 3600)
    assert "5 done, 2 failed, 1 skipped" in format_summary(summary)
    with pytest.raises(FileNotFoundError, match="expected an output folder"):
        summarize(tmp_path / "none")
