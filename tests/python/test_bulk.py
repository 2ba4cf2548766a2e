"""Bulk: the engine's workers move it byte for byte, and end as the loop itself would."""

from __future__ import annotations

import asyncio
import errno
import socket

import numpy as np
import pytest
from support import BIG, SMALL, aloft, cancelled, pattern, received, until

import pinwire

SHORT = 0.01


def in_flight():
    return pinwire.runtime_stats().bulk_in_flight


def test_bulk_when_both_ways_at_once_then_every_byte_arrives_and_is_counted(run, pair):
    async def main():
        before = pinwire.runtime_stats()
        async with pair() as (client, server):
            payload = pattern(BIG * 2)
            counts = await asyncio.gather(
                client.send_buffer(payload),
                server.send_buffer(payload[::-1]),
                client.recv_exactly_into(first := bytearray(BIG * 2)),
                server.recv_exactly_into(second := bytearray(BIG * 2)),
            )
            assert counts == [BIG * 2] * 4
            assert (first, second) == (payload[::-1], payload)
            stats = [client.stats(), server.stats()]
        after = pinwire.runtime_stats()
        assert [it.bulk_transfers for it in stats] == [2, 2]
        assert [it.bytes_sent for it in stats] == [BIG * 2] * 2
        assert [it.bytes_received for it in stats] == [BIG * 2] * 2
        assert after.bulk_transfers == before.bulk_transfers + 4
        assert 0 < after.bulk_bytes - before.bulk_bytes <= BIG * 8
        assert 0 < after.rings - before.rings <= 4
        assert (after.workers > 0, after.bulk_in_flight) == (True, 0)

    run(main())


def test_bulk_when_it_fits_the_socket_then_no_worker_has_it(run):
    async def main():
        client, server = pinwire.socketpair(send_buffer_size=BIG, recv_buffer_size=BIG)
        async with client, server:
            assert await client.send_buffer(bytes(100_000)) == 100_000
            assert await server.recv_exactly_into(bytearray(100_000)) == 100_000
            for it in (client, server):
                stats = it.stats()
                assert (stats.bulk_transfers, stats.inline_completions) == (0, 1)

    run(main())


def test_recv_into_when_the_buffer_is_large_then_no_worker_has_it(run, pair):
    async def main():
        async with pair() as (client, server):
            got, memory = bytearray(), bytearray(BIG * 8)
            task = await aloft(client, client.send_buffer(pattern(BIG)))
            while len(got) < BIG:
                n = await server.recv_into(memory)
                got += memory[:n]
            await task
            assert got == pattern(BIG)
            assert server.stats().bulk_transfers == 0

    run(main())


def test_recv_into_when_large_and_cancelled_as_bulk_comes_then_no_byte_is_lost(run, pair):
    async def main():
        async with pair() as (client, server):
            got, memory, turns = bytearray(), bytearray(BIG), 0
            sender = await aloft(client, client.send_buffer(pattern(BIG)))
            while len(got) < BIG:
                task = asyncio.ensure_future(server.recv_into(memory))
                for _ in range(turns % 4):
                    await asyncio.sleep(0)
                turns += 1
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    got += memory[: task.result()]
            await sender
            assert got == pattern(BIG)
            assert server.stats().bulk_transfers == 0

    run(main())


def test_bulk_when_the_timeout_is_zero_then_no_worker_has_it(run, pair):
    async def main():
        async with pair() as (client, _):
            for transfer in (
                client.send_buffer(bytes(BIG * 8), timeout=0),
                client.recv_exactly_into(bytearray(BIG * 8), timeout=0),
            ):
                with pytest.raises(pinwire.TransferTimeoutError):
                    await transfer
            assert client.stats().bulk_transfers == 0

    run(main())


def test_bulk_send_when_its_time_is_over_then_it_says_how_far_it_came(run, pair):
    async def main():
        async with pair() as (client, server):
            transfer = client.send_buffer(payload := bytearray(pattern(BIG * 8)), timeout=SHORT)
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                await transfer
            payload[:] = bytes(BIG * 8)
            payload.append(0)
            error = caught.value
            assert (error.errno, client.stats().bulk_transfers) == (errno.ETIMEDOUT, 1)
            assert 0 < error.transferred == transfer.transferred < error.nbytes == BIG * 8
            with pytest.raises(pinwire.TornStreamError) as torn:
                await client.send_buffer(b"more")
            assert torn.value.transferred == error.transferred
            assert await received(server, error.transferred) == pattern(error.transferred)

    run(main())


def test_bulk_receive_when_its_time_is_over_then_the_rest_can_follow(run, pair):
    async def main():
        async with pair() as (client, server):
            await client.send_buffer(pattern(1000))
            memory = bytearray(BIG)
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                await server.recv_exactly_into(memory, timeout=SHORT)
            memory.append(0)
            assert server.stats().bulk_transfers == 1
            assert (caught.value.transferred, caught.value.nbytes) == (1000, BIG)
            assert memory[:1001] == pattern(1000) + b"\0"
            task = await aloft(client, client.send_buffer(pattern(BIG - 1000, 1000)))
            assert await received(server, BIG - 1000) == pattern(BIG - 1000, 1000)
            await task

    run(main())


@pytest.mark.parametrize("timeout", [60, 1e10, float("inf"), 2**40])
def test_bulk_when_the_timeout_is_far_away_then_it_completes(run, timeout):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            memory = bytearray(BIG)
            task = await aloft(server, server.recv_exactly_into(memory, timeout=timeout))
            assert await client.send_buffer(pattern(BIG), timeout=timeout) == await task == BIG
            assert memory == pattern(BIG)

    run(main())


