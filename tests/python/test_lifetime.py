"""What is dropped, or outlives its loop, costs nobody a descriptor, memory or a hang."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import psutil
import pytest
from support import is_open, received, until, waiting

import pinwire
import pinwire.blocking

MIB = 1 << 20


class Memory(bytearray):
    """Memory that can be part of a cycle."""


def test_transfer_when_suspended_and_dropped_then_memory_and_direction_are_free(run, pair):
    async def main():
        async with pair() as (client, server):
            memory = bytearray(4)
            transfer = server.recv_into(memory)
            transfer.send(None)
            with pytest.raises(BufferError):
                memory.append(0)
            del transfer
            memory.append(0)
            await client.send_buffer(b"data")
            assert await received(server, 4) == b"data"

    run(main())


def test_send_when_suspended_in_the_middle_and_dropped_then_the_stream_is_torn(run, pair):
    async def main():
        async with pair() as (client, _):
            transfer = client.send_buffer(bytes(8 * MIB))
            while not transfer.transferred:
                transfer.send(None)
            del transfer
            with pytest.raises(pinwire.TornStreamError):
                await client.send_buffer(b"more")

    run(main())


def test_transfer_when_in_a_cycle_with_its_memory_then_it_is_collected(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            memory = Memory(4)
            memory.transfer = server.recv_into(memory)
            alive = weakref.ref(memory)
            del memory
            with pytest.warns(RuntimeWarning, match="never awaited"):
                gc.collect()
            assert alive() is None

    run(main())


def test_stream_when_in_a_cycle_with_a_suspended_transfer_then_it_is_collected(run):
    async def main():
        client, server = pinwire.socketpair()
        memory = Memory(4)
        memory.stream = server
        memory.transfer = server.recv_into(memory)
        memory.transfer.send(None)
        alive, fd = weakref.ref(server), server.fileno()
        del memory, server
        with pytest.warns(ResourceWarning, match="unclosed stream"):
            gc.collect()
        assert (alive(), is_open(fd)) == (None, False)
        await client.close()

    run(main())


def test_stream_when_dropped_unclosed_then_it_warns_and_the_descriptor_is_closed(run):
    async def main():
        client, server = pinwire.socketpair()
        task = await waiting(server, server.recv_into(bytearray(1)))
        await client.send_buffer(b"x")  # the loop still watches the server when it is dropped
        await task
        fd = server.fileno()
        with pytest.warns(ResourceWarning, match="unclosed stream"):
            del server, task
        assert not is_open(fd)
        assert await client.recv_into(bytearray(1)) == 0
        await client.close()

    run(main())


def test_listener_when_dropped_unclosed_then_it_warns_and_the_descriptor_is_closed(run):
    async def main():
        listener = await pinwire.listen("tcp://127.0.0.1:0")
        fd = listener.fileno()
        with pytest.warns(ResourceWarning, match="unclosed listener"):
            del listener
        assert not is_open(fd)

    run(main())


@pytest.mark.parametrize("kind", ["stream", "listener"])
def test_blocking_object_when_dropped_unclosed_then_it_warns_and_is_closed(kind):
    listener = pinwire.blocking.listen("tcp://127.0.0.1:0")
    stream = pinwire.blocking.connect(listener.address)
    dropped, other = (stream, listener) if kind == "stream" else (listener, stream)
    fd = dropped.fileno()
    del stream, listener
    with pytest.warns(ResourceWarning, match=f"unclosed {kind}"):
        del dropped
    assert not is_open(fd)
    other.close()


def test_stream_when_closed_and_dropped_then_it_does_not_warn(recwarn):
    client, server = pinwire.blocking.socketpair()
    client.close()
    server.abort()
    del client, server
    gc.collect()
    assert not recwarn.list


def test_transfer_when_its_loop_is_closed_then_the_stream_works_on_another_loop(run):
    client, server = pinwire.socketpair()
    listener = asyncio.run(_listen())

    async def leave():
        asyncio.ensure_future(server.recv_into(bytearray(1)))  # noqa: RUF006
        asyncio.ensure_future(listener.accept())  # noqa: RUF006
        await until(lambda: server.stats().waits)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()

    async def go_on():
        await client.send_buffer(b"data")
        assert await received(server, 4) == b"data"
        async with pinwire.connect(listener.address), await listener.accept():
            pass
        for it in (client, server, listener):
            await it.close()

    run(go_on())


async def _listen():
    return await pinwire.listen("tcp://127.0.0.1:0")


def test_stream_when_closed_after_its_loop_then_the_descriptor_is_closed(run):
    client, server = pinwire.socketpair()

    async def leave():
        return await waiting(server, server.recv_into(bytearray(1)))

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(leave())
    loop.close()
    fd = server.fileno()
    server.abort()
    assert not is_open(fd)
    client.abort()
    del run, task


def resources():
    gc.collect()
    process = psutil.Process()
    # Those of the runtime are a bounded pool, which comes and goes.
    threads = [
        Path(f"/proc/self/task/{thread.id}/comm").read_text() for thread in process.threads()
    ]
    threads = [name for name in threads if name != "pinwire\n"]
    return process.num_fds(), len(threads), process.memory_info().rss


def check_growth(before, after):
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 4 * MIB


def test_connections_when_there_were_a_thousand_then_nothing_has_grown(run):
    async def connect_often(listener, times):
        scratch = bytearray(10)
        for _ in range(times):
            client = await pinwire.connect(listener.address)
            server = await listener.accept()
            async with client, server:
                task = asyncio.ensure_future(server.recv_exactly_into(scratch))
                await asyncio.sleep(0)
                await client.send_buffer(b"0123456789")
                await task

    async def main():
        async with pinwire.listen("tcp://127.0.0.1:0") as listener:
            await connect_often(listener, 100)
            before = resources()
            await connect_often(listener, 1000)
            check_growth(before, resources())

    run(main())


def test_blocking_connections_when_there_were_a_thousand_then_nothing_has_grown():
    def connect_often(listener, times):
        for _ in range(times):
            with pinwire.blocking.connect(listener.address) as client, listener.accept() as server:
                client.send_buffer(b"0123456789")
                assert server.recv_exactly_into(bytearray(10)) == 10

    with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
        connect_often(listener, 100)
        before = resources()
        connect_often(listener, 1000)
        check_growth(before, resources())


def test_transfers_when_there_were_many_then_memory_has_not_grown(run):
    async def transfer_often(client, server, times):
        scratch = bytearray(10)
        for i in range(times):
            task = asyncio.ensure_future(server.recv_into(scratch, timeout=60))
            await asyncio.sleep(0)
            if i % 2:
                task.cancel()
                await asyncio.wait([task])
            else:
                await client.send_buffer(b"0123456789")
                await task

    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            await transfer_often(client, server, 500)
            before = resources()
            await transfer_often(client, server, 5000)
            check_growth(before, resources())

    run(main())
