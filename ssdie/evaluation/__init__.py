"""Metrics, baseline methods and tables.

- `metrics`, `niqe`: every measure, with equation and range.
- `baselines`: classical methods. `methods`: run methods on photos and measure them.
- `tables`: means with intervals. `realism`: distance of synthetic from real dust.
"""
