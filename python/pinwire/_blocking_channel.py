"""Channels for threads: the same names as in `_channel`, without `await`."""

from __future__ import annotations

import errno
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import _core
from ._blocking import connect, listen
from ._open import HANDSHAKE_TIMEOUT, LINGER, PAUSE, is_exhausted, split
from ._pickling import dump
from .errors import ClosedError, Error, QueueFullError, TransferTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
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

    _Handler = Callable[["Channel"], object]


# Held while a channel gets what its first `post` needs.
_making = threading.Lock()


class Channel(_core.BlockingChannel):
    """Messages of arrays over a stream, for threads; see `pinwire.Channel`."""

    __module__ = "pinwire.blocking"

    _posted: _Posted | None = None

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
                self._posted = self._posted or _Posted(self)
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


class _Posted:
    """The messages that were posted and are not sent yet, and the thread that sends them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._changed = threading.Condition()
        self._messages: deque[_core.Prepared] = deque()
        self._nbytes = 0
        self._waiters: deque[object] = deque()
        self._has_thread = False

    def put(self, data: Any, meta: Any, wait: bool) -> None:
        with self._changed:
            if (self._is_full() or self._waiters) and not wait:
                raise QueueFullError(
                    errno.EAGAIN,
                    f"{self._nbytes} bytes are waiting to be sent: drain(), or "
                    "post(..., wait=True)",
                )
            if self._is_full() or self._waiters:
                self._wait_for_room()
            message = self._channel._line_up(data, meta=meta)
            if message is None:
                return
            self._messages.append(message)
            self._nbytes += message.nbytes
            if not self._has_thread:
                self._has_thread = True
                threading.Thread(target=self._run, name="pinwire-post", daemon=True).start()

    def join(self, timeout: float | None) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: not self._has_thread, timeout):
                raise TransferTimeoutError(errno.ETIMEDOUT, "timed out")

    def _is_full(self) -> bool:
        return self._nbytes >= self._channel.high_water

    def _wait_for_room(self) -> None:
        place = object()
        self._waiters.append(place)
        try:
            self._changed.wait_for(lambda: self._waiters[0] is place and not self._is_full())
        finally:
            self._waiters.remove(place)
            self._changed.notify_all()  # for the one behind

    def _run(self) -> None:
        while (message := self._next()) is not None:
            try:
                message.run()
            except BaseException as error:
                self._channel._fail(error)
            finally:
                with self._changed:
                    self._nbytes -= message.nbytes
                    self._changed.notify_all()

    def _next(self) -> _core.Prepared | None:
        with self._changed:
            if self._messages:
                return self._messages.popleft()
            self._has_thread = False
            self._changed.notify_all()
            return None


class ChannelServer:
    """Channels for whoever connects: `with pinwire.blocking.serve_channels(...) as server`."""

    __module__ = "pinwire.blocking"

    def __init__(
        self, listener: _core.BlockingListener, handler: _Handler, options: ChannelOptions
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._options = options
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, Channel] = {}
        self._closed = threading.Event()
        self._accepting = threading.Thread(target=self._accept, name="pinwire-accept", daemon=True)
        self._accepting.start()

    @property
    def address(self) -> str:
        """Where it listens, as a URL that `connect_channel` takes."""
        return self._listener.address

    def serve_forever(self) -> None:
        """Wait until the server is closed."""
        try:
            # In naps, so that the main thread sees a Ctrl-C on every platform.
            while not self._closed.wait(1.0):
                pass
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening, close the channels that are open, and wait for their threads."""
        self._listener.close()
        self._closed.set()
        self._accepting.join()
        with self._lock:
            threads = dict(self._open)
        for channel in threads.values():
            channel.stream.close()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                for stream in self._listener:
                    self._start(stream)
            except OSError as error:
                if not is_exhausted(error):
                    raise
                _report(error)
                self._closed.wait(PAUSE)
            else:
                return

    def _start(self, stream: _core.BlockingStream) -> None:
        channel = Channel(stream, **self._options)
        thread = threading.Thread(
            target=self._serve, args=(channel,), name="pinwire-channel", daemon=True
        )
        with self._lock:
            self._open[thread] = channel
        thread.start()

    def _serve(self, channel: Channel) -> None:
        try:
            try:
                channel.handshake(timeout=HANDSHAKE_TIMEOUT)
            except (Error, OSError):  # nobody whom the handler could speak to
                channel.abort()
                return
            with channel:
                self._handler(channel)
        except ClosedError as error:
            if not self._closed.is_set():
                _report(error)
        except Exception as error:
            _report(error)
        finally:
            with self._lock:
                del self._open[threading.current_thread()]


def _report(error: Exception) -> None:
    """As for a thread that ends by an exception."""
    hook_args = (type(error), error, error.__traceback__, threading.current_thread())
    threading.excepthook(threading.ExceptHookArgs(hook_args))


def connect_channel(
    address: Address, *, timeout: float | None = None, **options: Unpack[ChannelStreamOptions]
) -> Channel:
    """Connect to a channel's listener; see `pinwire.connect_channel`."""
    for_channel, for_stream = split(options)
    _core.check_channel_options(**for_channel)
    return Channel(connect(address, timeout=timeout, **for_stream), **for_channel)


def serve_channels(
    handler: _Handler,
    address: Address,
    *,
    timeout: float | None = None,
    **options: Unpack[ChannelListenOptions],
) -> ChannelServer:
    """Serve channels, each in a thread of its own; see `pinwire.serve_channels`.

    What a handler raises goes to `threading.excepthook`, and the others go on.
    """
    for_channel, for_listener = split(options)
    _core.check_channel_options(**for_channel)
    return ChannelServer(listen(address, timeout=timeout, **for_listener), handler, for_channel)
