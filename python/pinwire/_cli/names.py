"""File names that a peer gives are never trusted."""

from __future__ import annotations

import os

from .errors import RefusedError, printable

PART = ".part"
"""What the name of an unfinished file ends with."""

NAME_MAX = 255
"""Bytes of a name on Linux (NAME_MAX, limits.h)."""


def safe_name(raw: bytes) -> str:
    """The name of a file within the receiver's folder, or RefusedError."""
    name = os.fsdecode(raw)
    if raw in (b"", b".", b"..") or b"/" in raw or b"\0" in raw:
        raise RefusedError(f"{printable(name)!r} is not the plain name of a file")
    if len(raw) + len(PART) > NAME_MAX:
        raise RefusedError(f"{printable(name)!r} is too long for a name")
    if name.endswith(PART):
        raise RefusedError(f"{printable(name)!r}: names in {PART} are those of unfinished files")
    return name
