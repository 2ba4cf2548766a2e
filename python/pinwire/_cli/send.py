"""`pinwire send`: files to a `pinwire recv`, each from where an earlier attempt ended."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Self

import pinwire

from .digest import Digest
from .errors import CommandError, PeerError, RefusedByPeerError, RefusedError, complain, printable
from .progress import Meter, Progress, progress
from .wire import AHEAD, PIECE, VERSION, field, hear, integer, say

if TYPE_CHECKING:
    from collections.abc import Iterable
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
            raise CommandError(f"{printable(str(path))} is not a regular file")
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


async def send(paths: Iterable[Path], address: str) -> bool:
    """Send them all; whether the receiver has all of them now."""
    paths = list(paths)
    for path in paths:  # a name that was mistyped is said before anything is sent
        Source(path).file.close()
    good = True
    with progress() as shown:
        async with pinwire.connect_channel(address, max_message_bytes=PIECE) as channel:
            for path in paths:
                with Source(path) as source:
                    try:
                        await _send_file(channel, source, shown)
                    except RefusedError as error:
                        complain(str(error))
                        good = False
                        if not isinstance(error, RefusedByPeerError):
                            await _give_up(channel, error)
            await say(channel, "bye")
    return good


async def _give_up(channel: Channel, error: RefusedError) -> None:
    """Tell the receiver, and read what it has answered to what came before."""
    await say(channel, "refuse", why=str(error))
    try:
        while True:
            await hear(channel, "have", "go", "got", "done")
    except RefusedByPeerError:
        pass


async def _send_file(channel: Channel, source: Source, shown: Progress) -> None:
    with Digest() as digest:
        name = os.fsencode(source.name)
        await say(channel, "offer", version=VERSION, name=name, size=source.size)
        have = integer(await hear(channel, "have"), "offset", source.size)
        await digest.add_prefix(source.file.fileno(), have)
        await say(channel, "prefix", sha256=await digest.value())
        answer = await hear(channel, "go", "done")
        if field(answer, "op", str) == "done":
            with shown.file(source.name, source.size, source.size) as meter:
                meter.finish()
            return
        if (offset := integer(answer, "offset")) not in (0, have):
            raise PeerError(f"the peer wants to go on at {offset}, and has {have} bytes")
        if offset != have:
            await digest.restart()
        with shown.file(source.name, source.size, offset) as meter:
            await _send_pieces(channel, source, offset, digest, meter)
            source.check()
            await say(channel, "end", sha256=await digest.value())
            await hear(channel, "done")
            meter.finish()


async def _send_pieces(
    channel: Channel, source: Source, offset: int, digest: Digest, meter: Meter
) -> None:
    answered = offset
    while answered < source.size:
        if offset < source.size and offset - answered < AHEAD * PIECE:
            count = min(PIECE, source.size - offset)
            source.check()
            await digest.add_file(source.file.fileno(), offset, count)
            meta = {"op": "piece", "offset": offset}
            await channel.send_file(source.file, offset, count, meta=meta)
            offset += count
            meter.reach(offset)
        else:
            if (got := integer(await hear(channel, "got"), "offset")) != answered:
                raise PeerError(f"the peer got a piece for {got} where that for {answered} was due")
            answered += min(PIECE, source.size - answered)
