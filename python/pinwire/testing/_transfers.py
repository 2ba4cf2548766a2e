"""What a call of the asyncio face returns: a coroutine that can be asked how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ._check import Section
from ._flight import comes_true
from ._outcome import expect, expect_bytes, expect_equal

if TYPE_CHECKING:
    from ._pair import Pair

section = Section("transfer")


@section.clause("asyncio")
async def nothing_moves_before_the_await(pair: Pair) -> None:
    """The call moves no byte; the await does. Until then another transfer may go first."""
    client, server = pair
    later = client.stream.send_buffer(b"later")
    await client.say(b"first")
    expect_equal(await later, 5, "bytes sent")
    expect_bytes(await server.read(10), b"firstlater", "sent")


@section.clause("asyncio")
async def transfers_are_coroutines(pair: Pair) -> None:
    """What a call returns is a `collections.abc.Coroutine`: `create_task`, `TaskGroup`, `gather`
    and `wait_for` take it."""
    client, server = pair
    transfer: Any = client.stream.send_buffer(b"a")
    expect(isinstance(transfer, Coroutine), f"{type(transfer).__name__} is not a coroutine")
    counts = [await asyncio.create_task(transfer)]
    async with asyncio.TaskGroup() as group:
        task: asyncio.Task[Any] = group.create_task(client.stream.send_buffer(b"bc"))
    counts += [task.result(), *await asyncio.gather(client.stream.send_buffer(b"def"))]
    counts.append(await asyncio.wait_for(client.stream.send_buffer(b"g"), pair.settings.patience))
    expect_equal(counts, [1, 2, 3, 1], "counts")
    expect_bytes(await server.read(7), b"abcdefg", "sent")


@section.clause("asyncio")
async def a_transfer_tells_how_far_it_is(pair: Pair) -> None:
    """A transfer has `transferred` (bytes so far, live), `nbytes` (bytes in all) and `done()`."""
    client, server = pair
    transfer: Any = client.stream.send_buffer(pair.payload)
    total = len(pair.payload)
    state = (transfer.transferred, transfer.nbytes, transfer.done())
    expect_equal(state, (0, total, False), "transferred, nbytes, done() after the call")
    task = asyncio.ensure_future(transfer)
    try:
        await server.read(1)
        await comes_true(lambda: transfer.transferred, pair.moment)
        expect(0 < transfer.transferred < total, f"transferred is {transfer.transferred} meanwhile")
        expect_bytes(await server.read(total - 1), pair.payload[1:], "sent")
        await task
    finally:
        task.cancel()
    state = (transfer.transferred, transfer.nbytes, transfer.done())
    expect_equal(state, (total, total, True), "transferred, nbytes, done() at the end")
