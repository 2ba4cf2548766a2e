"""A file that is being received.

It grows by a piece at a time, when that piece has come. Of the file that any end leaves behind,
that of the process included, every whole piece has therefore come: that is what the next attempt
goes on from, and why nothing has to be tidied up.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Protocol, Self

from .errors import RefusedError, refusing
from .wire import PIECE

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from .digest import Digest
    from .part import Part


class Room(Protocol):
    """What there may still come; see `store.Allowance`."""

    def add_file(self) -> None: ...
    def drop_file(self) -> None: ...
    def check(self, count: int, free: int) -> None: ...
    def reserve(self, count: int, free: int) -> None: ...
    def arrived(self, count: int) -> None: ...
    def release(self, count: int) -> None: ...


class Incoming:
    """Use it with `with`: `have`, then `begin`, then `expect` and `arrived` by turns, `finish`."""

    def __init__(
        self, part: Part, size: int, known: str | None, room: Room, *, overwrite: bool
    ) -> None:
        self._part = part
        self._known = known
        self._room = room
        self._overwrite = overwrite
        self._counted = False
        self._expected = 0
        self.name = part.name
        self.size = size
        self.offset = 0
        self.have = size if known is not None else 0
        """Bytes that are there, of this file or of another one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Open the part and see how much of it may be gone on with."""
        self._open()
        self.have = min(self._part.size(), self.size) // PIECE * PIECE
        # Refuse before the file is asked for its checksum.
        self._check(self.have)

    async def agrees(self, theirs: bytes, digest: Digest) -> bool:
        """Whether the bytes that are there have the checksum that the sender's have."""
        if self._known is not None:
            return hmac.compare_digest(self._known, theirs.hex())
        await digest.add_prefix(self._part.fd, self.have)
        return hmac.compare_digest(await digest.value(), theirs)

    def begin(self, *, same: bool) -> bool:
        """Go on at `have` if the checksums of so much agree, else at 0; False if all is there."""
        with refusing(self.name):
            if self._known is not None:
                if same:
                    return False
                if not self._overwrite:
                    raise RefusedError(f"{self.name}: there is another file of that name")
                self._open()
            self.offset = self.have if same else 0
            self._check(self.offset)
            self._part.truncate(self.offset)
        return True

    def expect(self, count: int) -> None:
        """Have room for the next piece, or RefusedError."""
        self._refusing_room(lambda: self._room.reserve(count, self._part.free()))
        self._expected += count

    def append(self, piece: Buffer, offset: int) -> None:
        """Write a piece: in a thread, so nothing else of this object is used."""
        with refusing(self.name):
            self._part.append(piece, offset)

    def arrived(self, count: int) -> None:
        self.offset += count
        self._expected -= count
        self._room.arrived(count)

    def finish(self, ours: bytes, theirs: bytes) -> None:
        """Give it its name, if the checksums agree."""
        if not hmac.compare_digest(ours, theirs):
            raise RefusedError(f"{self.name}: the checksum is wrong; it stays unfinished")
        with refusing(self.name):
            self._part.check(self.size)
            self._part.publish(ours, overwrite=self._overwrite)

    def close(self) -> None:
        self._room.release(self._expected)
        self._expected = 0
        if self._part.close() and self._counted:
            self._room.drop_file()

    def _open(self) -> None:
        if self._part.open():
            self._refusing_room(self._room.add_file)
            self._counted = True

    def _check(self, offset: int) -> None:
        cut_off = max(self._part.size() - offset, 0)
        count = self.size - offset
        self._refusing_room(lambda: self._room.check(count, self._part.free() + cut_off))

    def _refusing_room(self, ask: Callable[[], None]) -> None:
        try:
            ask()
        except RefusedError as error:
            raise RefusedError(f"{self.name}: {error}") from None
