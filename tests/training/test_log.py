"""The training log: rows after a resumed step, new columns, incomplete lines."""

import pytest

from ssdie.training.log import Log, read_log


def test_log_removes_rows_after_the_resumed_step_and_adds_columns(tmp_path):
    log = Log(tmp_path)
    for step in (1, 2, 3):
        report = {"step": step, "loss": step / 2}
        log.write(report)
        report.clear()  # the log keeps its own copy
    log.close()
    again = Log(tmp_path, step=2)
    again.write({"step": 3, "loss": 9.0, "new": 1.0})
    again.close()
    rows = read_log(tmp_path / "log.csv")
    assert rows == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 1.0}, {"step": 3, "loss": 9.0, "new": 1.0}]


def test_incomplete_last_line_of_a_log_is_ignored(tmp_path):
    (tmp_path / "log.csv").write_text("step,style\n1,0.5\n2,0.4\n3,0.")
    assert read_log(tmp_path / "log.csv") == [{"step": 1, "style": 0.5}, {"step": 2, "style": 0.4}]
    assert read_log(tmp_path / "none.csv", missing_ok=True) == []
    with pytest.raises(FileNotFoundError):
        read_log(tmp_path / "none.csv")
