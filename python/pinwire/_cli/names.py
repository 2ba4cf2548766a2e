"""File names that a peer gives are never trusted."""

from __future__ import annotations

import hashlib
import os

from .errors import RefusedError, printable

SUFFIX = ".pinwire"
"""What the name of an unfinished file ends with."""

KEY = 16
"""Hexadecimal digits in it that tell files of one name apart: one pair in 2^64 collides."""

NAME_MAX = 255
"""Bytes of a name on Linux (NAME_MAX, limits.h)."""

_LONGEST = NAME_MAX - len(f".{'0' * KEY}{SUFFIX}")

_OBEYED = frozenset(
    chr(code)
    for codes in (
        range(0x20),  # C0: newlines, escapes
        range(0x7F, 0xA0),  # DEL and C1, which some terminals take for escapes
        range(0xDC80, 0xDCA0),  # the same as bytes that are not UTF-8
        (0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)),  # lines and directions
    )
    for code in codes
)


def safe_name(raw: bytes) -> str:
    """The name of a file within the receiver's folder, or RefusedError.

    Names that people, shells or terminals read as something else than a file are refused.
    """
    name = os.fsdecode(raw)
    shown = repr(printable(name))
    if raw in (b"", b".", b"..") or b"/" in raw or b"\0" in raw:
        raise RefusedError(f"{shown} is not the plain name of a file")
    if raw.startswith(b"."):
        raise RefusedError(f"{shown} begins with a dot: such files are hidden, or settings")
    if raw.startswith(b"-"):
        raise RefusedError(f"{shown} begins with a dash: commands take it for an option")
    if not _OBEYED.isdisjoint(name):
        raise RefusedError(f"{shown} has characters in it that a terminal obeys")
    if len(raw) > _LONGEST:
        raise RefusedError(f"{shown} is longer than {_LONGEST} bytes")
    if name.endswith(SUFFIX):
        raise RefusedError(f"{shown}: names in {SUFFIX} are those of unfinished files")
    return name


def part_name(name: str, head: bytes) -> str:
    """The name of the unfinished file `name` whose first piece has the checksum `head`.

    Files of one name that begin differently are apart: their senders do not meet.
    """
    key = hashlib.sha256(os.fsencode(name) + b"\0" + head).hexdigest()[:KEY]
    return f"{name}.{key}{SUFFIX}"
