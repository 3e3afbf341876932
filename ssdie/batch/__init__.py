"""Batch processing: the list of files to enhance, the journal of finished files, the worker processes; no torch.

- `jobs`: which files are enhanced, and where each is written. `outcome`: a file to enhance, and its result.
- `journal`: which files are finished, with which settings. `report`: its summary.
- `storage`: object stores. `listing`: files of object stores and folders, listed while others are enhanced.
- `pool`: threads and child processes. `cluster`: Dask workers.
"""
