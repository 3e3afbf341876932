"""Figures of the notebooks.

- `grids`: pictures side by side. `charts`: curves and intervals. `diagrams`: the method and its networks.
"""
