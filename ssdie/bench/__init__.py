"""Benchmarks of speed and memory; nothing else imports this folder.

- `suite`: the whole benchmark. `tasks`: the work measured in child processes.
- `steps`: training steps, ours and the published one. `gpu`: throughput on a GPU.
- `measure`: timers, peak memory, machine. `report`: tables and plot.
"""
