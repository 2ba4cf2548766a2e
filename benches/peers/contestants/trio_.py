"""trio by its sockets, which receive into memory; its SocketStream cannot."""

from collections.abc import Sequence
from typing import Any

import trio

from ..contestant import Contestant, Workload
from .blocking import advance
from .flows import LoopContestant
from .kit import Buffer, Job, SocketKit, Wire


class TrioWire:
    def __init__(self, sock: "trio.socket.SocketType") -> None:
        self._sock = sock
        self.send = trio.SocketStream(sock).send_all

    async def recv(self, buffer: Buffer) -> None:
        got = await self._sock.recv_into(buffer)
        if got == len(buffer):
            return
        view = memoryview(buffer)
        while got < len(view):
            n = await self._sock.recv_into(view[got:])
            if not n:
                raise EOFError
            got += n

    async def send_parts(self, buffers: Sequence[Buffer]) -> None:
        left = [memoryview(buffer) for buffer in buffers]
        while left:
            advance(left, await self._sock.sendmsg(left))

    async def recv_parts(self, buffers: Sequence[Buffer]) -> None:
        left = [memoryview(buffer) for buffer in buffers]
        while left:
            n = (await self._sock.recvmsg_into(left))[0]
            if not n:
                raise EOFError
            advance(left, n)

    async def close(self) -> None:
        self._sock.close()


class TrioKit(SocketKit):
    def __init__(self) -> None:
        self.sleep = trio.sleep

    def run(self, job: Job) -> None:
        trio.run(job)

    async def together(self, jobs: Sequence[Job]) -> None:
        async with trio.open_nursery() as nursery:
            for job in jobs:
                nursery.start_soon(job)

    async def accept(self, sock: Any) -> Any:
        while True:
            try:
                return sock.accept()[0]
            except BlockingIOError:
                await trio.lowlevel.wait_readable(sock)

    async def wrap(self, sock: Any, workload: Workload) -> Wire:
        del workload
        return TrioWire(trio.socket.from_stdlib_socket(sock))


CONTESTANTS: tuple[Contestant, ...] = (
    LoopContestant(
        "trio",
        "trio",
        "SocketStream.send_all, trio.socket recv_into into the destination (faster than"
        " receive_some), sendmsg and recvmsg_into for gather; TCP_NODELAY",
        TrioKit(),
    ),
)
