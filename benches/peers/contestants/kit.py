"""What the asynchronous contestants differ in; `flows` is what they all do with it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeAlias

from ..contestant import Result, Workload
from . import sockets

Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
Buffer: TypeAlias = Any
"""A memoryview of bytes or a one-dimensional array of them."""


class Wire(Protocol):
    """A connection. Receiving fills the memory it is given."""

    def send(self, buffer: Buffer, /) -> Awaitable[object]: ...
    def recv(self, buffer: Buffer, /) -> Awaitable[object]: ...
    def send_parts(self, buffers: Sequence[Buffer], /) -> Awaitable[object]: ...
    def recv_parts(self, buffers: Sequence[Buffer], /) -> Awaitable[object]: ...
    def close(self) -> Awaitable[object]: ...


class Landed(Protocol):
    @property
    def parts(self) -> Sequence[Buffer]: ...


class FreshWire(Wire, Protocol):
    """One that also receives into memory which it makes."""

    def recv_fresh(self) -> Awaitable[Landed]: ...


def carried(wire: object) -> Result:
    """By what the payload has moved, of a wire that can take several ways and says which."""
    carrier = getattr(wire, "carrier", None)
    return {} if carrier is None else {"carrier": carrier}


Accept: TypeAlias = Callable[[], Awaitable[Wire]]


class Kit(Protocol):
    """A loop and a way to open wires on it."""

    def run(self, job: Job, /) -> None: ...
    def sleep(self, seconds: float, /) -> Awaitable[object]: ...
    def together(self, jobs: Sequence[Job], /) -> Awaitable[object]: ...
    def listen(self, workload: Workload, /) -> AbstractAsyncContextManager[tuple[str, Accept]]: ...
    def connect(self, workload: Workload, address: str, /) -> Awaitable[Wire]: ...


class SocketKit(ABC):
    """Wires made from sockets that are connected already: subclasses say how."""

    @abstractmethod
    async def wrap(self, sock: Any, workload: Workload) -> Wire: ...

    @abstractmethod
    async def accept(self, sock: Any) -> Any: ...

    @asynccontextmanager
    async def listen(self, workload: Workload) -> AsyncIterator[tuple[str, Accept]]:
        listener, address = sockets.listening(workload)
        listener.setblocking(False)

        async def accept() -> Wire:
            sock = sockets.accepted(await self.accept(listener), workload)
            sock.setblocking(False)
            return await self.wrap(sock, workload)

        with listener:
            yield address, accept

    async def connect(self, workload: Workload, address: str) -> Wire:
        sock = sockets.connecting(workload, address)
        sock.setblocking(False)
        return await self.wrap(sock, workload)
