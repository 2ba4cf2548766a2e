"""The frames of a message of Dask's as the parts of one of a channel's.

The first part is a table and the small frames, one behind the other. Each of the others is a large
frame that lies where it lay, or consecutive frames that are the pieces of one buffer: in one part
they arrive in one allocation again, and Dask puts them together without a copy.

The table is an array of unsigned 64-bit little-endian numbers: how many frames there are, then the
size of each in bytes, with the highest bit set if it lies in one of the further parts.
"""

from __future__ import annotations

import struct
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from distributed.protocol.utils import merge_memoryviews
from distributed.utils import ensure_memoryview, nbytes

from ..errors import MessageRefusedError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

APART = 1 << 63
"""Marks a frame that lies in a part of its own, or shares it with the pieces next to it."""

SMALL = 16 * 1024
"""Messages up to so many bytes are one part: to copy that is cheaper than to describe it."""

FLEETING = 64 * 1024
"""Up to here `bytes` are copied, too. They are pickles and the like, which nobody keeps; memory of
arrays is kept, and must not keep the rest of a message alive."""

MANY = 16 * 1024
"""Frames that may lie apart in one message. What is cut into more is copied."""


MOST = 1 << 20
"""Frames that a message may have: each takes memory at the receiver, even if it is empty."""

AT_A_TIME = 1024
"""Frames that are unpacked in one go."""


def pack(frames: Sequence[Any]) -> tuple[list[Any], int]:
    """The parts of a message of these frames, and how many bytes the frames are."""
    if len(frames) > MOST:
        raise MessageRefusedError(f"a message has at most {MOST} frames, not {len(frames)}")
    sizes: list[int] = [nbytes(frame) for frame in frames]
    total = sum(sizes)
    if total <= SMALL:
        return [_first(sizes, frames)], total
    table: list[int] = []
    small: list[Any] = []
    large: list[memoryview] = []
    for frame, size in zip(frames, sizes, strict=True):
        if size == 0 or (size <= FLEETING and isinstance(frame, bytes)):
            small.append(frame)
            table.append(size)
        else:
            large.append(ensure_memoryview(frame))
            table.append(size | APART)
    if len(large) > MANY:
        return [_first(sizes, frames)], total
    return [_first(table, small), *_merged(large)], total


def _first(table: Sequence[int], frames: Iterable[Any]) -> bytes:
    return b"".join((struct.pack(f"<{len(table) + 1}Q", len(table), *table), *frames))


def _merged(frames: list[memoryview]) -> list[memoryview]:
    """The same bytes with the pieces of one buffer put together, as far as they are in order."""
    buffers = groupby(frames, key=lambda frame: id(frame.obj))
    return [part for _, pieces in buffers for part in _whole([*pieces])]


def _whole(pieces: list[memoryview]) -> list[memoryview]:
    if len(pieces) < 2:
        return pieces
    try:
        return [merge_memoryviews(pieces)]
    except ValueError:  # not beside each other
        return pieces


def unpack(parts: Sequence[Any]) -> Iterator[list[memoryview]]:
    """The frames in the parts of a message, some at a time, so that a loop may run in between.

    Raises ProtocolError if they are none: what came before is of no use then.
    """
    try:
        first, *rest = [memoryview(part).cast("B") for part in parts]
        (count,) = struct.unpack_from("<Q", first)
        table = first[8 : 8 * (min(count, MOST) + 1)]
        sizes = struct.iter_unpack("<Q", table)
    except (ValueError, TypeError, struct.error) as error:
        raise ProtocolError("the peer sent a message that is none of Dask's") from error
    found = 0
    at, part, within = 8 * (count + 1), 0, 0
    while some := [size for (size,) in islice(sizes, AT_A_TIME)]:
        frames: list[memoryview] = []
        for size in some:
            if size < APART:
                frame = first[at : at + size]
                at += size
            else:
                size -= APART
                if part == len(rest):
                    break
                frame = rest[part][within : within + size]
                within += size
                if within >= rest[part].nbytes:
                    part, within = part + 1, 0
            if frame.nbytes != size:
                break
            frames.append(frame)
        found += len(frames)
        yield frames
        if len(frames) != len(some):
            break
    if found != count or at != first.nbytes or part != len(rest) or within != 0:
        raise ProtocolError("the peer sent frames of other sizes than it said")
