"""Every byte, in order, however the kernel cuts it."""

from __future__ import annotations

import array
import asyncio
import tempfile
from typing import TYPE_CHECKING, Any

from ._check import Section
from ._flight import results
from ._outcome import expect, expect_bytes, expect_equal
from ._pair import pattern

if TYPE_CHECKING:
    from ._pair import Pair

section = Section("bytes")

MANY = 1500
"""More pieces than one system call takes: IOV_MAX is 1024 (limits.h(0p))."""


async def carry(pair: Pair, method: str, data: Any, content: bytes, **options: Any) -> None:
    """Send it, read it at the other end, and compare content and count."""
    client, server = pair
    sending = client.start(method, data, **options)
    reading = asyncio.ensure_future(server.read(len(content)))
    try:
        await asyncio.wait(
            [asyncio.ensure_future(sending.ended()), reading], return_when="FIRST_COMPLETED"
        )
        if sending.done():
            # Told first: of bytes that were never sent the reader hears nothing.
            expect_equal(await sending, len(content), f"bytes that {method} says it sent")
        expect_bytes(await reading, content, f"sent by {method}")
        expect_equal(await sending, len(content), f"bytes that {method} says it sent")
    finally:
        reading.cancel()


@section.clause()
async def large_sends_arrive_whole(pair: Pair) -> None:
    """`send_buffer` sends every byte in order and returns their count, however many short writes
    (send(2)) that takes."""
    await carry(pair, "send_buffer", pair.payload, pair.payload)


