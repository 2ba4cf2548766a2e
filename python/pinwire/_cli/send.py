"""`pinwire send`: files to a `pinwire recv`, each from where an earlier attempt ended."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, Self

import pinwire

from .defaults import TIMEOUT
from .digest import Digest, workers
from .errors import (
    LONGEST,
    CommandError,
    PeerError,
    RefusedByPeerError,
    RefusedError,
    complain,
    printable,
    reason,
)
from .patience import busy, patient
from .progress import Meter, Progress, progress
from .wire import AHEAD, PIECE, VERSION, field, hear, integer, say

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor
    from pathlib import Path

    from pinwire import Channel


class Source:
    """A file to send, as it was when it was opened."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        # Not to wait for the writer of a FIFO.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        opened = os.fstat(fd)
        if not stat.S_ISREG(opened.st_mode):
            os.close(fd)
            raise CommandError(f"{printable(str(path), LONGEST)} is not a regular file")
        self.file = os.fdopen(fd, "rb", buffering=0)
        self.size = opened.st_size
        self._mtime_ns = opened.st_mtime_ns

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def check(self) -> None:
        """Raise if it is not what it was: its checksum would not be that of what was sent."""
        now = os.fstat(self.file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.size, self._mtime_ns):
            raise RefusedError(f"{printable(self.name)} was changed while it was sent")


async def send(paths: Iterable[Path], address: str, timeout: float = TIMEOUT) -> bool:
    """Send them all; whether the receiver has all of them now."""
    paths = list(paths)
    for path in paths:  # a name that was mistyped is said before anything is sent
        Source(path).file.close()
    good = True
    connecting = pinwire.connect_channel(address, timeout=timeout, max_message_bytes=PIECE)
    with workers() as pool, progress() as shown:
        async with connecting as channel:
            sender = _Sender(channel, pool, shown, timeout)
            for path in paths:
                with Source(path) as source:
                    try:
                        await sender.send(source)
                    except RefusedError as error:
                        complain(reason(error))
                        good = False
                        if not isinstance(error, RefusedByPeerError):
                            await sender.give_up(error)
            await say(channel, "bye", timeout=timeout)
    return good


class _Sender:
    def __init__(self, channel: Channel, pool: Executor, shown: Progress, timeout: float) -> None:
        self._channel = channel
        self._pool = pool
        self._shown = shown
        self._timeout = timeout

    async def send(self, source: Source) -> None:
        async with Digest(self._pool) as digest:
            await self._file(source, digest)

    async def give_up(self, error: RefusedError) -> None:
        """Tell the receiver, and read what it has answered to what came before."""
        await self._say("refuse", why=str(error))
        try:
            while True:
                await self._hear("have", "go", "got", "done")
        except RefusedByPeerError:
            pass

    async def _file(self, source: Source, digest: Digest) -> None:
        fd = source.file.fileno()
        await digest.add_prefix(fd, min(PIECE, source.size))
        head = await digest.value()
        await digest.restart()
        name = os.fsencode(source.name)
        await self._say("offer", version=VERSION, name=name, size=source.size, head=head)
        have = integer(await self._hear("have"), "offset", source.size)
        await busy(self._channel, digest.add_prefix(fd, have), self._timeout)
        await self._say("prefix", sha256=await digest.value())
        answer = await self._hear("go", "done")
        if field(answer, "op", str) == "done":
            with self._shown.file(source.name, source.size, source.size) as meter:
                meter.finish()
            return
        if (offset := integer(answer, "offset")) not in (0, have):
            raise PeerError(f"the peer wants to go on at {offset}, and has {have} bytes")
        if offset != have:
            await digest.restart()
        with self._shown.file(source.name, source.size, offset) as meter:
            await self._pieces(source, offset, digest, meter)
            source.check()
            await self._say("end", sha256=await digest.value())
            await self._hear("done")
            meter.finish()

    async def _pieces(self, source: Source, offset: int, digest: Digest, meter: Meter) -> None:
        answered = offset
        while answered < source.size:
            if offset < source.size and offset - answered < AHEAD * PIECE:
                count = min(PIECE, source.size - offset)
                source.check()
                await digest.add_file(source.file.fileno(), offset, count)
                meta = {"op": "piece", "offset": offset}
                sending = self._channel.send_file(source.file, offset, count, meta=meta)
                await patient(sending, self._timeout)
                offset += count
                meter.reach(offset)
            else:
                got = integer(await self._hear("got"), "offset")
                if got != answered:
                    raise PeerError(
                        f"the peer got a piece for {got} where that for {answered} was due"
                    )
                answered += min(PIECE, source.size - answered)

    async def _say(self, op: str, **fields: object) -> None:
        await say(self._channel, op, timeout=self._timeout, **fields)

    async def _hear(self, *ops: str) -> dict[str, Any]:
        return await hear(self._channel, *ops, timeout=self._timeout)
