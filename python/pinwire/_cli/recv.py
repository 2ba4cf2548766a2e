"""`pinwire recv`: files of any number of senders into a folder."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pinwire

from .digest import workers
from .progress import progress
from .receiving import Receiver, receive_all
from .sessions import Sessions
from .store import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from pinwire import Channel

    from .sessions import Place


@dataclass(frozen=True)
class Options:
    folder: Path
    address: str
    once: bool
    overwrite: bool
    max_bytes: int | None
    max_files: int
    timeout: float


async def recv(options: Options) -> bool:
    """Serve until interrupted, or until one sender has finished; whether it got all it offered."""
    folder = Folder(
        options.folder,
        overwrite=options.overwrite,
        max_bytes=options.max_bytes,
        max_files=options.max_files,
    )
    with folder, workers() as pool, progress() as shown:
        receiver = Receiver(folder, pool, shown, options.timeout)
        finished: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def handle(channel: Channel, place: Place) -> None:
            tally = await receive_all(channel, place, receiver)
            # Whoever has brought nothing must not end it for the others.
            if options.once and tally.said_bye and tally.came and not finished.done():
                finished.set_result(not tally.refused)

        async with pinwire.listen(options.address) as listener, Sessions(handle) as sessions:
            print(f"listening at {listener.address}", flush=True)
            return await _serve(listener, sessions, finished)


async def _serve(
    listener: pinwire.Listener, sessions: Sessions, finished: asyncio.Future[bool]
) -> bool:
    accepting = asyncio.create_task(sessions.accept_all(listener))
    try:
        ends: list[asyncio.Future[Any]] = [accepting, finished]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if accepting.done():
            accepting.result()
        await listener.close()
        await sessions.settle()
        return finished.result()
    finally:
        accepting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await accepting
