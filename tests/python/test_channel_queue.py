"""Messages of many senders go out whole and in order; posted ones wait, up to the high water."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest
from channels import PART, about_socket, frame, jammed, message, numbers
from support import BIG, cancelled, pattern, until

import pinwire
import pinwire.blocking

HEADER = len(frame(b""))
"""Bytes of a message beside its payload."""


def test_sends_when_many_at_once_then_they_go_out_in_order(aio):
    async def main():
        async with aio.pair() as (client, server):
            # Sizes differ: a large one lets others run before it begins.
            sizes = [random.Random(i).choice([0, 1, 3000, 90_000]) for i in range(60)]
            sends = [
                asyncio.ensure_future(client.send(np.zeros(size, "u1"), meta={"n": i}))
                for i, size in enumerate(sizes)
            ]
            for i, size in enumerate(sizes):
                got = await server.recv()
                assert (got.meta, got.nbytes) == ({"n": i}, size)
            assert await asyncio.gather(*sends) == sizes

    aio.run(main())


def test_sends_when_of_many_tasks_then_each_arrives_whole(channels):
    async def main():
        async with channels.pair() as (client, server):

            async def send(number):
                for _ in range(4):
                    await client.send(message(number))

            sends = asyncio.gather(*(send(number) for number in range(6)))
            found = await numbers(server, 24)
            await sends
            assert sorted(found) == sorted(list(range(6)) * 4)

    channels.run(main())


def test_sends_when_one_is_cancelled_in_the_queue_then_it_leaves_no_trace(aio):
    async def main():
        async with jammed(aio) as (client, server, first):
            memory = bytearray(PART)
            sends = [asyncio.ensure_future(client.send(message(i))) for i in (1, 2)]
            sends.insert(1, asyncio.ensure_future(client.send(memory)))
            await asyncio.sleep(0)
            error = await cancelled(sends.pop(1))
            assert error.transferred == 0
            memory.append(1)  # it is not pinned any more
            assert await numbers(server, 3) == [0, 1, 2]
            await asyncio.gather(first, *sends)

    aio.run(main())


def test_sends_when_each_but_the_last_is_cancelled_then_that_goes_out(aio):
    async def main():
        async with jammed(aio) as (client, server, first):
            sends = [asyncio.ensure_future(client.send(message(i))) for i in range(1, 30)]
            await asyncio.sleep(0)
            random.Random(1).shuffle(rest := sends[:-1])
            for task in rest:
                await cancelled(task)
            assert await numbers(server, 2) == [0, 29]
            assert (await first, await sends[-1]) == (PART, PART)

    aio.run(main())


def test_send_when_cancelled_as_its_turn_comes_then_the_next_goes_out(aio):
    async def main():
        async with jammed(aio) as (client, server, first):
            sends = [asyncio.ensure_future(client.send(message(i))) for i in (1, 2)]
            receiving = asyncio.ensure_future(numbers(server, 2))
            # Its own wake-up comes in the loop's next turn, this one in between.
            await until(lambda: client.stats().messages_sent == 1)
            await cancelled(sends[0])
            assert await receiving == [0, 2]
            assert (await first, await sends[1]) == (PART, PART)

    aio.run(main())


def test_send_when_its_time_passes_in_the_queue_then_it_leaves_no_trace(channels):
    async def main():
        async with jammed(channels) as (client, server, first):
            for timeout in (0, 0.01):
                with pytest.raises(pinwire.TransferTimeoutError) as caught:
                    await client.send(message(1), timeout=timeout)
                assert caught.value.transferred == 0
            last = asyncio.ensure_future(client.send(message(2)))
            assert await numbers(server, 2) == [0, 2]
            assert (await first, await last) == (PART, PART)

    channels.run(main())


def test_send_when_cancelled_in_the_middle_then_the_channel_is_torn(aio):
    async def main():
        async with jammed(aio) as (client, server, first):
            waiting = asyncio.ensure_future(client.send(message(1)))
            await asyncio.sleep(0)
            error = await cancelled(first)
            assert 0 < error.transferred < PART
            for call in (lambda: waiting, lambda: client.send(b"x")):
                with pytest.raises(pinwire.TornStreamError) as caught:
                    await call()
                # With the header, as the peer sees it.
                assert caught.value.transferred == error.transferred + HEADER
                assert caught.value.nbytes == PART + HEADER
            # The other direction works.
            await server.send(b"there")
            assert (await client.recv()).parts[0].tobytes() == b"there"

    aio.run(main())


@about_socket
def test_send_when_its_time_passes_in_the_middle_then_the_channel_is_torn(channels):
    async def main():
        async with channels.pair() as (client, server):
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                await client.send(bytes(BIG), timeout=0.02)
            assert 0 < caught.value.transferred < caught.value.nbytes == BIG
            for call in (client.send, client.post):
                with pytest.raises(pinwire.TornStreamError):
                    await (call(b"x") or client.drain())
            await client.close()
            with pytest.raises((pinwire.IncompleteTransferError, ConnectionResetError)):
                await server.recv()

    channels.run(main())


@about_socket
def test_send_when_progress_is_read_then_it_counts_the_payload(aio):
    async def main():
        async with aio.pair() as (client, server):
            sending, receiving = client.send(pattern(BIG)), server.recv()
            assert (sending.transferred, sending.nbytes, receiving.nbytes) == (0, BIG, 0)
            tasks = [asyncio.ensure_future(each) for each in (sending, receiving)]
            await until(lambda: 0 < receiving.transferred < BIG)
            assert receiving.nbytes == BIG
            assert 0 < sending.transferred <= BIG
            await asyncio.gather(*tasks)
            assert sending.transferred == receiving.transferred == BIG
            assert sending.done()
            assert receiving.done()

    aio.run(main())


def test_send_when_dropped_unawaited_then_nothing_moves(aio):
    async def main():
        async with aio.pair() as (client, server):
            memory = bytearray(10)
            with pytest.warns(RuntimeWarning, match="never awaited"):
                del_me = client.send(memory)
                del del_me
            memory.append(1)
            await client.send(b"next")
            assert (await server.recv()).parts[0].tobytes() == b"next"

    aio.run(main())


def test_file_when_sent_then_its_bytes_arrive_in_one_part(channels, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(pattern(150_000))

    async def main():
        async with channels.pair() as (client, server):
            with path.open("rb") as file:
                for options in ({}, {"offset": 70_000}, {"offset": 7, "count": 90_000}):
                    sending = asyncio.ensure_future(
                        client.send_file(file, **options, meta={"name": "file"})
                    )
                    got = await server.recv()
                    start = options.get("offset", 0)
                    count = options.get("count", 150_000 - start)
                    assert await sending == got.nbytes == count
                    assert (got.parts[0].dtype, got.meta) == (np.uint8, {"name": "file"})
                    assert got.parts[0].tobytes() == pattern(count, start)
                    assert file.tell() == start + count
                await client.send_file(file, 150_000)
                assert (await server.recv()).nbytes == 0
            with pytest.raises((TypeError, AttributeError, ValueError)):
                await client.send_file(b"no file")
            await client.send(b"next")
            assert (await server.recv()).parts[0].tobytes() == b"next"

    channels.run(main())


def test_file_when_it_becomes_shorter_while_it_is_sent_then_the_channel_is_torn(channels, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(BIG))

    async def main():
        async with channels.pair() as (client, server):
            with path.open("r+b") as file:
                sending = asyncio.ensure_future(client.send_file(file))
                await until(lambda: client.stream.stats().waits)
                file.truncate(10)
                receiving = asyncio.ensure_future(server.recv())
                with pytest.raises(OSError, match="shorter"):
                    await sending
            with pytest.raises(pinwire.TornStreamError):
                await client.send(b"x")
            await client.close()
            with pytest.raises((pinwire.IncompleteTransferError, ConnectionResetError)):
                await receiving

    channels.run(main())
