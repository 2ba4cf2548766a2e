"""A Dask cluster whose workers, scheduler and client talk over pinwire.

pip install 'pinwire[dask]' 'dask[array]'; python examples/dask_cluster.py
"""

import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster, get_worker, wait

MB = 1_000_000


def past_the_socket() -> int:
    """Bytes this worker has read straight from the memory of others."""
    pools = get_worker().rpc.available.values()
    return sum(comm.stats().bytes_pulled for comms in pools for comm in comms)


def main() -> None:
    cluster = LocalCluster(
        protocol="pinwire://", n_workers=2, threads_per_worker=1, dashboard_address=":0"
    )
    with cluster, Client(cluster) as client:
        one, other = client.scheduler_info()["workers"]
        print("workers at", one, "and", other)

        # 200 MB made by one worker, wanted by the other: one copy, from process to process.
        array = client.submit(np.ones, 25 * MB, workers=[one])
        wait(array)
        total = client.submit(np.sum, array, workers=[other]).result()
        moved = client.submit(past_the_socket, workers=[other], pure=False).result()
        print(f"sum right: {total == 25 * MB}, {moved // MB} MB went past the socket")

        x = da.random.default_rng(0).random((2000, 2000), chunks=(500, 500))
        print("an array and its transpose agree:", bool((x.sum() - x.T.sum()).compute() < 1e-6))


if __name__ == "__main__":
    main()
