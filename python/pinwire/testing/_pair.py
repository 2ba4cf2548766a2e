"""Two streams that are connected, with one way to use those of either face."""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from ._flight import Flight, awaited, threaded
from ._outcome import ClauseError, UnsuitableError, expect_equal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from ._settings import Errors, Settings

MakePair: TypeAlias = "Callable[..., Any]"
"""Gives two connected streams: `make_pair(send_buffer_size=..., recv_buffer_size=...)`.

It may return them, an awaitable of them, or a context manager, asynchronous or not, that yields
them. They are closed after each check. Some checks ask for another pair before that.
"""

PIECE = 64 * 1024


class _Reading:
    """Bytes that are read until there are enough, or no more."""

    def __init__(self, size: int) -> None:
        self.got = bytearray()
        self._size = size
        self._memory = bytearray(min(size, PIECE))

    def room(self) -> memoryview:
        return memoryview(self._memory)[: self._size - len(self.got)]

    def took(self, count: object) -> bool:
        """Take over what was read. Whether there is more to be read."""
        left = self._size - len(self.got)
        if not isinstance(count, int) or not 0 <= count <= min(left, PIECE):
            raise ClauseError(f"recv_into returned {count!r} for {left} bytes")
        self.got += self._memory[:count]
        return 0 < count < left

    def run(self, stream: Any) -> None:
        while self.took(stream.recv_into(self.room())):
            pass


class End:
    """One of the two streams."""

    def __init__(self, stream: Any, settings: Settings) -> None:
        self.stream = stream
        self._settings = settings
        self._awaits = _is_awaited(stream) if settings.face is None else settings.face == "asyncio"
        self._flights: list[Flight] = []

    def start(self, method: str, *args: object, **options: object) -> Flight:
        """Call a method of the stream that may wait, and go on."""
        call = partial(getattr(self.stream, method), *args, **options)
        flight = awaited(call) if self._awaits else threaded(call)
        self._flights.append(flight)
        return flight

    async def call(self, method: str, *args: object, **options: object) -> Any:
        """Call a method of the stream, and wait for its result."""
        return await self.start(method, *args, **options)

    async def begin(self, method: str, *args: object, **options: object) -> Flight:
        """Call a method that cannot end yet, and wait until it is under way."""
        flight = self.start(method, *args, **options)
        await flight.settle()
        if flight.done():
            result = await flight
            raise UnsuitableError(
                f"{method} ended by itself, with {result!r}: are the buffers small?"
            )
        return flight

    async def read(self, size: int) -> bytes:
        """The next bytes, fewer if the stream ends before. All by `recv_into`."""
        reading = _Reading(size)
        if size == 0:
            return b""
        if self._awaits:
            while reading.took(await self.stream.recv_into(reading.room())):
                pass
        else:  # one thread for all of it
            flight = threaded(partial(reading.run, self.stream))
            self._flights.append(flight)
            await flight
        return bytes(reading.got)

    async def say(self, content: bytes) -> None:
        """Send a few bytes, which have room."""
        expect_equal(await self.call("send_buffer", content), len(content), "bytes sent")

    def fill(self) -> int:
        """Fill the socket beside the stream's back. The bytes it took, all of them 0."""
        sent = 0
        with socket.socket(fileno=os.dup(self.stream.fileno())) as sock:
            for piece in (4096, 1):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sent += sock.send(bytes(piece), socket.MSG_DONTWAIT)
        return sent

    def lacks(self, need: str) -> str | None:
        """Why a check that needs this cannot be made, or None. See `Check.needs`."""
        if need == "asyncio":
            return None if self._awaits else "the stream's calls are not awaited, but block"
        if need == "numpy":
            return None  # no matter of the stream
        if need.endswith("="):
            ok = _takes(self.stream.send_buffer, need[:-1])
            return None if ok else f"the stream's send_buffer takes no {need}"
        return None if hasattr(self.stream, need) else f"the stream has no {need}"

    async def clear(self) -> None:
        """Close the stream and end what is under way."""
        with contextlib.suppress(Exception):
            await self.start("close").ended(self._settings.patience)
        for flight in self._flights:
            await flight.drop(self._settings.patience)


class Pair:
    """What a check is given. `client, server = pair`; which is which does not matter to it."""

    def __init__(self, streams: tuple[Any, Any], settings: Settings, make_pair: MakePair) -> None:
        client, server = streams
        self.client, self.server = End(client, settings), End(server, settings)
        self.settings = settings
        self._make_pair = make_pair

    def __iter__(self) -> Iterator[End]:
        return iter((self.client, self.server))

    @property
    def errors(self) -> Errors:
        """The exceptions that the streams raise."""
        return self.settings.errors

    @property
    def payload(self) -> bytes:
        """More bytes than the two sockets hold."""
        return pattern(self.settings.payload)

    @property
    def moment(self) -> float:
        """Seconds within which what happens at once has happened, also on a busy machine."""
        return self.settings.patience / 4

    def another(self) -> contextlib.AbstractAsyncContextManager[Pair]:
        """One more pair of the same maker."""
        return open_pair(self._make_pair, self.settings)


@contextlib.asynccontextmanager
async def open_pair(make_pair: MakePair, settings: Settings) -> AsyncGenerator[Pair]:
    """A pair of streams, closed at the end."""
    size = settings.buffer_size
    made = make_pair(send_buffer_size=size, recv_buffer_size=size)
    async with contextlib.AsyncExitStack() as stack:
        if hasattr(made, "__aenter__"):
            made = await stack.enter_async_context(made)
        elif hasattr(made, "__enter__"):
            made = stack.enter_context(made)
        elif inspect.isawaitable(made):
            made = await made
        pair = Pair(made, settings, make_pair)
        try:
            yield pair
        finally:
            await pair.client.clear()
            await pair.server.clear()


def pattern(size: int) -> bytes:
    """Bytes of which a lost, doubled or exchanged one is seen: their period is prime."""
    return (bytes(range(1, 252)) * (size // 251 + 1))[:size]


def _is_awaited(stream: Any) -> bool:
    return hasattr(stream, "__aenter__") or inspect.iscoroutinefunction(stream.send_buffer)


def _takes(method: Callable[..., Any], keyword: str) -> bool:
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):  # compiled, and does not tell
        return True
    kinds = [parameter.kind for parameter in parameters.values()]
    return keyword in parameters or inspect.Parameter.VAR_KEYWORD in kinds
