"""The notebook files: no outputs, short cells, no definitions, parameters that papermill can read."""

import ast
import importlib
import itertools
import re

import nbformat
import pytest

from ssdie.training.config import TrainConfig
from ssdie.training.run import run_precision
from ssdie.utils.devices import resolve_precision
from ssdie.utils.paths import project_root
from ssdie.workbook.profiles import NOTEBOOKS, PROFILES, choose_parameters, read_defaults, read_profile

FOLDER = project_root() / "notebooks"
FORM = re.compile(r"\w+: (str|int|float|bool|list|dict) = [^=]+?  # \S.*")


@pytest.fixture(params=NOTEBOOKS)
def notebook(request):
    """One of the notebooks."""
    return nbformat.read(FOLDER / f"{request.param}.ipynb", as_version=4)


def code(notebook) -> list[str]:
    """Sources of the code cells."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_every_notebook_is_listed():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NOTEBOOKS)


def test_notebook_is_valid_and_has_no_outputs(notebook):
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    assert notebook.metadata.kernelspec.name == "python3"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_cells_are_short_and_define_nothing(notebook):
    cells = code(notebook)
    assert max(len(cell.splitlines()) for cell in cells) <= 20
    assert sum(len(cell.splitlines()) for cell in cells) <= 150
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not any(isinstance(node, defined) for cell in cells for node in ast.walk(ast.parse(cell)))


def test_first_cell_has_title_question_and_table(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    question = first.source.splitlines()[2]
    assert question.startswith("**") and question.endswith("?**")
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", first.source, re.MULTILINE)
    assert [name for name, _ in rows] == ["You will see", "Needs", "Takes (measured)", "Writes"]
    assert re.search(r"\d", dict(rows)["Takes (measured)"])  # a measured number


def links(cell) -> list[str]:
    """Names of the notebooks that a cell links to."""
    return re.findall(r"\]\((\w+)\.ipynb\)", cell.source)


def test_table_names_the_output_folder_that_is_opened(notebook, request):
    name = request.node.callspec.params["notebook"]
    writes = re.search(r"^\| \*\*Writes\*\* \| (.+) \|$", notebook.cells[0].source, re.MULTILINE)[1]
    assert f"`{name}/`" in writes or "`figures/`" in writes
    assert f'= open_folder(run, "{name}"' in "\n".join(code(notebook))


def test_last_cell_links_to_the_next_notebook(notebook):
    last = notebook.cells[-1]
    assert "**Next:**" in last.source
    assert links(last) and set(links(last)) <= set(NOTEBOOKS)


def test_notebooks_are_linked_in_order_and_all_are_reachable_from_the_first():
    books = {name: nbformat.read(FOLDER / f"{name}.ipynb", as_version=4) for name in NOTEBOOKS}
    numbered = [name for name in NOTEBOOKS if name[0].isdigit()]
    for name, following in itertools.pairwise(numbered):
        assert links(books[name].cells[-1])[0] == following
    reached, pending = set(), [NOTEBOOKS[0]]
    while pending:
        reached.add(name := pending.pop())
        pending += [link for cell in books[name].cells for link in links(cell) if link not in reached]
    assert reached == set(NOTEBOOKS)


def test_parameters_are_one_per_line_and_readable_by_papermill(notebook, request):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and tagged[0] is notebook.cells[1]
    lines = tagged[0].source.splitlines()
    assert all(FORM.fullmatch(line) for line in lines), [line for line in lines if not FORM.fullmatch(line)]
    name = request.node.callspec.params["notebook"]
    defaults = read_defaults(name)
    assert list(defaults) == [line.split(":")[0] for line in lines]
    assert [type(value).__name__ for value in defaults.values()] == [re.split(r"[: ]+", line)[1] for line in lines]


def test_results_go_to_the_run_folder_and_no_path_is_absolute(notebook):
    cells = code(notebook)
    assert cells[0].startswith('run: str = "runs/quick"')
    assert sum("= open_folder(run," in cell for cell in cells[1:3]) == 1
    assert not re.search(r"""["'](/|~|[A-Z]:\\)""", "\n".join(cells))


def test_imports_exist_and_are_used(notebook):
    tree = ast.parse("\n".join(code(notebook)))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert alias.name != "*" and hasattr(module, alias.name) or alias.name == "workbook", alias.name
                assert (alias.asname or alias.name) in used, alias.name


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_fits_the_notebooks(profile):
    chosen = choose_parameters(profile, NOTEBOOKS, {})
    phases = chosen["02_supervised_pretraining"]
    assert len({len(phases[name]) for name in ("sizes", "batches", "steps", "learning_rates")}) == 1
    assert set(read_profile(profile)) - {"shared"} <= set(NOTEBOOKS)


# explore_training is left out: its training runs in another process
@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name != "explore_training"])
def test_defaults_need_at_most_a_quarter_more_work_than_the_profile_quick(name):
    defaults = read_defaults(name)
    for key, quick in choose_parameters("quick", [name], {})[name].items():
        if type(quick) is int and key != "seed":
            assert defaults[key] <= 1.25 * quick, key


def test_paper_profile_has_the_settings_of_the_paper():
    chosen = choose_parameters("paper", NOTEBOOKS, {})
    first, third = chosen["02_supervised_pretraining"], chosen["03_semi_supervised_training"]
    assert first["options"] == {"head": "tanh"} and first["sizes"] == [256] and first["batches"] == [8]
    assert first["learning_rates"] == [1e-4] and first["steps"] == [100 * 127]
    assert third["steps"] == 2000 * 29 and third["copies"] == 5 and third["learning_rate"] == 1e-4
    assert "terms" not in first and "terms" not in third  # the paper's weights


@pytest.mark.parametrize("profile", PROFILES)
def test_without_fast_bfloat16_every_profile_and_default_trains_in_float32(profile, monkeypatch):
    monkeypatch.setattr("ssdie.utils.devices.fast_bfloat16", lambda: False)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    chosen = choose_parameters(profile, NOTEBOOKS, {})
    used = [{**read_defaults(name), **chosen[name]} for name in NOTEBOOKS]
    used += [read_defaults(name) for name in NOTEBOOKS]
    precisions = [values["precision"] for values in used if "precision" in values]
    assert len(precisions) == 6 and {resolve_precision(p) for p in precisions} == {"fp32"}
    assert run_precision(TrainConfig("supervised", "run")) == "fp32"
