"""Memory is pinned from the call to the end of the transfer, and not longer."""

from __future__ import annotations

import asyncio
import mmap
import sys
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from ._check import Section
from ._flight import comes_true
from ._outcome import ClauseError, NotChecked, expect, expect_bytes, expect_equal

if TYPE_CHECKING:
    from ._pair import Pair

section = Section("pins")


class Counting:
    """An exporter that counts how often it is asked, and how often let go (PEP 688)."""

    def __init__(self, memory: bytearray) -> None:
        self.memory = memory
        self.gets = self.releases = 0

    def __buffer__(self, flags: int, /) -> memoryview:
        self.gets += 1
        return memoryview(self.memory)

    def __release_buffer__(self, view: memoryview, /) -> None:
        self.releases += 1
        view.release()


class Owner(bytearray):
    """Memory of which it can be seen whether it is alive."""


def expect_pinned(memory: bytearray, when: str) -> None:
    """`memory` is as it was afterwards."""
    try:
        memory.append(0)
    except BufferError:
        return
    del memory[-1]
    raise ClauseError(f"the memory can be resized {when}")


def expect_free(memory: bytearray, when: str) -> None:
    """`memory` is as it was afterwards."""
    try:
        memory.append(0)
    except BufferError as error:
        raise ClauseError(f"the memory is still pinned {when}") from error
    del memory[-1]


@section.clause()
async def a_send_holds_its_memory(pair: Pair) -> None:
    """While a send is in flight its memory cannot be resized (BufferError, by Python itself); when
    the call returns it can."""
    client, server = pair
    memory = bytearray(pair.payload)
    sending = await client.begin("send_buffer", memory)
    expect_pinned(memory, "under the send")
    await server.read(len(memory))
    await sending
    expect_free(memory, "after the send")


@section.clause()
async def a_receive_holds_its_memory(pair: Pair) -> None:
    """While a receive is in flight its memory cannot be resized; when the call returns it can."""
    client, server = pair
    memory = bytearray(4)
    receiving = await server.begin("recv_into", memory)
    expect_pinned(memory, "under the receive")
    await client.say(b"data")
    await receiving
    expect_free(memory, "after the receive")


@section.clause("asyncio")
async def memory_is_held_from_the_call_on(pair: Pair) -> None:
    """The call pins, not the await: what is sent cannot be resized between the two. A transfer
    that is dropped without being awaited lets go."""
    client = pair.client
    for method, memory in (("send_buffer", bytearray(4)), ("recv_into", bytearray(4))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # never awaited: that is the point
            transfer: Any = getattr(client.stream, method)(memory)
            try:
                expect_pinned(memory, f"after the call of {method}")
            finally:
                del transfer
        expect_free(memory, f"once the transfer of {method} is dropped")


@section.clause("send_buffers", "recv_buffers_into")
async def every_part_is_held_to_the_end(pair: Pair) -> None:
    """Of several buffers each is pinned until the last is done."""
    client, server = pair
    parts = [bytearray(b"head"), bytearray(pair.payload)]
    targets = [bytearray(4), bytearray(len(pair.payload))]
    sending = await client.begin("send_buffers", parts)
    await server.call("recv_into", memoryview(targets[0]))
    expect_pinned(parts[0], "after its own bytes are sent")
    receiving = server.start("recv_buffers_into", targets[1:])
    await receiving
    await sending
    for part in [*parts, *targets]:
        expect_free(part, "after the transfer")
    last = await server.begin("recv_buffers_into", targets)
    await client.say(b"data")
    await last.settle()
    expect_pinned(targets[0], "after its own bytes have come")


@section.clause()
async def an_end_by_error_lets_go(pair: Pair) -> None:
    """A transfer that fails (another is in flight; the stream is closed) has let go of its memory
    when the error is raised."""
    client, _ = pair
    first, second = bytearray(4), bytearray(4)
    receiving = await client.begin("recv_into", first)
    busy = client.start("recv_into", second)
    if await busy.ended(pair.moment):
        await busy.failure(pair.errors.busy)
        expect_free(second, "after the refusal")
    expect_pinned(first, "by the first receive")
    await client.call("close")
    await receiving.failure(pair.errors.closed)
    expect_free(first, "after the close")


@section.clause("asyncio")
async def a_cancel_lets_go(pair: Pair) -> None:
    """A cancelled transfer has let go of its memory when its task resumes."""
    client, _ = pair
    for method, memory in (
        ("recv_into", bytearray(4)),
        ("send_buffer", bytearray(pair.payload)),
    ):
        flight = await client.begin(method, memory)
        expect_pinned(memory, f"under {method}")
        flight.cancel()
        await flight.failure(asyncio.CancelledError)
        expect_free(memory, f"after the cancel of {method}")


@section.clause("timeout=")
async def a_timeout_lets_go(pair: Pair) -> None:
    """A transfer that timed out has let go of its memory when the error is raised."""
    memory = bytearray(4)
    receiving = pair.client.start("recv_into", memory, timeout=0.01)
    await receiving.failure(pair.errors.timed_out)
    expect_free(memory, "after the timeout")


@section.clause()
async def the_owner_cannot_let_go(pair: Pair) -> None:
    """Memory of a file map or of a view that is in flight cannot be closed or released."""
    client, server = pair
    view = memoryview(bytearray(4))
    receiving = await server.begin("recv_into", view)
    try:
        view.release()
    except BufferError:
        pass
    else:
        raise ClauseError("the view could be released under the receive")
    await client.say(b"data")
    await receiving
    with mmap.mmap(-1, len(pair.payload)) as memory:
        sending = await client.begin("send_buffer", memory)
        try:
            memory.close()
        except BufferError:
            pass
        else:
            raise ClauseError("the map could be closed under the send")
        await server.read(len(pair.payload))
        await sending


@section.clause()
async def memory_nobody_else_holds_lives_on(pair: Pair) -> None:
    """An exporter that only the transfer holds lives until it ends, and not longer."""
    client, server = pair
    memory = Owner(pair.payload)
    alive = weakref.ref(memory)
    sending = await client.begin("send_buffer", memoryview(memory))
    del memory
    expect(alive() is not None, "the memory is gone under the send")
    expect_bytes(await server.read(len(pair.payload)), pair.payload, "sent")
    await sending
    gone = await comes_true(lambda: alive() is None, pair.moment)
    expect(gone, "the memory is still there after the send")


@section.clause()
async def memory_is_let_go_once_for_each_get(pair: Pair) -> None:
    """A class that exports memory by `__buffer__` hears `__release_buffer__` (PEP 688, Python
    3.12) exactly once for each get, and not before the transfer has ended: after a result, an
    error and a close."""
    if sys.version_info < (3, 12):
        raise NotChecked("PEP 688 is of Python 3.12")
    client, server = pair
    done, refused, closed = (Counting(bytearray(b"data")) for _ in range(3))
    await client.call("send_buffer", done)
    expect_bytes(await server.read(4), b"data", "sent")
    receiving = await server.begin("recv_into", closed)
    expect(closed.gets > closed.releases, "let go under the receive")
    busy = server.start("recv_into", refused)
    if await busy.ended(pair.moment):
        await busy.failure(pair.errors.busy)
    await server.call("close")
    await receiving.failure(pair.errors.closed)
    await busy.ended(pair.moment)
    for name, exporter in (("result", done), ("refusal", refused), ("close", closed)):
        expect_equal(exporter.releases, exporter.gets, f"releases after a {name}")
    expect(done.gets, "the exporter was never asked")
