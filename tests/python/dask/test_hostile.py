"""Whoever connects to a listener of Dask's and plays by no rules; the others do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest
from comms import MESSAGE, listening, stream
from distributed.comm import CommClosedError, connect
from hostile import (
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
)
from support import PATIENCE, raw, until

from pinwire.dask._frames import pack

EIB3 = 3 << 60

# What comes instead of a hello.
STRANGERS = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "dask-tcp": struct.pack("<QQQ", 16, 1, 0) + bytes(100),
    "newer": hello(2, 9),
    "half-a-hello": MAGIC,
}


def bytes_of(size: int, *, sent: bytes = b"") -> bytes:
    """A message of one part that announces so many bytes."""
    return header(part("|u1", [size], 1), payload=size) + sent


def whole(data: bytes) -> bytes:
    return bytes_of(len(data), sent=data)


# What comes after a hello; it is followed by the end.
LIES = {
    "3-eib": bytes_of(EIB3, sent=bytes(1000)),
    "3-eib-in-many-parts": header(*[part("|u1", [EIB3 // 4], 1)] * 4, payload=EIB3),
    "overflow": header(part(shape=[1 << 40, 1 << 40]), payload=0),
    "huge-header": prefix(65536, 4 << 20, 65536, EIB3),
    "half-a-message": bytes_of(1000, sent=bytes(999)),
    "no-parts": header(payload=0),
    "floats": floats(1, 2),
    "no-frames": whole(struct.pack("<Q", 0)),
    "many-frames": whole(struct.pack("<Q", 1 << 59)),
    "3-eib-of-frames": whole(struct.pack("<QQ", 1, EIB3)),
    "no-messagepack": whole(pack([b"\xc1" * 100])[0][0]),
    "a-bomb": whole(pack([b"\x91" * 10_000])[0][0]),
    "cut-messagepack": whole(pack([b"\xdf\xff\xff\xff\xff"])[0][0]),
    "an-object": header(payload=0, kind=2),
}


UNREADABLE = {"no-frames", "no-messagepack", "a-bomb", "cut-messagepack"}
"""Those that are messages of frames, of which Dask makes nothing."""


@contextlib.asynccontextmanager
async def besieged():
    """A listener, and whom its handler was given; friends come before and after."""
    came = []

    async def handler(comm):
        came.append(comm)
        with contextlib.suppress(CommClosedError):
            while True:
                await comm.write(await comm.read())

    async with listening(handler) as listener:
        await befriend(listener)
        before = descriptors()
        yield listener, came
        await befriend(listener)
        await until(lambda: descriptors() <= before)
        assert len(came) == 2


async def befriend(listener):
    """Connect as Dask does, and get an answer."""
    comm = await connect(listener.contact_address, timeout=PATIENCE)
    await comm.write(MESSAGE)
    assert await comm.read() == MESSAGE
    await comm.close()


@contextlib.asynccontextmanager
async def peer(listener, *data):
    """A connection that has sent these bytes."""
    with socket.create_connection(listener.get_host_port(), PATIENCE) as sock:
        await asyncio.to_thread(sock.sendall, b"".join(data))
        yield sock


async def told(listener, *data):
    """Send these bytes and the end; wait until the connection is lost."""
    async with peer(listener, *data) as sock:
        with contextlib.suppress(OSError):  # it is lost already
            sock.shutdown(socket.SHUT_WR)
        await asyncio.to_thread(rest, sock)


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_when_it_says_no_hello_then_it_loses_its_connection(name, run):
    async def main():
        async with besieged() as (listener, _):
            await told(listener, STRANGERS[name])

    run(main())


@pytest.mark.parametrize("name", LIES)
def test_a_liar_when_it_says_hello_then_it_loses_its_connection_and_no_memory_is_used(name, run):
    async def main():
        async with besieged() as (listener, _):
            before = rss()
            for _ in range(3):
                await told(listener, hello(), LIES[name])
            assert rss() - before < MARGIN

    run(main())


def test_a_header_of_3_eib_when_it_comes_then_the_connection_is_lost_without_the_end(run):
    async def main():
        async with besieged() as (listener, _), peer(listener, hello(), LIES["3-eib"]) as sock:
            await asyncio.to_thread(rest, sock)

    run(main())


def test_a_peer_when_it_says_nothing_then_the_others_are_served(run):
    async def main():
        async with besieged() as (listener, came), peer(listener) as silent, peer(listener) as gone:
            await befriend(listener)
            reset(gone)
            silent.shutdown(socket.SHUT_WR)
            await asyncio.to_thread(rest, silent)
            came.pop()

    run(main())


@pytest.mark.parametrize("name", LIES)
def test_a_liar_when_it_has_shaken_hands_then_the_handler_loses_its_connection(name, run):
    async def main():
        ends = asyncio.get_running_loop().create_future()

        async def handler(comm):
            try:
                ends.set_result((await comm.read(), comm))
            except Exception as error:
                ends.set_result((error, comm))

        async with listening(handler) as listener:
            liar = await connect(listener.contact_address, timeout=PATIENCE)
            before = rss()
            await liar._channel.drain()
            # Beside the channel, which refuses it.
            with raw(stream(liar)) as sock:
                await asyncio.get_running_loop().sock_sendall(sock, LIES[name])
                sock.shutdown(socket.SHUT_WR)
            error, comm = await ends
            assert rss() - before < MARGIN
            if name in UNREADABLE:
                # Dask's own refusal: the connection is as good as before, until the end of it.
                assert isinstance(error, Exception)
            else:
                assert isinstance(error, CommClosedError)
            await until(comm.closed)
            liar.abort()

    run(main())
