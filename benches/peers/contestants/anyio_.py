"""anyio's SocketStream, on asyncio."""

import asyncio
from collections.abc import Sequence
from typing import Any

import anyio
import anyio.abc

from ..contestant import Contestant, Workload
from .flows import LoopContestant
from .kit import Buffer, Job, SocketKit, Wire

RECEIVE_BYTES = 1024 * 1024


class AnyioWire:
    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self._stream = stream
        self.close = stream.aclose

    async def send(self, buffer: Buffer) -> None:
        await self._stream.send(memoryview(buffer))

    async def recv(self, buffer: Buffer) -> None:
        view, got = memoryview(buffer), 0
        while got < len(view):
            data = await self._stream.receive(min(RECEIVE_BYTES, len(view) - got))
            view[got : got + len(data)] = data
            got += len(data)

    async def send_parts(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            await self.send(buffer)

    async def recv_parts(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            await self.recv(buffer)


class AnyioKit(SocketKit):
    def __init__(self) -> None:
        self.sleep = anyio.sleep

    def run(self, job: Job) -> None:
        anyio.run(job, backend="asyncio")

    async def together(self, jobs: Sequence[Job]) -> None:
        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(job)

    async def accept(self, sock: Any) -> Any:
        return (await asyncio.get_running_loop().sock_accept(sock))[0]

    async def wrap(self, sock: Any, workload: Workload) -> Wire:
        if workload.transport == "unix":
            return AnyioWire(await anyio.abc.UNIXSocketStream.from_socket(sock))
        return AnyioWire(await anyio.abc.SocketStream.from_socket(sock))


CONTESTANTS: tuple[Contestant, ...] = (
    LoopContestant(
        "anyio",
        "asyncio",
        "SocketStream on asyncio: send(memoryview), one each for gather; receive(1 MiB) copied"
        " into the destination",
        AnyioKit(),
        frozenset({"ping", "bulk", "gather", "many"}),
    ),
)
