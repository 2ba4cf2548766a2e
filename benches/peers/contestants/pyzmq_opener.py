"""Pairs of pyzmq's sockets as wires, for contestants that say what goes over them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from ..contestant import Workload
from .pyzmq_ import bind, pair


class PairWire:
    """Closed at the end; subclasses send and receive."""

    def __init__(self, context: Any, sock: Any) -> None:
        self._context, self._sock = context, sock

    def close(self) -> None:
        self._sock.close()
        # Returns when what was sent last has left.
        self._context.term()


class PairOpener:
    def __init__(self, wire: Callable[[Any, Any], PairWire]) -> None:
        self._wire = wire

    @contextmanager
    def listen(self, workload: Workload) -> Iterator[tuple[str, Callable[[], PairWire]]]:
        context = zmq.Context()
        sock = pair(context, workload)
        yield bind(sock, workload), lambda: self._wire(context, sock)

    def connect(self, workload: Workload, address: str) -> PairWire:
        context = zmq.Context()
        sock = pair(context, workload)
        sock.connect(address)
        return self._wire(context, sock)
