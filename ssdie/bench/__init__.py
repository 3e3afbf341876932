"""Benchmarks of speed and memory; nothing else imports this folder.

- `suite`: the whole benchmark. `photos`, `cluster`, `training`, `gpu`: its sections.
- `tasks`, `cluster_tasks`: functions that run in child processes. `steps`: the training steps of ssdie and of the
  released code.
- `measure`: timers, rows of the table, the machine. `process`: child processes and their memory.
- `report`: tables and plot.
"""
