"""An unfinished file in the receiver's folder: NAME.KEY.pinwire until its checksum is right.

Everything is done to the file that the descriptor names, which pinwire has made: it is new, or it
has pinwire's mark. A name in the folder is only ever removed when it leads to that file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from typing import TYPE_CHECKING

from .errors import RefusedError, printable
from .marks import is_unfinished, mark_unfinished, mark_whole
from .names import SUFFIX, part_name

if TYPE_CHECKING:
    from typing_extensions import Buffer


WRITE = 256 << 10
"""Bytes of one write: on ext4, 512 MiB by writes of 4 MiB at the end of a file take 0.9 to 2.2 s of
the system's time, by writes of this size 0.2 s."""


class Part:
    """The unfinished file of a name: ours alone while it is open."""

    def __init__(self, folder: int, name: str, head: bytes) -> None:
        self._folder = folder
        self._final = name
        self._name = part_name(name, head)
        self._head = head
        self._marked = False
        self.fd = -1

    @property
    def name(self) -> str:
        return printable(self._final)

    def open(self) -> bool:
        """Open or make it; whether it was made."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(self._name, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self._folder)
            made = True
        except FileExistsError:
            fd = os.open(self._name, flags, dir_fd=self._folder)
            made = False
        try:
            self._claim(fd, made=made)
        except BaseException:
            if made:
                remove(self._folder, self._name, fd)
            os.close(fd)
            raise
        self.fd = fd
        return made

    def _claim(self, fd: int, *, made: bool) -> None:
        opened = os.fstat(fd)
        if not stat.S_ISREG(opened.st_mode) or opened.st_nlink > 1:
            raise RefusedError(f"{printable(self._name)} is not a file of its own")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._taken() from None
        # Who had the lock may have finished in between: what we opened is then the whole file.
        if not leads_to(self._folder, self._name, fd):
            raise self._taken()
        if not made and not is_unfinished(fd):
            raise RefusedError(f"{printable(self._name)} is there, and pinwire did not make it")
        self._marked = mark_unfinished(fd)

    def _taken(self) -> RefusedError:
        return RefusedError(f"{self.name}: it is being received already")

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def free(self) -> int:
        """Bytes that the disk has room for."""
        disk = os.fstatvfs(self.fd)
        return disk.f_bavail * disk.f_frsize

    def truncate(self, size: int) -> None:
        os.ftruncate(self.fd, size)

    def append(self, piece: Buffer, offset: int) -> None:
        """Write at its end, which is at `offset` unless somebody else has changed the file."""
        self.check(offset)
        with memoryview(piece) as rest:
            done = 0
            while done < rest.nbytes:
                done += os.pwrite(self.fd, rest[done : done + WRITE], offset + done)

    def check(self, size: int) -> None:
        if (now := self.size()) != size:
            raise RefusedError(f"{self.name}: somebody has made it {now} bytes long, from {size}")

    def publish(self, sha256: bytes, *, overwrite: bool) -> None:
        """Give it its name."""
        mark_whole(self.fd, self._head, sha256)
        try:
            self._link(overwrite=overwrite)
        except BaseException:
            mark_unfinished(self.fd)
            raise
        remove(self._folder, self._name, self.fd)
        self._release()

    def _link(self, *, overwrite: bool) -> None:
        # The descriptor is linked, not the name: that may lead elsewhere by now.
        source = f"/proc/self/fd/{self.fd}"
        folder = self._folder
        if not overwrite:
            try:  # a link never replaces anything, a rename always does
                os.link(source, self._final, dst_dir_fd=folder)
            except FileExistsError:
                raise RefusedError(f"{self.name}: there is another file of that name") from None
            return
        aside = unguessable()
        os.link(source, aside, dst_dir_fd=folder)
        try:
            os.rename(aside, self._final, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(aside, dir_fd=folder)
            raise

    def close(self) -> bool:
        """Keep what later attempts can go on with; whether nothing is left."""
        if self.fd < 0:
            return False
        gone = self.size() == 0 or not self._marked
        if gone:
            remove(self._folder, self._name, self.fd)
        self._release()
        return gone

    def _release(self) -> None:
        os.close(self.fd)
        self.fd = -1


def leads_to(folder: int, name: str, fd: int) -> bool:
    """Whether the name is that of the open file."""
    try:
        named = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    opened = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def remove(folder: int, name: str, fd: int) -> None:
    """Remove a name if it is that of the open file.

    No system call unlinks by descriptor, and between a look at a name and its unlink somebody may
    put another file there. So the name is taken aside first, to one that nobody can guess, and is
    looked at there; another file gets its name back.
    """
    if not leads_to(folder, name, fd):
        return
    aside = unguessable()
    try:
        os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
    except FileNotFoundError:
        return
    if not leads_to(folder, aside, fd):
        with contextlib.suppress(OSError):
            os.link(aside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            os.unlink(aside, dir_fd=folder)
        return
    os.unlink(aside, dir_fd=folder)


def unguessable() -> str:
    return f"{secrets.token_hex(16)}{SUFFIX}"
