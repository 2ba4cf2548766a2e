"""What was posted to a channel for threads, and the thread that sends it."""

from __future__ import annotations

import errno
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from ._open import timed_out
from .errors import QueueFullError

if TYPE_CHECKING:
    from . import _core


class Posted:
    """The messages that were posted and are not sent yet, and the thread that sends them."""

    def __init__(self, channel: _core.BlockingChannel) -> None:
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
                raise timed_out(f"sending what was posted to {self._channel.peer_address}")

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
