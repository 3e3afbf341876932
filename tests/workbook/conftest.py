"""A small checkout for the tests of the workbook."""

import pytest
from small_notebooks import BODY, PARAMETERS, write_notebook

import ssdie.workbook.profiles
import ssdie.workbook.runner
import ssdie.workbook.verify
from ssdie.workbook.profiles import NOTEBOOKS


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Root of a checkout with nine small notebooks and a profile."""
    root = tmp_path / "checkout"
    (root / "notebooks").mkdir(parents=True)
    for name in NOTEBOOKS:
        extra = 'features: str = "auto"  # weights\n' if name.startswith("03") else ""
        write_notebook(root / "notebooks" / f"{name}.ipynb", PARAMETERS + extra, BODY)
    profile = "shared: {features: random}\n03_semi_supervised_training: {steps: 5, learning_rate: 1}\n"
    (root / "notebooks" / "quick.yaml").write_text(profile)
    for module in (ssdie.workbook.profiles, ssdie.workbook.runner, ssdie.workbook.verify):
        monkeypatch.setattr(module, "project_root", lambda: root)
    return root
