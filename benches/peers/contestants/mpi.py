"""mpi4py on MPICH: two processes that meet by Open_port, Accept and Connect.

MPICH 5.0 cannot let processes meet that no mpiexec started (pmodels/mpich#7805); 4.x can. The way
that bytes take is chosen once for a process, before MPI starts.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mpi4py
import numpy as np

from ..contestant import (
    Contestant,
    Result,
    Workload,
    gather_buffers,
    landing,
    measured,
    poison,
)
from ..pattern import fill_parts, parts_match

# Reading results or a list of contestants must not start MPI and its threads.
mpi4py.rc.initialize = False
from mpi4py import MPI  # noqa: E402

if "MPICH" in (_library := MPI.Get_library_version()) and " 5.0." in _library.splitlines()[0]:
    raise ImportError(f"{_library.splitlines()[0]}: no Accept without mpiexec (mpich#7805)")

TCP = {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp", "MPIR_CVAR_NOLOCAL": "1"}
# UCX, by which MPICH goes otherwise, hangs in half of the first connections here.
SHARED_MEMORY = {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "shm"}

Parts = list[np.ndarray[Any, np.dtype[np.uint8]]]


class Mpi4py:
    family = "messages"

    def __init__(self, name: str, transport: str, environment: dict[str, str]) -> None:
        self.name = name
        self.settings = (
            f"{_library.splitlines()[0].replace('Version:', '').strip()}, {transport}; Send and"
            " Recv of the arrays themselves, gather as one struct datatype; waits by polling"
        )
        self._environment = environment

    def takes(self, workload: Workload) -> bool:
        # MPI has no unix sockets and leaves the kernel's buffers alone.
        kinds = {"ping", "bulk", "gather"}
        return workload.kind in kinds and workload.transport == "tcp" and workload.sockbuf is None

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        self._start()
        port = MPI.Open_port()
        ready(port)
        comm = MPI.COMM_SELF.Accept(port)
        try:
            return _serve(comm, workload)
        finally:
            comm.Disconnect()
            MPI.Close_port(port)

    def drive(self, workload: Workload, address: str) -> Result:
        self._start()
        comm = MPI.COMM_SELF.Connect(address)
        try:
            return _ping(comm, workload) if workload.kind == "ping" else _send(comm, workload)
        finally:
            comm.Disconnect()

    def _start(self) -> None:
        if not MPI.Is_initialized():
            os.environ.update(self._environment)
            MPI.Init()
        elif any(os.environ.get(key) != value for key, value in self._environment.items()):
            raise RuntimeError("MPI runs with another transport in this process already")


def _serve(comm: MPI.Intercomm, workload: Workload) -> Result:
    if workload.kind == "ping":
        echo = landing(workload.size)
        for _ in range(workload.count):
            comm.Recv(echo)
            comm.Send(echo, 0)
        return {"verified": True}
    given, token, verified = _parts(workload), landing(1), True
    with _message(given) as message, measured():
        for number in range(workload.count):
            for part in given:
                poison(part)
            comm.Send(token, 0)
            comm.Recv(message)
            comm.Send(token, 0)
            verified &= parts_match(given, number)
    return {"verified": verified}


def _ping(comm: MPI.Intercomm, workload: Workload) -> Result:
    memory, latencies = landing(workload.size), []
    with measured():
        for _ in range(workload.count):
            begin = time.perf_counter_ns()
            comm.Send(memory, 0)
            comm.Recv(memory)
            latencies.append(time.perf_counter_ns() - begin)
    return {"latencies_ns": latencies}


def _send(comm: MPI.Intercomm, workload: Workload) -> Result:
    source, token, seconds = _parts(workload), landing(1), []
    with _message(source) as message, measured():
        for number in range(workload.count):
            fill_parts(source, number)
            comm.Recv(token)
            start = time.perf_counter()
            comm.Send(message, 0)
            comm.Recv(token)
            seconds.append(time.perf_counter() - start)
    return {"seconds": seconds}


def _parts(workload: Workload) -> Parts:
    return gather_buffers() if workload.kind == "gather" else [landing(workload.size)]


@contextmanager
def _message(parts: Parts) -> Iterator[Any]:
    """One buffer of MPI's that stands for all `parts`, wherever they lie."""
    if len(parts) == 1:
        yield parts[0]
        return
    places = [MPI.Get_address(part) for part in parts]
    datatype = MPI.BYTE.Create_hindexed([part.nbytes for part in parts], places).Commit()
    try:
        yield [MPI.BOTTOM, 1, datatype]
    finally:
        datatype.Free()


CONTESTANTS: tuple[Contestant, ...] = (
    Mpi4py("mpi4py", "TCP by libfabric", TCP),
    Mpi4py("mpi4py (shared memory)", "shared memory by libfabric, no socket", SHARED_MEMORY),
)
