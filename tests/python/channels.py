"""Pairs of channels on every face, as coroutines, so that a test is written once for all."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest
import uvloop
from support import PATIENCE, SMALL, until

import pinwire
import pinwire.blocking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

FACES = ["asyncio", "uvloop", "blocking"]
HELLO_LEN = 24

SAME_HOST = os.environ.get("PINWIRE_TEST_SAME_HOST", "off")
"""Most tests of channels are about the socket; `make test-workers` runs them past it."""

about_socket = pytest.mark.skipif(SAME_HOST != "off", reason="about the socket")

PART = 50_000
"""Bytes of a message that the small buffers of a pair do not take at once."""


_WAITS = {"send", "send_file", "send_object", "recv", "recv_into", "recv_header", "recv_object"}
_WAITS |= {"handshake", "drain", "read", "read_into", "skip"}
_numbers = itertools.count()


def address(transport: str) -> str:
    """Where to listen; no two calls name the same unix socket."""
    unix = f"unix:@pinwire-channel-{os.getpid()}-{next(_numbers)}"
    return {"tcp": "tcp://127.0.0.1:0", "unix": unix}[transport]


class Threaded:
    """A blocking channel or header whose calls are awaited: each runs in a thread."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return repr(self.inner)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if name in _WAITS:
            return lambda *args, timeout=PATIENCE, **kwargs: self._call(
                value, *args, timeout=timeout, **kwargs
            )
        if name == "close":
            return lambda: self._call(value)
        return value

    def post(self, *args: Any, wait: bool = False, **kwargs: Any) -> Any:
        if wait:
            return self._call(self.inner.post, *args, wait=True, **kwargs)
        return self.inner.post(*args, **kwargs)

    async def _call(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        result = await asyncio.to_thread(call, *args, **kwargs)
        return Threaded(result) if isinstance(result, pinwire.blocking.Header) else result

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if (message := await self._call(next, self.inner, None)) is None:
            raise StopAsyncIteration
        return message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._call(self.inner.__exit__, *exc)


class Channels:
    """A face and a transport."""

    def __init__(self, face: str, transport: str) -> None:
        self.face = face
        self.transport = transport

    @property
    def is_blocking(self) -> bool:
        return self.face == "blocking"

    def run(self, main: Awaitable[Any]) -> Any:
        """Run a test on a fresh loop."""

        async def bounded() -> Any:
            pool = concurrent.futures.ThreadPoolExecutor(32)  # by default few on small machines
            asyncio.get_running_loop().set_default_executor(pool)
            async with asyncio.timeout(2 * PATIENCE):
                return await main

        loops = uvloop if self.face == "uvloop" else asyncio
        with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
            return runner.run(bounded())

    async def streams(self, **options: Any) -> tuple[Any, Any]:
        """Two connected streams with small buffers."""
        options = SMALL | options
        if self.is_blocking:
            with pinwire.blocking.listen(address(self.transport), **options) as listener:
                client = pinwire.blocking.connect(listener.address, **options)
                return client, listener.accept()
        async with pinwire.listen(address(self.transport), **options) as listener:
            client = await pinwire.connect(listener.address, **options)
            return client, await listener.accept()

    def over(self, stream: Any, **options: Any) -> Any:
        """A channel."""
        options = {"same_host": SAME_HOST} | options
        if self.is_blocking:
            return Threaded(pinwire.blocking.Channel(stream, **options))
        return pinwire.Channel(stream, **options)

    @contextlib.asynccontextmanager
    async def pair(self, theirs: Any = None, **options: Any) -> AsyncIterator[tuple[Any, Any]]:
        """Two channels; the second has the options of `theirs` beside the common ones."""
        mine, other = await self.streams()
        first = self.over(mine, **options)
        second = self.over(other, **(options | (theirs or {})))
        async with first, second:
            yield first, second

    @contextlib.asynccontextmanager
    async def raw(self, **options: Any) -> AsyncIterator[tuple[socket.socket, Any]]:
        """A plain socket and the channel at its other end, to which it has not said hello."""
        stream, other = await self.streams()
        with socket.socket(fileno=stream.detach()) as sock:
            sock.settimeout(PATIENCE)
            async with self.over(other, **options) as channel:
                yield sock, channel


def run_between(main: Callable[[Any, Any], Awaitable[None]]) -> None:
    """Run a test between two asyncio channels with buffers of the system's own."""

    async def between() -> None:
        left, right = pinwire.socketpair()
        options: Any = {"same_host": SAME_HOST}
        async with (
            pinwire.Channel(left, **options) as client,
            pinwire.Channel(right, **options) as server,
        ):
            await main(client, server)

    asyncio.run(between())


async def exchange(sender: Any, receiver: Any, data: Any, meta: Any = None, **options: Any) -> Any:
    """Send one message; what the other end receives."""
    sending = asyncio.ensure_future(sender.send(data, meta=meta, timeout=PATIENCE, **options))
    # A send that failed must not leave the receiver waiting.
    sending.add_done_callback(
        lambda task: task.cancelled() or (task.exception() and sender.abort())
    )
    receiving = asyncio.ensure_future(receiver.recv(timeout=PATIENCE))
    await asyncio.wait([sending, receiving])
    if sending.exception():
        receiving.exception()
    nbytes, message = await sending, await receiving
    assert nbytes == message.nbytes
    return message


def hello(*, max_message_bytes: int = 1 << 32, objects: bool = False) -> bytes:
    """What an end says first, by somebody else than pinwire."""
    return b"\x89PWIRE\r\n" + struct.pack("<BBHIQ", 2, 2, 0, int(objects), max_message_bytes)


def frame(payload: Any) -> bytes:
    """A message with one array."""
    array = np.asarray(payload) if isinstance(payload, np.ndarray) else np.frombuffer(payload, "u1")
    order = "C" if array.flags.c_contiguous else "F"
    dtype = array.dtype.str.encode()
    part = struct.pack("<IcBH", array.itemsize, order.encode(), array.ndim, len(dtype)) + dtype
    part += struct.pack(f"<{array.ndim}Q", *array.shape)
    prefix = struct.pack("<IIIIQ", 1, 1, len(part), 0, array.nbytes)
    return prefix + part + array.tobytes(order)


async def taken(channel: Any, nbytes: int, task: Any) -> None:
    """Wait until a receive has taken all of so many bytes since the channel began, and sleeps."""
    stats = channel.stream.stats
    await until(lambda: task.done() or stats().bytes_received >= nbytes)
    # From its last byte to its sleep nothing happens that others could see.
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()


def message(number: int) -> np.ndarray:
    return np.full(PART, number % 256, "u1")


async def numbers(channel: Any, count: int) -> list[int]:
    """The numbers of the next messages, which have come whole."""
    found = []
    for _ in range(count):
        received = await channel.recv()
        (part,) = received.parts
        assert (part == part[0]).all()
        assert part.size == PART
        found.append(int(part[0]))
    return found


@contextlib.asynccontextmanager
async def jammed(channels: Channels, **options: Any) -> AsyncIterator[tuple[Any, Any, Any]]:
    """A pair of which the first is in the middle of a message, number 0, that nobody reads."""
    async with channels.pair(**options) as (client, server):
        first = asyncio.ensure_future(client.send(message(0)))
        waits = client.stream.stats().waits
        await until(lambda: client.stream.stats().waits > waits)
        yield client, server, first
