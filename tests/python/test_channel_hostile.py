"""What a server of channels does with those who do not play by the rules, and for the others."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest
from hostile import (
    GIB4,
    MAGIC,
    MARGIN,
    descriptors,
    floats,
    header,
    hello,
    part,
    prefix,
    reset,
    rest,
    rss,
    take,
)
from served import served
from support import PATIENCE, wait_until

import pinwire

FACES = pytest.mark.parametrize("face", ["asyncio", "uvloop", "blocking"])
MEBI = 1 << 20

# First bytes of those who do not get as far as a handler.
STRANGERS = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "random": bytes((i * i * 31 + 7) % 251 for i in range(4096)),
    "text-mode": MAGIC.replace(b"\r\n", b"\n") + hello()[8:],
    "older": hello(1, 1),
    "oldest": hello(0, 0),
    "newer": hello(3, 255),
    "reversed": hello(255, 0),
    "extensions": struct.pack("<8sBBHIQ", MAGIC, 2, 2, 4097, 0, 1) + bytes(4097),
}

# What comes after a hello, and what the handler is told of it.
LIES = {
    "kind": (b"\x04" + bytes(23), "a message of an unknown kind"),
    "flags": (b"\x01\x80" + bytes(22), "flags that this version does not know"),
    "parts": (prefix(65537, 0, 0, 0), "65537 parts, and 65536 is the limit"),
    "most-parts": (prefix(0xFFFFFFFF, 0, 0, 0), "4294967295 parts"),
    "descriptions": (prefix(1, 4 * MEBI + 1, 0, 0), "4194305 bytes of descriptions"),
    "meta": (prefix(0, 0, 65537, 0), "65537 bytes of meta, and 65536 is the limit"),
    "dimensions": (header(part(shape=[1] * 65), payload=8), "65 dimensions of an array"),
    "dtype-text": (header(part("x" * 16385), payload=8), "16385 bytes of a dtype's text"),
    "payload": (header(part(shape=[2]), payload=17), "the parts do not make up the payload"),
    "no-pickle": (header(payload=0, kind=2), "an object without its pickle"),
    "overflow": (header(part(shape=[1 << 40, 1 << 40]), payload=0), "larger than any memory"),
    "negative": (header(part(shape=[0, 1 << 63]), payload=0), "larger than any memory"),
    "bytes-behind": (header(part() + b"x", payload=8), "bytes are left behind the last"),
    "part-missing": (prefix(2, 19, 0, 8) + part(), "a description ends in the middle"),
    "meta-bomb": (header(meta=b"\x91" * 65536, payload=0), "meta that nests too deep"),
    "meta-lie": (header(meta=b"\xdf\xff\xff\xff\xff", payload=0), "meta that is no MessagePack"),
    "itemsize": (header(part("<f8", itemsize=4), payload=4), "whose items have another size"),
    "pointers": (header(part("|O8"), payload=8), "a dtype that makes no sense: it is no type"),
}


@FACES
def test_a_stranger_when_it_speaks_something_else_then_it_loses_its_connection(face):
    with served(face) as (server, friend):
        for data in STRANGERS.values():
            with server.peer(data) as sock:
                # Our hello says to a newer version what this one is.
                assert rest(sock) in (hello(max_message_bytes=GIB4), b"")
                assert friend.is_served()


def test_a_peer_of_another_version_when_it_is_turned_away_then_it_has_our_hello():
    with served("asyncio") as (server, _), server.peer(hello(3, 9)) as sock:
        assert rest(sock) == hello(max_message_bytes=GIB4)


@FACES
def test_a_lie_when_it_is_told_then_the_liar_loses_its_connection(face):
    with served(face) as (server, friend):
        for name, (data, text) in LIES.items():
            with server.peer(hello(), floats(1, 2), data) as sock:
                error = server.error()
                assert type(error) is pinwire.ProtocolError, name
                assert text in str(error), name
                rest(sock)
                assert friend.is_served()


@FACES
def test_a_peer_when_it_stops_in_the_middle_then_the_handler_is_told(face):
    message = header(part(shape=[2]), meta=b"\x81\x01\x02", payload=16) + bytes(16)
    with served(face) as (server, friend):
        for cut in (1, 12, 23, 24, 30, len(message) - 17, len(message) - 16, len(message) - 1):
            with server.peer(hello(), message[:cut]) as sock:
                sock.shutdown(socket.SHUT_WR)
                error = server.error()
                assert type(error) is pinwire.IncompleteTransferError, cut
                rest(sock)
                assert friend.is_served()


@FACES
def test_a_peer_when_it_stops_before_its_hello_is_over_then_it_is_forgotten(face):
    with served(face) as (server, friend):
        for cut in (0, 1, 7, 8, 23):
            with server.peer(hello()[:cut]) as sock:
                sock.shutdown(socket.SHUT_WR)
                assert rest(sock) in (hello(max_message_bytes=GIB4), b"")
        with server.peer(hello(extensions=bytes(8))[:-1]) as sock:
            sock.shutdown(socket.SHUT_WR)
            rest(sock)
        assert friend.is_served()


@FACES
def test_a_payload_when_it_is_only_announced_then_no_memory_is_used(face):
    items = GIB4 // 8 - 1
    with served(face) as (server, friend):
        before = rss()
        with contextlib.ExitStack() as stack:
            announced = hello() + header(part(shape=[items]), payload=8 * items)
            peers = [stack.enter_context(server.peer(announced, bytes(100))) for _ in range(8)]
            wait_until(lambda: server.announced.count(8 * items) == 8)
            assert friend.is_served()
            # An array takes the huge page that its first bytes lie in.
            assert rss() - before < MARGIN + 8 * 2 * MEBI
            for sock in peers:
                sock.shutdown(socket.SHUT_WR)
                assert type(server.error()) is pinwire.IncompleteTransferError
                rest(sock)


@FACES
def test_a_header_when_it_is_only_announced_then_no_memory_is_used(face):
    with served(face) as (server, friend):
        before = rss()
        with contextlib.ExitStack() as stack:
            announced = hello() + prefix(65536, 4 * MEBI, 65536, 1 << 40)
            peers = [stack.enter_context(server.peer(announced)) for _ in range(32)]
            assert friend.is_served()
            assert rss() - before < MARGIN
            for sock in peers:
                sock.shutdown(socket.SHUT_WR)
                assert type(server.error()) is pinwire.IncompleteTransferError
                rest(sock)


@FACES
def test_a_message_over_the_limit_when_it_comes_then_the_channel_stays_in_step(face):
    with served(face, max_message_bytes=1 << 23) as (server, friend):
        items = (1 << 20) + 1
        large = header(part(shape=[items]), payload=8 * items)
        with server.peer(hello(), large, bytes(8 * items), floats(1, 2)) as sock:
            assert "max_message_bytes is 8388608" in str(server.refusal())
            ours = hello(max_message_bytes=1 << 23) + floats(1, 2)
            assert take(sock, len(ours)) == ours
            assert friend.is_served()


@FACES
def test_a_peer_when_it_sends_byte_by_byte_then_the_others_are_served_meanwhile(face):
    data = hello() + floats(3)
    with served(face) as (server, friend), server.peer() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            sock.sendall(data[at : at + 1])
            if at % 8 == 0:
                assert friend.is_served()
        ours = hello(max_message_bytes=GIB4) + floats(3)
        assert take(sock, len(ours)) == ours


@FACES
@pytest.mark.parametrize("payload", [None, 0, 50])
def test_a_peer_when_it_resets_then_the_others_do_not_notice(face, payload):
    begun = b"" if payload is None else header(part(shape=[9]), payload=72) + bytes(payload)
    with served(face) as (server, friend):
        handlers = server.handlers
        with server.peer(hello(), begun) as sock:
            wait_until(lambda: server.handlers > handlers)
            wait_until(lambda: payload is None or server.announced[-1] == 72)
            reset(sock)
        assert isinstance(server.error(), ConnectionResetError)
        assert friend.is_served()


@FACES
def test_a_peer_when_it_resets_before_its_hello_is_over_then_the_others_do_not_notice(face):
    with served(face) as (server, friend):
        for cut in (0, 9):
            with server.peer(hello()[:cut]) as sock:
                reset(sock)
            assert friend.is_served()


@FACES
def test_a_peer_when_it_takes_no_bytes_then_what_it_asked_for_is_refused(face):
    with served(face) as (server, friend):
        with server.peer(hello(max_message_bytes=0), floats(1)) as sock:
            error = server.error()
            assert type(error) is pinwire.MessageRefusedError
            assert "the peer takes messages of at most 0 bytes" in str(error)
            rest(sock)
        assert friend.is_served()


@FACES
def test_many_liars_when_they_come_at_once_then_nothing_of_them_is_left(face):
    with served(face) as (server, friend):
        before = descriptors()
        with contextlib.ExitStack() as stack:
            data = [hello() + data for data, _ in LIES.values()] + list(STRANGERS.values())
            peers = [stack.enter_context(server.peer(each)) for each in data * 2]
            assert friend.is_served()
            for sock in peers:
                sock.settimeout(PATIENCE)
                rest(sock)
        for _ in range(2 * len(LIES)):
            assert type(server.error()) is pinwire.ProtocolError
        wait_until(lambda: descriptors() <= before)
