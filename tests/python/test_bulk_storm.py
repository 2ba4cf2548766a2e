"""Bulk that is interrupted at random: counts are true, and memory is left alone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket

import pytest
from support import pattern

import pinwire

# Of each of the kinds, which are 36; ten thousand of each take minutes.
ROUNDS = 10_000 if os.environ.get("PINWIRE_SOAK") else 150
ROUNDS_A_LOOP = 50

LARGEST = 600_000
CONTENT = pattern(LARGEST)
MARK = b"\xee"


async def end_of(task, asked):
    """The error of a task that was cancelled; it ended by itself only if it was not `asked`."""
    try:
        await task
    except asyncio.CancelledError as error:
        return error
    assert not asked
    return None


async def by_cancel(stream, transfer, pump):
    task = asyncio.ensure_future(transfer(None))
    await pump(task)
    return await end_of(task, task.cancel())


async def by_two_cancels(stream, transfer, pump):
    task = asyncio.ensure_future(transfer(None))
    await pump(task)
    asked = task.cancel("first")
    assert task.cancel("second") == asked
    return await end_of(task, asked)


async def by_asyncio_timeout(stream, transfer, pump):
    pumping = asyncio.ensure_future(pump(None))
    try:
        async with asyncio.timeout(chance.random() / 500):
            await transfer(None)
    except TimeoutError as error:
        return error.__cause__
    finally:
        await pumping
    return None


async def by_wait_for(stream, transfer, pump):
    pumping = asyncio.ensure_future(pump(None))
    moving = asyncio.ensure_future(transfer(None))
    try:
        await asyncio.wait_for(moving, chance.random() / 500)
    except TimeoutError as error:
        # The time may be over between the end of a task and the turn of who waits for it.
        return error.__cause__ if moving.cancelled() else None
    finally:
        await pumping
    return None


async def by_timeout(stream, transfer, pump):
    pumping = asyncio.ensure_future(pump(None))
    try:
        await transfer(chance.random() / 500)
    except pinwire.TransferTimeoutError as error:
        return error
    finally:
        await pumping
    return None


async def by_close_of_the_transfer(stream, transfer, pump):
    task = asyncio.ensure_future(it := transfer(None))
    await pump(task)
    ended = it.done()
    it.close()
    with contextlib.suppress(RuntimeError) if not ended else contextlib.nullcontext():
        await task
    return None if ended else it


async def by_throw(stream, transfer, pump):
    task = asyncio.ensure_future(it := transfer(None))
    await pump(task)
    if it.done():
        await task
        return None
    with pytest.raises(ZeroDivisionError) as caught:
        it.throw(ZeroDivisionError)
    with contextlib.suppress(RuntimeError):
        await task
    return caught.value


async def by_dropping_it(stream, transfer, pump):
    it = transfer(None)
    with contextlib.suppress(StopIteration):
        while it.send(None) is None:  # noqa: ASYNC110 - as a task gives the loop its turns
            await asyncio.sleep(0)
        await pump(None)
    return it  # the caller lets go of it


async def by_close_of_the_stream(stream, transfer, pump):
    task = asyncio.ensure_future(transfer(None))
    await asyncio.sleep(0)
    await pump(task)
    chance.choice([stream.close, stream.abort])()
    try:
        await task
    except pinwire.ClosedError as error:
        return error
    return None


INTERRUPTIONS = [
    by_cancel,
    by_two_cancels,
    by_asyncio_timeout,
    by_wait_for,
    by_timeout,
    by_close_of_the_transfer,
    by_throw,
    by_dropping_it,
    by_close_of_the_stream,
]
chance = random.Random(3)


def connected():
    """A stream and the stdlib's end of it; in a third of the cases over TCP."""
    if chance.randrange(3):
        ours, theirs = socket.socketpair()
        sizes = [4096, 65536]
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
        theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sizes = [131072, 262144]
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, chance.choice(sizes))
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, chance.choice(sizes))
    theirs.setblocking(False)
    options = {
        "send_buffer_size": chance.choice(sizes),
        "recv_buffer_size": chance.choice(sizes),
    }
    return pinwire.Stream.from_socket(ours, **options), theirs


