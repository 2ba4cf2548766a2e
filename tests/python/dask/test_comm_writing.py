"""Writing does not wait for the reader, up to the high-water mark; what fails is told later."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from comms import JAM, MESSAGE, connected, jam, stays, stream, stuck
from distributed.comm import CommClosedError
from distributed.protocol import to_serialize
from hostile import MARGIN, rss
from support import until

MEGA = 1_000_000


def test_write_when_nobody_reads_then_it_does_not_wait(same_host, run):
    async def main():
        async with connected(same_host=same_host) as (client, server):
            arrays = [np.ones(200 * MEGA, "u1")]
            arrays.append(arrays[0][1:])
            before = rss()
            for array in arrays:
                assert await client.write(to_serialize(array)) > array.nbytes
            # They are sent from where they lie.
            assert rss() - before < MARGIN
            assert client.stats().messages_sent == 1  # that of Dask's handshake
            for array in arrays:
                assert np.array_equal(await server.read(), array)

    run(main())


def test_write_when_the_high_water_is_reached_then_it_waits_for_room(run):
    async def main():
        async with connected(high_water="1 MiB") as (client, server):
            await jam(client)
            writing = await stays(client.write(MESSAGE))
            assert (await server.read()).size == JAM
            await writing
            assert await server.read() == MESSAGE

    run(main())


def test_write_when_many_wait_for_room_then_they_go_out_in_order(run):
    async def main():
        async with connected(high_water="1 MiB") as (client, server):
            await jam(client)
            writes = [asyncio.ensure_future(client.write(number)) for number in range(20)]
            assert await stuck(writes[0])
            await server.read()
            assert [await server.read() for _ in range(20)] == list(range(20))
            await asyncio.gather(*writes)

    run(main())


def test_write_when_the_peer_ends_while_it_waits_then_comm_closed_error(run):
    async def main():
        async with connected(high_water="1 MiB") as (client, server):
            await jam(client)
            writing = await stays(client.write(MESSAGE))
            server.abort()
            with pytest.raises(CommClosedError):
                await writing
            assert client.closed()

    run(main())


@pytest.mark.parametrize("call", ["read", "write"])
def test_write_when_it_fails_after_it_returned_then_the_next_call_raises(call, run):
    async def main():
        async with connected() as (client, server):
            await jam(client)
            stream(server).abort()
            await until(lambda: not client._channel._posted._tasks)
            with pytest.raises(CommClosedError):
                await (client.read() if call == "read" else client.write(MESSAGE))
            assert client.closed()

    run(main())
