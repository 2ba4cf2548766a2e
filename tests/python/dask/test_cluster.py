"""A cluster of worker processes over pinwire."""

from __future__ import annotations

import os
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from clusters import MB, backends, cluster, kill_in_mid_transfer, ramp, total, traffic
from distributed import wait

ALIKE = {"check_index_type": False}
"""Dask has strings of another kind than pandas."""

SIZE = 200 * MB + 7


@pytest.fixture(scope="module")
def client():
    with cluster() as client:
        yield client


@pytest.fixture
def workers(client):
    """The addresses of two workers that have nothing."""
    client.wait_for_workers(2)
    return list(client.scheduler_info()["workers"])


def test_addresses_when_a_cluster_runs_then_all_are_of_pinwire(client, workers):
    addresses = [client.scheduler.address, *workers]
    addresses += [each["nanny"] for each in client.scheduler_info()["workers"].values()]
    assert len(addresses) == 5
    assert all(address.startswith("pinwire://127.0.0.1:") for address in addresses)
    # Nothing else is spoken.
    for kinds in client.run(backends).values():
        assert kinds == {"pinwire.dask._comm"}


def test_array_when_computed_then_it_is_right(client, workers):
    expected = np.arange(1_000_000).reshape(1000, 1000)
    x = da.from_array(expected, chunks=500)
    assert ((x + x.T).compute() == expected + expected.T).all()
    assert (x.rechunk((1000, 250)).T[::7].compute() == expected.T[::7]).all()
    assert x.std().compute() == expected.std()


def frame():
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "key": rng.integers(0, 50, 20_000),
            "value": rng.random(20_000),
            "name": rng.choice(["one", "two", "three"], 20_000),
        }
    )


def test_data_frame_when_computed_then_it_is_right(client, workers):
    ours = frame()
    theirs = dd.from_pandas(ours, npartitions=6)
    got = theirs.groupby("name").value.mean().compute()
    pd.testing.assert_series_equal(got.sort_index(), ours.groupby("name").value.mean(), **ALIKE)


def test_data_frame_when_shuffled_from_peer_to_peer_then_it_is_as_by_tasks(client, workers):
    theirs = dd.from_pandas(frame(), npartitions=6)
    found = []
    for method in ("p2p", "tasks"):
        with dask.config.set({"dataframe.shuffle.method": method}):
            shuffled = theirs.shuffle("key")
            plan = str(shuffled.optimize(fuse=False).__dask_graph__())
            assert ("p2p" in plan.lower()) == (method == "p2p")
            found.append(shuffled.compute().reset_index().sort_values(["key", "value", "index"]))
    left, right = (each.reset_index(drop=True).convert_dtypes() for each in found)
    pd.testing.assert_frame_equal(left, right)
    assert len(left) == 20_000


def test_data_when_scattered_and_gathered_then_it_is_the_same(client, workers):
    sent: dict[str, Any] = {"a": np.arange(300_000), "b": {"x": [1, None, "y"]}, "c": frame()}
    got = client.gather(client.scatter(sent))
    assert (got["a"] == sent["a"]).all()
    assert got["b"] == sent["b"]
    pd.testing.assert_frame_equal(got["c"], sent["c"])
    (everywhere,) = client.scatter([np.arange(1000)], broadcast=True)
    assert len(client.who_has(everywhere)[everywhere.key]) == 2


def test_array_of_200_mb_when_another_worker_needs_it_then_it_goes_past_the_socket(client, workers):
    here, there = workers
    # The first large message opens the way for those that follow.
    wait(client.submit(total, client.submit(ramp, MB, workers=[here]), workers=[there]))
    before = client.run(traffic, workers=[there])[there]
    array = client.submit(ramp, SIZE, workers=[here])
    assert client.submit(total, array, workers=[there]).result() == total(ramp(SIZE))
    after = client.run(traffic, workers=[there])[there]
    assert after.received - before.received >= SIZE
    assert after.pulled - before.pulled >= SIZE


def test_worker_when_it_is_killed_in_mid_transfer_then_the_computation_ends_right(client, workers):
    here, there = workers
    pid = client.run(os.getpid, workers=[here])[here]
    client.run(kill_in_mid_transfer, pid, workers=[there])
    array = client.submit(ramp, SIZE, workers=[here], allow_other_workers=True)
    assert client.submit(total, array, workers=[there]).result() == total(ramp(SIZE))
    # Its nanny starts another.
    client.wait_for_workers(2)
    assert pid not in client.run(os.getpid).values()
    assert client.submit(sum, [1, 2]).result() == 3
