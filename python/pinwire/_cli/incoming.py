"""A file that is being received: NAME.part until its checksum is found right.

It grows by a piece at a time, just before that piece comes. Of the file that any end leaves behind,
that of the process included, all but the last piece has therefore come in full: that is what the
next attempt goes on from, and why nothing has to be tidied up.
"""

from __future__ import annotations

import fcntl
import hmac
import mmap
import os
import stat
from typing import TYPE_CHECKING, Protocol, Self

from .errors import RefusedError, printable, refusing
from .names import PART
from .wire import PIECE

if TYPE_CHECKING:
    from .digest import Digest


class Room(Protocol):
    """What there may still come; see `store.Allowance`."""

    def reserve(self, count: int, free: int) -> None: ...
    def arrived(self, count: int) -> None: ...
    def release(self, count: int) -> None: ...


class Part:
    """The unfinished file: opened without following links, and ours alone while it is open."""

    def __init__(self, folder: int, name: str) -> None:
        self._folder = folder
        self._name = name
        self.fd = -1

    @property
    def name(self) -> str:
        return printable(self._name)

    def open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(self._name + PART, flags, 0o666, dir_fd=self._folder)
        try:
            self._claim(fd)
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd

    def _claim(self, fd: int) -> None:
        opened = os.fstat(fd)
        if not stat.S_ISREG(opened.st_mode) or opened.st_nlink > 1:
            raise RefusedError(f"{self.name}{PART} is not a file of its own")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named = os.stat(self._name + PART, dir_fd=self._folder, follow_symlinks=False)
        except (BlockingIOError, FileNotFoundError):
            named = None
        # Who had the lock may have finished in between: what we opened is then the whole file.
        if named is None or (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino):
            raise RefusedError(f"{self.name}: it is being received already")

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def free(self) -> int:
        """Bytes that the disk has room for."""
        disk = os.fstatvfs(self.fd)
        return disk.f_bavail * disk.f_frsize

    def finish(self, *, overwrite: bool) -> None:
        """Give it its name."""
        folder = self._folder
        if overwrite:
            os.rename(self._name + PART, self._name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            try:  # a link never replaces anything, a rename always does
                os.link(self._name + PART, self._name, src_dir_fd=folder, dst_dir_fd=folder)
            except FileExistsError:
                raise RefusedError(f"{self.name}: there is another file of that name") from None
            os.unlink(self._name + PART, dir_fd=folder)
        os.close(self.fd)
        self.fd = -1

    def close(self) -> None:
        if self.fd >= 0:
            if self.size() == 0:
                os.unlink(self._name + PART, dir_fd=self._folder)
            os.close(self.fd)
            self.fd = -1


class Incoming:
    """Use it with `with`: `have`, then `begin`, then `window` and `arrived` by turns, `finish`."""

    def __init__(
        self, part: Part, size: int, existing: int | None, room: Room, *, overwrite: bool
    ) -> None:
        self._part = part
        self._existing = existing
        self._room = room
        self._overwrite = overwrite
        self._promised = 0
        self.name = part.name
        self.size = size
        self.offset = 0
        self.have = size if existing is not None else 0
        """Bytes that are there, of this file or of another one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Open the part and see how much of it may be gone on with."""
        self._part.open()
        whole = max(self._part.size() - 1, 0) // PIECE * PIECE
        self.have = min(whole, self.size // PIECE * PIECE)
        # Refuse before the file is asked for its checksum.
        self._reserve(self.have)

    async def add_prefix(self, digest: Digest) -> None:
        """Of the bytes that are there."""
        await digest.add_prefix(
            self._part.fd if self._existing is None else self._existing, self.have
        )

    def begin(self, ours: bytes, theirs: bytes) -> bool:
        """Go on at `have` if the checksums of so much agree, else at 0; False if all is there."""
        same = hmac.compare_digest(ours, theirs)
        with refusing(self.name):
            if self._existing is not None:
                if same:
                    return False
                if not self._overwrite:
                    raise RefusedError(f"{self.name}: there is another file of that name")
                self._part.open()
            self.offset = self.have if same else 0
            self._reserve(self.offset)
            os.ftruncate(self._part.fd, self.offset)
        return True

    def window(self, count: int) -> mmap.mmap:
        """The memory of the next piece. Its blocks are there: a full disk is an error here."""
        with refusing(self.name):
            os.posix_fallocate(self._part.fd, self.offset, count)
            return mmap.mmap(self._part.fd, count, offset=self.offset)

    def arrived(self, count: int) -> None:
        self.offset += count
        self._promised -= count
        self._room.arrived(count)

    def finish(self, ours: bytes, theirs: bytes) -> None:
        """Give it its name, if the checksums agree."""
        if not hmac.compare_digest(ours, theirs):
            raise RefusedError(f"{self.name}: the checksum is wrong; it stays as {PART}")
        with refusing(self.name):
            self._part.finish(overwrite=self._overwrite)

    def close(self) -> None:
        self._room.release(self._promised)
        self._promised = 0
        self._part.close()
        if self._existing is not None:
            os.close(self._existing)
            self._existing = None

    def _reserve(self, offset: int) -> None:
        """Have the bytes from `offset` on promised, instead of those that were."""
        self._room.release(self._promised)
        self._promised = 0
        count = self.size - offset
        cut_off = max(self._part.size() - offset, 0)
        try:
            self._room.reserve(count, self._part.free() + cut_off)
        except RefusedError as error:
            raise RefusedError(f"{self.name}: {error}") from None
        self._promised = count
