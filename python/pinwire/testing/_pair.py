"""Two streams that are connected, with one way to use those of either face."""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from ._flight import Flight, awaited, threaded
from ._outcome import UnsuitableError, expect, expect_equal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from ._settings import Errors, Settings

MakePair: TypeAlias = "Callable[..., Any]"
"""Gives two connected streams: `make_pair(send_buffer_size=..., recv_buffer_size=...)`.

It may return them, an awaitable of them, or a context manager, asynchronous or not, that yields
them. They are closed after each check.
"""

PIECE = 64 * 1024


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
        """The next bytes, fewer if the stream ends before."""
        got, memory = bytearray(), bytearray(min(size, PIECE))
        while len(got) < size:
            count = await self.call("recv_into", memoryview(memory)[: size - len(got)])
            expect(
                isinstance(count, int) and 0 <= count <= size - len(got),
                f"recv_into returned {count!r} for {size - len(got)} bytes",
            )
            if count == 0:
                break
            got += memory[:count]
        return bytes(got)

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
            return None if find_spec("numpy") else "NumPy is not installed"
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
async def open_pair(make_pair: MakePair, settings: Settings) -> AsyncIterator[Pair]:
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
