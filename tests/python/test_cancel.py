"""Cancelling a transfer stops it, says how far it came, and loses nothing."""

from __future__ import annotations

import asyncio
import random

import pytest
from support import BIG, SMALL, cancelled, fill, pattern, received, until, waiting

import pinwire


async def wait_then_cancel(recv, turns):
    """Give it some turns of the loop. What it received before it was cancelled."""
    task = asyncio.ensure_future(recv)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return None


async def wait_for(recv, turns):
    try:
        return await asyncio.wait_for(recv, turns / 20000)
    except TimeoutError:
        return None


async def timeout(recv, turns):
    try:
        async with asyncio.timeout(turns / 20000):
            return await recv
    except TimeoutError:
        return None


@pytest.mark.parametrize("interrupt", [wait_then_cancel, wait_for, timeout])
def test_recv_into_when_cancels_race_with_data_then_no_byte_is_lost(run, pair, interrupt):
    sent = pattern(50_000)
    chance = random.Random(1)

    async def send(client):
        offset = 0
        while offset < len(sent):
            piece = sent[offset : offset + chance.randrange(1, 200)]
            await client.send_buffer(piece)
            offset += len(piece)
            if chance.random() < 0.9:
                await asyncio.sleep(0)
        await client.send_eof()

    async def main():
        got, cancels = bytearray(), 0
        async with pair() as (client, server):
            sender = asyncio.create_task(send(client))
            scratch = bytearray(300)
            while (n := await interrupt(server.recv_into(scratch), chance.randrange(3))) != 0:
                if n is None:
                    cancels += 1
                else:
                    got += scratch[:n]
            await sender
        assert got == sent
        assert cancels > 10

    run(main())


def test_recv_into_when_cancelled_in_the_turn_the_data_came_then_it_stays_in_the_stream(run, pair):
    async def main():
        async with pair() as (client, server):
            out = bytearray(4)
            task = await waiting(server, server.recv_into(out))
            await client.send_buffer(b"data")
            error = await cancelled(task)
            assert (error.transferred, error.nbytes, out) == (0, 4, bytes(4))
            assert await received(server, 4) == b"data"

    run(main())


