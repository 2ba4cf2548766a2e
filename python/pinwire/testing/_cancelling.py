"""A cancel stops a transfer, says how far it came, and loses nothing."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from ._check import Section
from ._flight import comes_true
from ._outcome import ClauseError, expect, expect_bytes, expect_equal
from ._pair import pattern
from ._tearing import expect_torn, expect_whole, how_far

if TYPE_CHECKING:
    from ._flight import Flight
    from ._pair import End, Pair

section = Section("cancel")

RACES = 150
"""Cancels that race with data."""


async def cancelled(pair: Pair, flight: Flight) -> BaseException:
    """Cancel it. What it ends with, which has to be the cancellation, and soon."""
    flight.cancel()
    if not await flight.ended(pair.moment):
        raise ClauseError("it goes on though it was cancelled")
    return await flight.failure(asyncio.CancelledError)


@section.clause("asyncio")
async def a_waiting_receive_takes_nothing(pair: Pair) -> None:
    """A `recv_into` that is cancelled before anything has come takes nothing of what comes later,
    and writes nothing into its memory any more."""
    client, server = pair
    memory = bytearray(4)
    await cancelled(pair, await server.begin("recv_into", memory))
    await client.say(b"data")
    expect_bytes(await server.read(4), b"data", "received after the cancel")
    expect_bytes(memory, bytes(4), "the memory of the cancelled receive")


@section.clause("asyncio")
async def a_receive_loses_no_byte_when_the_cancel_races_with_data(pair: Pair) -> None:
    """`recv_into` takes a byte from the stream only if the call returns, at whatever moment it is
    cancelled."""
    client, server = pair
    content, chance = pattern(RACES * 20), random.Random(1)
    got, memory = bytearray(), bytearray(50)
    for start in range(0, len(content), 20):
        receiving = server.start("recv_into", memory)
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        sending = client.start("send_buffer", content[start : start + 20])
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)
        receiving.cancel()
        await sending
        await receiving.ended()
        try:
            got += memory[: await receiving]
        except asyncio.CancelledError:
            continue
    await client.call("close")
    expect_bytes(got + await server.read(len(content)), content, "received after all cancels")


@section.clause("asyncio", "recv_exactly_into")
async def an_exact_receive_leaves_what_came(pair: Pair) -> None:
    """A cancelled exact receive leaves the bytes so far in its memory and says how many they are;
    the stream goes on from there, and the memory is not written to any more."""
    client, server = pair
    memory = bytearray(10)
    receiving = server.start("recv_exactly_into", memory)
    await client.say(b"abc")
    await receiving.settle()
    await comes_true(lambda: memory.startswith(b"abc"), pair.moment)
    error = await cancelled(pair, receiving)
    expect_equal(how_far(receiving, error), 3, "bytes that it says came")
    expect_bytes(memory, b"abc" + bytes(7), "the memory of the cancelled receive")
    await client.say(b"defg")
    expect_bytes(await server.read(4), b"defg", "what follows")
    expect_bytes(memory, b"abc" + bytes(7), "the memory later")


@section.clause("asyncio")
async def a_send_in_the_middle_tears_the_stream(pair: Pair) -> None:
    """A send that is cancelled after some bytes says how many; exactly these are delivered. Later
    sends raise TornStreamError; receiving still works."""
    sending = await pair.client.begin("send_buffer", pair.payload)
    await expect_torn(pair, sending, await cancelled(pair, sending))


@section.clause("asyncio", "fileno")
async def a_send_before_the_first_byte_leaves_the_stream_whole(pair: Pair) -> None:
    """A send that is cancelled before it has moved a byte moves none, and tears nothing."""
    client, _ = pair
    before, sending = await _stuck(client)
    error = await cancelled(pair, sending)
    expect_equal(how_far(sending, error), 0, "bytes that it says it sent")
    await expect_whole(pair, before)


async def _stuck(client: End) -> tuple[int, Flight]:
    """A send that has no room, and how many bytes are before it. TCP may make room meanwhile."""
    before = 0
    while True:
        before += client.fill()
        sending = client.start("send_buffer", b"\0")
        await sending.settle()
        if not sending.done():
            return before, sending
        before += await sending


@section.clause("asyncio")
async def a_transfer_that_never_ran_moves_nothing(pair: Pair) -> None:
    """A transfer whose task is cancelled before its first step moves nothing and unpins its
    memory."""
    client, server = pair
    data = bytearray(b"never")
    sending = client.start("send_buffer", data)
    await cancelled(pair, sending)
    expect(_can_grow(data), "the memory is still pinned")
    await client.say(b"later")
    expect_bytes(await server.read(5), b"later", "sent afterwards")


def _can_grow(data: bytearray) -> bool:
    try:
        data.append(0)
    except BufferError:
        return False
    return True


@section.clause("asyncio")
async def cancelling_one_direction_leaves_the_other_alone(pair: Pair) -> None:
    """A receive that is cancelled beside a send does not disturb it."""
    client, server = pair
    sending = await client.begin("send_buffer", pair.payload)
    await cancelled(pair, await client.begin("recv_into", bytearray(4)))
    expect(not sending.done(), "the send has ended")
    expect_bytes(await server.read(len(pair.payload)), pair.payload, "sent")
    expect_equal(await sending, len(pair.payload), "bytes of the send")
    await server.say(b"data")
    expect_bytes(await client.read(4), b"data", "received afterwards")
