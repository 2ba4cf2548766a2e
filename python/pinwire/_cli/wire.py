"""What the two ends of a copy say to each other, for each file:

    sender                      receiver
    offer(name, size)     ->
                          <-    have(offset)          what is there of it, by whole pieces
    prefix(sha256)        ->                          of so many bytes of the file
                          <-    go(offset)            there, or at 0 if the prefix is not ours
    piece(offset) ...     ->
                          <-    got(offset) ...       at most AHEAD pieces are unanswered
    end(sha256)           ->
                          <-    done()                instead of go() too: it was there already

`refuse(why)` instead of any answer ends the file: the receiver then skips to the next `offer`, or
to the `bye` that ends every connection. The sender may refuse too, and is answered by `refuse`.
Only a piece has a payload. The checksum of the prefix
decides whether a file is continued, so nothing about it has to be kept beside it, and one that has
grown since is continued too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .errors import PeerError, RefusedByPeerError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pinwire import Channel, Header

VERSION = 1

PIECE = 4 << 20
"""Bytes of every piece but a file's last: a multiple of the page sizes there are, to be mapped."""

AHEAD = 16
"""64 MiB under way: more than the kernel's buffers hold, so that a long way does not slow us."""

LARGEST = 1 << 62
"""Bytes of a file: sums of two still fit the system's off_t."""

_T = TypeVar("_T", int, str, bytes)


async def say(channel: Channel, op: str, **fields: object) -> None:
    await channel.send(b"", meta={"op": op, **fields})


async def hear(channel: Channel, *ops: str) -> dict[str, Any]:
    """The next message, which has to be one of `ops` and without payload."""
    header = await channel.recv_header()
    if not header.nbytes:
        await header.skip()  # first: after a refusal the connection goes on
    check_op(header.meta, *ops)
    check_size(header, 0)
    return dict(header.meta)


def check_op(meta: Mapping[str, Any], *ops: str) -> None:
    op = field(meta, "op", str)
    if op == "refuse":
        raise RefusedByPeerError(f"the peer refused: {printable(field(meta, 'why', str))}")
    if op not in ops:
        raise PeerError(f"the peer said {printable(op)!r} where {' or '.join(ops)} was due")


def check_size(header: Header, count: int) -> None:
    if header.kind != "arrays" or len(header.parts) != 1 or header.nbytes != count:
        raise PeerError(f"the peer sent {header.nbytes} bytes where {count} were due")


def check_piece(header: Header, offset: int, size: int) -> int:
    """The bytes of the piece of a file of `size` bytes that is due at `offset`."""
    check_op(header.meta, "piece")
    count = min(PIECE, size - offset)
    if (claimed := integer(header.meta, "offset")) != offset:
        raise PeerError(f"the peer sent a piece for {claimed} where that for {offset} was due")
    check_size(header, count)
    return count


def field(meta: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    value = meta.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise PeerError(f"the peer's message has no {key!r}: is it pinwire of this version?")
    return value


def integer(meta: Mapping[str, Any], key: str, most: int = LARGEST) -> int:
    value = field(meta, key, int)
    if not 0 <= value <= most:
        raise PeerError(f"the peer's {key} of {value} is not between 0 and {most}")
    return value


def check_version(meta: Mapping[str, Any]) -> None:
    if (version := integer(meta, "version")) != VERSION:
        raise PeerError(f"the peer speaks version {version} of the protocol, not {VERSION}")
