"""A relay between honest ends learns what was sent on connections that it holds, and nothing else.

It can have two ends linked that did not mean to be: it looks like a forwarder. So what it says on
the network may open no memory but what the other end of that link has offered by it, for the very
message: `sent` is all that it may learn, whatever it says.
"""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

import pytest
from links import offer
from relay import SIZE, Connection, forwarder, nothing, server, small
from support import pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

SENT = pattern(SIZE)


@contextlib.contextmanager
def one_process() -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    with server() as address:
        yield address, address


@contextlib.contextmanager
def two_processes() -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    with server() as first, server() as second:
        yield first, second


@contextlib.contextmanager
def through_a_forwarder() -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    with server() as address, forwarder(address) as forwarded:
        yield forwarded, forwarded


PATHS = pytest.mark.parametrize("path", [one_process, two_processes, through_a_forwarder])


@contextlib.contextmanager
def linked(path) -> Iterator[tuple[Connection, Connection, bytes]]:
    """Two connections whose servers are linked, and the header of what the first one offers."""
    with (
        path() as (first, second),
        Connection(first) as offering,
        Connection(second) as reading,
    ):
        reading.sock.sendall(offering.invited(SENT).data)
        yield offering, reading, offering.offered(SENT).data


@PATHS
def test_offer_when_it_is_relayed_as_it_is_then_what_was_sent_is_learned(path):
    with linked(path) as (_, reading, header):
        assert header == offer([SIZE])
        assert reading.learned(header) == SENT


OTHERS = {
    "number-0": offer([SIZE], number=0),
    "next-number": offer([SIZE], number=2),
    "last-number": offer([SIZE], number=2**64 - 1),
    "shorter": offer([SIZE - 1]),
    "longer": offer([SIZE + 1]),
    "much-longer": offer([1 << 30]),
    "in-two-parts": offer([SIZE // 2, SIZE // 2], by_link=[1, 1]),
    "behind-another-part": offer([8, SIZE], by_link=[0, 1]) + bytes(8),
    "with-another-part": offer([SIZE, 8], by_link=[1, 1]),
    "twice": offer([SIZE, SIZE], by_link=[1, 1]),
    "no-part": offer([], by_link=[]),
    "nothing": offer([0]),
    "not-by-the-link": offer([8], by_link=[0]) + bytes(8),
}


@PATHS
@pytest.mark.parametrize("name", OTHERS)
def test_offer_when_its_header_is_another_then_nothing_is_learned(path, name):
    with linked(path) as (_, reading, _):
        assert reading.learned(OTHERS[name]) == b""


def as_version_1(header: bytes, address: int, length: int) -> bytes:
    """The header of an offer that names memory, as it did once."""
    prefix, described = header[:24], header[33:]
    head = prefix + struct.pack("<QII", 1, 1, 0)
    return head + described + struct.pack("<IQQ", 1, address, length)


@PATHS
def test_offer_when_it_names_memory_then_nothing_is_learned(path):
    with linked(path) as (_, reading, header):
        assert reading.learned(as_version_1(header, 0x400000, SIZE)) == b""


@PATHS
def test_offer_when_it_is_replayed_then_nothing_more_is_learned(path):
    with linked(path) as (_, reading, header):
        assert reading.learned(header) == SENT
        assert reading.learned(header, header) == b""


@PATHS
def test_offer_when_another_one_stands_then_only_that_is_learned(path):
    with linked(path) as (offering, reading, header):
        assert reading.learned(header) == SENT
        other = SENT[::-1]
        following = offering.ask(other)
        assert following.data == offer([SIZE], number=2)
        assert reading.learned(header) == b""
        assert reading.learned(following.data) == other


@PATHS
def test_offer_when_its_message_has_another_type_then_the_same_bytes_are_learned(path):
    with linked(path) as (_, reading, header):
        described = header.replace(b"\1\0\0\0C\1\3\0|u1", b"\1\0\0\0C\1\3\0|i1")
        assert described != header
        assert reading.learned(described) == SENT


@PATHS
def test_offer_when_it_goes_back_where_it_came_from_then_nothing_is_learned(path):
    with linked(path) as (offering, reading, header):
        # The other end of the link has not offered anything.
        offering.sock.sendall(header + small(b"ping"))
        # It does not read while it waits for an answer, which comes when the reader is gone.
        reading.sock.close()
        assert offering.learned() == b""


@PATHS
def test_offer_when_it_is_of_another_connection_then_nothing_is_learned(path):
    with linked(path) as (_, _, header), path() as (third, _), Connection(third) as stranger:
        assert stranger.learned(header) == b""


@PATHS
def test_invitation_when_it_is_replayed_then_nothing_is_learned(path):
    with path() as (first, second), Connection(first) as offering:
        invitation = offering.invited(SENT).data
        with Connection(second) as reading, Connection(second) as late:
            reading.sock.sendall(invitation)
            header = offering.offered(SENT).data
            # Nobody listens there any more.
            assert late.learned(invitation) == b""
            assert late.learned(header) == b""
            assert reading.learned(header) == SENT
            # A second one is a violation.
            assert reading.learned(invitation) == b""


@PATHS
def test_invitation_when_it_goes_back_where_it_came_from_then_nothing_is_learned(path):
    with path() as (first, _), Connection(first) as connection:
        invitation = connection.invited(SENT).data
        came = connection.learned(invitation, offer([SIZE]))
        assert came in (b"", SENT[: len(came)])


@PATHS
def test_invitations_when_they_are_exchanged_then_what_was_sent_is_learned(path):
    with path() as (first, second), Connection(first) as one, Connection(second) as other:
        ours, theirs = one.invited(SENT), other.invited(SENT[::-1])
        one.sock.sendall(theirs.data)
        other.sock.sendall(ours.data)
        # Both wait, and neither reads, until they send by the socket: then the link is there.
        assert one.frame().payload == SIZE
        assert other.frame().payload == SIZE


@PATHS
def test_offers_when_nobody_has_linked_then_the_connection_is_lost(path):
    with path() as (first, _), Connection(first) as connection:
        assert connection.learned(nothing(), offer([SIZE])) == b""
