"""What the notebooks use, and the commands that run them.

- `session`: folders and runs of a notebook. `comparison`: methods on both test sets.
- `ablations`: the ablation study. `profiles`: parameters of a profile.
- `runner`: run notebooks. `verify`: compare a rerun with a recorded run.
- `figures`, `explorers`: plots and interactive widgets.
"""
