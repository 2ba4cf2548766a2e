"""asyncio's three ways to move bytes; `uvloop_` has the same on another loop."""

import asyncio
import functools
import socket
from collections.abc import Awaitable, Callable, Sequence

from ..contestant import Contestant, Workload
from .flows import LoopContestant
from .kit import Buffer, Job, SocketKit, Wire
from .protocol import ProtocolWire

STREAM_LIMIT = 4 * 1024 * 1024
READ_BYTES = 1024 * 1024


class LoopKit:
    """What a kit has of the loop, asyncio's own or another."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        self._loop_factory = loop_factory
        self.sleep = asyncio.sleep

    def run(self, job: Job) -> None:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(job())

    async def together(self, jobs: Sequence[Job]) -> None:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job())


class AsyncioKit(LoopKit, SocketKit):
    """Everything but how a socket becomes a wire."""

    def __init__(
        self,
        wrap: Callable[[socket.socket, Workload], Awaitable[Wire]],
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
    ) -> None:
        super().__init__(loop_factory)
        self._wrap = wrap

    async def accept(self, sock: socket.socket) -> socket.socket:
        return (await asyncio.get_running_loop().sock_accept(sock))[0]

    async def wrap(self, sock: socket.socket, workload: Workload) -> Wire:
        return await self._wrap(sock, workload)


class SockWire:
    """`sock_sendall` and `sock_recv_into`; there is no call for several buffers."""

    def __init__(self, sock: socket.socket) -> None:
        self._loop, self._sock = asyncio.get_running_loop(), sock
        self.send = functools.partial(self._loop.sock_sendall, sock)

    async def recv(self, buffer: Buffer) -> None:
        got = await self._loop.sock_recv_into(self._sock, buffer)
        if got == len(buffer):
            return
        view = memoryview(buffer)
        while got < len(view):
            n = await self._loop.sock_recv_into(self._sock, view[got:])
            if not n:
                raise EOFError
            got += n

    async def send_parts(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            await self.send(buffer)

    async def recv_parts(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            await self.recv(buffer)

    async def close(self) -> None:
        self._sock.close()


class StreamWire:
    """`write` and `drain`; `readexactly` for what is small, `read` in large pieces for bulk."""

    pieces = True

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, buffer: Buffer) -> None:
        self._writer.write(memoryview(buffer))
        await self._writer.drain()

    async def recv(self, buffer: Buffer) -> None:
        view = memoryview(buffer)
        if len(view) <= READ_BYTES or not self.pieces:
            view[:] = await self._reader.readexactly(len(view))
            return
        got = 0
        while got < len(view):
            data = await self._reader.read(min(READ_BYTES, len(view) - got))
            if not data:
                raise EOFError
            view[got : got + len(data)] = data
            got += len(data)

    async def send_parts(self, buffers: Sequence[Buffer]) -> None:
        self._writer.writelines([memoryview(buffer) for buffer in buffers])
        await self._writer.drain()

    async def recv_parts(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            await self.recv(buffer)

    async def close(self) -> None:
        self._writer.close()


class ExactStreamWire(StreamWire):
    """`readexactly` of whatever size: how most programs read a message."""

    pieces = False


async def sock_wire(sock: socket.socket, workload: Workload) -> Wire:
    del workload
    return SockWire(sock)


async def stream_wire(sock: socket.socket, workload: Workload) -> Wire:
    return StreamWire(*await _opened(sock, workload))


async def exact_stream_wire(sock: socket.socket, workload: Workload) -> Wire:
    return ExactStreamWire(*await _opened(sock, workload))


async def _opened(
    sock: socket.socket, workload: Workload
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if workload.transport == "unix":
        return await asyncio.open_unix_connection(sock=sock, limit=STREAM_LIMIT)
    return await asyncio.open_connection(sock=sock, limit=STREAM_LIMIT)


async def protocol_wire(sock: socket.socket, workload: Workload) -> Wire:
    loop = asyncio.get_running_loop()
    if workload.transport == "unix":
        return (await loop.create_unix_connection(ProtocolWire, sock=sock))[1]
    return (await loop.create_connection(ProtocolWire, sock=sock))[1]


def contestants(
    library: str, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None
) -> tuple[Contestant, ...]:
    everything = frozenset({"ping", "bulk", "gather", "many", "beside"})
    return (
        LoopContestant(
            f"{library} sock_*",
            library,
            "sock_sendall(memoryview), sock_recv_into into the destination; TCP_NODELAY; gather by"
            " one call each",
            AsyncioKit(sock_wire, loop_factory),
            everything,
        ),
        LoopContestant(
            f"{library} streams",
            library,
            "write(memoryview) and drain, writelines for gather; limit 4 MiB, readexactly up to"
            " 1 MiB, read(1 MiB) copied into the destination above",
            AsyncioKit(stream_wire, loop_factory),
            everything,
        ),
        LoopContestant(
            f"{library} streams readexactly",
            library,
            "write(memoryview) and drain; limit 4 MiB, readexactly, copied into the destination",
            AsyncioKit(exact_stream_wire, loop_factory),
            frozenset({"bulk"}),
        ),
        LoopContestant(
            f"{library} BufferedProtocol",
            library,
            "get_buffer gives the destination itself; write(memoryview), writelines for gather;"
            " write buffer limit 0",
            AsyncioKit(protocol_wire, loop_factory),
            everything - {"beside"},
        ),
    )


CONTESTANTS = contestants("asyncio", None)
