"""The folder that files are received into: what may come, and how much."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Self

from .defaults import MAX_FILES
from .errors import RefusedError, printable, refusing
from .incoming import Incoming
from .marks import known_whole
from .names import safe_name
from .part import Part

if TYPE_CHECKING:
    from pathlib import Path


class Allowance:
    """What may still come: by `--max-bytes` and `--max-files`, in all, and by the space there is.

    Only pieces that are under way have room promised: what a sender says of the size of its file
    keeps nothing from others.
    """

    def __init__(self, max_bytes: int | None, max_files: int = MAX_FILES) -> None:
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._arrived = 0
        self._promised = 0
        self._files = 0

    def add_file(self) -> None:
        if self._files >= self._max_files:
            raise RefusedError(f"one file more would be over --max-files {self._max_files}")
        self._files += 1

    def drop_file(self) -> None:
        """One of them is not there any more."""
        self._files -= 1

    def check(self, count: int, free: int) -> None:
        """Refuse what cannot come whole, where the disk has `free` bytes; promise nothing."""
        self._limit(self._arrived + count, count)
        if count > free:
            raise RefusedError(f"{count} bytes more do not fit into the {free} that are free")

    def reserve(self, count: int, free: int) -> None:
        """Promise room for so many bytes that are about to come."""
        promised = self._promised + count
        self._limit(self._arrived + promised, count)
        if promised > free:
            raise RefusedError(f"{count} bytes more do not fit into the {free} that are free")
        self._promised = promised

    def arrived(self, count: int) -> None:
        """So many of those promised have come."""
        self._promised -= count
        self._arrived += count

    def release(self, count: int) -> None:
        """So many of those promised will not come."""
        self._promised -= count

    def _limit(self, total: int, count: int) -> None:
        if self._max_bytes is not None and total > self._max_bytes:
            raise RefusedError(f"{count} bytes more would be over --max-bytes {self._max_bytes}")


class Folder:
    """A directory, held by its descriptor: it cannot be exchanged under us."""

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool,
        max_bytes: int | None = None,
        max_files: int = MAX_FILES,
    ) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._overwrite = overwrite
        self._allowance = Allowance(max_bytes, max_files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def admit(self, raw_name: bytes, size: int, head: bytes) -> Incoming:
        """A file that a peer offers, to be used with `with`; RefusedError if it may not come.

        `head` is the checksum of its first piece.
        """
        name = safe_name(raw_name)
        with refusing(printable(name)):
            known = self._known(name, size, head)
            part = Part(self._fd, name, head)
            incoming = Incoming(part, size, known, self._allowance, overwrite=self._overwrite)
            if known is None:
                try:
                    incoming.prepare()
                except BaseException:
                    incoming.close()
                    raise
            return incoming

    def _known(self, name: str, size: int, head: bytes) -> str | None:
        """The checksum of the file that has the name already, if pinwire has received it.

        Of any other file a peer learns that its name is taken, and nothing else.
        """
        try:
            found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(found.st_mode):
            raise RefusedError(f"{printable(name)}: there is a directory of that name")
        known = None
        if stat.S_ISREG(found.st_mode) and found.st_size == size:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(name, flags, dir_fd=self._fd)
            try:
                known = known_whole(fd, head)
            finally:
                os.close(fd)
        if known is None and not self._overwrite:
            raise RefusedError(f"{printable(name)}: there is another file of that name")
        return known