@pytest.mark.parametrize("transport", ["tcp"])
@pytest.mark.parametrize("way", ["send", "receive"])
def test_bulk_when_the_peer_resets_then_the_error_says_how_far_it_came(run, pair, way):
    async def main():
        async with pair() as (client, server):
            if way == "send":
                transfer = client.send_buffer(bytes(BIG * 8))
            else:
                await server.send_buffer(b"12")
                transfer = client.recv_exactly_into(bytearray(BIG))
            task = await aloft(client, transfer)
            await until(lambda: transfer.transferred)
            server.abort()
            with pytest.raises((ConnectionResetError, BrokenPipeError)) as caught:
                await task
            error = caught.value
            assert error.errno in (errno.ECONNRESET, errno.EPIPE)
            assert 0 < error.transferred == transfer.transferred < error.nbytes == transfer.nbytes

    run(main())


@pytest.mark.parametrize("transport", ["unix", "socketpair"])
def test_bulk_send_when_the_peer_closes_then_the_error_says_how_far_it_came(run, pair):
    async def main():
        async with pair() as (client, server):
            task = await aloft(client, transfer := client.send_buffer(bytes(BIG * 8)))
            await server.close()
            with pytest.raises((ConnectionResetError, BrokenPipeError)) as caught:
                await task
            assert 0 < caught.value.transferred == transfer.transferred < caught.value.nbytes

    run(main())


@pytest.mark.parametrize("how", ["close", "send_eof"])
def test_bulk_receive_when_the_peer_ends_then_what_came_is_in_the_memory(run, pair, how):
    async def main():
        async with pair() as (client, server):
            memory = bytearray(BIG)
            task = await aloft(server, server.recv_exactly_into(memory))
            await client.send_buffer(pattern(50_000))
            await getattr(client, how)()
            with pytest.raises(pinwire.IncompleteTransferError) as caught:
                await task
            assert (caught.value.transferred, caught.value.nbytes) == (50_000, BIG)
            assert memory == pattern(50_000) + bytes(BIG - 50_000)
            memory.append(0)

    run(main())


def test_bulk_when_many_buffers_of_all_sizes_then_they_are_one_stream_of_bytes(run, pair):
    sizes = [0, 1, 300_000, 3, *[17] * 3000, 0, 400_001, 2]

    async def main():
        async with pair() as (client, server):
            payload = pattern(sum(sizes))
            ends = np.cumsum(sizes)
            parts = [payload[end - size : end] for end, size in zip(ends, sizes, strict=True)]
            into = [bytearray(size) for size in reversed(sizes)]
            counts = await asyncio.gather(
                client.send_buffers(parts), server.recv_buffers_into(into)
            )
            assert counts == [len(payload)] * 2
            assert b"".join(into) == payload
            assert client.stats().bulk_transfers == server.stats().bulk_transfers == 1

    run(main())


def test_bulk_when_arrays_have_short_runs_then_they_are_packed_by_the_workers(run, pair):
    async def main():
        async with pair() as (client, server):
            source = np.frombuffer(pattern(BIG * 2), "u2").reshape(1024, 1024)
            target = np.zeros((1024, 1024), "u2")
            counts = await asyncio.gather(
                client.send_buffer(source.T), server.recv_exactly_into(target.T[::-1])
            )
            assert counts == [BIG * 2] * 2
            assert (target.T[::-1] == source.T).all()
            assert client.stats().packed_bytes == server.stats().packed_bytes == BIG * 2
            assert client.stats().bulk_transfers == server.stats().bulk_transfers == 1

    run(main())


@pytest.mark.parametrize("blocking", [False, True])
def test_bulk_when_it_is_a_file_then_position_and_bytes_are_right(run, tmp_path, blocking):
    (tmp_path / "file").write_bytes(pattern(BIG * 2))

    async def main():
        left, right = socket.socketpair()
        left.setblocking(blocking)
        client, server = (pinwire.Stream.from_socket(it, **SMALL) for it in (left, right))
        async with client, server:
            with (tmp_path / "file").open("rb") as opened:
                task = await aloft(client, client.send_file(opened, 1000))
                assert await received(server, BIG) == pattern(BIG, 1000)
                error = await cancelled(task)
                assert opened.tell() == 1000 + error.transferred
                rest = error.transferred - BIG
                assert await received(server, rest) == pattern(rest, 1000 + BIG)
                assert client.stats().bulk_transfers == 1

    run(main())


def test_bulk_when_hundreds_are_in_flight_on_one_loop_then_all_complete(run):
    count, size = 150, 400_000

    async def exchange(i):
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            memory = bytearray(size)
            receives = await aloft(server, server.recv_exactly_into(memory))
            ready.append(i)
            await until(lambda: len(ready) == count)
            assert await client.send_buffer(pattern(size, i)) == await receives == size
            assert memory == pattern(size, i)

    async def main():
        await asyncio.gather(*map(exchange, range(count)))
        assert in_flight() == 0

    ready = []
    run(main())


def test_bulk_when_the_stream_spins_before_it_sleeps_then_a_worker_has_it_all_the_same(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL, busy_poll=0.001)
        async with client, server:
            task = await aloft(client, client.send_buffer(pattern(BIG)))
            assert await received(server, BIG) == pattern(BIG)
            assert (await task, client.stats().bulk_transfers) == (BIG, 1)

    run(main())