def pump_by(move):
    """Let the peer move bytes for a random number of turns, or until the task is done."""
    turns, start = chance.choice([1, 2, 4, 10, 40, 150]), chance.random()

    async def pump(task):
        for _ in range(chance.randrange(turns) if turns > 1 else 0):
            if start < 0.9:
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    move(chance.choice([100, 5000, 100_000]))
            await asyncio.sleep(0)
            if task is not None and task.done():
                return

    return pump


def sizes():
    return chance.choice([chance.randrange(255_000, 280_000), chance.randrange(280_000, LARGEST)])


async def read_all(peer, got):
    """All that the peer receives until the stream ends."""
    with contextlib.suppress(ConnectionResetError):
        while piece := await asyncio.get_running_loop().sock_recv(peer, 1 << 20):
            got += piece


async def send_once(interruption):
    stream, peer = connected()
    size, got = sizes(), bytearray()
    payload = bytearray(CONTENT[:size])
    transfer = None

    def make(timeout):
        nonlocal transfer
        transfer = stream.send_buffer(payload, timeout=timeout)
        return transfer

    def move(n):
        got.extend(peer.recv(n))

    error = await interruption(stream, make, pump_by(move))
    if interruption is by_dropping_it:
        transfer = error = None
        sent = stream.stats().bytes_sent
    else:
        sent = transfer.transferred
        assert transfer.done()
        assert (sent == size) or error is not None
    if error is not None:
        assert (error.transferred, error.nbytes) == (sent, size)
    payload[:] = bytes(size)
    payload.append(0)  # it is unpinned
    lost = stream.fileno() == -1
    reader = asyncio.ensure_future(read_all(peer, got))
    if not lost:
        try:
            assert await stream.send_buffer(MARK) == 1
        except pinwire.TornStreamError as torn:
            assert 0 < sent == torn.transferred < torn.nbytes == size
            expected = CONTENT[:sent]
        else:
            assert sent in (0, size)
            expected = CONTENT[:sent] + MARK
        await stream.close()
    else:
        expected = CONTENT[:sent]
    await reader
    peer.close()
    if lost:  # a reset discards what was under way
        assert expected.startswith(got)
    else:
        assert got == expected


async def receive_once(interruption):
    stream, peer = connected()
    size, came = sizes(), 0
    memory = bytearray(size)
    transfer = None

    def make(timeout):
        nonlocal transfer
        transfer = stream.recv_exactly_into(memory, timeout=timeout)
        return transfer

    def move(n):
        nonlocal came
        came += peer.send(CONTENT[came : came + min(n, size - came)])

    error = await interruption(stream, make, pump_by(move))
    if interruption is by_dropping_it:
        transfer = error = None
        received = stream.stats().bytes_received
    else:
        received = transfer.transferred
        assert transfer.done()
        assert (received == size) or error is not None
    if error is not None:
        assert (error.transferred, error.nbytes) == (received, size)
    assert memory[:received] == CONTENT[:received]
    assert memory[received:] == bytes(size - received)
    memory[:] = MARK * size
    memory.append(0)  # it is unpinned
    if stream.fileno() != -1:
        rest = bytearray(size - received)
        loop = asyncio.get_running_loop()
        peer.setblocking(False)
        _, n = await asyncio.gather(
            loop.sock_sendall(peer, CONTENT[came:size]), stream.recv_exactly_into(rest)
        )
        assert (n, rest) == (len(rest), CONTENT[received:size])
        await stream.close()
    else:
        for _ in range(3):
            with contextlib.suppress(OSError):
                peer.send(CONTENT[:1000])
            await asyncio.sleep(0)
    assert memory == MARK * size + b"\0"
    peer.close()


@pytest.mark.timeout(60 + ROUNDS // 10)
@pytest.mark.parametrize("interruption", INTERRUPTIONS)
@pytest.mark.parametrize("once", [send_once, receive_once])
def test_bulk_when_interrupted_at_random_then_it_tells_the_truth_and_lets_go(
    run, once, interruption
):
    async def main():
        for _ in range(ROUNDS_A_LOOP):
            await once(interruption)

    for _ in range(ROUNDS // ROUNDS_A_LOOP):
        run(main())
    assert pinwire.runtime_stats().bulk_in_flight == 0
