"""Clusters over pinwire, and what their workers are asked to do.

Workers import this module: it needs nothing of the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dask.config
import numpy as np
from distributed import Client, LocalCluster
from distributed.comm import Comm
from distributed.utils import get_mp_context

import pinwire

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1_000_000
LARGE = 100 * MB


@contextlib.contextmanager
def cluster(**options: Any) -> Iterator[Client]:
    """A client of a cluster with two workers."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"} | options
    # Workers are forked from a process that has imported what each would import for seconds.
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(["dask.array", "dask.dataframe", "distributed"])
        with LocalCluster(protocol="pinwire://", **options) as made, Client(made) as client:
            yield client


def ramp(size: int) -> np.ndarray:
    """Bytes of which one that is lost or in another place is seen."""
    return np.resize(np.arange(251, dtype="u1"), size)


def total(array: np.ndarray) -> int:
    """A sum in which every byte counts by its place."""
    rows = array[: array.size // 1000 * 1000].reshape(-1, 1000)
    return int(rows.sum(0, dtype="i8") @ np.arange(1, 1001) + array.sum(dtype="i8"))


def passes_arrays(client: Client) -> bool:
    """Whether what one worker has made gets to another, and back here, whole."""
    here, there = list(client.scheduler_info()["workers"])[:2]
    array = client.submit(ramp, 2 * MB, workers=[here])
    assert client.submit(total, array, workers=[there]).result() == total(ramp(2 * MB))
    return bool((array.result() == ramp(2 * MB)).all())


def backends() -> set[str]:
    """Where the classes of this process's connections are."""
    return {type(comm).__module__ for comm in Comm._instances if not comm.closed()}


def loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__


class Traffic(NamedTuple):
    """Bytes that the connections of a process have received, and those past the socket."""

    received: int
    pulled: int


def traffic() -> Traffic:
    every = [comm.stats() for comm in Comm._instances]
    return Traffic(
        sum(each.bytes_received for each in every), sum(each.bytes_pulled for each in every)
    )


def kill_in_mid_transfer(pid: int) -> None:
    """Once: when the first bytes of a large message have come, kill the process that sends it."""

    async def recv(channel: pinwire.Channel) -> Any:
        header = await channel.recv_header()
        if header.nbytes >= LARGE:
            del pinwire.Channel.recv
            os.kill(pid, signal.SIGKILL)
            while _lives(pid):  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0)
        return await header.read()

    pinwire.Channel.recv = recv


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] not in "ZX"
    return False
