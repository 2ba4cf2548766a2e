"""What ends a connection, and how each end learns of it."""

from __future__ import annotations

import asyncio
import gc

import numpy as np
import pytest
from comms import JAM, MESSAGE, asleep, connected, jam, listening, passed, stays, stream
from distributed.comm import CommClosedError, connect
from distributed.protocol import to_serialize
from support import PATIENCE, cancelled, until

ENDS = pytest.mark.parametrize("end", ["close", "abort", "reset"])


async def ended(comm, how):
    """End it, one way or another."""
    if how == "close":
        await comm.close()
    elif how == "abort":
        comm.abort()
    else:
        stream(comm).abort()


@ENDS
def test_read_when_the_peer_has_ended_then_comm_closed_error(end, same_host, run):
    async def main():
        async with connected(same_host=same_host) as (client, server):
            await passed(client, server, MESSAGE)
            await ended(client, end)
            for _ in range(2):
                with pytest.raises(CommClosedError):
                    await server.read()
                assert server.closed()

    run(main())


@ENDS
def test_read_when_the_peer_ends_under_it_then_comm_closed_error(end, run):
    async def main():
        async with connected() as (client, server):
            reading = await asleep(server, server.read())
            await ended(client, end)
            with pytest.raises(CommClosedError):
                await reading
            assert server.closed()

    run(main())


@ENDS
def test_read_when_it_is_closed_under_it_then_comm_closed_error(end, run):
    async def main():
        async with connected() as (client, server):
            reading = await asleep(server, server.read())
            await ended(server, end)
            with pytest.raises(CommClosedError):
                await reading
            assert server.closed()
            await until(client.closed)

    run(main())


@ENDS
def test_write_when_the_peer_has_ended_then_comm_closed_error(end, run):
    async def main():
        async with connected() as (client, server):
            await ended(server, end)
            # The first may be lined up before the kernel says that nobody takes it.
            with pytest.raises(CommClosedError):
                while True:
                    await client.write(MESSAGE)
                    await asyncio.sleep(0)
            assert client.closed()

    run(main())


@ENDS
def test_calls_when_it_is_closed_then_comm_closed_error(end, run):
    async def main():
        async with connected() as (client, _):
            await ended(client, end)
            with pytest.raises(CommClosedError):
                await client.read()
            with pytest.raises(CommClosedError):
                await client.write(MESSAGE)
            assert client.closed()
            await client.close()
            client.abort()

    run(main())


@pytest.mark.parametrize("end", ["abort", "reset"])
def test_read_when_the_peer_dies_in_the_middle_of_a_message_then_comm_closed_error(end, run):
    async def main():
        async with connected() as (client, server):
            await jam(client)
            sent = stream(client).stats().bytes_sent
            await until(lambda: stream(client).stats().bytes_sent > sent + 100_000)
            await ended(client, end)
            with pytest.raises(CommClosedError):
                await server.read()
            assert server.closed()

    run(main())


def test_close_when_messages_wait_then_all_are_sent_first(same_host, run):
    async def main():
        async with connected(same_host=same_host) as (client, server):
            for number in range(3):
                await client.write([number, to_serialize(np.full(JAM, number, "u1"))])
            closing = await stays(client.close())
            for number in range(3):
                got, array = await server.read()
                assert got == number
                assert array.size == JAM
                assert (array == number).all()
            await closing
            with pytest.raises(CommClosedError):
                await server.read()

    run(main())


def test_close_when_the_peer_is_gone_then_it_ends(run):
    async def main():
        async with connected() as (client, server):
            await jam(client)
            closing = await stays(client.close())
            server.abort()
            await closing

    run(main())


def test_close_when_cancelled_then_what_waits_is_dropped(run):
    async def main():
        async with connected() as (client, server):
            await jam(client)
            closing = await stays(client.close())
            await cancelled(closing)
            with pytest.raises(CommClosedError):
                await server.read()

    run(main())


def test_read_when_cancelled_then_the_connection_is_aborted(run):
    async def main():
        async with connected() as (client, server):
            await cancelled(await asleep(server, server.read()))
            assert server.closed()
            with pytest.raises(CommClosedError):
                await server.read()
            await until(client.closed)

    run(main())


def test_read_when_cancelled_while_it_deserializes_then_the_connection_is_aborted(run):
    async def main():
        async with connected() as (client, server):
            # Large enough for Dask to do that in another thread.
            reading = asyncio.ensure_future(passed(client, server, to_serialize(bytes(JAM))))
            await until(lambda: server.stats().messages_received == 2)
            await cancelled(reading)
            assert server.closed()
            await until(client.closed)

    run(main())


def test_write_when_cancelled_while_it_waits_then_the_connection_is_aborted(run):
    async def main():
        async with connected(high_water="1 MiB") as (client, server):
            await jam(client)
            writing = await stays(client.write(MESSAGE))
            await cancelled(writing)
            assert client.closed()
            with pytest.raises(CommClosedError):
                await server.read()

    run(main())


def test_write_when_cancelled_while_it_serializes_then_the_connection_is_aborted(run):
    async def main():
        async with connected() as (client, server):
            # Large enough for Dask to do that in another thread.
            writing = asyncio.ensure_future(client.write(to_serialize(bytes(JAM))))
            await asyncio.sleep(0)
            await cancelled(writing)
            assert client.closed()
            with pytest.raises(CommClosedError):
                await server.read()

    run(main())


@ENDS
def test_closed_when_an_idle_peer_ends_then_it_is_seen_without_reading(end, run):
    async def main():
        async with connected() as (client, server):
            assert not client.closed()
            await ended(server, end)
            await until(client.closed)

    run(main())


def test_closed_when_a_message_is_left_then_not_before_it_is_read(run):
    async def main():
        async with connected() as (client, server):
            await server.write(MESSAGE)
            await server.close()
            await until(lambda: stream(client).peer_closed)
            assert not client.closed()
            assert await client.read() == MESSAGE
            await until(client.closed)

    run(main())


def test_connection_when_it_is_forgotten_then_it_is_closed_with_a_warning(caplog, run):
    async def main():
        accepted = asyncio.get_running_loop().create_future()
        async with listening(accepted.set_result) as listener:
            client = await connect(listener.contact_address, timeout=PATIENCE)
            server = await accepted
            assert not server.closed()
            del client
            gc.collect()
            assert [record.msg for record in caplog.records] == ["Closing dangling connection %r"]
            await until(server.closed)

    run(main())
