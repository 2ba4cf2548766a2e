"""The folder that files are received into: what may come, and how much."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Self

from .errors import RefusedError, printable, refusing
from .incoming import Incoming, Part
from .names import safe_name

if TYPE_CHECKING:
    from pathlib import Path


class Allowance:
    """How many bytes may still come: by `--max-bytes`, in all, and by the space there is."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._arrived = 0
        self._promised = 0

    def reserve(self, count: int, free: int) -> None:
        """Promise room for so many bytes more, where the disk has `free` ones."""
        promised = self._promised + count
        if self._most is not None and self._arrived + promised > self._most:
            raise RefusedError(f"{count} bytes more would be over --max-bytes {self._most}")
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


class Folder:
    """A directory, held by its descriptor: it cannot be exchanged under us."""

    def __init__(self, path: Path, *, overwrite: bool, max_bytes: int | None = None) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._overwrite = overwrite
        self._allowance = Allowance(max_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def admit(self, raw_name: bytes, size: int) -> Incoming:
        """A file that a peer offers, to be used with `with`; RefusedError if it may not come."""
        name = safe_name(raw_name)
        with refusing(printable(name)):
            existing = self._existing(name, size)
            part = Part(self._fd, name)
            incoming = Incoming(part, size, existing, self._allowance, overwrite=self._overwrite)
            if existing is None:
                try:
                    incoming.prepare()
                except BaseException:
                    incoming.close()
                    raise
            return incoming

    def _existing(self, name: str, size: int) -> int | None:
        """A descriptor of the file that has the name already and might be the same."""
        try:
            found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(found.st_mode):
            raise RefusedError(f"{printable(name)}: there is a directory of that name")
        if stat.S_ISREG(found.st_mode) and found.st_size == size:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(name, flags, dir_fd=self._fd)
        if not self._overwrite:
            raise RefusedError(f"{printable(name)}: there is another file of that name")
        return None
