"""A send that ends before the peer has the message withdraws it: memory is free at once."""

from __future__ import annotations

import asyncio
import mmap
import random

import numpy as np
import pytest
from host_pairs import ENDLESS, LARGE, ROW, endless, endless_room
from support import PATIENCE, cancelled, until

import pinwire

WRONG = 0xEE
"""What is written to the memory of a send that has ended."""


async def offering(channel, data, **options):
    """A task that has sent an offer, and waits for what becomes of it."""
    before = channel.stream.stats().bytes_sent
    task = asyncio.ensure_future(channel.send(data, **options))
    await until(lambda: channel.stream.stats().bytes_sent > before)
    return task


async def timed_out(transfer):
    with pytest.raises(pinwire.TransferTimeoutError) as caught:
        await transfer
    return caught.value


def reuse(memory):
    """Write to memory of a send that has ended, and move it."""
    memory[:] = bytes([WRONG]) * len(memory)
    memory.append(WRONG)


async def holds(channel, number):
    """The next message is this one."""
    message = await channel.recv(timeout=PATIENCE)
    assert message.meta == {"number": number}
    (part,) = message.parts
    assert (part == number).all()


def test_send_when_timed_out_before_the_peer_receives_then_the_next_message_arrives(host):
    async def main():
        async with host.warm() as (client, server):
            for number in (1, 2):
                memory = bytearray([number]) * LARGE
                error = await timed_out(client.send(memory, meta={"number": 0}, timeout=0.02))
                reuse(memory)
                assert (error.transferred, error.nbytes) == (0, LARGE)
                sending = asyncio.ensure_future(
                    client.send(np.full(LARGE, number, "u1"), meta={"number": number})
                )
                await holds(server, number)
                assert await sending == LARGE
            assert client.stats().same_host == "in use"
            assert server.stats().messages_skipped == 0

    host.run(main())


