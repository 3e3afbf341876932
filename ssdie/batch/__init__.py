"""The batch engine: the list of files to enhance and the journal of what is done; no torch.

- `jobs`: which files are enhanced and where each is written.
- `journal`: which files are finished, with which settings.
"""
