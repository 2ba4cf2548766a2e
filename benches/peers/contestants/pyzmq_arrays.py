"""Arrays over pyzmq within one host: its ipc transport, into memory that is there already."""

import zmq

from ..contestant import Contestant
from .blocking import BlockingContestant
from .kit import Buffer
from .over_unix import OverUnix
from .pyzmq_opener import PairOpener, PairWire


class ArrayWire(PairWire):
    def send(self, buffer: Buffer) -> None:
        self._sock.send(buffer, copy=memoryview(buffer).nbytes < zmq.COPY_THRESHOLD)

    def recv(self, buffer: Buffer) -> None:
        self._sock.recv_into(buffer)


CONTESTANTS: tuple[Contestant, ...] = (
    OverUnix(
        "pyzmq ipc",
        BlockingContestant(
            "pyzmq",
            "PAIR over ipc, HWM 0; send(copy=False) of the array from pyzmq's own threshold of"
            " 64 KiB on, recv_into the destination (a memcpy)",
            PairOpener(ArrayWire),
            frozenset({"same-host"}),
            family="messages",
        ),
    ),
)
