"""The notebooks in the order in which they run, and the parameters that a profile has for each."""

import argparse
import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from papermill.inspection import inspect_notebook

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
NEEDS = {  # notebook: those whose results it reads
    "03_semi_supervised_training": ("02_supervised_pretraining",),
    "04_ablations": ("02_supervised_pretraining",),
    "05_paper_figures": ("02_supervised_pretraining", "03_semi_supervised_training", "04_ablations"),
}
PROFILES = ("quick", "budget", "paper")
SHARED = "shared"  # key of a profile for parameters of every notebook that has them


def select_notebooks(only: Sequence[str] | None = None) -> list[str]:
    """Find notebooks by the start of their names, in the order in which they run.

    Example:
        >>> pick_notebooks(["03", "00"])
        ['00_enhance_a_photo', '03_semi_supervised_training']
    """
    for start in only or ():
        if not any(name.startswith(start) for name in NOTEBOOKS):
            raise ValueError(f"notebook is {start!r}; wanted is the start of one of {', '.join(NOTEBOOKS)}.")
    return [name for name in NOTEBOOKS if only is None or any(name.startswith(start) for start in only)]


def notebook_path(name: str) -> Path:
    """Where a notebook lies in the checkout."""
    path = project_root() / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; run this in a checkout of the project, which has the notebooks.")
    return path


def read_defaults(name: str) -> dict[str, object]:
    """Read the parameters of a notebook with their defaults, from the cell tagged `parameters`."""
    found = inspect_notebook(str(notebook_path(name)))
    return {key: ast.literal_eval(value["default"]) for key, value in found.items()}


def read_profile(profile: str) -> dict[str, dict[str, object]]:
    """Read a profile: parameters by notebook, and under "shared" those of every notebook that has them."""
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}; wanted is one of {', '.join(PROFILES)}.")
    path = project_root() / "notebooks" / f"{profile}.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; run this in a checkout of the project, which has the profiles.")
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    strangers = [key for key in content if key not in (SHARED, *NOTEBOOKS)]
    if strangers:
        raise ValueError(
            f"{path.name} names {', '.join(strangers)}; wanted is {SHARED} or one of {', '.join(NOTEBOOKS)}."
        )
    return {key: values or {} for key, values in content.items()}


def choose_parameters(
    profile: str, names: Sequence[str], overrides: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    """Give each notebook its parameters: the profile's shared ones, then its own, then the overrides.

    Raises:
        ValueError: a parameter that the notebook does not have (shared ones, overrides: none has), or a
            value of another type than the notebook's.
    """
    content = read_profile(profile)
    defaults = {name: read_defaults(name) for name in names}
    known = {key for values in defaults.values() for key in values}
    everything = {key for name in NOTEBOOKS for key in read_defaults(name)}
    _refuse_unknown(content.get(SHARED, {}), everything, f"{profile}.yaml, {SHARED}")
    _refuse_unknown(overrides, known - {"run"}, f"Of the notebooks asked for ({', '.join(names)})")
    chosen = {}
    for name in names:
        own = content.get(name, {})
        _refuse_unknown(own, set(defaults[name]), f"{profile}.yaml, {name}")
        common = {k: v for k, v in {**content.get(SHARED, {})}.items() if k in defaults[name]}
        over = {k: v for k, v in overrides.items() if k in defaults[name]}
        values = {**common, **own, **over}
        chosen[name] = {k: check_type(k, v, defaults[name][k]) for k, v in values.items()}
    return chosen


def _refuse_unknown(values: Mapping[str, object], known: set[str], where: str) -> None:
    """Refuse parameters that nobody knows, naming the known ones."""
    unknown = [key for key in values if key not in known]
    if unknown:
        raise ValueError(f"{where}: unknown parameter {', '.join(unknown)}; known are {', '.join(sorted(known))}.")


def check_type(name: str, value: object, default: object) -> object:
    """Refuse a value of another type than the default's; a whole number may stand for a float.

    Example:
        >>> check_type("learning_rate", 1, 1.0e-4)
        1.0
    """
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        hint = "; YAML reads 1e-4 as text: write 1.0e-4" if isinstance(default, float) else ""
        came, wanted = type(value).__name__, type(default).__name__
        raise ValueError(f"Parameter {name} is {value!r} ({came}); wanted is {wanted}, like {default!r}{hint}.")
    return value


def parse_parameter(text: str) -> tuple[str, object]:
    """Split NAME=VALUE; the value is read as YAML.

    Example:
        >>> parse_parameter("steps=[10, 20]")
        ('steps', [10, 20])
    """
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"parameter is {text!r}; wanted is NAME=VALUE, such as steps=100.")
    return name, yaml.safe_load(value) if value else ""
