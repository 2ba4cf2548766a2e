"""A task whose awaits are always ready lets the others live; one call moves any number of bytes."""

from __future__ import annotations

import asyncio
import socket

import numpy as np
import pytest
from support import ABSTRACT, Call, received

import pinwire
import pinwire.blocking

OPERATIONS = 6400


class Turns:
    """Counts the turns of the running loop."""

    def __init__(self):
        self.count = -1
        self._tick()

    def _tick(self):
        self.count += 1
        asyncio.get_running_loop().call_soon(self._tick)


async def send_and_receive(client, server, condition):
    """Transfers that never wait."""
    memory, count = bytearray(1), 0
    while condition(count):
        await client.send_buffer(b"x")
        await server.recv_into(memory)
        count += 2
    assert (client.stats().waits, server.stats().waits) == (0, 0)
    return count


def test_ready_awaits_when_in_a_loop_then_the_event_loop_has_its_turns(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            turns = Turns()
            await send_and_receive(client, server, lambda count: count < OPERATIONS)
            assert turns.count >= OPERATIONS // 70

    run(main())


def test_ready_awaits_when_in_a_loop_then_timers_fire(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            fired = asyncio.Event()
            asyncio.get_running_loop().call_later(0.001, fired.set)
            await send_and_receive(
                client, server, lambda count: not fired.is_set() and count < 1_000_000
            )
            assert fired.is_set()

    run(main())


def test_ready_awaits_when_in_a_loop_then_the_task_can_be_cancelled(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await send_and_receive(client, server, lambda count: count < 1_000_000)

    run(main())


def test_ready_awaits_when_in_two_tasks_then_neither_starves(run):
    async def work(counts, i):
        client, server = pinwire.socketpair()
        memory = bytearray(1)
        async with client, server:
            while max(counts) < OPERATIONS:
                await client.send_buffer(b"x")
                await server.recv_into(memory)
                counts[i] += 2

    async def main():
        counts = [0, 0]
        await asyncio.gather(work(counts, 0), work(counts, 1))
        assert min(counts) > OPERATIONS // 4

    run(main())


def test_ready_accepts_when_in_a_loop_then_the_event_loop_has_its_turns(run):
    async def main():
        async with pinwire.listen(ABSTRACT) as listener:
            clients = [await pinwire.connect(listener.address) for _ in range(256)]
            turns = Turns()
            for client in clients:
                await (await listener.accept()).close()
                client.abort()
            assert turns.count >= 256 // 70

    run(main())


def test_bulk_transfers_when_under_way_then_the_event_loop_has_its_turns(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            turns = Turns()
            size = 1 << 26
            await asyncio.gather(client.send_buffer(bytes(size)), received(server, size))
            assert turns.count >= size >> 20

    run(main())


def test_calls_of_3_gib_when_sent_then_every_byte_arrives_on_both_faces():
    size = (3 << 30) + 5
    array = np.zeros(size, np.uint8)
    marks = {0: 1, (1 << 31) - 1: 2, 1 << 31: 3, (1 << 32) - (1 << 30) + 1: 4, size - 1: 5}
    for place, value in marks.items():
        array[place] = value

    def receive(sock):
        window, got, seen = bytearray(1 << 26), 0, {}
        while n := sock.recv_into(window):
            for place in marks:
                if got <= place < got + n:
                    seen[place] = window[place - got]
            got += n
        sock.close()
        return got, seen

    def send_blocking(sock):
        with pinwire.blocking.Stream.from_socket(sock) as stream:
            return stream.send_buffer(array)

    async def send(sock):
        async with pinwire.Stream.from_socket(sock) as stream:
            return await stream.send_buffer(array)

    for send_it in (send_blocking, lambda sock: asyncio.run(send(sock))):
        left, right = socket.socketpair()
        receiver = Call(receive, right)
        assert send_it(left) == size
        assert receiver.result() == (size, marks)
