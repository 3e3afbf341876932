"""Training: three stages, resumable.

- `config`: every setting. `batches`: crops and loading. `augmentation`: weak augmentation.
- `objective`: losses of one step. `stages`: the three loops. `run`: state of a run.
- `checkpoint`, `log`: what a run leaves on disk.
"""
