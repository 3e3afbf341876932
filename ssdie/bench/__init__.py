"""Benchmarks of speed and memory; nothing else imports this folder.

- `suite`: the whole benchmark. `photos`, `training`, `gpu`: its sections.
- `tasks`: the work that child processes do. `steps`: training steps, ours and the published one.
- `measure`: timers, lines of the table, the machine. `process`: child processes and their memory.
- `report`: tables and plot.
"""
