"""Write the measured run times of notebooks into the notebooks and notebooks/README.md."""

import re
from pathlib import Path

import pandas as pd

from ssdie.utils.paths import project_root, write_text
from ssdie.workbook.profiles import NOTEBOOKS

ROW = re.compile(r"(\| \*\*Takes \(measured\)\*\* \| )[^|]*( \|)")
NOTE = re.compile(r"^(Measured on ).*()$", re.MULTILINE)


def write_times(run: str | Path) -> list[Path]:
    """Write the times of a run into the head of each notebook and into notebooks/README.md.

    Args:
        run: folder of a complete run, such as runs/quick, with durations.csv.

    Returns:
        The files that were changed.

    Raises:
        FileNotFoundError: the run has no durations.csv.
        ValueError: a notebook is missing or failed, the notebooks ran on different machines, or a text has no place for
            its time.

    The times are wall-clock, so the run should be made on an idle machine.
    """
    run = Path(run)
    path = project_root() / run / "durations.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{run}: expected a run with durations.csv. Make it with `ssdie reproduce`.")
    table = pd.read_csv(path, keep_default_na=False).set_index("notebook")
    missing = [name for name in NOTEBOOKS if name not in table.index or table.loc[name, "status"] != "done"]
    if missing:
        raise ValueError(f"{run}: expected all notebooks to be done, but {', '.join(missing)} are not. Run them first.")
    machines = table[["cpu", "cores"]].drop_duplicates()
    if len(machines) > 1:
        raise ValueError(
            f"{run}: expected notebooks run on one machine, got {', '.join(machines['cpu'])}. Run all again."
        )
    machine = f"{machines['cores'].item()} cores of {_article(machines['cpu'].item())}"
    texts = {}
    readme = project_root() / "notebooks" / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, row in table.iterrows():
        seconds, notebook = f"{row['seconds']:.0f} s", project_root() / "notebooks" / f"{name}.ipynb"
        words = f"{seconds} in the profile `{run.name}`, on {machine}"
        texts[notebook] = _replace(ROW, words, notebook.read_text(encoding="utf-8"), notebook)
        text = _replace(rf"(\({name}\.ipynb\) \|.*\| )[^|]*( \|)", seconds, text, readme)
    words = f"{machine}, otherwise idle: {table['cpu_seconds'].sum() / 60:.1f} CPU-minutes in all."
    texts[readme] = _replace(NOTE, words, text, readme)
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def _replace(pattern: str | re.Pattern, words: str, text: str, path: Path) -> str:
    """Put words between the two groups of a pattern, which occurs once."""
    text, count = re.subn(pattern, lambda match: match[1] + words + match[2], text)
    if count != 1:
        raise ValueError(f"{path}: expected one place for a time, found {count}. Restore its table row.")
    return text


def _article(noun: str) -> str:
    """Put the indefinite article before a CPU's name.

    Example:
        >>> _article("AMD EPYC"), _article("Intel Xeon"), _article("Cortex-A76")
        ('an AMD EPYC', 'an Intel Xeon', 'a Cortex-A76')
    """
    return f"{'an' if noun[:1].upper() in 'AEIO' else 'a'} {noun}"