def test_sends_when_many_are_cancelled_then_the_peer_goes_on_to_the_next_message(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            before = server.stats()
            for number in range(1, 20):
                memory = bytearray([number]) * LARGE
                task = await offering(client, memory, meta={"number": 0})
                with pytest.raises(BufferError):
                    memory.append(0)
                await cancelled(task)
                reuse(memory)
            sending = asyncio.ensure_future(client.send(bytes([7]) * LARGE, meta={"number": 7}))
            await holds(server, 7)
            await sending
            after = server.stats()
            assert after.messages_received == before.messages_received + 1
            assert after.bytes_received == before.bytes_received + LARGE
            assert (after.messages_skipped, client.stats().messages_sent) == (
                0,
                after.messages_received,
            )

    aio_host.run(main())


def test_send_when_cancelled_with_small_parts_beside_then_they_go_too(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            memory = bytearray(LARGE)
            sent = [b"small", memory, b"y" * 5000, memory, b"z"]
            await cancelled(await offering(client, sent, meta={"number": 0}))
            reuse(memory)
            client.post(b"\x05", meta={"number": 5})
            await holds(server, 5)

    aio_host.run(main())


def test_send_when_cancelled_then_a_small_message_and_the_end_come_next(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            await cancelled(await offering(client, bytearray(LARGE)))
            client.post(b"\x05", meta={"number": 5})
            await cancelled(await offering(client, bytearray(LARGE)))
            await client.close()
            await holds(server, 5)
            assert [message async for message in server] == []

    aio_host.run(main())


def test_header_when_its_message_was_withdrawn_then_reading_says_so(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            out = bytearray(LARGE)
            for call in ("read", "read_into", "skip"):
                memory = bytearray(LARGE)
                task = await offering(client, memory)
                header = await server.recv_header()
                assert header.nbytes == LARGE
                await cancelled(task)
                reuse(memory)
                if call == "skip":
                    await header.skip()
                else:
                    with pytest.raises(pinwire.MessageRefusedError, match="withdrawn"):
                        await (header.read_into(out) if call == "read_into" else header.read())
                client.post(b"\x05", meta={"number": 5})
                await holds(server, 5)
            out.append(0)

    aio_host.run(main())


def test_header_when_its_message_was_withdrawn_then_a_receive_goes_on_to_the_next(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            await cancelled(await offering(client, bytearray(LARGE), meta={"number": 0}))
            assert (await server.recv_header()).meta == {"number": 0}
            client.post(bytes([3]) * LARGE, meta={"number": 3})
            await holds(server, 3)
            await client.drain()

    aio_host.run(main())


@pytest.mark.parametrize("receive", ["recv", "recv_into", "iteration"])
def test_send_when_cancelled_while_it_is_received_then_that_goes_on_to_the_next(receive, aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            out = bytearray(LARGE)
            calls = {
                "recv": server.recv,
                "recv_into": lambda: server.recv_into(out),
                "iteration": lambda: anext(server),
            }
            for number in range(10):
                sending = asyncio.ensure_future(client.send(bytearray([99]) * LARGE))
                receiving = asyncio.ensure_future(calls[receive]())
                for _ in range(number):
                    await asyncio.sleep(0)
                sending.cancel()
                await asyncio.wait([sending])
                if receiving.done():  # it was quicker
                    assert bytes((await receiving).parts[0]) == bytes([99]) * LARGE
                    continue
                client.post(bytes([number]) * LARGE)
                content = bytes((await receiving).parts[0])
                if content == bytes([99]) * LARGE:  # it had it before
                    content = bytes((await calls[receive]()).parts[0])
                assert content == bytes([number]) * LARGE
                await client.drain()

    aio_host.run(main())


def test_send_when_cancelled_in_the_middle_of_the_read_then_the_channel_goes_on(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            receive, send = server.recv_into(endless_room()), client.send(endless())
            receiving, sending = asyncio.ensure_future(receive), asyncio.ensure_future(send)
            await until(lambda: send.transferred > 0)
            error = await cancelled(sending)
            assert 0 < error.transferred <= receive.transferred < receive.nbytes == error.nbytes
            await cancelled(receiving)
            client.post(bytes([3]) * LARGE, meta={"number": 3})
            await holds(server, 3)
            await client.drain()
            assert client.stats().same_host == "in use"

    aio_host.run(main())


def test_send_when_cancelled_and_its_memory_unmapped_then_the_receive_goes_on_to_the_next(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            # Only the first bytes of it are sent: what is mapped later takes the end of the hole.
            memory = mmap.mmap(-1, 64 * LARGE)
            rows = np.broadcast_to(np.frombuffer(memory, "u1", ROW), ENDLESS)
            after = bytes([3]) * LARGE
            receive, send = server.recv_into(endless_room()), client.send(rows)
            receiving, sending = asyncio.ensure_future(receive), asyncio.ensure_future(send)
            await until(lambda: receive.transferred > 0)
            await cancelled(sending)
            del rows, send, sending
            memory.close()  # which nothing pins any more
            client.post(after, meta={"number": 3})
            with pytest.raises(pinwire.MessageRefusedError, match="the memory for it"):
                await receiving
            await holds(server, 3)
            await client.drain()
            assert client.stats().same_host == "in use"

    aio_host.run(main())


# A receiver that looks at each byte. What has been sent may not have come, but is never wrong.
CHECKING = """
import sys, numpy as np, pinwire.blocking

channel = pinwire.blocking.connect_channel(sys.argv[1])
last = -1
for message in channel:
    number = message.meta["number"]
    assert number > last, (number, last)
    last = number
    for part in message.parts:
        wrong = np.flatnonzero(part != number % 200)
        assert not wrong.size, (number, part.size, wrong.size, wrong[0], part[wrong[0]])
    channel.send(b"", meta={"number": number})
channel.close()
"""
ROUNDS = 100


def test_sends_when_interrupted_at_random_then_no_message_has_wrong_bytes(host):
    chance = random.Random(host.face)

    async def heard(channel, numbers):
        while not numbers or numbers[-1] != ROUNDS:
            numbers.append((await channel.recv(timeout=PATIENCE)).meta["number"])

    async def main():
        sent, numbers = [], []
        memory = bytearray(12 * LARGE)
        async with host.beside(CHECKING) as channel:
            listening = asyncio.ensure_future(heard(channel, numbers))
            for number in range(ROUNDS):
                size = chance.choice([LARGE, 5 * LARGE, len(memory)])
                view = memoryview(memory)[:size]
                view[:] = bytes([number % 200]) * size
                parts = chance.choice([[view], [view[:3], view[3:]], [view[:-9], view[-9:]]])
                moment = chance.random() * size / (5 << 30)
                try:
                    await channel.send(parts, meta={"number": number}, timeout=moment)
                    sent.append(number)
                except pinwire.TransferTimeoutError as error:
                    assert 0 <= error.transferred <= error.nbytes == size
                view[:] = bytes([WRONG]) * size
                parts.clear()
                view.release()
                memory.append(0)
                memory.pop()
            await channel.send([], meta={"number": ROUNDS}, timeout=PATIENCE)
            await listening
        # Each of which the sender has heard that it came.
        assert set(sent) <= set(numbers)
        assert channel.stats().same_host == "in use"

    host.run(main())


@pytest.mark.parametrize("seed", range(2))
def test_sends_when_cancelled_at_random_in_one_process_then_no_message_is_wrong(seed, aio_host):
    chance = random.Random(seed)

    async def main():
        async with aio_host.warm() as (client, server):
            came = []

            async def receive():
                async for message in server:
                    number = message.meta["number"]
                    came.append(number)
                    assert (message.parts[0] == number).all()
                    assert message.parts[0].size == 4 * LARGE

            receiving = asyncio.ensure_future(receive())
            sent = []
            for number in range(60):
                memory = bytearray([number]) * (4 * LARGE)
                task = asyncio.ensure_future(client.send(memory, meta={"number": number}))
                asyncio.get_running_loop().call_later(chance.random() / 400, task.cancel)
                await asyncio.wait([task])
                if not task.cancelled():
                    sent.append(number)
                reuse(memory)
            await client.close()
            await receiving
            assert sorted(set(came)) == came
            assert set(sent) <= set(came)

    aio_host.run(main())
