"""Cancelling bulk: the task ends when the worker has let go, and always as cancelled."""

from __future__ import annotations

import asyncio

import pytest
from support import BIG, SMALL, aloft, cancelled, pattern, raw, received, until, wait_until

import pinwire

SIZE = BIG * 2


def landed():
    """Whether the workers have nothing left to do, though no loop has heard of it."""
    return pinwire.runtime_stats().bulk_in_flight == 0


def drain(stream, size):
    """The next bytes of the stream, while the loop stands still."""
    got = bytearray()
    with raw(stream) as sock:
        sock.settimeout(10)
        while len(got) < size:
            got += sock.recv(size - len(got))
    return bytes(got)


def test_bulk_when_cancelled_then_the_task_ends_when_the_worker_has_let_go(run, pair):
    async def main():
        async with pair() as (_, server):
            memory = bytearray(SIZE)
            task = await aloft(server, transfer := server.recv_exactly_into(memory))
            assert task.cancel("because")
            with pytest.raises(BufferError):
                memory.append(0)
            assert not (task.done() or transfer.done())
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert caught.value.args == ("because",)
            assert (caught.value.transferred, caught.value.nbytes) == (0, SIZE)
            memory.append(0)

    run(main())


def test_bulk_send_when_cancelled_then_not_a_byte_follows(run, pair):
    async def main():
        async with pair() as (client, server):
            payload = bytearray(pattern(SIZE))
            task = await aloft(client, client.send_buffer(payload))
            await received(server, BIG // 2)
            error = await cancelled(task)
            payload[:] = bytes(SIZE)
            payload.append(0)
            assert BIG // 2 <= error.transferred < error.nbytes == SIZE
            with pytest.raises(pinwire.TornStreamError):
                await client.send_buffer(b"more")
            await client.send_eof()
            rest = error.transferred - BIG // 2
            assert await received(server, rest) == pattern(rest, BIG // 2)
            assert await server.recv_into(bytearray(1)) == 0

    run(main())


def test_bulk_when_it_was_complete_as_the_cancel_came_then_it_ends_cancelled_with_all_bytes(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            task = await aloft(client, client.send_buffer(bytearray(pattern(SIZE))))
            assert drain(server, SIZE) == pattern(SIZE)
            wait_until(landed)
            error = await cancelled(task)
            assert (error.transferred, error.nbytes) == (SIZE, SIZE)
            # All of it was sent, so nothing is torn.
            await client.send_buffer(b"next")
            assert await received(server, 4) == b"next"

    run(main())


def test_bulk_when_it_failed_as_the_cancel_came_then_it_ends_cancelled(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            task = await aloft(client, transfer := client.send_buffer(bytes(SIZE)))
            await server.close()
            wait_until(landed)
            error = await cancelled(task)
            assert (error.transferred, error.nbytes) == (transfer.transferred, SIZE)

    run(main())


@pytest.mark.parametrize("complete", [False, True])
def test_bulk_when_cancelled_again_before_the_end_then_it_ends_cancelled_once(run, complete):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            payload = bytearray(pattern(SIZE))
            task = await aloft(client, client.send_buffer(payload))
            if complete:
                drain(server, SIZE)
                wait_until(landed)
            assert [task.cancel(), task.cancel(), task.cancelling()] == [True, True, 2]
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            payload.append(0)
            assert (caught.value.transferred == SIZE) == complete
            assert (task.cancelled(), task.cancel()) == (True, False)

    run(main())


def test_bulk_when_cancelled_before_it_sleeps_then_it_ends_cancelled(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            memory = bytearray(SIZE)

            async def receive():
                asyncio.current_task().cancel()
                await server.recv_exactly_into(memory)

            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(receive())
            memory.append(0)
            sent = asyncio.ensure_future(client.send_buffer(pattern(SIZE)))
            assert await received(server, SIZE) == pattern(SIZE)
            await sent

    run(main())


def test_task_when_it_swallows_cancels_of_bulk_then_it_goes_on_where_it_stopped(run, pair):
    async def stubborn(server, memory):
        at, cancels = 0, 0
        while at < SIZE:
            try:
                at += await server.recv_exactly_into(memoryview(memory)[at:])
            except asyncio.CancelledError as error:
                asyncio.current_task().uncancel()
                at += error.transferred
                cancels += 1
        return cancels

    async def main():
        async with pair() as (client, server):
            memory, asked = bytearray(SIZE), 0
            task = asyncio.create_task(stubborn(server, memory))
            sender = asyncio.create_task(client.send_buffer(pattern(SIZE)))
            while not task.done():
                await asyncio.sleep(0.001)
                asked += task.cancel()
            # Cancels that found the task about to go on are one with those before them.
            assert await task <= asked
            assert (await sender, memory) == (SIZE, pattern(SIZE))

    run(main())


def test_bulk_when_shielded_then_it_goes_on_after_the_cancel(run, pair):
    async def main():
        async with pair() as (client, server):
            memory = bytearray(SIZE)
            inner = await aloft(server, server.recv_exactly_into(memory))

            async def outer():
                await asyncio.shield(inner)

            task = asyncio.create_task(outer())
            await asyncio.sleep(0)
            await cancelled(task)
            await client.send_buffer(pattern(SIZE))
            assert (await inner, memory) == (SIZE, pattern(SIZE))

    run(main())


def test_bulk_when_a_sibling_fails_then_the_others_of_its_group_are_cancelled(run):
    async def main():
        pairs = [pinwire.socketpair(**SMALL) for _ in range(5)]
        memories = [bytearray(SIZE) for _ in pairs]
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(server.recv_exactly_into(memory))
                    for (_, server), memory in zip(pairs, memories, strict=True)
                ]
                await until(lambda: all(server.stats().bulk_transfers for _, server in pairs))
                await pairs[0][0].close()
        assert [type(it) for it in caught.value.exceptions] == [pinwire.IncompleteTransferError]
        assert [task.cancelled() for task in tasks] == [False, True, True, True, True]
        for stream in (stream for both in pairs for stream in both):
            await stream.close()
        for memory in memories:
            memory.append(0)

    run(main())


def test_bulk_when_dropped_in_its_flight_then_memory_and_direction_are_free(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            memory = bytearray(SIZE)
            transfer = server.recv_exactly_into(memory)
            while transfer.send(None) is None:  # noqa: ASYNC110 - as a task gives it its turns
                await asyncio.sleep(0)
            assert server.stats().bulk_transfers == 1
            with pytest.raises(BufferError):
                memory.append(0)
            del transfer
            memory.append(0)
            sent = asyncio.ensure_future(client.send_buffer(pattern(SIZE)))
            assert await received(server, SIZE) == pattern(SIZE)
            await sent
            assert memory == bytes(SIZE + 1)

    run(main())


def test_bulk_when_its_transfer_is_closed_from_outside_then_its_task_ends(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            memory = bytearray(SIZE)
            task = await aloft(server, transfer := server.recv_exactly_into(memory))
            transfer.close()
            memory.append(0)
            with pytest.raises(RuntimeError, match="was already awaited"):
                await task
            await client.send_buffer(b"data")
            assert await received(server, 4) == b"data"

    run(main())
