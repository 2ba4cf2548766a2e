"""The marks that say which files pinwire has made: an extended attribute, read by descriptor.

A mark names the inode, so that a copy of the file does not carry it on. The mark of a whole file
holds its checksum, its size and its time of modification: a file that somebody has changed since is
not known any more. Where the file system has no extended attributes, nothing is marked.
"""

from __future__ import annotations

import os

_ATTRIBUTE = "user.pinwire"


def mark_unfinished(fd: int) -> bool:
    """Whether the mark is there: without it, no later attempt goes on with the file."""
    return _set(fd, _unfinished(fd))


def is_unfinished(fd: int) -> bool:
    return _get(fd) == _unfinished(fd)


def mark_whole(fd: int, head: bytes, sha256: bytes) -> None:
    _set(fd, _whole(fd, head) + sha256.hex())


def known_whole(fd: int, head: bytes) -> str | None:
    """The checksum, in hexadecimal digits, of a whole file that begins with `head`."""
    mark, expected = _get(fd), _whole(fd, head)
    return mark.removeprefix(expected) if mark.startswith(expected) else None


def _unfinished(fd: int) -> str:
    return f"unfinished {os.fstat(fd).st_ino}"


def _whole(fd: int, head: bytes) -> str:
    now = os.fstat(fd)
    return f"whole {now.st_ino} {now.st_size} {now.st_mtime_ns} {head.hex()} "


def _get(fd: int) -> str:
    try:
        return os.getxattr(fd, _ATTRIBUTE).decode("ascii", "replace")
    except OSError:
        return ""


def _set(fd: int, mark: str) -> bool:
    try:
        os.setxattr(fd, _ATTRIBUTE, mark.encode())
    except OSError:
        return False
    return True
