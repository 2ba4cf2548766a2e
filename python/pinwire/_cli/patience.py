"""Waiting for a peer that may be slow, busy, silent or gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import PeerError
from .wire import say, silence

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pinwire import Channel
    from pinwire._core import Transfer

_T = TypeVar("_T")

PULSE = 1.0
"""Seconds from one `wait` to the next: well below any timeout, and nothing beside a transfer."""


async def patient(transfer: Transfer[_T], timeout: float) -> _T:
    """The transfer's result; PeerError when no byte of it has moved for `timeout` seconds."""
    task = asyncio.ensure_future(transfer)
    try:
        moved = -1
        while not (await asyncio.wait([task], timeout=timeout))[0]:
            if transfer.transferred == moved:
                raise silence(timeout)
            moved = transfer.transferred
        return task.result()
    finally:
        await _ended(task)


async def busy(channel: Channel, work: Coroutine[Any, Any, _T], timeout: float) -> _T:
    """The result of work that the peer waits for, and is told so. It ends when the peer is gone."""
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait([task], timeout=PULSE))[0]:
            if channel.stream.peer_closed:
                raise PeerError("the peer has gone")
            await say(channel, "wait", timeout=timeout)
        return task.result()
    finally:
        await _ended(task)


async def _ended(task: asyncio.Task[Any]) -> None:
    """End it, and have its error looked at: nobody else does when another one is raised."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