@section.clause()
async def typed_memory_is_counted_in_bytes(pair: Pair) -> None:
    """The size of what is sent is its bytes (`memoryview.nbytes`), never its items (`len`): an
    array of doubles arrives whole after partial writes."""
    content = pattern(pair.settings.payload // 8 * 8)
    await carry(pair, "send_buffer", array.array("d", content), content)


@section.clause()
async def memory_of_several_dimensions_arrives_whole(pair: Pair) -> None:
    """A view of several dimensions is sent whole, in C order, though its `len` is that of the
    first dimension only."""
    content = pattern(pair.settings.payload // 64 * 64)
    view = memoryview(content).cast("d", (4, 2, len(content) // 64))
    await carry(pair, "send_buffer", view, content)


@section.clause("send_buffers")
async def gathered_memory_is_one_write(pair: Pair) -> None:
    """`send_buffers` sends every byte of every buffer in order, of any type and empty ones, too, as
    one transfer; its count is that of all."""
    body = pattern(pair.settings.payload // 8 * 8)
    parts = [b"head", b"", array.array("d", body), bytearray(), memoryview(b"tail")[::-1]]
    await carry(pair, "send_buffers", parts, b"head" + body + b"liat")


@section.clause("send_buffers")
async def any_number_of_pieces_can_be_gathered(pair: Pair) -> None:
    """`send_buffers` takes more buffers than one system call does (IOV_MAX, sendmsg(2))."""
    content = pattern(MANY * 3)
    parts = [content[i : i + 3] for i in range(0, len(content), 3)]
    await carry(pair, "send_buffers", parts, content)


@section.clause("recv_exactly_into")
async def an_exact_receive_fills_its_memory(pair: Pair) -> None:
    """`recv_exactly_into` returns once its memory is full, not when the first bytes have come."""
    client, server = pair
    memory = bytearray(7)
    receiving = server.start("recv_exactly_into", memory)
    for piece in (b"abc", b"d", b"efg"):
        await receiving.settle()
        expect(not receiving.done(), "it returned before all had come")
        await client.say(piece)
    expect_equal(await receiving, 7, "it returned before all had come")
    expect_bytes(memory, b"abcdefg", "received")


@section.clause("recv_exactly_into")
async def a_large_exact_receive_takes_no_more_than_it_holds(pair: Pair) -> None:
    """`recv_exactly_into` takes as many bytes as its memory holds, through short reads (recv(2)),
    and leaves what follows in the stream. Items of any size are filled by bytes."""
    client, server = pair
    content = pattern(pair.settings.payload // 8 * 8)
    memory = array.array("d", bytes(len(content)))
    sending = client.start("send_buffer", content + b"next")
    count = await server.call("recv_exactly_into", memory)
    expect_equal(count, len(content), "bytes that recv_exactly_into says came")
    expect_bytes(memory.tobytes(), content, "received")
    expect_bytes(await server.read(4), b"next", "what follows")
    await sending


@section.clause("recv_buffers_into")
async def scattered_memory_is_filled_in_order(pair: Pair) -> None:
    """`recv_buffers_into` fills every buffer in order, of any type and empty ones, too; it returns
    when all are full, with the bytes of all."""
    client, server = pair
    content = pattern(pair.settings.payload // 8 * 8)
    head, body, tail = bytearray(5), array.array("d", bytes(len(content))), bytearray(3)
    receiving = server.start("recv_buffers_into", [head, bytearray(), body, tail])
    await client.say(b"hea")
    await receiving.settle()
    expect(not receiving.done(), "it returned before all had come")
    rest = b"d:" + content + b"end"
    sending = client.start("send_buffer", rest)
    expect_equal(await receiving, len(rest) + 3, "it returned before all had come")
    expect_equal(await sending, len(rest), "bytes that send_buffer says it sent")
    expect_bytes(bytes(head) + body.tobytes() + tail, b"hea" + rest, "received")


@section.clause("recv_buffers_into")
async def any_number_of_pieces_can_be_scattered(pair: Pair) -> None:
    """`recv_buffers_into` takes more buffers than one system call does (IOV_MAX, recvmsg(2))."""
    client, server = pair
    content = pattern(MANY * 3)
    parts = [bytearray(3) for _ in range(MANY)]
    receiving = server.start("recv_buffers_into", parts)
    counts = await results(client.start("send_buffer", content), receiving)
    expect_equal(counts, [len(content)] * 2, "bytes sent and received")
    expect_bytes(b"".join(parts), content, "received")


@section.clause()
async def a_receive_returns_what_there_is(pair: Pair) -> None:
    """`recv_into` waits for the first bytes only, and returns the count of those that are there, at
    most as many as fit; the rest of the memory stays as it was."""
    client, server = pair
    memory = bytearray(b"." * 9)
    receiving = server.start("recv_into", memory)
    await receiving.settle()
    expect(not receiving.done(), "it returned before anything had come")
    await client.say(b"abc")
    expect_equal(await receiving, 3, "bytes that recv_into says came")
    expect_bytes(memory, b"abc......", "received")
    await client.say(b"0123456789ab")
    expect_equal(await server.call("recv_into", memory), 9, "bytes that recv_into says came")
    expect_bytes(memory, b"012345678", "received")
    expect_bytes(await server.read(3), b"9ab", "what did not fit")


@section.clause()
async def a_receive_takes_no_more_than_nbytes(pair: Pair) -> None:
    """`nbytes` means what it means to `socket.recv_into`: at most so many bytes, 0 as many as fit;
    negative, or more than the memory holds, it is a ValueError and nothing is taken."""
    client, server = pair
    await client.say(b"0123456789")
    memory = bytearray(b"." * 6)
    for wrong in (-1, 7):
        await server.start("recv_into", memory, nbytes=wrong).failure(ValueError)
    expect_equal(await server.call("recv_into", memory, nbytes=4), 4, "bytes for nbytes=4")
    expect_bytes(memory, b"0123..", "received with nbytes=4")
    expect_equal(await server.call("recv_into", memory, nbytes=0), 6, "bytes for nbytes=0")
    expect_bytes(memory, b"456789", "received with nbytes=0")


@section.clause()
async def nothing_is_a_transfer_too(pair: Pair) -> None:
    """Sending an empty buffer moves nothing and returns 0."""
    client, server = pair
    for nothing in (b"", bytearray(), array.array("d")):
        expect_equal(await client.call("send_buffer", nothing), 0, "bytes of an empty send")
    await client.say(b"x")
    expect_bytes(await server.read(1), b"x", "what follows")


@section.clause("recv_exactly_into")
async def filling_nothing_waits_for_nothing(pair: Pair) -> None:
    """An exact receive into empty memory returns 0 without waiting for the peer."""
    receiving = pair.server.start("recv_exactly_into", bytearray())
    expect(await receiving.ended(pair.moment), "it waits for bytes that it has no room for")
    expect_equal(await receiving, 0, "bytes of an empty receive")


@section.clause()
async def both_directions_work_at_once(pair: Pair) -> None:
    """A send and a receive may be in flight at once, and neither waits for the other."""
    client, server = pair
    there, back = pair.payload, pair.payload[::-1]
    sends = [client.start("send_buffer", there), server.start("send_buffer", back)]
    got = await asyncio.gather(server.read(len(there)), client.read(len(back)))
    expect_bytes(got[0], there, "received at one end")
    expect_bytes(got[1], back, "received at the other")
    for send in sends:
        expect_equal(await send, len(there), "bytes that send_buffer says it sent")


@section.clause("send_file")
async def files_are_sent_from_offset_by_count(pair: Pair) -> None:
    """`send_file(file, offset=0, count=None)` sends that part of a regular file, up to its end, and
    returns the bytes that were sent (sendfile(2), `socket.sendfile`)."""
    content = pair.payload
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        await carry(pair, "send_file", file, content)
        await carry(pair, "send_file", file, content[5:], offset=5)
        await carry(pair, "send_file", file, content[7:107], offset=7, count=100)
        await carry(pair, "send_file", file, content[-9:], offset=len(content) - 9, count=100)
