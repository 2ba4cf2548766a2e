"""Receives of what is offered that are interrupted, and what goes on from there."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest
from exporters import noise_array
from host_pairs import LARGE, endless, endless_room
from support import PATIENCE, cancelled, pattern, until

import pinwire

SHAPE = (2048, 1024)
NBYTES = 2048 * 1024 * 8


async def interrupted(receive):
    """The error of a receive that is cancelled once some of the payload has come."""
    task = asyncio.ensure_future(receive)
    await until(lambda: receive.transferred > 0 or task.done())
    return await cancelled(task)


def test_recv_into_when_cancelled_in_the_middle_then_it_tells_and_lets_go(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            sending = asyncio.ensure_future(client.send(endless()))
            out = endless_room()
            error = await interrupted(server.recv_into(out))
            assert 0 < error.transferred < error.nbytes == out.nbytes
            before = error.transferred
            # The same memory: it goes on.
            error = await interrupted(server.recv_into(out))
            assert error.transferred >= before
            assert not sending.done()
            # Other memory: the rest is dropped, and the sender hears of it.
            receiving = asyncio.ensure_future(server.recv_into(bytearray(LARGE)))
            assert await asyncio.wait_for(sending, PATIENCE) == out.nbytes
            client.post(pattern(LARGE))
            assert (await receiving).parts[0] == pattern(LARGE)
            assert server.stats().messages_skipped == 1
            await client.drain()

    aio_host.run(main())


def test_recv_into_when_interrupted_then_nobody_writes_to_its_memory_any_more(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            sending = asyncio.ensure_future(client.send(endless()))
            out = endless_room()
            await interrupted(server.recv_into(out))
            row = out[0]
            row[:] = 7
            # It drops the rest, and waits for the next message.
            receiving = asyncio.ensure_future(server.recv())
            await sending
            client.post(b"next")
            assert (await receiving).parts[0].tobytes() == b"next"
            assert (row == 7).all()

    aio_host.run(main())


def test_recv_when_over_its_limit_after_an_interruption_then_the_message_stays(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            sent = noise_array(SHAPE, "f8")
            sending = asyncio.ensure_future(client.send(sent))
            with pytest.raises((pinwire.TransferTimeoutError, asyncio.CancelledError)):
                await interrupted_in_time(server.recv())
            for wrong in (np.zeros(SHAPE, "f4"), bytearray(5)):
                with pytest.raises(pinwire.MessageRefusedError):
                    await server.recv_into(wrong)
            out = np.zeros(SHAPE, "f8", "F")
            await server.recv_into(out)
            assert out.tobytes() == sent.tobytes()
            await sending

    aio_host.run(main())


async def interrupted_in_time(receive):
    """Cancel it in its first turns, which is before so many bytes have come."""
    task = asyncio.ensure_future(receive)
    await asyncio.sleep(0)
    task.cancel()
    await task


# What goes on where a recv was interrupted, whose memory was its own.
AFTER_RECV = {
    "recv": None,
    "c": lambda: np.zeros(SHAPE, "f8"),
    "fortran": lambda: np.zeros(SHAPE, "f8", "F"),
    "rows": lambda: np.zeros((2 * SHAPE[0], SHAPE[1]))[::2],
    "columns": lambda: np.zeros((SHAPE[0], 2 * SHAPE[1]))[:, ::2],
    "bytearray": lambda: bytearray(NBYTES),
}


async def received_by(channel, out, timeout):
    """The bytes of the next message."""
    if out is None:
        (part,) = (await channel.recv(timeout=timeout)).parts
    else:
        (part,) = (await channel.recv_into(out, timeout=timeout)).parts
        assert part is out
    return bytes(part) if isinstance(part, bytearray) else part.tobytes()


@pytest.mark.parametrize("name", AFTER_RECV)
def test_recv_when_interrupted_at_random_then_any_memory_goes_on_with_it(name, host):
    chance = random.Random(name)

    async def main():
        async with host.warm() as (client, server):
            for number in range(3):
                sent = noise_array(SHAPE, "f8", number)
                sending = asyncio.ensure_future(client.send(sent))
                content = None
                for _ in range(chance.choice([1, 2, 3])):
                    try:
                        content = await received_by(server, None, chance.random() / 150)
                        break
                    except pinwire.TransferTimeoutError as error:
                        assert 0 <= error.transferred <= NBYTES
                if content is None:
                    make = AFTER_RECV[name]
                    content = await received_by(server, make and make(), PATIENCE)
                assert content == sent.tobytes()
                assert await sending == NBYTES
            assert server.stats().messages_skipped == 0

    host.run(main())


MIX = [
    lambda i: [noise_array((2 * LARGE,), "u1", i), noise_array((9,), "u1", i)],
    lambda i: [noise_array((2048, 1030), "u1", i)[:, :1024], noise_array((LARGE,), "u1", i)],
    lambda i: [noise_array((600, 1000), "f8", i)],
    lambda i: [noise_array((60_000,), "u1", i), noise_array((500, 600), "f8", i).T],
    lambda i: [noise_array((5,), "u1", i)],
]


def test_recv_intos_when_interrupted_at_random_then_the_same_memory_goes_on(host):
    chance = random.Random(host.face)
    sent = [MIX[i % len(MIX)](i) for i in range(50)]

    async def main():
        async with host.warm() as (client, server):

            async def send():
                for parts in sent:
                    await client.send(parts)

            sending = asyncio.ensure_future(send())
            for parts in sent:
                outs = [np.zeros(part.shape, part.dtype, chance.choice("CF")) for part in parts]
                for moment in [chance.random() / 1000 for _ in range(4)] + [PATIENCE]:
                    try:
                        await server.recv_into(outs, timeout=moment)
                        break
                    except pinwire.TransferTimeoutError:
                        await asyncio.sleep(0)
                for part, out in zip(parts, outs, strict=True):
                    assert part.tobytes() == out.tobytes()
            await sending
            assert server.stats().messages_skipped == 0
            assert client.stats().same_host == "in use"

    host.run(main())


def test_receives_when_any_of_them_are_interrupted_then_what_comes_is_whole_and_in_order(aio_host):
    chance = random.Random(aio_host.face)
    sent = [MIX[i % len(MIX)](i) for i in range(60)]

    async def main():
        async with aio_host.warm() as (client, server):

            async def send():
                for number, parts in enumerate(sent):
                    await client.send(parts, meta={"number": number})

            sending = asyncio.ensure_future(send())
            got = []
            while not got or got[-1] != len(sent) - 1:
                header = await server.recv_header(timeout=PATIENCE)
                parts = sent[header.meta["number"]]
                outs = [np.zeros(part.shape, part.dtype) for part in parts]
                calls = [
                    server.recv,
                    lambda outs=outs: server.recv_into(outs),
                    lambda: server.recv(share=True),
                ]
                task = asyncio.ensure_future(chance.choice(calls)())
                asyncio.get_running_loop().call_later(chance.random() / 1000, task.cancel)
                try:
                    message = await task
                except asyncio.CancelledError:
                    continue
                except pinwire.MessageRefusedError:
                    # What was begun in other memory was dropped, and the next one does not fit.
                    continue
                number = message.meta["number"]
                assert not got or number > got[-1]
                got.append(number)
                for part, came in zip(sent[number], message.parts, strict=True):
                    assert part.tobytes() == came.tobytes()
            await sending
            stats = server.stats()
            assert len(got) + stats.messages_skipped == len(sent)

    aio_host.run(main())
