"""Closing ends what is in flight, and nothing that comes later is touched by it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from typing import TYPE_CHECKING

from ._check import Section
from ._outcome import ClauseError, expect, expect_bytes, expect_equal
from ._pair import pattern
from ._tearing import how_far

if TYPE_CHECKING:
    from ._pair import Pair

section = Section("close")

RACES = 12
"""Closes that race with transfers, each on a pair of its own."""

NUMBERS = 64
"""Descriptors to open, at most, until one has a number that was given back."""


@section.clause()
async def transfers_in_flight_end(pair: Pair) -> None:
    """`close` ends the transfers in flight with ClosedError; a send says how much it had sent,
    which is delivered."""
    client, server = pair
    sending = await client.begin("send_buffer", pair.payload)
    receiving = await client.begin("recv_into", bytearray(4))
    await client.call("close")
    for flight in (sending, receiving):
        expect(await flight.ended(pair.moment), "a transfer goes on though the stream is closed")
    await receiving.failure(pair.errors.closed)
    sent = how_far(sending, await sending.failure(pair.errors.closed))
    expect_bytes(await server.read(len(pair.payload)), pair.payload[:sent], "delivered")


@section.clause("abort")
async def an_abort_ends_transfers_too(pair: Pair) -> None:
    """`abort` closes at once and drops what is unsent; transfers in flight end with ClosedError."""
    client, _ = pair
    sending = await client.begin("send_buffer", pair.payload)
    receiving = await client.begin("recv_into", bytearray(4))
    client.stream.abort()
    for flight in (sending, receiving):
        expect(await flight.ended(pair.moment), "a transfer goes on though the stream is aborted")
        await flight.failure(pair.errors.closed)


@section.clause()
async def a_closed_stream_says_so(pair: Pair) -> None:
    """Every transfer of a closed stream raises ClosedError; closing again is allowed."""
    client, _ = pair
    for _ in range(2):
        await client.call("close")
    await client.start("send_buffer", b"x").failure(pair.errors.closed)
    await client.start("send_buffer", b"").failure(pair.errors.closed)
    await client.start("recv_into", bytearray(1)).failure(pair.errors.closed)
    for method, data in {
        "send_buffers": [b"x"],
        "recv_exactly_into": bytearray(1),
        "recv_buffers_into": [bytearray(1)],
    }.items():
        if client.lacks(method) is None:
            await client.start(method, data).failure(pair.errors.closed)


@section.clause("fileno")
async def the_number_is_given_back(pair: Pair) -> None:
    """Once `close` has ended the transfers in flight, the descriptor is closed and `fileno` is
    -1."""
    client, _ = pair
    number = client.stream.fileno()
    inode = os.fstat(number).st_ino
    receiving = await client.begin("recv_into", bytearray(4))
    await client.call("close")
    await receiving.failure(pair.errors.closed)
    expect_equal(client.stream.fileno(), -1, "fileno")
    with contextlib.suppress(OSError):  # what it should be: bad file descriptor
        expect(os.fstat(number).st_ino != inode, "the socket is still open")


@section.clause("fileno")
async def a_number_used_again_is_left_alone(pair: Pair) -> None:
    """The descriptor's number is given back only when nobody uses it any more: a receive that was
    ended by `close` takes nothing from the socket that has the number next."""
    client, server = pair
    number, memory = client.stream.fileno(), bytearray(4)
    receiving = await client.begin("recv_into", memory)
    closing = client.start("close")
    await server.call("close")
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        while number not in [one.fileno() for one in sockets] and len(sockets) < NUMBERS:
            sockets += [stack.enter_context(one) for one in socket.socketpair()]
            for one in sockets[-2:]:
                one.send(b"data")
        await receiving.failure(pair.errors.closed)
        await closing
        expect_bytes(memory, bytes(4), "the memory of the receive")
        for one in sockets:
            got = b""
            with contextlib.suppress(BlockingIOError):  # nothing is left
                got = one.recv(9, socket.MSG_DONTWAIT)
            expect_bytes(got, b"data", "what another socket got")


@section.clause()
async def a_close_at_any_moment_ends_in_an_answer(pair: Pair) -> None:
    """Whenever `close` comes, a send and a receive end at once, in a result or in ClosedError, and
    what was delivered is the beginning of what was sent."""
    chance = random.Random(1)
    for _ in range(RACES):
        async with pair.another() as other:
            client, server = other
            content = pattern(chance.choice([10, 2000, 20_000]))
            flights = [
                client.start("send_buffer", content),
                client.start("recv_into", bytearray(4)),
            ]
            reading = server.start("recv_into", memory := bytearray(len(content)))
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            await client.call("close")
            for flight in flights:
                if not await flight.ended(pair.moment):
                    raise ClauseError("a transfer goes on though the stream is closed")
                with contextlib.suppress(pair.errors.closed):
                    await flight
            got = memory[: await reading]
            got += await server.read(len(content) - len(got))
            expect_bytes(got, content[: len(got)], "delivered")
