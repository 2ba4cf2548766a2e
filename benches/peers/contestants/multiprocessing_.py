"""Objects by the standard library: multiprocessing's connections."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Client, Connection, Listener

from ..contestant import Contestant, Workload
from .blocking import BlockingContestant


class ConnectionWire:
    """The connection's own methods, without anything around them."""

    def __init__(self, connection: Connection) -> None:
        self.send_object, self.recv_object = connection.send, connection.recv
        self.close = connection.close


class ConnectionOpener:
    @contextmanager
    def listen(self, workload: Workload) -> Iterator[tuple[str, Callable[[], ConnectionWire]]]:
        if workload.transport == "unix":
            name = f"@pinwire-bench-{uuid.uuid4().hex}"
            with Listener(f"\0{name[1:]}", "AF_UNIX") as listener:
                yield name, lambda: ConnectionWire(listener.accept())
        else:
            with Listener(("127.0.0.1", 0)) as listener:
                host, port = listener.address
                yield f"{host}:{port}", lambda: ConnectionWire(listener.accept())

    def connect(self, workload: Workload, address: str) -> ConnectionWire:
        if workload.transport == "unix":
            return ConnectionWire(Client(f"\0{address[1:]}", "AF_UNIX"))
        host, _, port = address.rpartition(":")
        return ConnectionWire(Client((host, int(port))))


CONTESTANTS: tuple[Contestant, ...] = (
    BlockingContestant(
        "multiprocessing.connection",
        "Listener and Client; Connection.send and recv of the object, which pickle it as one piece",
        ConnectionOpener(),
        frozenset({"message-object"}),
    ),
)
