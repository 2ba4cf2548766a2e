"""Messages of many tasks, posted ones, and their order, where the large ones are offered."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from exporters import noise_array
from host_pairs import LARGE
from support import cancelled, until

import pinwire

SIZES = [LARGE, 3, LARGE + 1, 0, 40_000, 2 * LARGE]


def numbered(number):
    """A message in which this number is, of one of the sizes."""
    return np.full(SIZES[number % len(SIZES)] + 1, number % 251, "u1")


def check(message, number):
    (part,) = message.parts
    assert part.size == SIZES[number % len(SIZES)] + 1
    assert (part == number % 251).all()


def test_sends_when_of_many_tasks_then_they_arrive_in_order(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            tasks = [asyncio.ensure_future(client.send(numbered(i))) for i in range(60)]
            for number in range(60):
                check(await server.recv(), number)
            assert await asyncio.gather(*tasks) == [numbered(i).nbytes for i in range(60)]

    aio_host.run(main())


def test_sends_when_some_are_cancelled_in_the_queue_then_the_others_arrive_in_order(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            sent = client.stream.stats().bytes_sent
            tasks = [asyncio.ensure_future(client.send(numbered(i))) for i in range(60)]
            await until(lambda: client.stream.stats().bytes_sent > sent)
            for number in range(0, 60, 3):  # the first of them is offered already
                await cancelled(tasks[number])
            for number in range(60):
                if number % 3:
                    check(await server.recv(), number)
                    await tasks[number]

    aio_host.run(main())


def test_sends_when_both_directions_are_busy_then_all_arrive(host):
    async def main():
        async with host.warm() as (first, second):

            async def send(channel):
                for number in range(40):
                    await channel.send(numbered(number))

            async def receive(channel):
                for number in range(40):
                    check(await channel.recv(), number)

            await asyncio.gather(send(first), send(second), receive(first), receive(second))
            for channel in (first, second):
                stats = channel.stats()
                assert stats.bytes_offered == stats.bytes_pulled > 10 * LARGE

    host.run(main())


def test_iteration_when_messages_are_offered_then_it_ends_with_the_channel(host):
    async def main():
        async with host.warm() as (client, server):

            async def send():
                async with client:
                    for number in range(30):
                        await client.send(numbered(number), meta={"number": number})

            sending = asyncio.ensure_future(send())
            numbers = []
            async for message in server:
                check(message, len(numbers))
                numbers.append(message.meta["number"])
            assert numbers == list(range(30))
            await sending

    host.run(main())


def test_posts_when_offered_then_memory_is_pinned_until_they_are_received(host):
    async def main():
        async with host.warm() as (client, server):
            first, second = bytearray(LARGE), bytearray(b"\1") * LARGE
            for memory in (first, second):
                client.post(memory)
                with pytest.raises(BufferError):
                    memory.append(0)
            assert (await server.recv()).parts[0].tobytes() == bytes(LARGE)
            assert (await server.recv()).parts[0].tobytes() == b"\1" * LARGE
            await client.drain()
            for memory in (first, second):
                memory.append(0)

    host.run(main())


def test_post_when_the_water_is_high_then_it_is_refused_until_the_peer_has_received(host):
    async def main():
        async with host.warm(high_water=2 * LARGE) as (client, server):
            client.post(bytes(LARGE))
            client.post(bytes(LARGE))
            with pytest.raises(pinwire.QueueFullError):
                client.post(bytes(LARGE))
            putting = asyncio.ensure_future(client.post(bytes(LARGE + 1), wait=True))
            assert (await server.recv()).nbytes == LARGE
            await putting
            assert (await server.recv()).nbytes == LARGE
            draining = asyncio.ensure_future(client.drain())
            assert (await server.recv()).nbytes == LARGE + 1
            await draining

    host.run(main())


def test_posts_when_large_and_small_are_mixed_then_they_arrive_in_order(host):
    async def main():
        async with host.warm() as (client, server):
            for number in range(36):
                client.post(numbered(number))
            for number in range(36):
                check(await server.recv(), number)
            await client.drain()

    host.run(main())


def test_drain_when_a_post_was_offered_and_the_peer_is_gone_then_it_says_so(host):
    async def main():
        async with host.warm() as (client, server):
            sent = client.stream.stats().bytes_sent
            client.post(bytes(LARGE))
            await until(lambda: client.stream.stats().bytes_sent > sent)
            await server.close()
            with pytest.raises(ConnectionResetError):
                await client.drain()

    host.run(main())


def test_channel_when_left_with_posts_then_it_waits_until_they_are_received(host):
    async def main():
        async with host.warm() as (client, server):

            async def post():
                async with client:
                    client.post(noise_array((LARGE,), "u1", 1))
                    client.post(noise_array((LARGE,), "u1", 2))

            posting = asyncio.ensure_future(post())
            got = [message.parts[0].tobytes() async for message in server]
            assert got == [noise_array((LARGE,), "u1", i).tobytes() for i in (1, 2)]
            await posting

    host.run(main())
