"""One send and one receive at a time; a second one is refused and disturbs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._check import Section
from ._outcome import ClauseError, expect, expect_bytes, expect_equal

if TYPE_CHECKING:
    from ._flight import Flight
    from ._pair import Pair

section = Section("conflicts")


async def refused(pair: Pair, flight: Flight) -> None:
    """Expect that it ends at once, as one too many."""
    if not await flight.ended(pair.moment):
        raise ClauseError(f"no {pair.errors.busy.__name__} at once: the second call waits")
    await flight.failure(pair.errors.busy)


@section.clause()
async def a_second_receive_is_refused(pair: Pair) -> None:
    """A receive beside another raises BusyError at once and takes nothing; the first goes on."""
    client, server = pair
    memory = bytearray(4)
    first = await server.begin("recv_into", memory)
    await refused(pair, server.start("recv_into", bytearray(4)))
    expect(not first.done(), "the first one has ended")
    await client.say(b"data")
    expect_equal(await first, 4, "bytes of the first receive")
    expect_bytes(memory, b"data", "received by the first")
    await client.say(b"more")
    expect_bytes(await server.read(4), b"more", "what follows")


@section.clause("recv_exactly_into", "recv_buffers_into")
async def receives_of_all_kinds_are_one_direction(pair: Pair) -> None:
    """Exact and scattered receives are receives: beside another each raises BusyError at once."""
    client, server = pair
    memory = bytearray(4)
    first = await server.begin("recv_exactly_into", memory)
    await refused(pair, server.start("recv_exactly_into", bytearray(4)))
    await refused(pair, server.start("recv_buffers_into", [bytearray(2), bytearray(2)]))
    await refused(pair, server.start("recv_into", bytearray(4)))
    await client.say(b"data")
    expect_equal(await first, 4, "bytes of the first receive")
    expect_bytes(memory, b"data", "received by the first")


@section.clause()
async def a_second_send_is_refused(pair: Pair) -> None:
    """A send beside another raises BusyError at once and moves nothing: bytes of two writers never
    interleave. Afterwards the direction is free."""
    client, server = pair
    first = await client.begin("send_buffer", pair.payload)
    await refused(pair, client.start("send_buffer", b"other"))
    expect_bytes(await server.read(len(pair.payload)), pair.payload, "sent by the first")
    expect_equal(await first, len(pair.payload), "bytes of the first send")
    await client.say(b"more")
    expect_bytes(await server.read(4), b"more", "what follows")


@section.clause("send_buffers")
async def sends_of_all_kinds_are_one_direction(pair: Pair) -> None:
    """A gathered send is a send, and so is an empty one: beside another each raises BusyError."""
    client, server = pair
    first = await client.begin("send_buffers", [b"head", pair.payload])
    await refused(pair, client.start("send_buffers", [b"other", b"one"]))
    await refused(pair, client.start("send_buffer", b"other"))
    await refused(pair, client.start("send_buffer", b""))
    expected = b"head" + pair.payload
    expect_bytes(await server.read(len(expected)), expected, "sent by the first")
    expect_equal(await first, len(expected), "bytes of the first send")


@section.clause("send_eof")
async def the_end_is_not_said_under_a_send(pair: Pair) -> None:
    """`send_eof` raises BusyError while a send is in flight: it would cut it off."""
    client, server = pair
    first = await client.begin("send_buffer", pair.payload)
    await refused(pair, client.start("send_eof"))
    expect_bytes(await server.read(len(pair.payload)), pair.payload, "sent by the first")
    expect_equal(await first, len(pair.payload), "bytes of the first send")


@section.clause("detach")
async def a_stream_in_use_is_not_detached(pair: Pair) -> None:
    """`detach` raises BusyError while a transfer is in flight, which goes on."""
    client, server = pair
    memory = bytearray(4)
    first = await server.begin("recv_into", memory)
    try:
        number = server.stream.detach()
    except pair.errors.busy:
        pass
    else:
        raise ClauseError(f"it gave the descriptor {number} away")
    await client.say(b"data")
    expect_equal(await first, 4, "bytes of the receive")
    expect_bytes(memory, b"data", "received")
