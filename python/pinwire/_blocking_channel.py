"""Channels for threads: the same names as in `_channel`, without `await`."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import _core
from ._blocking import connect
from ._blocking_posted import Posted
from ._open import LINGER, split
from ._pickling import dump
from .errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from typing_extensions import Unpack

    from ._types import Address, ChannelStreamOptions, Exporter

# Held while a channel gets what its first `post` needs.
_making = threading.Lock()


class Channel(_core.BlockingChannel):
    """Messages of arrays over a stream, for threads; see `pinwire.Channel`."""

    __module__ = "pinwire.blocking"

    _posted: Posted | None = None

    def send_object(self, obj: Any, /, *, timeout: float | None = None) -> int:
        """Send any object that pickles; see `pinwire.Channel.send_object`."""
        return self._send_pickle(dump(self, obj), timeout=timeout)

    def post(
        self,
        data: Exporter | Iterable[Exporter],
        /,
        *,
        meta: Mapping[str, Any] | None = None,
        wait: bool = False,
    ) -> None:
        """Line a message up and return; a thread sends what the kernel does not take at once.

        Once `high_water` bytes are waiting, raises QueueFullError, or waits if asked to. What goes
        wrong later is raised by the next call that sends, and by `drain`.
        """
        if self._posted is None:
            with _making:
                self._posted = self._posted or Posted(self)
        self._posted.put(data, meta, wait)

    def drain(self, *, timeout: float | None = None) -> None:
        """Wait until the kernel has everything that was posted.

        Raises what went wrong with the first message that was not sent.
        """
        if self._posted is not None:
            self._posted.join(timeout)
        self._raise_failure()

    def close(self) -> None:
        """Close the channel and its stream; see `pinwire.Channel.close`."""
        try:
            if self._lingers:
                with suppress(Error, OSError):
                    self.handshake(timeout=LINGER)
        finally:
            self.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                self.drain()
        finally:
            self.close()


def connect_channel(
    address: Address, *, timeout: float | None = None, **options: Unpack[ChannelStreamOptions]
) -> Channel:
    """Connect to a channel's listener; see `pinwire.connect_channel`."""
    for_channel, for_stream = split(options)
    _core.check_channel_options(**for_channel)
    return Channel(connect(address, timeout=timeout, **for_stream), **for_channel)
