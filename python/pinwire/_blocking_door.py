"""How a server for threads lets its peers in: one thread accepts, and waits for all hellos."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from ._blocking_channel import Channel
from ._open import HANDSHAKE_TIMEOUT, PAUSE
from .errors import Error, TransferTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import _core
    from ._admission import Admission
    from ._types import ChannelOptions


class Door:
    """Accepts connections and gives each to `let_in` once its peer has said hello.

    A peer that says nothing takes no thread. It goes on if something is wrong with one of them,
    and tries again, once it has reported it, if accept(2) fails or `let_in` finds no thread.
    """

    def __init__(
        self,
        listener: _core.BlockingListener,
        let_in: Callable[[Channel], object],
        options: ChannelOptions,
        admission: Admission[Channel],
        lock: threading.Lock,
    ) -> None:
        self._listener = listener
        self._let_in = let_in
        self._options = options
        self._admission = admission
        # Of the admission, which other threads use as well.
        self._lock = lock
        self._selector = selectors.DefaultSelector()
        self._bell, self._ringer = socket.socketpair()
        self._closed = False
        # Peers that have not said hello, and until when they may: the first is late first.
        self._greeting: dict[Channel, float] = {}
        # Those that have, wait for a place or a thread, and until when.
        self._waiting: dict[Channel, float] = {}
        # Those that have a place, and no thread yet.
        self._coming: deque[Channel] = deque()
        # When to accept again, if that failed.
        self._again: float | None = None
        self._failing: set[str] = set()

    def close(self) -> None:
        """Have `run` end; it closes the listener."""
        self._closed = True
        self.ring()

    def ring(self) -> None:
        """Have `run` look whether there is a place."""
        with contextlib.suppress(OSError):  # rung already, or gone
            self._ringer.send(b"!")

    def run(self) -> None:
        """Let peers in until it is closed."""
        with self._selector, self._bell, self._ringer:
            self._bell.setblocking(False)
            self._ringer.setblocking(False)
            self._selector.register(self._bell, selectors.EVENT_READ)
            self._selector.register(self._listener, selectors.EVENT_READ)
            try:
                while not self._closed:
                    self._step()
            finally:
                self._listener.close()
                for channel in [*self._greeting, *self._waiting]:
                    self._drop(channel)

    def _step(self) -> None:
        for key, _ in self._selector.select(self._pause()):
            if isinstance(key.data, Channel):
                self._greet(key.data)
            elif key.fileobj is self._listener:
                self._accept()
            else:
                self._bell.recv(4096)
        now = monotonic()
        while (
            self._greeting and (late := next(iter(self._greeting))) and self._greeting[late] < now
        ):
            self._drop(late)
        if self._again is not None and self._again <= now:
            self._again = None
            self._selector.register(self._listener, selectors.EVENT_READ)
        self._usher(now)

    def _usher(self, now: float) -> None:
        with self._lock:
            coming, leaving = self._admission.usher(now)
        for channel in leaving:
            channel.abort()
        self._coming += coming
        for channel in [channel for channel, deadline in self._waiting.items() if deadline < now]:
            self._drop(channel)
        while self._coming:
            channel = self._coming[0]
            if self._waiting.pop(channel, None) is not None:
                try:
                    self._let_in(channel)
                except RuntimeError as error:
                    self._report_once("thread", error)
                    self._waiting[channel] = now + HANDSHAKE_TIMEOUT
                    return
                self._failing.discard("thread")
            self._coming.popleft()

    def _pause(self) -> float | None:
        if self._waiting or self._again is not None:
            return PAUSE
        if not self._greeting:
            return None
        return max(0.0, next(iter(self._greeting.values())) - monotonic())

    def _accept(self) -> None:
        try:
            stream = self._listener.accept(timeout=0)
        except TransferTimeoutError:  # another process was quicker
            return
        except OSError as error:
            self._report_once("accept", error)
            # Not watched meanwhile: it would be ready all the time.
            self._selector.unregister(self._listener)
            self._again = monotonic() + PAUSE
            return
        self._failing.discard("accept")
        try:
            channel = Channel(stream, **self._options)
        except (Error, OSError, MemoryError):  # it has gone already, or there is no room for it
            stream.abort()
            return
        with self._lock:
            oldest = self._admission.arrive(channel)
        if oldest is not None:
            self._drop(oldest)
        self._greeting[channel] = monotonic() + HANDSHAKE_TIMEOUT
        self._selector.register(channel.stream, selectors.EVENT_READ, channel)

    def _greet(self, channel: Channel) -> None:
        if channel not in self._greeting:  # dropped in the same step
            return
        try:
            channel.handshake(timeout=0)
        except TransferTimeoutError:  # a part of a hello
            return
        except (Error, OSError, MemoryError):  # nobody whom the handler could speak to
            self._drop(channel)
            return
        with self._lock:
            is_queued = self._admission.queue(channel)
        if not is_queued:
            self._drop(channel)
            return
        self._selector.unregister(channel.stream)
        self._waiting[channel] = self._greeting.pop(channel)

    def _drop(self, channel: Channel) -> None:
        if self._greeting.pop(channel, None) is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(channel.stream)
        self._waiting.pop(channel, None)
        with self._lock:
            self._admission.leave(channel)
        channel.abort()

    def _report_once(self, what: str, error: Exception) -> None:
        if what not in self._failing:
            self._failing.add(what)
            report(error)


def report(error: Exception) -> None:
    """As for a thread that ends by an exception."""
    hook_args = (type(error), error, error.__traceback__, threading.current_thread())
    threading.excepthook(threading.ExceptHookArgs(hook_args))
