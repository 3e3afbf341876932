"""Metrics, baseline methods, tables, and comparisons with other methods.

- `metrics`: the table of all metrics; by topic in `similarity`, `contrast`, `appearance`, `niqe`, `fade`.
- `baselines`: classical methods. `methods`: run methods on images and measure them.
- `statistics`, `tables`: intervals, differences, ranks, and their layout.
- `benchmarks`: copies of public benchmarks. `blind`: blind comparison by viewers.
- `realism`: distance of synthetic from real dust.
"""
