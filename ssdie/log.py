"""The log of a run: every term of the objective, to CSV and TensorBoard."""

import csv
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from ssdie.checkpoint import read_log
from ssdie.paths import atomic


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
