"""Interactive explorers for JupyterLab.

- `dust`: parameters of the synthesis. `enhancement`: methods side by side. `training`: a run as it trains.
- `widgets`: controls they share.
"""
