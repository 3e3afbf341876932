"""A summary of a journal: counts, failures by reason, slowest files, throughput."""

import re
from collections import Counter
from pathlib import Path

from ssdie.batch.journal import Journal, read_journal
from ssdie.batch.storage import journal_to_read


def summarize(folder: str | Path, slowest: int = 5) -> dict:
    """Summarise the journal of an output folder.

    Args:
        folder: output folder of `ssdie enhance`, as a path or URL.
        slowest: number of slowest files to list.

    Returns:
        Counts `files` by outcome, `failures` by reason and `skipped` by kind; `notes`, the number of files with notes;
        `slowest`, pairs (seconds, input); `seconds`, the sum over all files; `bytes` read; and `files_per_hour` between
        the start of the first and the end of the last file.

    Raises:
        FileNotFoundError: there is no journal.
    """
    with journal_to_read(folder) as path:
        return _summarize(read_journal(path), slowest)


def _summarize(journal: Journal, slowest: int) -> dict:
    outcomes, failures, skipped = Counter(), Counter(), Counter()
    notes, seconds, size, finished = 0, 0.0, 0, []
    for row in journal.rows():
        outcomes[row.outcome] += 1
        failures.update([_general(row.notes)] if row.outcome == "failed" else [])
        skipped.update([row.notes] if row.outcome == "skipped" else [])
        if row.outcome == "done":
            notes += bool(row.notes)
            seconds, size = seconds + row.seconds, size + row.size
            if row.finished:
                first, last, count = finished or (row.finished - row.seconds, row.finished, 0)
                finished = [min(first, row.finished - row.seconds), max(last, row.finished), count + 1]
    longest = [(row.seconds, row.input) for row in journal.rows("done", "seconds DESC", slowest)]
    journal.close()
    rate = finished[2] / max(finished[1] - finished[0], 1e-3) * 3600 if finished else 0.0
    return {
        "files": dict(outcomes), "failures": dict(failures.most_common()), "skipped": dict(skipped.most_common()),
        "notes": notes, "slowest": longest, "seconds": round(seconds, 3), "bytes": size,
        "files_per_hour": round(rate, 1),
    }  # fmt: skip


def format_summary(summary: dict) -> str:
    """Format a summary as text."""
    files = summary["files"]
    lines = [", ".join(f"{files.get(name, 0)} {name}" for name in ("done", "failed", "skipped"))]
    if summary["notes"]:
        lines.append(f"copies with notes on what they lack: {summary['notes']}")
    lines += [f"failed {times} times: {reason}" for reason, times in summary["failures"].items()]
    lines += [f"skipped {times} times: {kind}" for kind, times in summary["skipped"].items()]
    lines += [f"{seconds:.1f} s: {name}" for seconds, name in summary["slowest"]]
    work, rate = summary["seconds"], summary["files_per_hour"]
    lines.append(
        f"{work:.1f} s of work on {summary['bytes'] / 1e6:.1f} MB; {rate:.0f} files per hour from first to last"
    )
    return "\n".join(lines)


def _general(reason: str) -> str:
    """Replace paths and numbers in a reason, so that similar reasons are counted together."""
    return re.sub(r"\d+", "N", re.sub(r"\S*/\S*", "FILE", reason))
