"""Channels that let one another's process read their memory: in one process, and in two."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from channels import Channels, Threaded, address, exchange
from host_echo import echo, echo_blocking
from numpy.lib.stride_tricks import as_strided
from support import PATIENCE, finish, start_program

import pinwire
import pinwire.blocking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OFFERED_FROM = 512 * 1024
"""Bytes of a part from which on it is offered."""

LARGE = 1 << 20
"""Bytes of a part that is."""

ROW = 1 << 20
ENDLESS = (1 << 16, ROW)
"""The shape of a message of bytes that is still being read when a test is over: 64 GiB."""


def endless() -> np.ndarray:
    """A message of that shape, all rows of which lie on one another."""
    return np.broadcast_to(np.arange(ROW, dtype="u8").astype("u1"), ENDLESS)


def endless_room() -> np.ndarray:
    """Memory for it, as small."""
    return as_strided(np.zeros(ROW, "u1"), ENDLESS, (0, 1))


class Hosted(Channels):
    """A face and a transport, between whose channels large parts go past the socket."""

    async def streams(self, **options: Any) -> tuple[Any, Any]:
        return await super().streams(send_buffer_size=None, recv_buffer_size=None, **options)

    def over(self, stream: Any, **options: Any) -> Any:
        return super().over(stream, **{"same_host": "auto", "max_message_bytes": 1 << 40} | options)

    @contextlib.asynccontextmanager
    async def warm(self, **options: Any) -> AsyncIterator[tuple[Any, Any]]:
        """A pair, each of which has offered something to the other."""
        async with self.pair(**options) as (first, second):
            await warm_up(first, second)
            await warm_up(second, first)
            yield first, second

    async def to_program(self, code: str, *args: object, **options: Any) -> tuple[Any, Any]:
        """A channel to a program that connects to its first argument, and the program."""
        if self.is_blocking:
            with pinwire.blocking.listen(address(self.transport)) as listener:
                process = start_program(code, listener.address, *args)
                stream = await asyncio.to_thread(listener.accept, timeout=PATIENCE)
        else:
            async with pinwire.listen(address(self.transport)) as listener:
                process = start_program(code, listener.address, *args)
                stream = await listener.accept(timeout=PATIENCE)
        return self.over(stream, **options), process

    @contextlib.asynccontextmanager
    async def beside(self, code: str, *args: object, **options: Any) -> AsyncIterator[Any]:
        """A channel to such a program, which is to end in good order and say nothing."""
        channel, process = await self.to_program(code, *args, **options)
        try:
            async with channel:
                yield channel
        except BaseException:
            process.kill()
            finish(process)
            raise
        assert await asyncio.to_thread(finish, process) == (0, "", "")


async def warm_up(sender: Any, receiver: Any) -> None:
    """Send until it goes past the socket."""
    async with asyncio.timeout(PATIENCE):
        while sender.stats().same_host != "in use":
            await exchange(sender, receiver, bytes(LARGE))


_SERVED = ["uvloop", "blocking"]


class EchoServer:
    """A program that sends back what it gets, by uvloop and by threads."""

    def __init__(self) -> None:
        code = Path(__file__).with_name("host_echo.py").read_text()
        names = [f"{face}-{transport}" for transport in ("tcp", "unix") for face in _SERVED]
        where = [address(name.partition("-")[2]) for name in names]
        self._process = start_program(code, *where, stdin=subprocess.PIPE)
        addresses = self._process.stdout.readline().split()
        self._addresses = dict(zip(names, addresses, strict=True))

    def address(self, face: str, transport: str) -> str:
        return self._addresses[f"{face}-{transport}"]

    def stop(self) -> None:
        assert finish(self._process) == (0, "", "")


class Echo:
    """A face and a transport, and where somebody sends back what a channel sends."""

    def __init__(self, hosted: Hosted, server: EchoServer | None = None, face: str = "") -> None:
        self.hosted = hosted
        self.run = hosted.run
        self._where = server.address(face, hosted.transport) if server else None

    @contextlib.asynccontextmanager
    async def channel(self, **options: Any) -> AsyncIterator[Any]:
        """A channel whose large parts, and those that come back, go past the socket."""
        options = {"allow_pickle": True} | options
        opening = self._here(options) if self._where is None else self._there(options)
        async with opening as channel:
            home = "untried"
            async with asyncio.timeout(PATIENCE):
                while not home == channel.stats().same_host == "in use":
                    await channel.send(bytes(LARGE), timeout=PATIENCE)
                    home = (await channel.recv(timeout=PATIENCE)).meta["same_host"]
            yield channel

    @contextlib.asynccontextmanager
    async def _here(self, options: Any) -> AsyncIterator[Any]:
        mine, theirs = await self.hosted.streams()
        channel, other = (
            self.hosted.over(mine, **options),
            self.hosted.over(theirs, allow_pickle=True),
        )
        async with other:
            if self.hosted.is_blocking:
                echoing = asyncio.ensure_future(asyncio.to_thread(echo_blocking, other.inner))
            else:
                echoing = asyncio.ensure_future(echo(other))
            async with channel:
                yield channel
            await echoing

    @contextlib.asynccontextmanager
    async def _there(self, options: Any) -> AsyncIterator[Any]:
        options = {"same_host": "auto"} | options
        if self.hosted.is_blocking:
            channel = Threaded(
                await asyncio.to_thread(pinwire.blocking.connect_channel, self._where, **options)
            )
        else:
            channel = await pinwire.connect_channel(self._where, **options)
        async with channel:
            yield channel


async def there_and_back(channel: Any, data: Any, receive: Any = None, **options: Any) -> Any:
    """What comes back, and how many bytes of it went past the socket on the way there and back."""
    before = channel.stats()
    nbytes = await channel.send(data, timeout=PATIENCE, **options)
    message = await (receive or channel.recv)(timeout=PATIENCE)
    after = channel.stats()
    assert nbytes == message.nbytes == after.bytes_sent - before.bytes_sent
    assert nbytes == after.bytes_received - before.bytes_received
    offered = after.bytes_offered - before.bytes_offered
    return message, offered, after.bytes_pulled - before.bytes_pulled
