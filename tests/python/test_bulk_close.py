"""Closing a stream under bulk: the number is free when `close` returns, and all sides know."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest
from support import BIG, SMALL, aloft, is_open, names_of, pattern, raw, received, until

import pinwire

SIZE = BIG * 4
ENDS = ["close", "abort"]


async def both_ways(stream):
    """A send and a receive in flight, and their memory."""
    memories = [bytearray(pattern(SIZE)), bytearray(SIZE)]
    tasks = [
        await aloft(stream, stream.send_buffer(memories[0])),
        await aloft(stream, stream.recv_exactly_into(memories[1])),
    ]
    assert stream.stats().bulk_transfers == 2
    return tasks, memories


@pytest.mark.parametrize("how", ENDS)
def test_close_when_bulk_is_in_flight_then_it_ends_with_closed_error(run, pair, how):
    async def main():
        async with pair() as (client, server):
            tasks, memories = await both_ways(client)
            await server.send_buffer(pattern(1000))
            await until(lambda: client.stats().bytes_received == 1000)
            getattr(client, how)()
            sent, got = await asyncio.gather(*tasks, return_exceptions=True)
            assert (type(sent), type(got)) == (pinwire.ClosedError, pinwire.ClosedError)
            assert 0 < sent.transferred == client.stats().bytes_sent < sent.nbytes == SIZE
            assert (got.transferred, got.nbytes) == (1000, SIZE)
            assert memories[1] == pattern(1000) + bytes(SIZE - 1000)
            for memory in memories:
                memory.append(0)

    run(main())


@pytest.mark.parametrize("how", ENDS)
def test_close_when_bulk_is_in_flight_then_the_descriptor_is_free_when_it_returns(run, pair, how):
    async def main():
        for _ in range(5):
            async with pair() as (client, server):
                tasks, _ = await both_ways(client)
                number = client.fileno()
                inode = os.fstat(number).st_ino
                assert len(names_of(inode)) == 3
                getattr(client, how)()
                assert (names_of(inode), is_open(number)) == ([], False)
                await asyncio.gather(*tasks, return_exceptions=True)
                await server.close()

    run(main())


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("transport", ["unix", "socketpair"])
def test_close_when_bulk_is_in_flight_then_the_peer_sees_the_end_at_once(run, pair, how):
    async def main():
        async with pair() as (client, server):
            tasks, _ = await both_ways(client)
            getattr(client, how)()
            got = bytearray()
            with raw(server) as sock:
                while piece := sock.recv(BIG):
                    got += piece
            sent, _ = await asyncio.gather(*tasks, return_exceptions=True)
            assert got == pattern(sent.transferred)

    run(main())


@pytest.mark.parametrize("transport", ["tcp"])
def test_abort_when_bulk_is_in_flight_then_the_peer_gets_a_reset(run, pair):
    async def main():
        async with pair() as (client, server):
            tasks, _ = await both_ways(client)
            theirs = await aloft(server, server.send_buffer(bytes(SIZE)))
            client.abort()
            with pytest.raises((ConnectionResetError, BrokenPipeError)) as caught:
                await theirs
            assert caught.value.errno in (errno.ECONNRESET, errno.EPIPE)
            await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


@pytest.mark.parametrize("how", ENDS)
def test_close_when_called_from_another_thread_then_bulk_ends_and_the_number_is_free(
    run, pair, how
):
    async def main():
        async with pair() as (client, _):
            tasks, memories = await both_ways(client)
            inode = os.fstat(client.fileno()).st_ino

            def close():
                getattr(client, how)()
                return names_of(inode)

            assert await asyncio.to_thread(close) == []
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(end) for end in ends] == [pinwire.ClosedError] * 2
            for memory in memories:
                memory.append(0)

    run(main())


def test_close_when_the_number_is_used_again_at_once_then_old_bulk_moves_nothing(run):
    async def main():
        reused = 0
        client, server = pinwire.socketpair(**SMALL)
        for _ in range(10):
            number = server.fileno()
            tasks, memories = await both_ways(server)
            for stream in (server, client):
                stream.close()
            client, server = pinwire.socketpair(**SMALL)
            reused += number in (client.fileno(), server.fileno())
            await client.send_buffer(b"data")
            await server.send_buffer(b"data")
            await asyncio.gather(*tasks, return_exceptions=True)
            assert memories[1] == bytes(SIZE)
            assert (await received(server, 4), await received(client, 4)) == (b"data", b"data")
        assert reused
        await client.close()
        await server.close()

    run(main())


def test_close_when_bulk_was_cancelled_just_before_then_it_ends_cancelled(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            tasks, memories = await both_ways(client)
            for task in tasks:
                task.cancel()
            client.close()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
            for memory in memories:
                memory.append(0)

    run(main())


def test_cancel_when_the_stream_was_closed_just_before_then_bulk_ends_cancelled(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            tasks, _ = await both_ways(client)
            client.close()
            assert [task.cancel() for task in tasks] == [True, True]
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(end) for end in ends] == [asyncio.CancelledError] * 2

    run(main())


def test_detach_when_bulk_is_in_flight_then_busy_error_and_it_goes_on(run, pair):
    async def main():
        async with pair() as (client, server):
            for stream, task in (
                (client, await aloft(client, client.send_buffer(pattern(SIZE)))),
                (server, await aloft(server, server.recv_exactly_into(got := bytearray(SIZE)))),
            ):
                with pytest.raises(pinwire.BusyError):
                    stream.detach()
                del task
            await until(lambda: client.stats().bytes_sent == SIZE == server.stats().bytes_received)
            assert got == pattern(SIZE)

    run(main())


def test_detach_when_bulk_has_ended_then_the_descriptor_is_whole(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        task = await aloft(client, client.send_buffer(pattern(BIG)))
        assert await received(server, BIG) == pattern(BIG)
        await task
        number = client.detach()
        assert len(names_of(os.fstat(number).st_ino)) == 1
        os.close(number)
        assert await server.recv_into(bytearray(1)) == 0
        await server.close()

    run(main())


def test_send_when_bulk_is_in_flight_then_busy_error_and_nothing_interleaves(run, pair):
    async def main():
        async with pair() as (client, server):
            first = await aloft(client, client.send_buffer(pattern(SIZE)))
            for second in (
                client.send_buffer(b"other"),
                client.send_buffer(bytes(SIZE)),
                client.send_buffers([b"other"]),
            ):
                with pytest.raises(pinwire.BusyError) as caught:
                    await second
                assert (caught.value.transferred, caught.value.nbytes) == (0, 0)
            with pytest.raises(pinwire.BusyError):
                await client.send_eof()
            receives = await aloft(server, server.recv_exactly_into(got := bytearray(SIZE)))
            for second in (server.recv_into(bytearray(4)), server.recv_exactly_into(bytearray(4))):
                with pytest.raises(pinwire.BusyError):
                    await second
            assert (await first, await receives, got) == (SIZE, SIZE, pattern(SIZE))
            assert client.stats().bulk_transfers == server.stats().bulk_transfers == 1
            await client.send_buffer(b"next")
            assert await received(server, 4) == b"next"

    run(main())
