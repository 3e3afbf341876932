"""Log of a run: every term of the objective, as CSV and for TensorBoard."""

import csv
import math
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from ssdie.utils.paths import atomic


class Log:
    """Writer of reports to `log.csv` and TensorBoard, one row per report.

    Args:
        folder: folder of the run.
        step: step at which the run resumes; rows of later steps are removed.
    """

    def __init__(self, folder: str | Path, step: int = 0):
        self.path = Path(folder) / "log.csv"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rows = [row for row in read_log(self.path, missing_ok=True) if row["step"] <= step]
        self._write_all()
        self.board = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, report: dict[str, float]) -> None:
        """Write a report: "step" and any named values."""
        columns = set(self.rows[0]) if self.rows else set(report)
        self.rows.append(dict(report))
        if len(self.rows) == 1 or set(report) != columns:
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
    """Running means of the loss terms, accumulated on their device; only `means` and `firsts` synchronise with it.

    Values that are not finite are left out of the mean, and the step at which the first one occurred is recorded.

    Example:
        >>> tally = Tally()
        >>> for step, loss in enumerate((1.0, float("nan"), 2.0), start=1):
        ...     tally.add(step, {"loss": torch.tensor(loss)})
        >>> tally.means(), tally.firsts()
        ({'loss': 1.5}, {'loss': 2})
    """

    def __init__(self):
        self.sums: dict[str, torch.Tensor] = {}  # per term: sum and number of finite values, first step that is not

    def add(self, step: int, terms: dict[str, torch.Tensor]) -> None:
        """Accumulate the terms of a step."""
        for name, value in terms.items():
            value = value.detach().float()
            finite = value.isfinite()
            row = torch.stack((value.where(finite, 0), finite.float(), torch.where(finite, math.inf, float(step))))
            before = self.sums.get(name)
            if before is not None:
                row = torch.cat((row[:2] + before[:2], row[2:].minimum(before[2:])))
            self.sums[name] = row

    def means(self) -> dict[str, float]:
        """Return the mean of each term over the steps where it was finite; NaN if there were none."""
        return {name: total / count if count else math.nan for name, (total, count, _) in self._read().items()}

    def firsts(self) -> dict[str, int]:
        """Return the first step at which a term was not finite, for each term where there is one."""
        return {name: int(first) for name, (_, _, first) in self._read().items() if first < math.inf}

    def _read(self) -> dict[str, list[float]]:
        rows = torch.stack(list(self.sums.values())).tolist() if self.sums else []
        return dict(zip(self.sums, rows, strict=True))


def read_log(path: str | Path, missing_ok: bool = False) -> list[dict[str, float]]:
    """Read `log.csv`, also while a run is writing it: an incomplete last line is ignored.

    Args:
        path: CSV file.
        missing_ok: return an empty list if the file does not exist.

    Returns:
        One dictionary of numbers for each report.

    Raises:
        FileNotFoundError: the file does not exist and `missing_ok` is False.

    Example:
        >>> read_log("no-such-run/log.csv", missing_ok=True)
        []
    """
    if missing_ok and not Path(path).is_file():
        return []
    text = Path(path).read_text(encoding="utf-8")
    complete = text[: text.rfind("\n") + 1].splitlines()
    return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(complete)]