def test_send_when_cancelled_before_the_first_byte_then_the_stream_is_whole(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            filled = fill(client)
            task = await waiting(client, client.send_buffer(b"never"))
            error = await cancelled(task)
            assert (error.transferred, error.nbytes) == (0, 5)
            await received(server, filled)
            assert await client.send_buffer(b"later") == 5
            assert await received(server, 5) == b"later"

    run(main())


def test_send_when_cancelled_in_the_middle_then_later_sends_are_torn(run, pair):
    payload = pattern(BIG * 8)

    async def main():
        async with pair() as (client, server):
            transfer = client.send_buffer(payload)
            error = await cancelled(await waiting(client, transfer))
            sent = transfer.transferred
            assert 0 < sent < len(payload)
            assert (error.transferred, error.nbytes) == (sent, len(payload))
            with pytest.raises(pinwire.TornStreamError) as caught:
                await client.send_buffer(b"more")
            assert (caught.value.transferred, caught.value.nbytes) == (sent, len(payload))
            assert await received(server, sent) == payload[:sent]

    run(main())


def test_send_when_cancelled_in_the_middle_then_receiving_still_works(run, pair):
    async def main():
        async with pair() as (client, server):
            await cancelled(await waiting(client, client.send_buffer(bytes(BIG * 8))))
            await server.send_buffer(b"answer")
            assert await received(client, 6) == b"answer"

    run(main())


def test_send_when_cancelled_in_the_middle_then_the_end_can_still_be_said(run, pair):
    async def main():
        async with pair() as (client, server):
            error = await cancelled(await waiting(client, client.send_buffer(bytes(BIG * 8))))
            await client.send_eof()
            await received(server, error.transferred)
            assert await server.recv_into(bytearray(1)) == 0

    run(main())


def test_exact_receive_when_cancelled_then_what_came_is_in_the_buffer_and_the_rest_follows(
    run, pair
):
    async def main():
        async with pair() as (client, server):
            out = bytearray(100)
            transfer = server.recv_exactly_into(out)
            await client.send_buffer(b"0123456789")
            task = asyncio.create_task(transfer)
            await until(lambda: transfer.transferred == 10)
            error = await cancelled(task)
            assert (error.transferred, error.nbytes, transfer.transferred) == (10, 100, 10)
            assert out == b"0123456789" + bytes(90)
            await client.send_buffer(b"abc")
            assert await received(server, 3) == b"abc"

    run(main())


def test_transfer_when_cancelled_then_the_message_is_the_tasks(run, pair):
    async def main():
        async with pair() as (_, server):
            task = await waiting(server, server.recv_into(bytearray(1)))
            error = await cancelled(task, "because")
            assert error.args == ("because",)

    run(main())


def test_transfer_when_cancelled_then_the_buffer_is_unpinned(run, pair):
    async def main():
        async with pair() as (_, server):
            out = bytearray(1)
            task = await waiting(server, server.recv_into(out))
            with pytest.raises(BufferError):
                out.append(0)
            await cancelled(task)
            out.append(0)

    run(main())


def test_transfer_when_cancelled_before_it_starts_then_nothing_moves(run, pair):
    async def main():
        async with pair() as (client, server):
            payload = bytearray(b"never")
            error = await cancelled(asyncio.create_task(client.send_buffer(payload)))
            assert (error.transferred, error.nbytes) == (0, 5)
            payload.append(0)
            await client.send_buffer(b"later")
            assert await received(server, 5) == b"later"

    run(main())


def test_transfer_when_a_sibling_in_its_group_fails_then_it_is_cancelled(run, pair):
    async def fail(condition):
        await until(condition)
        raise ZeroDivisionError

    async def main():
        async with pair() as (client, server):
            out = bytearray(10)
            transfer = server.recv_exactly_into(out)
            await client.send_buffer(b"12")
            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(transfer)
                    group.create_task(fail(lambda: transfer.transferred == 2))
            assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
            assert task.cancelled()
            assert (transfer.done(), transfer.transferred) == (True, 2)

    run(main())


def test_transfer_when_under_asyncio_timeout_then_the_cause_tells_how_far_it_came(run, pair):
    async def main():
        async with pair() as (client, server):
            await client.send_buffer(b"12")
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.01):
                    await server.recv_exactly_into(bytearray(10))
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)
            assert (caught.value.__cause__.transferred, caught.value.__cause__.nbytes) == (2, 10)

    run(main())


def test_transfer_when_shielded_then_it_goes_on_after_the_cancel(run, pair):
    async def main():
        async with pair() as (client, server):
            out = bytearray(4)
            inner = await waiting(server, server.recv_into(out))

            async def outer():
                await asyncio.shield(inner)

            task = asyncio.create_task(outer())
            await asyncio.sleep(0)
            await cancelled(task)
            await client.send_buffer(b"data")
            assert (await inner, out) == (4, b"data")

    run(main())


def test_task_when_it_swallows_cancels_then_it_can_receive_again(run, pair):
    async def stubborn(server, out):
        for attempt in range(50):
            try:
                return attempt, await server.recv_into(out)
            except asyncio.CancelledError:
                asyncio.current_task().uncancel()
        return None

    async def main():
        async with pair() as (client, server):
            out = bytearray(4)
            task = asyncio.create_task(stubborn(server, out))
            for _ in range(20):
                waits = server.stats().waits
                await until(lambda waits=waits: server.stats().waits > waits)
                task.cancel()
            await client.send_buffer(b"data")
            attempts, n = await task
            assert (attempts > 0, n, out) == (True, 4, b"data")

    run(main())


def test_streams_when_a_storm_of_cancels_hits_both_directions_then_they_stay_whole(run):
    chance = random.Random(2)

    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            filled = fill(client)
            for _ in range(500):
                out, payload = bytearray(10), bytearray(10)
                tasks = [
                    asyncio.create_task(client.recv_into(out)),
                    asyncio.create_task(client.send_buffer(payload)),
                ]
                for _ in range(chance.randrange(3)):
                    await asyncio.sleep(0)
                for task in tasks * 2:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
                assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
                out.append(0), payload.append(0)
            await received(server, filled)
            await asyncio.gather(client.send_buffer(b"ping"), server.send_buffer(b"pong"))
            assert (await received(server, 4), await received(client, 4)) == (b"ping", b"pong")

    run(main())
