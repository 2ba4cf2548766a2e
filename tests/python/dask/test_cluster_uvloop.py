"""A cluster whose loops are those of uvloop."""

from __future__ import annotations

import dask
from clusters import backends, cluster, loop_module, passes_arrays


def test_cluster_when_it_runs_on_uvloop_then_it_computes():
    with dask.config.set({"distributed.admin.event-loop": "uvloop"}), cluster() as client:
        assert set(client.run(loop_module).values()) == {"uvloop"}
        assert client.run_on_scheduler(loop_module) == "uvloop"
        assert all(each == {"pinwire.dask._comm"} for each in client.run(backends).values())
        assert passes_arrays(client)
