"""Servers of channels for threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from . import _core
from ._admission import admission as admit
from ._blocking import listen
from ._blocking_door import Door, report
from ._open import split
from .errors import ClosedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from typing_extensions import Unpack

    from ._admission import Admission, ServerStats
    from ._blocking_channel import Channel
    from ._types import Address, ChannelOptions, ServeOptions


class ChannelServer:
    """Channels for whoever connects: `with pinwire.blocking.serve_channels(...) as server`."""

    __module__ = "pinwire.blocking"

    def __init__(
        self,
        listener: _core.BlockingListener,
        handler: Callable[[Channel], object],
        options: ChannelOptions,
        admission: Admission[Channel],
        budget: _core.MemoryBudget,
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._admission = admission
        self._budget = budget
        self._lock = threading.Lock()
        self._threads: dict[threading.Thread, Channel] = {}
        self._closed = threading.Event()
        self._door = Door(listener, self._let_in, options, admission, self._lock)
        self._accepting = threading.Thread(
            target=self._door.run, name="pinwire-accept", daemon=True
        )
        self._accepting.start()

    @property
    def address(self) -> str:
        """Where it listens, as a URL that `connect_channel` takes."""
        return self._listener.address

    def stats(self) -> ServerStats:
        """Counters of the peers it has and had, and of the memory that their messages take."""
        with self._lock:
            return self._admission.stats(self._budget.stats())

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
        self._closed.set()
        self._door.close()
        self._accepting.join()
        with self._lock:
            threads = dict(self._threads)
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

    def _let_in(self, channel: Channel) -> None:
        """Raises RuntimeError if no thread can be started."""
        thread = threading.Thread(
            target=self._serve, args=(channel,), name="pinwire-channel", daemon=True
        )
        with self._lock:
            self._threads[thread] = channel
        try:
            thread.start()
        except BaseException:
            with self._lock:
                del self._threads[thread]
            raise

    def _serve(self, channel: Channel) -> None:
        try:
            with channel:
                self._handler(channel)
        except ClosedError as error:
            with self._lock:
                is_wanted = channel in self._admission
            if is_wanted and not self._closed.is_set():
                report(error)
        except Exception as error:
            report(error)
        finally:
            with self._lock:
                self._admission.leave(channel)
                is_awaited = self._admission.is_awaited
                del self._threads[threading.current_thread()]
            if is_awaited:
                self._door.ring()


def serve_channels(
    handler: Callable[[Channel], object],
    address: Address,
    *,
    timeout: float | None = None,
    **options: Unpack[ServeOptions],
) -> ChannelServer:
    """Serve channels, each in a thread of its own; see `pinwire.serve_channels`.

    What a handler raises goes to `threading.excepthook`, and the others go on.
    """
    admission, budget, options = admit(options)
    for_channel, for_listener = split(options)
    _core.check_channel_options(**for_channel)
    listener = listen(address, timeout=timeout, **for_listener)
    return ChannelServer(listener, handler, for_channel, admission, budget)
