"""Opening streams and listeners on an asyncio loop."""

from __future__ import annotations

import asyncio
import socket
import warnings
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from . import _core
from ._core import Listener, Stream
from ._open import PAUSE, Resolution, timed_out

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from types import TracebackType

    from typing_extensions import Unpack

    from ._types import Address, Answer, Candidate, ListenOptions, StreamOptions


AT_ONCE = 8
"""Connections accepted in one turn of the loop. What they have said is read in the next."""


class _Closable(Protocol):
    def close(self) -> Awaitable[object]: ...


_T = TypeVar("_T", bound=_Closable)
_M = TypeVar("_M", bound=_Closable)


class Opening(Generic[_T]):
    """A stream, a listener or one of channels to be: await it, or use it with `async with`."""

    def __init__(self, call: str, open_it: Callable[[], Coroutine[Any, Any, _T]]) -> None:
        self._call = call
        self._open = open_it
        self._opened: _T | None = None
        self._is_forgotten = True

    def then(self, call: str, make: Callable[[_T], _M]) -> Opening[_M]:
        """What is made of this as soon as it is open."""
        self._is_forgotten = False

        async def open_it() -> _M:
            return make(await self)

        return Opening(call, open_it)

    def __await__(self) -> Generator[Any, Any, _T]:
        self._is_forgotten = False
        return self._open().__await__()

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"what {self._call}() returns has no {name!r}, but what it opens may have: await it, "
            f"or use it with `async with`",
            name=name,
            obj=self,
        )

    def __del__(self) -> None:
        if self._is_forgotten:  # as CPython does for a coroutine
            text = f"{self._call} was never awaited"
            warnings.warn(text, RuntimeWarning, stacklevel=2, source=self)

    async def __aenter__(self) -> _T:
        self._opened = await self
        return self._opened

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.close()


def connect(
    address: Address, *, timeout: float | None = None, **options: Unpack[StreamOptions]
) -> Opening[Stream]:
    """Connect to a listener: `await connect(...)`, or `async with connect(...) as stream`.

    `address` is a URL (`tcp://host:port`, `tcp://[::1]:port`, `unix:///path`, `unix:@name`) or
    `(host, port)`. Every address a name resolves to is tried, in the order of RFC 8305, without
    blocking the loop. `timeout`, in seconds, is for all of it.

    Raises TypeError or ValueError for what is no address, `socket.gaierror` for a name that does
    not resolve, TransferTimeoutError, and OSError (ConnectionRefusedError ...) with the errno of
    the first address if none answers.
    """
    resolution = Resolution(address, passive=False)
    _core.Connector([], **options)  # options are checked here, not when awaited

    async def open_stream() -> Stream:
        async with bounded(timeout, f"connecting to {resolution.url}"):
            connector = _core.Connector(await _resolve(resolution), **options)
            try:
                await _connected(connector)
                return connector.stream(Stream)
            finally:
                connector.close()

    return Opening("pinwire.connect", open_stream)


def listen(
    address: Address, *, timeout: float | None = None, **options: Unpack[ListenOptions]
) -> Opening[Listener]:
    """Listen on an address: `await listen(...)`, or `async with listen(...) as listener`.

    Port 0 lets the kernel choose one; `listener.address` has it. An empty host (`tcp://:port`)
    means every interface, by IPv6 and IPv4, and by IPv4 alone where IPv6 is absent, disabled or not
    to share its socket (`dualstack_ipv6=False`). A name with several addresses means its first,
    IPv4 before IPv6. A unix socket's file is removed when the listener closes, and before, if
    nobody listens on it any more. `timeout`, in seconds, is for resolving a name.
    """
    resolution = Resolution(address, passive=True)

    async def open_listener() -> Listener:
        async with bounded(timeout, f"looking up {resolution.url}"):
            candidates = await _resolve(resolution)
        return _core.listen(Listener, candidates, **options)

    return Opening("pinwire.listen", open_listener)


async def accept_all(
    listener: Listener,
    welcome: Callable[[Stream], object],
    report: Callable[[str, OSError], object],
) -> None:
    """Accept until the listener is closed, whatever accept(2) says; that is reported once."""
    failing, accepted = False, 0
    while True:
        try:
            async for stream in listener:
                failing = False
                welcome(stream)
                accepted += 1
                if accepted % AT_ONCE == 0:
                    await asyncio.sleep(0)
        except OSError as error:
            if not failing:
                report("no connection can be accepted: trying until one can", error)
            failing = True
            await asyncio.sleep(PAUSE)
        else:
            return


def socketpair(**options: Unpack[StreamOptions]) -> tuple[Stream, Stream]:
    """Two streams that are connected to each other, over unnamed unix sockets."""
    return _core.socketpair(Stream, **options)


async def _resolve(resolution: Resolution) -> list[Candidate]:
    if resolution.known is not None:
        return resolution.known
    query = resolution.query
    host = query["host"]
    ascii_host = None if host is None else host.encode("idna").decode()
    port, passive = query["port"], resolution.passive
    answer: Awaitable[Answer] | None = _core.resolve(ascii_host, port, passive)
    if answer is None:  # in a forked child
        answer = asyncio.get_running_loop().getaddrinfo(**query)
    try:
        return resolution.candidates(await answer)
    except socket.gaierror as error:
        raise resolution.failed(error) from None


async def _connected(connector: _core.Connector) -> None:
    """Connect: at once, by the engine's runtime, or on the loop, in a forked child."""
    while (waiting := connector.step()) is not None:
        if (connected := connector.connected()) is not None:
            await connected
            return
        await _writable(*waiting)


async def _writable(fds: list[int], delay: float | None) -> None:
    """Sleep until one of the descriptors is writable, or the delay is over."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    for fd in fds:
        loop.add_writer(fd, wake)
    timer = None if delay is None else loop.call_later(delay, wake)
    try:
        await ready
    finally:
        if timer is not None:
            timer.cancel()
        for fd in fds:
            loop.remove_writer(fd)


class bounded:  # noqa: N801 - used as a statement, like asyncio.timeout
    """`asyncio.timeout`, raising what every operation of pinwire raises."""

    def __init__(self, timeout: float | None, doing: str) -> None:
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be a number of seconds from 0, or None, not {timeout}")
        _core.refuse_trio()
        self._timeout = asyncio.timeout(timeout)
        self._doing = doing

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            await self._timeout.__aexit__(exc_type, exc, tb)
        except TimeoutError:
            if not self._timeout.expired():
                raise
            raise timed_out(self._doing) from None
