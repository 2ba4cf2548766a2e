"""Servers of channels for asyncio."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from . import _core
from ._admission import admission as admit
from ._asyncio import Opening, accept_all, bounded, listen
from ._channel import Channel
from ._open import HANDSHAKE_TIMEOUT, PAUSE, split
from .errors import ClosedError, Error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from typing_extensions import Unpack

    from ._admission import Admission, ServerStats
    from ._types import Address, ChannelOptions, ServeOptions


class ChannelServer:
    """Channels for whoever connects: `async with pinwire.serve_channels(...) as server`."""

    __module__ = "pinwire"

    def __init__(
        self,
        listener: _core.Listener,
        handler: Callable[[Channel], Awaitable[object]],
        options: ChannelOptions,
        admission: Admission[Channel],
        budget: _core.MemoryBudget,
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._options = options
        self._admission = admission
        self._budget = budget
        self._tasks: set[asyncio.Task[None]] = set()
        # Of those that wait for one, and when to look for some again.
        self._places: dict[Channel, asyncio.Future[None]] = {}
        self._ushering: asyncio.TimerHandle | None = None
        accepting = accept_all(listener, self._welcome, self._report)
        self._accepting = asyncio.get_running_loop().create_task(accepting)

    @property
    def address(self) -> str:
        """Where it listens, as a URL that `connect_channel` takes."""
        return self._listener.address

    def stats(self) -> ServerStats:
        """Counters of the peers it has and had, and of the memory that their messages take."""
        return self._admission.stats(self._budget.stats())

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
        try:
            channel = Channel(stream, **self._options)
        except (Error, OSError, MemoryError):  # it has gone already, or there is no room for it
            stream.abort()
            return
        if (oldest := self._admission.arrive(channel)) is not None:
            oldest.abort()
        task = asyncio.get_running_loop().create_task(self._serve(channel))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, channel))

    def _ended(self, channel: Channel, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._admission.leave(channel)
        if self._admission.is_awaited:
            self._usher()
        # One that is cancelled before it begins closes nothing.
        channel.abort()

    async def _serve(self, channel: Channel) -> None:
        try:
            async with bounded(HANDSHAKE_TIMEOUT, "the handshake"):
                await channel.handshake()
                await self._find_place(channel)
        except (Error, OSError, MemoryError):  # nobody whom the handler could speak to
            return
        try:
            async with channel:
                await self._handler(channel)
        except ClosedError as error:
            if channel in self._admission:
                self._report("a handler of a channel failed", error)
        except Exception as error:
            self._report("a handler of a channel failed", error)

    async def _find_place(self, channel: Channel) -> None:
        if not self._admission.queue(channel):
            raise ClosedError("the server is full, and so is its queue")
        place = self._places[channel] = asyncio.get_running_loop().create_future()
        self._usher()
        try:
            await place
        finally:
            del self._places[channel]

    def _usher(self) -> None:
        loop = asyncio.get_running_loop()
        coming, leaving = self._admission.usher(loop.time())
        for channel in leaving:
            channel.abort()
        for channel in coming:
            # None if its task has given up, and is about to leave.
            place = self._places.get(channel)
            if place is not None and not place.done():
                place.set_result(None)
        if self._admission.is_awaited and self._ushering is None:
            self._ushering = loop.call_later(PAUSE, self._usher_again)

    def _usher_again(self) -> None:
        self._ushering = None
        self._usher()

    def _report(self, message: str, error: Exception) -> None:
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": message, "exception": error})


def serve_channels(
    handler: Callable[[Channel], Awaitable[object]],
    address: Address,
    *,
    timeout: float | None = None,
    **options: Unpack[ServeOptions],
) -> Opening[ChannelServer]:
    """Serve channels: `await` it, or use it with `async with`.

    For every peer that connects and says hello within 10 seconds, `handler(channel)` runs as a
    task; the channel is drained and closed when it returns. What it raises goes to the loop's
    exception handler, and the others go on. Takes what `listen` and `Channel` take, and what keeps
    it up whoever connects:

    - `memory_budget`: for messages while they come, over all channels: bytes, or a `MemoryBudget`
      that several servers share. Default: a quarter of the memory the process may use.
    - `max_channels`: peers at one time. Default: half of the descriptors it may have.
    - `idle_timeout`: with so many channels, one on which the peer has let `idle_timeout` seconds
      pass in silence is ended for a newcomer. Default 10.
    """
    admission, budget, options = admit(options)
    for_channel, for_listener = split(options)
    _core.check_channel_options(**for_channel)
    opening = listen(address, timeout=timeout, **for_listener)
    return opening.then(
        "pinwire.serve_channels",
        lambda listener: ChannelServer(listener, handler, for_channel, admission, budget),
    )
