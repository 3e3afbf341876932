"""Small notebooks for the tests of the runner."""

import nbformat

PARAMETERS = """\
run: str = "runs/quick"  # folder for results
steps: int = 3  # updates
learning_rate: float = 1.0e-4  # of Adam
sizes: list = [64]  # of crops
"""
BODY = """\
import json, os, sys
note = {"cwd": os.getcwd(), "python": sys.executable, "steps": steps, "rate": learning_rate, "sizes": sizes}
json.dump(note, open(f"{run}/note.json", "w"))
"""


def write_notebook(path, parameters: str, *cells: str) -> None:
    """Write a notebook whose first cell is tagged `parameters`."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
