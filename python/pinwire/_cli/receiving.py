"""One sender at a receiver: what it offers, file by file."""

from __future__ import annotations

import contextlib
import itertools
import mmap
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pinwire

from .digest import Digest
from .errors import CommandError, PeerError, RefusedError, complain, origin, reason
from .patience import busy, patient
from .wire import (
    PIECE,
    check_op,
    check_piece,
    check_size,
    check_version,
    checksum,
    field,
    hear,
    hear_header,
    integer,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Executor

    from pinwire import Channel

    from .incoming import Incoming
    from .progress import Meter, Progress
    from .sessions import Place
    from .store import Folder

_T = TypeVar("_T")

LAST_WORD = 1.0
"""Seconds for telling a peer that it is wrong: it may not listen."""


class Receiver(NamedTuple):
    """What all sessions share."""

    folder: Folder
    pool: Executor
    shown: Progress
    timeout: float
    """Seconds that a peer may be silent."""


@dataclass
class Tally:
    """What has become of a sender's files."""

    came: int = 0
    refused: int = 0
    said_bye: bool = False


async def receive_all(channel: Channel, place: Place, receiver: Receiver) -> Tally:
    """Everything that one sender has."""
    session = _Session(channel, place, receiver)
    try:
        await session.run()
    except (CommandError, pinwire.Error, OSError) as error:
        complain(f"{reason(error)} (from {origin(channel)})")
        if isinstance(error, PeerError):
            with contextlib.suppress(CommandError, pinwire.Error, OSError):
                await say(channel, "refuse", why=str(error), timeout=LAST_WORD)
    return session.tally


class _Session:
    def __init__(self, channel: Channel, place: Place, receiver: Receiver) -> None:
        self.tally = Tally()
        self._channel = channel
        self._place = place
        self._receiver = receiver
        self._timeout = receiver.timeout

    async def run(self) -> None:
        skipping = False
        while (offer := await self._next_offer(skipping=skipping)) is not None:
            skipping = False
            try:
                await self._file(offer)
                self.tally.came += 1
            except RefusedError as error:
                complain(f"{reason(error)} (from {origin(self._channel)})")
                await self._say("refuse", why=str(error))
                self.tally.refused += 1
                skipping = True
        self.tally.said_bye = True

    async def _next_offer(self, *, skipping: bool) -> dict[str, Any] | None:
        """None if the sender has no more. It may not know yet that we refused the last one."""
        while True:
            with self._place.waiting():
                header = await hear_header(self._channel, timeout=self._timeout)
                op = field(header.meta, "op", str)
                if not (skipping and op in ("prefix", "piece", "end", "refuse")):
                    check_op(header.meta, "offer", "bye")
                    check_size(header, 0)
                    await header.skip()
                    return None if op == "bye" else dict(header.meta)
                await patient(header.skip(), self._timeout)

    async def _file(self, offer: dict[str, Any]) -> None:
        check_version(offer)
        name, size = field(offer, "name", bytes), integer(offer, "size")
        with self._receiver.folder.admit(name, size, checksum(offer, "head")) as incoming:
            async with Digest(self._receiver.pool) as digest:
                await self._receive(incoming, digest)
        await self._say("done")

    async def _receive(self, incoming: Incoming, digest: Digest) -> None:
        await self._say("have", offset=incoming.have)
        # Only then is anything computed for it: it has had to do the same.
        prefix = checksum(await self._hear("prefix"), "sha256")
        same = await self._work(incoming.agrees(prefix, digest))
        if not incoming.begin(same=same):
            return
        if incoming.offset != incoming.have:
            await digest.restart()
        await self._say("go", offset=incoming.offset)
        with self._receiver.shown.file(incoming.name, incoming.size, incoming.offset) as meter:
            await self._pieces(incoming, digest, meter)
            end = checksum(await self._hear("end"), "sha256")
            incoming.finish(await digest.value(), end)
            meter.finish()

    async def _pieces(self, incoming: Incoming, digest: Digest, meter: Meter) -> None:
        # Of one a piece is written while the next one comes into the other.
        memory = itertools.cycle([_memory(min(PIECE, incoming.size)) for _ in range(2)])
        while incoming.offset < incoming.size:
            with self._place.waiting():
                header = await hear_header(self._channel, timeout=self._timeout)
            count = check_piece(header, incoming.offset, incoming.size)
            if not self._place.is_sender:
                await self._work(self._place.become_sender())
            with self._place.waiting():
                try:
                    incoming.expect(count)
                except RefusedError:
                    await patient(header.skip(), self._timeout)
                    raise  # the connection goes on behind it
                piece = memoryview(next(memory))[:count]
                await patient(header.read_into(piece), self._timeout)
            offset = incoming.offset
            await digest.add_received(piece, partial(incoming.append, offset=offset))
            await self._say("got", offset=offset)
            incoming.arrived(count)
            meter.reach(incoming.offset)

    async def _say(self, op: str, **fields: object) -> None:
        await say(self._channel, op, timeout=self._timeout, **fields)

    async def _hear(self, *ops: str) -> dict[str, Any]:
        with self._place.waiting():
            return await hear(self._channel, *ops, timeout=self._timeout)

    async def _work(self, work: Coroutine[Any, Any, _T]) -> _T:
        return await busy(self._channel, work, self._timeout)


def _memory(size: int) -> mmap.mmap:
    """Memory whose pages come when bytes do. Not of the file: who cuts that short would kill us."""
    return mmap.mmap(-1, max(size, 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
