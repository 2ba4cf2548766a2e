"""Servers of channels for asyncio."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from . import _core
from ._asyncio import Opening, accept_all, listen
from ._channel import Channel
from ._open import HANDSHAKE_TIMEOUT, split
from .errors import Error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from typing_extensions import Unpack

    from ._types import Address, ChannelListenOptions, ChannelOptions


class ChannelServer:
    """Channels for whoever connects: `async with pinwire.serve_channels(...) as server`."""

    __module__ = "pinwire"

    def __init__(
        self,
        listener: _core.Listener,
        handler: Callable[[Channel], Awaitable[object]],
        options: ChannelOptions,
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


def serve_channels(
    handler: Callable[[Channel], Awaitable[object]],
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
    return opening.then(
        "pinwire.serve_channels", lambda listener: ChannelServer(listener, handler, for_channel)
    )
