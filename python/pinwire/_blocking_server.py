"""Servers of channels for threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from . import _core
from ._blocking import listen
from ._blocking_channel import Channel
from ._open import HANDSHAKE_TIMEOUT, PAUSE, is_exhausted, split
from .errors import ClosedError, Error

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from typing_extensions import Unpack

    from ._types import Address, ChannelListenOptions, ChannelOptions


class ChannelServer:
    """Channels for whoever connects: `with pinwire.blocking.serve_channels(...) as server`."""

    __module__ = "pinwire.blocking"

    def __init__(
        self,
        listener: _core.BlockingListener,
        handler: Callable[[Channel], object],
        options: ChannelOptions,
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


def serve_channels(
    handler: Callable[[Channel], object],
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
