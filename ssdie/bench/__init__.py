"""Benchmarks of speed and memory; nothing else imports this folder.

- `suite`: the whole benchmark. `photos`, `cluster`, `training`, `gpu`: its sections.
- `tasks`, `cluster_tasks`: the work that child processes do. `steps`: training steps, ours and the published one.
- `measure`: timers, lines of the table, the machine. `process`: child processes and their memory.
- `report`: tables and plot.
"""
