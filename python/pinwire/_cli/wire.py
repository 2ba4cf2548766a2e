"""What the two ends of a copy say to each other, for each file:

    sender                      receiver
    offer(name, size,
          head)           ->                          head: the sha256 of the first piece
                          <-    have(offset)          what is there of it, by whole pieces
    prefix(sha256)        ->                          of so many bytes of the file
                          <-    go(offset)            there, or at 0 if the prefix is not ours
    piece(offset) ...     ->
                          <-    got(offset) ...       at most AHEAD pieces are unanswered
    end(sha256)           ->
                          <-    done()                instead of go() too: it was there already

`refuse(why)` instead of any answer ends the file: the receiver then skips to the next `offer`, or
to the `bye` that ends every connection. The sender may refuse too, and is answered by `refuse`.
Only a piece has a payload. The checksum of the prefix decides whether a file is continued, so
nothing about it has to be kept beside it, and one that has grown since is continued too.

Whoever works on a checksum, or has no turn for the peer yet, says `wait()` about once a second: an
end that says nothing for `--timeout` seconds is given up.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import pinwire

from .errors import PeerError, RefusedByPeerError, printable

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from pinwire import Channel, Header

VERSION = 2

PIECE = 4 << 20
"""Bytes of every piece but a file's last."""

AHEAD = 16
"""64 MiB under way: more than the kernel's buffers hold, so that a long way does not slow us."""

LARGEST = 1 << 62
"""Bytes of a file: sums of two still fit the system's off_t."""

CHECKSUM = 32
"""Bytes of a SHA-256."""

_T = TypeVar("_T", int, str, bytes)


async def say(channel: Channel, op: str, *, timeout: float | None = None, **fields: object) -> None:
    with heeding(timeout):
        await channel.send(b"", meta={"op": op, **fields}, timeout=timeout)


async def hear(channel: Channel, *ops: str, timeout: float | None = None) -> dict[str, Any]:
    """The next message, which has to be one of `ops` and without payload."""
    header = await hear_header(channel, timeout=timeout)
    if not header.nbytes:
        await header.skip()  # first: after a refusal the connection goes on
    check_op(header.meta, *ops)
    check_size(header, 0)
    return dict(header.meta)


async def hear_header(channel: Channel, *, timeout: float | None = None) -> Header:
    """The next header that says more than `wait`."""
    while True:
        with heeding(timeout):
            header = await channel.recv_header(timeout=timeout)
        if header.nbytes > PIECE:
            raise PeerError(f"the peer sent {header.nbytes} bytes where {PIECE} are the most")
        if header.meta.get("op") != "wait":
            return header
        check_size(header, 0)
        await header.skip()


@contextlib.contextmanager
def heeding(timeout: float | None) -> Generator[None]:
    """What times out is the peer's fault."""
    try:
        yield
    except pinwire.TransferTimeoutError:
        raise silence(timeout) from None


def silence(timeout: float | None) -> PeerError:
    return PeerError(f"the peer was silent for {timeout or 0:g} seconds")


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


def checksum(meta: Mapping[str, Any], key: str) -> bytes:
    value = field(meta, key, bytes)
    if len(value) != CHECKSUM:
        raise PeerError(f"the peer's {key} of {len(value)} bytes is no SHA-256")
    return value


def check_version(meta: Mapping[str, Any]) -> None:
    if (version := integer(meta, "version")) != VERSION:
        raise PeerError(f"the peer speaks version {version} of the protocol, not {VERSION}")
