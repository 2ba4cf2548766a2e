"""Channels for asyncio: what the core's have not, and how they are opened."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from . import _core
from ._asyncio import Opening, accept_all, bounded, connect, listen
from ._open import HANDSHAKE_TIMEOUT, LINGER, split
from ._pickling import dump
from .errors import Error, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from typing_extensions import Unpack

    from ._types import (
        Address,
        ChannelListenOptions,
        ChannelOptions,
        ChannelStreamOptions,
        Exporter,
    )

    _Handler = Callable[["Channel"], Awaitable[object]]


class Channel(_core.Channel):
    """Messages of arrays over a stream.

    A message is a list of arrays and a small mapping. Its dtypes, shapes and orders travel in a
    header; the arrays go from their own memory to memory that the receiver chooses, without a copy
    in user space. `stream` belongs to the channel from now on: nobody else may use it.

    - `max_message_bytes`: the largest payload for which `recv` makes memory, and which the peer is
      told.
    - `allow_pickle`: whether objects may be sent and received. A pickle can run any code when it is
      loaded: only among peers that trust each other.
    - `allocator(shape, dtype, order)`: makes the memory of received arrays, as `numpy.empty` does.
      By default NumPy arrays; from 4 MiB on aligned to 2 MiB, in huge pages where there are some.
      Without NumPy memoryviews.
    - `high_water`: bytes of posted messages that may wait before `post` refuses more.
    - `same_host`: with "auto", large parts (512 KiB, or PINWIRE_OFFER_THRESHOLD) go past the socket
      between processes of one host that may read one another's memory: the receiver copies them
      straight from the sender's arrays (process_vm_readv(2)). A send then ends when they have been
      received. Where the system forbids it, or with "off", everything goes over the socket.
    """

    __module__ = "pinwire"

    _posted: _Posted | None = None

    def send_object(self, obj: Any, /, *, timeout: float | None = None) -> _core.Transfer:
        """Send any object that pickles; arrays in it go out of band, without a copy (PEP 574).

        Only if both ends have opened their channel with `allow_pickle=True`:
        MessageRefusedError otherwise.
        """
        return self._send_pickle(dump(self, obj), timeout=timeout)

    @overload
    def post(
        self,
        data: Exporter | Iterable[Exporter],
        /,
        *,
        meta: Mapping[str, Any] | None = None,
        wait: Literal[False] = False,
    ) -> None: ...
    @overload
    def post(
        self,
        data: Exporter | Iterable[Exporter],
        /,
        *,
        meta: Mapping[str, Any] | None = None,
        wait: Literal[True],
    ) -> Awaitable[None]: ...
    def post(
        self,
        data: Exporter | Iterable[Exporter],
        /,
        *,
        meta: Mapping[str, Any] | None = None,
        wait: bool = False,
    ) -> Awaitable[None] | None:
        """Line a message up and return; it is sent in its turn, its memory pinned until then.

        Once `high_water` bytes are waiting, raises QueueFullError; with `wait=True` it is to be
        awaited, and returns when the message has been lined up. What goes wrong later is raised
        by the next call that sends, and by `drain`.
        """
        if self._posted is None:
            self._posted = _Posted(self)
        if wait:
            return self._posted.put_when_room(data, meta)
        self._posted.put(data, meta)
        return None

    async def drain(self, *, timeout: float | None = None) -> None:
        """Wait until the kernel has everything that was posted.

        Raises what went wrong with the first message that was not sent.
        """
        async with bounded(timeout):
            if self._posted is not None:
                await self._posted.join()
        self._raise_failure()

    async def close(self) -> None:
        """Close the channel and its stream. What is under way ends with ClosedError.

        What was posted and has not been sent is dropped: `drain` first, or use `async with`. It
        waits up to a second for the peer's hello if that has not come: a connection that is closed
        before would be reset.
        """
        try:
            if self._lingers:
                with suppress(Error, OSError):
                    await self.handshake(timeout=LINGER)
        finally:
            await self.stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                await self.drain()
        finally:
            await self.close()


class _Posted:
    """The messages that were posted and are not sent yet."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._tasks: set[asyncio.Task[int]] = set()
        self._nbytes = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    def put(self, data: Any, meta: Any) -> None:
        if self._is_full() or self._waiters:
            raise QueueFullError(
                errno.EAGAIN,
                f"{self._nbytes} bytes are waiting to be sent: await drain(), or "
                "post(..., wait=True)",
            )
        self._line_up(data, meta)

    async def put_when_room(self, data: Any, meta: Any) -> None:
        if self._is_full() or self._waiters:
            await self._room()
        try:
            self._line_up(data, meta)
        finally:
            self._admit()

    async def join(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _is_full(self) -> bool:
        return self._nbytes >= self._channel.high_water

    def _line_up(self, data: Any, meta: Any) -> None:
        sending = self._channel._line_up(data, meta=meta)
        if sending is None:
            return
        self._nbytes += sending.nbytes
        task: asyncio.Task[int] = asyncio.get_running_loop().create_task(sending)
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(task, sending.nbytes))

    def _ended(self, task: asyncio.Task[int], nbytes: int) -> None:
        self._tasks.discard(task)
        self._nbytes -= nbytes
        if not task.cancelled() and (error := task.exception()) is not None:
            self._channel._fail(error)
        self._admit()

    async def _room(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            else:
                self._admit()  # it was admitted, and goes to somebody else
            raise

    def _admit(self) -> None:
        """Let the next one in, who admits the one behind."""
        if self._waiters and not self._is_full():
            waiter = self._waiters.popleft()
            if waiter.done():
                self._admit()
            else:
                waiter.set_result(None)


class ChannelServer:
    """Channels for whoever connects: `async with pinwire.serve_channels(...) as server`."""

    __module__ = "pinwire"

    def __init__(
        self, listener: _core.Listener, handler: _Handler, options: ChannelOptions
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._options = options
        self._tasks: set[asyncio.Task[None]] = set()
        accepting = accept_all(listener, self._welcome, self._report)
        self._accepting = asyncio.get_running_loop().create_task(accepting)

    @property
    def address(self) -> str:
        """Where it listens, as a URL that `connect_channel` takes."""
        return self._listener.address

    async def serve_forever(self) -> None:
        """Wait until the server is closed; cancelled, it closes the server."""
        try:
            await asyncio.wait([self._accepting])
        finally:
            await self.close()
        if not self._accepting.cancelled():
            self._accepting.result()

    async def close(self) -> None:
        """Stop listening, cancel the handlers that run, and wait for their end."""
        await self._listener.close()
        # A handler may call this, and goes on.
        tasks = {self._accepting, *self._tasks} - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()

    def _welcome(self, stream: _core.Stream) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # One that is cancelled before it begins closes nothing.
        task.add_done_callback(partial(_abort, stream))

    async def _serve(self, stream: _core.Stream) -> None:
        channel = Channel(stream, **self._options)
        try:
            await channel.handshake(timeout=HANDSHAKE_TIMEOUT)
        except (Error, OSError):  # nobody whom the handler could speak to
            channel.abort()
            return
        except BaseException:
            channel.abort()
            raise
        try:
            async with channel:
                await self._handler(channel)
        except Exception as error:
            self._report("a handler of a channel failed", error)

    def _report(self, message: str, error: Exception) -> None:
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": message, "exception": error})


def _abort(stream: _core.Stream, _task: asyncio.Task[None]) -> None:
    stream.abort()


def connect_channel(
    address: Address, *, timeout: float | None = None, **options: Unpack[ChannelStreamOptions]
) -> Opening[Channel]:
    """Connect to a channel's listener: `await` it, or use it with `async with`.

    Takes what `connect` and `Channel` take. It does not wait for the peer's hello, which a first
    receive does, and `handshake`.
    """
    for_channel, for_stream = split(options)
    _core.check_channel_options(**for_channel)
    opening = connect(address, timeout=timeout, **for_stream)

    async def open_channel() -> Channel:
        return Channel(await opening, **for_channel)

    return Opening(open_channel)


def serve_channels(
    handler: _Handler,
    address: Address,
    *,
    timeout: float | None = None,
    **options: Unpack[ChannelListenOptions],
) -> Opening[ChannelServer]:
    """Serve channels: `await` it, or use it with `async with`.

    For every peer that connects and says hello within 10 seconds, `handler(channel)` runs as a
    task; the channel is drained and closed when it returns. What it raises goes to the loop's
    exception handler, and the others go on. Takes what `listen` and `Channel` take.
    """
    for_channel, for_listener = split(options)
    _core.check_channel_options(**for_channel)
    opening = listen(address, timeout=timeout, **for_listener)

    async def open_server() -> ChannelServer:
        return ChannelServer(await opening, handler, for_channel)

    return Opening(open_server)
