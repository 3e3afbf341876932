"""Output of the commands for photos: `Report` on the files of a run, and standard streams that may be closed."""

import json
import os
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import asdict


class Report:
    """Report on the files of a run: a line for each failure and note, a summary of skipped files; or JSON lines.

    Args:
        as_json: write the outcome of each file as a JSON line to standard output.
        strict: skipped files and notes count as failures.
        listing: write the planned outcome of each file to standard output, for a dry run.
        automatic: the strength depends on the dust score; list files with little dust.
    """

    def __init__(self, as_json: bool, strict: bool, listing: bool = False, automatic: bool = False):
        self.as_json, self.strict, self.listing, self.automatic = as_json, strict, listing, automatic
        self.clear: list[str] = []  # the first files that were changed little or not at all
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()  # of skipped files
        self.lines: list[str] = []

    def add(self, outcome) -> None:
        """Add the outcome of a file."""
        self.counts[outcome.outcome] += 1
        self.counts["notes"] += bool(outcome.notes)
        if outcome.outcome == "skipped":
            self.kinds[outcome.reason] += 1
        if self.as_json:
            values = {k: v for k, v in asdict(outcome).items() if v not in ("", (), None) and v is not False}
            print_line(json.dumps(values), sys.stdout)
            return
        name = outcome.source if outcome.source.isprintable() else repr(outcome.source)  # names may contain line breaks
        if outcome.outcome == "failed":
            self.lines.append(f"failed: {name}: {outcome.reason}")
        elif self.listing:
            about = outcome.reason or outcome.target
            print_line(f"{outcome.outcome}: {name} ({about})" if about else f"{outcome.outcome}: {name}", sys.stdout)
        elif outcome.outcome == "repeated":
            self.lines.append(f"resumed: {outcome.reason}")
        elif self.automatic and outcome.dust_score is not None and automatic_strength(outcome.dust_score) < 0.5:
            self.counts["clear"] += 1
            self.clear += [name] if len(self.clear) < 3 else []
        self.lines += [f"note: {name}: {note}" for note in outcome.notes]

    def finish(self) -> int:
        """Print the collected lines; return the exit status."""
        from ssdie.batch.jobs import count_kinds

        for line in sorted(self.lines, key=lambda line: not line.startswith("failed")):
            print_line(line)
        if self.clear:
            more = f" and {self.counts['clear'] - 3} more" if self.counts["clear"] > 3 else ""
            about = "hardly any dust was found, so little or nothing was changed; --strength 1 repairs in full"
            print_line(f"little dust: {', '.join(self.clear)}{more}: {about}")
        skipped = self.kinds.total()
        if skipped and not self.as_json:
            files = "1 file" if skipped == 1 else f"{skipped} files"
            print_line(f"skipped: {files} of other kinds ({count_kinds(self.kinds.elements())})")
        visible = skipped - self.kinds["hidden"]
        return int(self.counts["failed"] > 0 or (self.strict and (visible or self.counts["notes"]) > 0))


def automatic_strength(score: float) -> float:
    """Return the strength in [0, 1] that "auto" means for a dust score."""
    from ssdie.enhancement.strength import AUTO, find_strength

    return find_strength(AUTO, score)


def open_standard_streams() -> None:
    """Open closed standard streams on the null device, so that no other file gets their descriptors."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def print_line(text: str, stream=None) -> None:
    """Print a line; if the stream is closed or missing, do nothing."""
    stream = Stream(stream or sys.stderr)
    stream.write(f"{text}\n")
    stream.flush()


class Stream:
    """A text stream that ignores errors of a closed pipe or a missing stream."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, ignoring errors."""
        with suppress(OSError, ValueError, AttributeError):
            self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Flush; a pipe without a reader is replaced by the null device, so that Python's flush at exit succeeds."""
        try:
            self._stream.flush()
        except (OSError, ValueError, AttributeError):
            with suppress(OSError, ValueError, AttributeError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return bool(self._stream) and self._stream.isatty()

    @property
    def encoding(self) -> str:
        """Encoding of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def fileno(self) -> int:
        """File descriptor, which tqdm needs for the width of the terminal."""
        if self._stream is None:
            raise OSError("the stream does not exist")
        return self._stream.fileno()
