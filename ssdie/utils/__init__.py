"""Paths, devices and provenance.

- `paths`: folders, atomic writing, locks. `devices`: precision, memory, timing.
- `provenance`: the manifest of a result. `torchvision_ops`: lets torchvision load beside a CPU build of torch.
"""
