"""The end of a stream, as its reader sees it, and as its writer does."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ._check import Section
from ._flight import comes_true
from ._outcome import ClauseError, expect, expect_bytes, expect_equal
from ._tearing import how_far

if TYPE_CHECKING:
    from ._pair import Pair

section = Section("end")


@section.clause()
async def a_receive_at_the_end_returns_nothing(pair: Pair) -> None:
    """At the end of the stream `recv_into` returns 0, after all that was sent before, and again
    each time."""
    client, server = pair
    await client.say(b"last words")
    await client.call("close")
    expect_bytes(await server.read(10), b"last words", "sent before the close")
    for _ in range(2):
        expect_equal(await server.call("recv_into", bytearray(1)), 0, "count at the end")


@section.clause()
async def a_waiting_receive_hears_of_the_end(pair: Pair) -> None:
    """A `recv_into` that waits when the peer closes returns 0."""
    client, server = pair
    receiving = await server.begin("recv_into", bytearray(4))
    await client.call("close")
    expect(await receiving.ended(pair.moment), "it still waits")
    expect_equal(await receiving, 0, "count at the end")


@section.clause("recv_exactly_into")
async def an_exact_receive_cut_short_says_so(pair: Pair) -> None:
    """If the stream ends first, `recv_exactly_into` raises IncompleteTransferError with
    `transferred` and `nbytes`; what came is in the memory."""
    client, server = pair
    memory = bytearray(6)
    await client.say(b"data")
    await client.call("close")
    receiving = server.start("recv_exactly_into", memory)
    error = await receiving.failure(pair.errors.incomplete)
    expect_equal(how_far(receiving, error), 4, "bytes that it says came")
    expect_equal(getattr(error, "nbytes", None), 6, "bytes that it says were to come")
    expect_bytes(memory, b"data\0\0", "received")


@section.clause("recv_buffers_into")
async def a_scattered_receive_cut_short_says_so(pair: Pair) -> None:
    """If the stream ends first, `recv_buffers_into` raises IncompleteTransferError; what came is
    in the buffers."""
    client, server = pair
    head, body = bytearray(3), bytearray(3)
    await client.say(b"data")
    await client.call("close")
    receiving = server.start("recv_buffers_into", [head, body])
    error = await receiving.failure(pair.errors.incomplete)
    expect_equal(how_far(receiving, error), 4, "bytes that it says came")
    expect_bytes(head + body, b"data\0\0", "received")


@section.clause("send_eof")
async def half_a_close_leaves_the_other_half(pair: Pair) -> None:
    """After `send_eof` the peer reads the end and can still answer (shutdown(2)); sending raises
    BrokenPipeError. Twice is allowed."""
    client, server = pair
    await client.say(b"ask")
    for _ in range(2):
        await client.call("send_eof")
    expect_bytes(await server.read(3), b"ask", "sent before the end")
    expect_equal(await server.call("recv_into", bytearray(1)), 0, "count at the end")
    await server.say(b"answer")
    expect_bytes(await client.read(6), b"answer", "received after the end was said")
    await client.start("send_buffer", b"more").failure(BrokenPipeError)


@section.clause()
async def a_send_to_nobody_has_an_errno(pair: Pair) -> None:
    """A send under which the peer goes away raises the OSError of the kernel (BrokenPipeError or
    ConnectionResetError), with its errno."""
    client, server = pair
    sending = await client.begin("send_buffer", pair.payload)
    await server.call("close")
    expect(await sending.ended(pair.moment), "it still waits")
    error = await sending.failure(BrokenPipeError, ConnectionResetError)
    expect(getattr(error, "errno", None), f"{error!r} has no errno")


@section.clause("abort")
async def an_abort_ends_the_peers_receive(pair: Pair) -> None:
    """After `abort` the peer's receive ends: with ConnectionResetError (TCP), or as at the end of
    the stream."""
    client, server = pair
    receiving = await server.begin("recv_into", bytearray(4))
    client.stream.abort()
    expect(await receiving.ended(pair.moment), "it still waits")
    with contextlib.suppress(ConnectionResetError):
        expect_equal(await receiving, 0, "count at the end")


@section.clause("peer_closed")
async def the_end_is_seen_without_reading(pair: Pair) -> None:
    """`peer_closed` tells that the peer has closed before the bytes it had sent are read, and
    takes none of them."""
    client, server = pair
    await client.say(b"data")
    if server.stream.peer_closed:
        raise ClauseError("it says so before the peer has closed")
    await client.call("close")
    seen = await comes_true(lambda: server.stream.peer_closed, pair.moment)
    expect(seen, "it does not say so after the peer has closed")
    expect_bytes(await server.read(4), b"data", "what the peer had sent")
