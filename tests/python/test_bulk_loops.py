"""Bulk on several loops, and on loops that stop, close or go away under it."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref

import pytest
import uvloop
from support import (
    BIG,
    PATIENCE,
    SMALL,
    Call,
    aloft,
    names_of,
    pattern,
    raw,
    received,
    until,
    wait_until,
)
from test_lifetime import check_growth, resources

import pinwire

SIZE = BIG * 2
FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=FACTORIES)
def new_loop(request):
    return FACTORIES[request.param]


def in_flight():
    return pinwire.runtime_stats().bulk_in_flight


async def leave(stream, memory):
    """Bulk that nobody waits for."""
    await aloft(stream, stream.recv_exactly_into(memory))


async def close(*streams):
    for stream in streams:
        await stream.close()


def leave_on_a_closed_loop(new_loop, stream, memory):
    loop = new_loop()
    loop.run_until_complete(leave(stream, memory))
    loop.close()


@pytest.fixture
def left(new_loop):
    """Two streams, the second with bulk in flight on a loop that is closed, and its memory."""
    client, server = pinwire.socketpair(**SMALL)
    memory = bytearray(SIZE)
    leave_on_a_closed_loop(new_loop, server, memory)
    yield client, server, memory
    client.abort()
    server.abort()


def test_stream_when_its_loop_was_closed_under_bulk_then_it_works_on_another_loop(left, run):
    client, server, memory = left

    async def go_on():
        # This ends the old transfer, which nobody is ever going to wake.
        task = await aloft(server, server.recv_exactly_into(new := bytearray(SIZE)))
        memory.append(0)
        assert await client.send_buffer(pattern(SIZE)) == await task == SIZE
        assert (new, memory) == (pattern(SIZE), bytes(SIZE + 1))
        await close(client, server)

    run(go_on())
    assert in_flight() == 0


def test_stream_when_its_loop_was_closed_under_bulk_then_closing_it_frees_all(left):
    client, server, _ = left
    inode = os.fstat(server.fileno()).st_ino
    server.abort()
    assert names_of(inode) == []
    client.abort()
    wait_until(lambda: in_flight() == 0)


def test_memory_when_its_loop_was_closed_under_bulk_and_all_is_dropped_then_it_is_unpinned(
    new_loop, recwarn
):
    client, server = pinwire.socketpair(**SMALL)
    memory = bytearray(SIZE)
    alive = weakref.ref(server)
    leave_on_a_closed_loop(new_loop, server, memory)
    client.abort()
    del client, server
    gc.collect()
    memory.append(0)
    assert (alive(), in_flight()) == (None, 0)


def test_memory_when_the_task_of_its_closed_loop_is_dropped_then_it_is_unpinned(new_loop):
    client, server = pinwire.socketpair(**SMALL)
    memory, loop = bytearray(SIZE), new_loop()
    task = loop.run_until_complete(_task(server, memory))
    loop.close()
    with pytest.raises(BufferError):
        memory.append(0)
    server.abort()
    wait_until(lambda: in_flight() == 0)
    with pytest.raises(BufferError):
        memory.append(0)
    task.get_coro().close()
    memory.append(0)
    client.abort()


def test_close_when_a_task_of_its_closed_loop_is_still_held_then_the_number_is_free(new_loop):
    client, server = pinwire.socketpair(**SMALL)
    memory, loop = bytearray(SIZE), new_loop()
    task = loop.run_until_complete(_task(server, memory))
    loop.close()
    inode = os.fstat(server.fileno()).st_ino
    with pytest.raises(pinwire.BusyError):
        asyncio.run(_receive(server))
    server.abort()
    assert names_of(inode) == []
    task.get_coro().close()
    memory.append(0)
    client.abort()


async def _receive(stream):
    await stream.recv_into(bytearray(1))


async def _task(stream, memory):
    return await aloft(stream, stream.recv_exactly_into(memory))


def test_loop_when_it_runs_again_then_bulk_that_ended_meanwhile_is_told(new_loop):
    client, server = pinwire.socketpair(**SMALL)
    memory, loop = bytearray(SIZE), new_loop()
    task = loop.run_until_complete(_task(server, memory))
    asyncio.run(_send(client, pattern(SIZE)))
    wait_until(lambda: in_flight() == 0)
    assert not task.done()
    assert loop.run_until_complete(task) == SIZE
    assert memory == pattern(SIZE)
    loop.run_until_complete(close(client, server))
    loop.close()


async def _send(stream, payload):
    await stream.send_buffer(payload)


def test_loop_when_a_task_ends_it_then_others_that_landed_together_are_told_later(new_loop):
    streams = [pinwire.socketpair(**SMALL) for _ in range(5)]
    loop = new_loop()

    class End(SystemExit):
        pass

    async def receive(server):
        await server.recv_exactly_into(bytearray(SIZE))
        raise End

    async def main():
        tasks = [asyncio.ensure_future(receive(server)) for _, server in streams]
        await until(lambda: all(server.stats().bulk_transfers for _, server in streams))
        for client, _ in streams:
            await asyncio.to_thread(_send_all, client)
        return tasks

    def _send_all(client):
        with raw(client) as sock:
            sock.settimeout(PATIENCE)
            sock.sendall(bytes(SIZE - 1))

    def finish():
        for client, _ in streams:
            with raw(client) as sock:
                sock.send(b"\0")
        wait_until(lambda: in_flight() == 0)

    tasks = loop.run_until_complete(main())
    finish()
    while not all(task.done() for task in tasks):
        with pytest.raises(End):
            loop.run_until_complete(asyncio.sleep(PATIENCE))
    assert all(isinstance(task.exception(), End) for task in tasks)
    loop.run_until_complete(close(*(stream for both in streams for stream in both)))
    loop.close()


def test_loops_when_each_thread_has_one_with_bulk_both_ways_then_all_complete(new_loop):
    async def work(seed):
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            for i in range(5):
                payload = pattern(SIZE, seed * 7 + i)
                await asyncio.gather(
                    client.send_buffer(payload),
                    server.send_buffer(payload[::-1]),
                    client.recv_exactly_into(first := bytearray(SIZE)),
                    server.recv_exactly_into(second := bytearray(SIZE)),
                )
                assert (first, second) == (payload[::-1], payload)
            return client.stats().bulk_transfers + server.stats().bulk_transfers

    def run(seed):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(work(seed))

    calls = [Call(run, seed) for seed in range(4)]
    assert [call.result() for call in calls] == [20] * 4
    assert in_flight() == 0


def test_stream_when_one_loop_sends_bulk_and_another_receives_then_it_arrives(new_loop):
    client, server = pinwire.socketpair(**SMALL)

    def run(work):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(work())

    async def send():
        return await client.send_buffer(pattern(SIZE))

    sent, got = Call(run, send), Call(run, lambda: received(server, SIZE))
    assert (sent.result(), got.result()) == (SIZE, pattern(SIZE))
    client.abort()
    server.abort()


def test_thread_when_its_loop_has_bulk_in_flight_then_it_ends(new_loop):
    client, server = pinwire.socketpair(**SMALL)
    memory, keep = bytearray(SIZE), []

    def work():
        loop = new_loop()
        keep.append((loop, loop.run_until_complete(_task(server, memory))))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    # The workers go on; whoever runs the loop hears of the end.
    asyncio.run(_send(client, pattern(SIZE)))
    ((loop, task),) = keep
    assert loop.run_until_complete(task) == SIZE
    assert memory == pattern(SIZE)
    loop.run_until_complete(close(client, server))
    loop.close()


def test_loop_when_it_is_blocked_then_bulk_goes_on_meanwhile(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            memory = bytearray(SIZE)
            tasks = [
                await aloft(server, server.recv_exactly_into(memory)),
                await aloft(client, client.send_buffer(pattern(SIZE))),
            ]
            wait_until(lambda: in_flight() == 0)
            assert [task.done() for task in tasks] == [False, False]
            assert memory == pattern(SIZE)
            assert await asyncio.gather(*tasks) == [SIZE, SIZE]

    run(main())


def test_bulk_when_there_was_much_then_nothing_has_grown(run):
    async def exchange_often(times):
        payload, memory = bytes(BIG // 2), bytearray(BIG // 2)
        for i in range(times):
            client, server = pinwire.socketpair()
            async with client, server:
                task = await aloft(server, server.recv_exactly_into(memory))
                if i % 3:
                    assert await client.send_buffer(payload) == await task == BIG // 2
                else:
                    task.cancel()
                    await asyncio.wait([task])

    async def main():
        await exchange_often(100)
        before = resources()
        await exchange_often(1000)
        check_growth(before, resources())

    run(main())


def test_loops_when_there_were_many_with_bulk_then_no_descriptor_is_left(new_loop):
    async def exchange():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            task = await aloft(client, client.send_buffer(pattern(BIG)))
            assert await received(server, BIG) == pattern(BIG)
            await task

    def use(times):
        for _ in range(times):
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(exchange())

    use(10)
    before = resources()
    use(50)
    check_growth(before, resources())
