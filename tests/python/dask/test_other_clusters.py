"""Clusters of other kinds: of threads, that grow and shrink, of programs."""

from __future__ import annotations

import socket
import subprocess
import sys

import dask.array as da
from clusters import backends, cluster, passes_arrays
from distributed import Client, Event
from support import PATIENCE, wait_until

SIZE = 2_000_000


def test_cluster_when_its_workers_are_threads_then_it_computes():
    with cluster(processes=False) as client:
        assert client.scheduler.address.startswith("pinwire://")
        assert backends() == {"pinwire.dask._comm"}
        assert passes_arrays(client)


def test_cluster_when_it_adapts_then_workers_come_and_go():
    with cluster(processes=False, n_workers=0) as client:
        options = {"interval": "20ms", "wait_count": 2, "target_duration": "100ms"}
        client.cluster.adapt(minimum=1, maximum=3, **options)
        go = Event("go", client=client)
        waiting = client.map(wait_for, ["go"] * 6, range(6))
        client.wait_for_workers(3, timeout=3 * PATIENCE)
        go.set()
        assert client.gather(waiting) == list(range(6))
        del waiting
        wait_until(lambda: len(client.scheduler_info()["workers"]) == 1)


def wait_for(name, result):
    Event(name).wait(3 * PATIENCE)
    return result


def test_programs_when_started_from_the_command_line_then_they_compute(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"pinwire://127.0.0.1:{free.getsockname()[1]}"
    commands = (
        ["scheduler", "--protocol", "pinwire://", "--host", address, "--no-dashboard"],
        ["worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"],
    )
    programs = [start(*command, cwd=tmp_path) for command in commands]
    try:
        with Client(address, timeout=3 * PATIENCE) as client:
            client.wait_for_workers(1, timeout=3 * PATIENCE)
            (worker,) = client.scheduler_info()["workers"]
            assert worker.startswith("pinwire://")
            x = da.arange(SIZE, chunks=SIZE // 4)
            assert x.sum().compute() == SIZE * (SIZE - 1) // 2
    finally:
        for program in reversed(programs):
            program.terminate()
        said = [program.communicate(timeout=2 * PATIENCE)[0] for program in programs]
    assert f"Scheduler at: {address}" in " ".join(said[0].split()), said


def start(*command, cwd):
    everything = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, "-m", "dask", *command], cwd=cwd, **everything)
