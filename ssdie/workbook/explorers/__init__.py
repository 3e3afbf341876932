"""Interactive explorers for JupyterLab.

- `dust`, `dust_settings`: parameters of the dust synthesis.
- `enhancement`, `views`: methods, strength and working size. `files`: photos read, enhanced, encoded for download.
- `training`: the losses and photos of a run.
- `widgets`, `charts`: controls and charts shared by the explorers.
"""
