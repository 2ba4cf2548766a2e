"""What was posted to a channel for asyncio."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from typing import TYPE_CHECKING, Any

from .errors import QueueFullError

if TYPE_CHECKING:
    from . import _core


class Posted:
    """The messages that were posted and are not sent yet."""

    def __init__(self, channel: _core.Channel) -> None:
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
