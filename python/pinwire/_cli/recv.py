"""`pinwire recv`: files of any number of senders into a folder."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pinwire

from .digest import Digest
from .errors import CommandError, PeerError, RefusedError, complain, origin, reason
from .progress import Meter, Progress, progress
from .store import Folder
from .wire import PIECE, check_op, check_piece, check_size, check_version, field, hear, integer, say

if TYPE_CHECKING:
    from pathlib import Path

    from pinwire import Channel

    from .incoming import Incoming


@dataclass(frozen=True)
class Options:
    folder: Path
    address: str
    once: bool
    overwrite: bool
    max_bytes: int | None


async def recv(options: Options) -> bool:
    """Serve until interrupted, or until one sender has finished; whether it got all it offered."""
    folder = Folder(options.folder, overwrite=options.overwrite, max_bytes=options.max_bytes)
    with folder, progress() as shown:
        finished: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def handle(channel: Channel) -> None:
            good = False
            try:
                good = await receive_all(channel, folder, shown)
            finally:
                if options.once and not finished.done():
                    finished.set_result(good)

        serving = pinwire.serve_channels(handle, options.address, max_message_bytes=PIECE)
        async with serving as server:
            print(f"listening at {server.address}", flush=True)
            return await finished


async def receive_all(channel: Channel, folder: Folder, shown: Progress) -> bool:
    """Everything that one sender has, and whether all of it came."""
    try:
        return await _Session(channel, folder, shown).run()
    except (CommandError, pinwire.Error, OSError) as error:
        complain(f"{reason(error)} (from {origin(channel)})")
        if isinstance(error, PeerError):
            with contextlib.suppress(pinwire.Error, OSError):
                await say(channel, "refuse", why=str(error))
        return False


class _Session:
    def __init__(self, channel: Channel, folder: Folder, shown: Progress) -> None:
        self._channel = channel
        self._folder = folder
        self._shown = shown

    async def run(self) -> bool:
        good, skipping = True, False
        while (offer := await self._next_offer(skipping=skipping)) is not None:
            skipping = False
            try:
                await self._file(offer)
            except RefusedError as error:
                complain(f"{error} (from {origin(self._channel)})")
                await say(self._channel, "refuse", why=str(error))
                good, skipping = False, True
        return good

    async def _next_offer(self, *, skipping: bool) -> dict[str, Any] | None:
        """None if the sender has no more. It may not know yet that we refused the last one."""
        while True:
            header = await self._channel.recv_header()
            op = field(header.meta, "op", str)
            if not (skipping and op in ("prefix", "piece", "end", "refuse")):
                check_op(header.meta, "offer", "bye")
                check_size(header, 0)
                await header.skip()
                return None if op == "bye" else dict(header.meta)
            await header.skip()

    async def _file(self, offer: dict[str, Any]) -> None:
        check_version(offer)
        name, size = field(offer, "name", bytes), integer(offer, "size")
        with self._folder.admit(name, size) as incoming, Digest() as digest:
            await say(self._channel, "have", offset=incoming.have)
            await incoming.add_prefix(digest)
            prefix = field(await hear(self._channel, "prefix"), "sha256", bytes)
            if not incoming.begin(await digest.value(), prefix):
                await say(self._channel, "done")
                return
            if incoming.offset != incoming.have:
                await digest.restart()
            await say(self._channel, "go", offset=incoming.offset)
            with self._shown.file(incoming.name, size, incoming.offset) as meter:
                await self._pieces(incoming, digest, meter)
                end = field(await hear(self._channel, "end"), "sha256", bytes)
                incoming.finish(await digest.value(), end)
                meter.finish()
            await say(self._channel, "done")

    async def _pieces(self, incoming: Incoming, digest: Digest, meter: Meter) -> None:
        while incoming.offset < incoming.size:
            header = await self._channel.recv_header()
            try:
                count = check_piece(header, incoming.offset, incoming.size)
                window = incoming.window(count)
            except RefusedError:
                await header.skip()  # the connection goes on behind it
                raise
            try:
                await header.read_into(memoryview(window))
            except BaseException:
                # Not closed: what raises may hold on to the view for a moment longer.
                del window
                raise
            await digest.add_window(window)
            await say(self._channel, "got", offset=incoming.offset)
            incoming.arrived(count)
            meter.reach(incoming.offset)
