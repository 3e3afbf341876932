"""The log of a run: every term of the objective, to CSV and TensorBoard."""

import csv
import math
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from ssdie.utils.paths import atomic


class Log:
    """One row a report, to `log.csv` and TensorBoard in the run's folder.

    Args:
        folder: of the run.
        step: rows after it are dropped: they are written again by the run that resumes there.
    """

    def __init__(self, folder: str | Path, step: int = 0):
        self.path = Path(folder) / "log.csv"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rows = [row for row in read_log(self.path) if row["step"] <= step] if self.path.is_file() else []
        self._write_all()
        self.board = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, report: dict[str, float]) -> None:
        """Add a report: "step" and any named values."""
        known = set(self.rows[0]) if self.rows else set(report)
        self.rows.append(dict(report))
        if len(self.rows) == 1 or set(report) != known:
            self._write_all()
        else:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, list(self.rows[0])).writerow(report)
        for name, value in report.items():
            self.board.add_scalar(name, value, int(report["step"]))

    def _write_all(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with atomic(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            if names:
                writer.writeheader()
            writer.writerows(self.rows)

    def close(self) -> None:
        """Flush TensorBoard's file."""
        self.board.close()


class Tally:
    """Adds up terms on their device; what is not finite is left out, and the first such step kept. Only reading waits.

    Example:
        >>> tally = Tally()
        >>> for step, loss in enumerate((1.0, float("nan"), 2.0), start=1):
        ...     tally.add(step, {"loss": torch.tensor(loss)})
        >>> tally.means(), tally.firsts()
        ({'loss': 1.5}, {'loss': 2})
    """

    def __init__(self):
        self.sums: dict[str, torch.Tensor] = {}  # of a term: sum and number of finite values, first step without

    def add(self, step: int, terms: dict[str, torch.Tensor]) -> None:
        """Add the terms of a step."""
        for name, value in terms.items():
            value = value.detach().float()
            finite = value.isfinite()
            row = torch.stack((value.where(finite, 0), finite.float(), torch.where(finite, math.inf, float(step))))
            before = self.sums.get(name)
            if before is not None:
                row = torch.cat((row[:2] + before[:2], row[2:].minimum(before[2:])))
            self.sums[name] = row

    def means(self) -> dict[str, float]:
        """Mean of each term over the steps where it was finite; not a number where it never was."""
        return {name: total / count if count else math.nan for name, (total, count, _) in self._read().items()}

    def firsts(self) -> dict[str, int]:
        """The first step at which a term was not finite, for the terms that were not."""
        return {name: int(first) for name, (_, _, first) in self._read().items() if first < math.inf}

    def _read(self) -> dict[str, list[float]]:
        rows = torch.stack(list(self.sums.values())).tolist() if self.sums else []
        return dict(zip(self.sums, rows, strict=True))


def read_log(path: str | Path) -> list[dict[str, float]]:
    """Read `log.csv`: one dictionary of numbers a report."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
