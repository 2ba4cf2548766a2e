"""`python -m benches.peers.contestants.dask_local PROTOCOL SAME_HOST`: a cluster until the end.

A program of its own: the benchmark's processes are daemons, and those may have no children of the
kind that Dask's workers are. It writes the scheduler's address to its output, as one line.
"""

import logging
import signal
import sys

import dask
from distributed import LocalCluster

from ..dying import end_with_parent

WORKERS = 2


def settings(same_host: str) -> dict[str, object]:
    """Of Dask's configuration, in all of a cluster's processes and its clients'."""
    return {
        "distributed.comm.pinwire.same-host": same_host,
        # What goes wrong is seen by the benchmark itself.
        "logging": {"distributed": "critical"},
    }


def main() -> None:
    protocol, same_host = sys.argv[1:]
    end_with_parent()
    with (
        dask.config.set(settings(same_host)),
        LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            protocol=protocol,
            host="127.0.0.1",
            dashboard_address=":0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        print(cluster.scheduler_address, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
