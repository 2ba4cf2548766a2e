"""One of the two processes that MPI's launcher starts for `mpi_launched`: serves or drives."""

import sys
from multiprocessing.connection import Client
from typing import Any

from mpi4py import MPI

from ..meter import Call
from .blocking import drive_messages, serve_messages
from .kit import Buffer

SERVER, CLIENT = 0, 1


class RankWire:
    """To the other rank."""

    def __init__(self, other: int) -> None:
        self._comm: Any = MPI.COMM_WORLD
        self._other = other

    def send(self, buffer: Buffer) -> None:
        self._comm.Send(buffer, self._other)

    def recv(self, buffer: Buffer) -> None:
        self._comm.Recv(buffer, self._other)


def main(name: str) -> None:
    rank = MPI.COMM_WORLD.rank
    flow = serve_messages if rank == SERVER else drive_messages
    wire: Any = RankWire(CLIENT if rank == SERVER else SERVER)
    # Waiting here and not in MPI, which polls: others are being measured meanwhile.
    with Client(f"\0{name}", "AF_UNIX") as control:
        control.send(rank)
        while True:
            try:
                workload = control.recv()
            except EOFError:
                return
            call = Call()
            result = flow(wire, workload)
            control.send(call.cost(workload.size) | result)


if __name__ == "__main__":
    main(sys.argv[1])
