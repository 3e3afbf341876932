"""Figures of the notebooks.

- `grids`: the common style, and images side by side. `charts`: curves and intervals.
- `diagrams`: the method and its network, made of the elements in `drawing`.
"""
