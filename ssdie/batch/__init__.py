"""The batch engine: the list of files to enhance, the journal of what is done, the processes that do it; no torch.

- `jobs`: which files are enhanced and where each is written. `outcome`: what is passed around.
- `journal`: which files are finished, with which settings. `report`: its summary.
- `pool`: threads and child processes. `cluster`: Dask workers. `storage`: object stores.
"""
