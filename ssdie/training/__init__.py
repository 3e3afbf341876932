"""Training in three stages, each resumable.

- `config`: all settings. `batches`: crops and loading. `augmentation`: weak augmentation.
- `objective`: losses of one step. `appearance`: further loss terms, for visible faults.
- `stages`: the three training loops. `run`: state of a run. `checkpoint`, `log`: the files that a run writes.
- `dust_score`: training of the dust classifier.
"""
