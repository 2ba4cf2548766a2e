"""`timeout=` bounds every transfer, and says how far it came."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._bytes import carry
from ._check import Section
from ._outcome import expect, expect_bytes, expect_equal
from ._tearing import expect_torn, expect_whole, how_far

if TYPE_CHECKING:
    from ._pair import Pair

section = Section("timeouts")

SHORT = 0.01
"""Seconds in which nothing will come."""


@section.clause("timeout=")
async def a_receive_ends_when_nothing_comes(pair: Pair) -> None:
    """A receive with `timeout=` (seconds; 0 tries once) raises TransferTimeoutError when nothing
    has come by then, and takes nothing of what comes later."""
    client, server = pair
    memory = bytearray(4)
    for timeout in (0, SHORT):
        receiving = server.start("recv_into", memory, timeout=timeout)
        expect(await receiving.ended(pair.moment), f"timeout={timeout} does not end it")
        await receiving.failure(pair.errors.timed_out)
    await client.say(b"data")
    expect_bytes(await server.read(4), b"data", "received later")
    expect_bytes(memory, bytes(4), "the memory of the receive that timed out")


@section.clause("timeout=", "recv_exactly_into")
async def an_exact_receive_leaves_what_came(pair: Pair) -> None:
    """An exact receive that times out leaves what came in its memory, says how many of how many
    bytes that is (`transferred`, `nbytes`), and the stream goes on from there."""
    client, server = pair
    memory = bytearray(6)
    await client.say(b"data")
    receiving = server.start("recv_exactly_into", memory, timeout=SHORT)
    error = await receiving.failure(pair.errors.timed_out)
    expect_equal(how_far(receiving, error), 4, "bytes that it says came")
    expect_equal(getattr(error, "nbytes", None), 6, "bytes that it says were to come")
    expect_bytes(memory, b"data\0\0", "received")
    await client.say(b"more")
    expect_bytes(await server.read(4), b"more", "what follows")


@section.clause("timeout=")
async def a_send_in_the_middle_tears_the_stream(pair: Pair) -> None:
    """A send that times out after some bytes says how many; exactly these are delivered. Later
    sends raise TornStreamError; receiving still works."""
    sending = pair.client.start("send_buffer", pair.payload, timeout=SHORT)
    expect(await sending.ended(pair.moment), f"timeout={SHORT} does not end it")
    await expect_torn(pair, sending, await sending.failure(pair.errors.timed_out))


@section.clause("timeout=", "fileno")
async def a_send_before_the_first_byte_leaves_the_stream_whole(pair: Pair) -> None:
    """A send that times out before it has moved a byte moves none, and tears nothing."""
    client, before = pair.client, 0
    for timeout in (0, SHORT):
        while True:
            before += client.fill()
            sending = client.start("send_buffer", b"\0", timeout=timeout)
            expect(await sending.ended(pair.moment), f"timeout={timeout} does not end it")
            try:
                before += await sending  # TCP has made room meanwhile
            except pair.errors.timed_out as error:
                expect_equal(how_far(sending, error), 0, "bytes that it says it sent")
                break
    await expect_whole(pair, before)


@section.clause("timeout=", "recv_exactly_into")
async def no_time_is_enough_for_what_is_ready(pair: Pair) -> None:
    """With `timeout=0` a transfer that need not wait succeeds."""
    client, server = pair
    expect_equal(await client.call("send_buffer", b"data", timeout=0), 4, "bytes sent")
    memory = bytearray(4)
    expect_equal(await server.call("recv_exactly_into", memory, timeout=0), 4, "bytes received")
    expect_bytes(memory, b"data", "received")


@section.clause("timeout=")
async def what_is_no_time_is_refused(pair: Pair) -> None:
    """A `timeout` that is negative or not a number is a ValueError, and nothing moves."""
    client, server = pair
    for wrong in (-1, -math.inf, math.nan):
        await client.start("send_buffer", b"never", timeout=wrong).failure(ValueError)
        await server.start("recv_into", bytearray(1), timeout=wrong).failure(ValueError)
    await client.say(b"later")
    expect_bytes(await server.read(5), b"later", "sent afterwards")


@section.clause("timeout=")
async def time_enough_changes_nothing(pair: Pair) -> None:
    """A transfer that ends in time is not disturbed by its `timeout`."""
    await carry(pair, "send_buffer", pair.payload, pair.payload, timeout=pair.settings.patience)
