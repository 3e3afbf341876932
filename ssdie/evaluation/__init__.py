"""Metrics, baseline methods, tables, and comparisons with other methods.

- `metrics`: the table of all metrics, which are in `similarity`, `contrast`, `appearance`, `niqe` and `fade`.
- `baselines`: classical methods. `methods`: run methods on images and measure them.
- `statistics`, `tables`: intervals, differences, ranks, and how they are printed.
- `benchmarks`: reading copies of public benchmarks. `blind`: blind comparison by viewers.
- `realism`: how well a classifier separates synthetic from real dust.
"""
