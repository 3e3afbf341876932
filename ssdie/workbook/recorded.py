"""Tables of earlier runs that the repository keeps in `docs/`: what a long run gives, beside the quick one."""

import pandas as pd

from ssdie.utils.paths import project_root

TESTS = {"synthetic": "60 synthetic pairs", "real": "30 real photos"}  # folders of docs/results


def read_recorded(name: str) -> pd.DataFrame:
    """Read a recorded table.

    Args:
        name: path below `docs/`, without suffix: "results/synthetic/summary", "results/real/ranks", "ablations", ...

    Raises:
        FileNotFoundError: there is no such table.

    Example:
        >>> read_recorded("ablations").columns[0]
        'variant'
    """
    docs = project_root() / "docs"
    path = docs / f"{name}.csv"
    if not path.is_file():
        known = ", ".join(sorted(p.relative_to(docs).with_suffix("").as_posix() for p in docs.rglob("*.csv")))
        raise FileNotFoundError(f"{name}: expected a table below {docs}, one of: {known or 'none there'}.")
    return pd.read_csv(path)


def read_recorded_ranks() -> dict[str, pd.DataFrame]:
    """Read the recorded ranks of all methods, by the title of the test, as `plot_ranks` takes them."""
    return {title: read_recorded(f"results/{folder}/ranks") for folder, title in TESTS.items()}
