"""The notebooks in the order in which they run, and the parameters that a profile gives to each."""

import argparse
import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from ssdie.utils.paths import project_root

NOTEBOOKS = (
    "00_enhance_a_photo",
    "01_dust_synthesis",
    "02_supervised_pretraining",
    "03_semi_supervised_training",
    "04_ablations",
    "05_paper_figures",
    "explore_dust",
    "explore_enhancement",
    "explore_training",
)
NEEDS = {  # notebook: the notebooks whose results it reads
    "03_semi_supervised_training": ("02_supervised_pretraining",),
    "04_ablations": ("02_supervised_pretraining",),
    "05_paper_figures": ("02_supervised_pretraining", "03_semi_supervised_training", "04_ablations"),
}
PROFILES = ("quick", "released", "paper")
SHARED = "shared"  # key in a profile: parameters for every notebook that has them


class ParameterText(str):
    """The value of a parameter as typed on the command line; `choose_parameters` parses it by the parameter's type."""


def select_notebooks(only: Sequence[str] | None = None) -> list[str]:
    """Select notebooks by the start of their names, in the order in which they run.

    Args:
        only: starts of names; None selects all notebooks.

    Raises:
        ValueError: no notebook starts with one of them.

    Example:
        >>> select_notebooks(["03", "00"])
        ['00_enhance_a_photo', '03_semi_supervised_training']
    """
    for start in only or ():
        if not any(name.startswith(start) for name in NOTEBOOKS):
            raise ValueError(f"notebook: expected the start of one of {', '.join(NOTEBOOKS)}, got {start!r}.")
    return [name for name in NOTEBOOKS if only is None or any(name.startswith(start) for start in only)]


def notebook_path(name: str) -> Path:
    """Path of a notebook in the checkout."""
    return _find_file(f"{name}.ipynb")


def _find_file(name: str) -> Path:
    """Find a file in the folder `notebooks` of the checkout."""
    path = project_root() / "notebooks" / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Run this command in a checkout of the project.")
    return path


def read_cells(name: str) -> list[dict]:
    """Read the cells of a notebook as dictionaries of JSON, with `source` as one string."""
    cells = json.loads(notebook_path(name).read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def read_defaults(name: str) -> dict[str, object]:
    """Read the parameters of a notebook and their defaults from the cell tagged `parameters`.

    `papermill.inspect_notebook` does the same, but importing it takes a notebook's kernel 2 CPU-seconds.
    """
    tagged = (cell["source"] for cell in read_cells(name) if "parameters" in cell["metadata"].get("tags", ()))
    lines = ast.parse(next(tagged, "")).body
    return {line.target.id: ast.literal_eval(line.value) for line in lines if isinstance(line, ast.AnnAssign)}


def read_profile(profile: str) -> dict[str, dict[str, object]]:
    """Read a profile.

    Args:
        profile: one of `PROFILES`, stored as `notebooks/PROFILE.yaml`.

    Returns:
        Parameters by notebook; under "shared" those for every notebook that has them.

    Raises:
        ValueError: there is no such profile, or it names an unknown notebook.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile: expected one of {', '.join(PROFILES)}, got {profile!r}.")
    content = yaml.safe_load(_find_file(f"{profile}.yaml").read_text(encoding="utf-8")) or {}
    unknown = [key for key in content if key not in (SHARED, *NOTEBOOKS)]
    if unknown:
        expected = ", ".join((SHARED, *NOTEBOOKS))
        raise ValueError(f"{profile}.yaml: expected sections named {expected}; got {', '.join(unknown)}.")
    return {key: values or {} for key, values in content.items()}


def choose_parameters(
    profile: str, names: Sequence[str], overrides: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    """Choose the parameters of each notebook: shared ones of the profile, then its own, then the overrides.

    Args:
        profile: one of `PROFILES`.
        names: notebooks.
        overrides: values by parameter; a `ParameterText` is parsed by the type of the notebook's default.

    Raises:
        ValueError: a parameter is unknown to the notebook (for shared parameters and overrides: to all notebooks), or
            its value has another type than the default.
    """
    content = read_profile(profile)
    defaults = {name: read_defaults(name) for name in names}
    known = {key for values in defaults.values() for key in values}
    everything = {key for name in NOTEBOOKS for key in read_defaults(name)}
    _refuse_unknown(content.get(SHARED, {}), everything, f"{profile}.yaml, {SHARED}")
    _refuse_unknown(overrides, known - {"run"}, f"notebooks {', '.join(names)}")
    chosen = {}
    for name in names:
        own = content.get(name, {})
        _refuse_unknown(own, set(defaults[name]), f"{profile}.yaml, {name}")
        values = content.get(SHARED, {}) | own | dict(overrides)
        chosen[name] = {
            key: check_type(key, parse_text(key, values[key], default), default)
            for key, default in defaults[name].items()
            if key in values
        }
    return chosen


def _refuse_unknown(values: Mapping[str, object], known: set[str], where: str) -> None:
    """Raise ValueError for parameters that are not known, naming those that are."""
    unknown = [key for key in values if key not in known]
    if unknown:
        raise ValueError(f"{where}: expected parameters among {', '.join(sorted(known))}; got {', '.join(unknown)}.")


def parse_text(name: str, value: object, default: object) -> object:
    """Parse a value from the command line by the type of the default; return any other value unchanged.

    Args:
        name: of the parameter, for the error.
        value: a `ParameterText`: str is taken literally, int and float as in Python, bool is `true` or `false`, list
            and dict are YAML.
        default: gives the type.

    Raises:
        ValueError: the text is not of this type.

    Example:
        >>> parse_text("precision", ParameterText("no"), "auto"), parse_text("rate", ParameterText("1e-4"), 0.1)
        ('no', 0.0001)
    """
    if not isinstance(value, ParameterText):
        return value
    kind, text = type(default), str(value)
    readers = {str: str, int: int, float: float, bool: {"true": True, "false": False}.__getitem__}
    try:
        parsed = readers.get(kind, yaml.safe_load)(text)
    except (ValueError, KeyError, yaml.YAMLError):
        parsed = None
    if not isinstance(parsed, kind):
        raise ValueError(f"parameter {name}: expected {kind.__name__}, got {text!r}. Write it like {_show(default)}.")
    return parsed


def _show(default: object) -> str:
    """Show a default as it is written on the command line."""
    return str(default).lower() if isinstance(default, bool) else str(default)


def check_type(name: str, value: object, default: object) -> object:
    """Check that a value has the type of the default; an int may stand for a float.

    Example:
        >>> check_type("learning_rate", 1, 1.0e-4)
        1.0
    """
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        hint = " YAML reads 1e-4 as text: write 1.0e-4." if isinstance(default, float) else ""
        got, expected = type(value).__name__, type(default).__name__
        raise ValueError(f"parameter {name}: expected {expected}, got {value!r} ({got}), default {default!r}.{hint}")
    return value


def split_parameter(text: str) -> tuple[str, ParameterText]:
    """Split NAME=VALUE.

    Example:
        >>> split_parameter("steps=[10, 20]")
        ('steps', '[10, 20]')
    """
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, such as steps=100, got {text!r}")
    return name, ParameterText(value)
