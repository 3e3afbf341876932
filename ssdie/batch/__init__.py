"""The batch engine: the list of files to enhance, the journal of what is done, the processes that do it; no torch.

- `jobs`: which files are enhanced and where each is written. `outcome`: what is passed around.
- `journal`: which files are finished, with which settings. `report`: its summary.
- `storage`: object stores. `listing`: their files, and those of folders, listed while the work goes on.
- `pool`: threads and child processes. `cluster`: Dask workers.
"""
