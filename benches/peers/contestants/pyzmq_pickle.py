"""Objects over pyzmq: pickle protocol 5, whose out-of-band buffers are frames of their own."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from ..contestant import Contestant, Workload
from .blocking import BlockingContestant
from .pyzmq_ import bind, pair


class PickleWire:
    def __init__(self, context: Any, sock: Any) -> None:
        self._context, self._sock = context, sock

    def send_object(self, value: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        self._sock.send_multipart([head, *(buffer.raw() for buffer in buffers)], copy=False)

    def recv_object(self) -> Any:
        head, *frames = self._sock.recv_multipart(copy=False)
        return pickle.loads(head.buffer, buffers=[frame.buffer for frame in frames])

    def close(self) -> None:
        self._sock.close()
        # Returns when what was sent last has left.
        self._context.term()


class PickleOpener:
    @contextmanager
    def listen(self, workload: Workload) -> Iterator[tuple[str, Callable[[], PickleWire]]]:
        context = zmq.Context()
        sock = pair(context, workload)
        yield bind(sock, workload), lambda: PickleWire(context, sock)

    def connect(self, workload: Workload, address: str) -> PickleWire:
        context = zmq.Context()
        sock = pair(context, workload)
        sock.connect(address)
        return PickleWire(context, sock)


CONTESTANTS: tuple[Contestant, ...] = (
    BlockingContestant(
        "pyzmq pickle 5",
        "PAIR, HWM 0; pickle protocol 5 with buffer_callback, send_multipart(copy=False) of the"
        " pickle and its buffers; unpickled over the frames of recv_multipart(copy=False)",
        PickleOpener(),
        frozenset({"message-object"}),
        family="messages",
    ),
)
