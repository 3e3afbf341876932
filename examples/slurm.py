"""Enhance a folder on a Slurm cluster: `python slurm.py photos enhanced`; needs dask-jobqueue and ssdie[cluster]."""

import sys

from dask_jobqueue import SLURMCluster
from distributed import Client

from ssdie.enhancement.folder import enhance_files
from ssdie.enhancement.worker import Weights


def main() -> None:
    """Enhance a folder with 2 to 20 jobs of 8 workers each, depending on the number of waiting tasks."""
    source, out = sys.argv[1:]
    with SLURMCluster(cores=8, processes=8, memory="32GB", walltime="04:00:00") as cluster, Client(cluster) as client:
        cluster.adapt(minimum_jobs=2, maximum_jobs=20)
        for failure in enhance_files([source], out, Weights(device="auto"), resume=True, cluster=client):
            print(failure.path, failure.reason)


if __name__ == "__main__":
    main()
