"""Functions of the notebooks, and the commands that run notebooks.

- `session`: folders, runs and tables of a notebook. `comparison`: methods on both test sets.
- `ablations`: the ablation study. `profiles`: notebooks and their parameters.
- `runner`: run notebooks. `verify`: compare a rerun with a recorded run.
- `figures`, `explorers`: plots and interactive widgets.
"""
