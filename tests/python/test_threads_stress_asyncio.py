"""Streams and channels of the asyncio face in the hands of several loops, and of none."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest
import uvloop
from channels import SAME_HOST
from restless import HEAD_SIZE, LONG, chance, content, frame, observed, taken_apart
from support import SMALL, Call, pattern, wait_until

import pinwire

LOOPS = 3
FRAMES = 40 * LONG

pytestmark = [pytest.mark.timeout(60 * LONG), pytest.mark.usefixtures("restless")]


@pytest.fixture(params=["asyncio", "uvloop"])
def in_loop(request):
    """Run a coroutine on a loop of its own in a thread of its own."""
    factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[request.param]

    def run(coroutine):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return lambda coroutine: Call(run, coroutine)


async def send_all(stream, sender, sizes):
    for number, size in enumerate(sizes):
        data = frame(sender, number, size)
        while True:
            try:
                assert await stream.send_buffer(data) == len(data)
                break
            except pinwire.BusyError as busy:
                assert busy.transferred == 0
                await asyncio.sleep(0)


def send_without_a_loop(stream, sender, sizes):
    """Drive each transfer by hand. It ends at once, or says that there is no loop to wait on."""
    waits = 0
    for number, size in enumerate(sizes):
        while True:
            transfer = stream.send_buffer(frame(sender, number, size))
            try:
                while transfer.send(None) is None:  # where a loop would have its turn
                    pass
                raise AssertionError("it waits without a loop")
            except StopIteration as end:
                assert end.value == transfer.transferred == HEAD_SIZE + size
                break
            except pinwire.BusyError:
                time.sleep(0)
            except RuntimeError as error:
                assert "no running event loop" in str(error)
                assert (transfer.transferred, transfer.done()) == (0, True)
                waits += 1
                time.sleep(0)
    return waits


async def receive_all(stream, nbytes, random):
    got = bytearray()
    while len(got) < nbytes:
        memory = bytearray(random.choice([1, 500, 20_000, 400_000]))
        got += memory[: await stream.recv_into(memory)]
    return got


async def close(*streams):
    for stream in streams:
        await stream.close()


def test_stream_when_loops_and_a_bare_thread_send_at_once_then_what_arrives_are_whole_frames(
    in_loop,
):
    random = chance("loops")
    choices = [0, 90, 9_000, 70_000, 600_000]  # the last is bulk
    sizes = [[random.choice(choices) for _ in range(FRAMES)] for _ in range(LOOPS)]
    sizes.append([random.randrange(100) for _ in range(FRAMES)])
    nbytes = sum(map(sum, sizes)) + len(sizes) * FRAMES * HEAD_SIZE
    client, server = pinwire.socketpair(**SMALL)
    with observed(client, server):
        reader = in_loop(receive_all(server, nbytes, random))
        calls = [in_loop(send_all(client, sender, sizes[sender])) for sender in range(LOOPS)]
        calls.append(Call(send_without_a_loop, client, LOOPS, sizes[LOOPS]))
        for call in calls:
            call.result()
        frames = [*taken_apart(reader.result())]
    assert sorted(frames) == sorted(itertools.product(range(LOOPS + 1), range(FRAMES)))
    for sender in range(LOOPS + 1):
        assert [number for by, number in frames if by == sender] == [*range(FRAMES)]
    asyncio.run(close(client, server))


def test_transfer_when_several_loops_await_it_then_one_has_it_and_the_others_are_told(in_loop):
    client, server = pinwire.socketpair(**SMALL)

    async def take(transfer, start):
        start.wait()
        try:
            return await transfer
        except RuntimeError as error:
            assert "await" in str(error)
            return None

    for number in range(20 * LONG):
        size = 300_000 if number % 5 == 0 else 3_000
        memory, start = bytearray(size), threading.Barrier(LOOPS)
        transfer = server.recv_exactly_into(memory)
        takers = [in_loop(take(transfer, start)) for _ in range(LOOPS)]
        in_loop(send_whole(client, content(1, number, size))).result()
        counts = [taker.result() for taker in takers]
        assert sorted(counts, key=str) == [size, None, None]
        assert memory == content(1, number, size)
        assert (transfer.transferred, transfer.done()) == (size, True)
    asyncio.run(close(client, server))


async def send_whole(stream, data):
    return await stream.send_buffer(data)


@pytest.mark.parametrize("how", ["close", "abort", "close the transfer"])
def test_stream_when_a_foreign_thread_ends_it_then_counts_are_true_and_memory_is_free(in_loop, how):
    random, size = chance(how), 600_000

    async def move(transfer, into):
        into.append(transfer)
        try:
            return await transfer
        except (pinwire.ClosedError, pinwire.IncompleteTransferError, ConnectionError) as error:
            return error.transferred
        except RuntimeError as error:
            assert "await" in str(error)  # it was closed by somebody else
            return transfer.transferred

    for _ in range(20 * LONG):
        client, server = pinwire.socketpair(**SMALL)
        source, target, transfers = bytearray(pattern(size)), bytearray(size), []
        enough = random.choice([0, 5_000, random.randrange(size), size])
        sending = in_loop(move(client.send_buffer(source), transfers))
        wait_until(lambda transfers=transfers: transfers)
        receiving = in_loop(move(server.recv_exactly_into(target), transfers))
        wait_until(lambda it=client, enough=enough: it.stats().bytes_sent >= enough)
        if how == "close the transfer":
            transfer = transfers[0]
            try:
                transfer.close()
            except RuntimeError as error:
                assert "await" in str(error)  # it was running just then
            wait_until(lambda call=sending: not call.is_alive())
            client.abort()
        else:
            getattr(client, how)()
        counts = [call.result() for call in (sending, receiving)]
        assert counts == [client.stats().bytes_sent, server.stats().bytes_received]
        assert target[: counts[1]] == source[: counts[1]]
        assert target[counts[1] :] == bytes(size - counts[1])
        transfers.clear()
        transfer = None
        for memory in (source, target):
            memory.append(0)  # nobody has it pinned
        asyncio.run(close(client, server))


def test_channel_when_tasks_of_several_loops_send_then_messages_are_whole_and_in_order(in_loop):
    left, right = pinwire.socketpair(**SMALL)
    client = pinwire.Channel(left, same_host=SAME_HOST)
    server = pinwire.Channel(right, same_host=SAME_HOST)

    async def send(sender):
        random = chance(sender)
        for number in range(FRAMES):
            data = content(sender, number, random.choice([0, 100, 30_000]))
            assert await client.send(data, meta={"by": sender, "number": number}) == len(data)

    async def receive():
        found = []
        for _ in range(LOOPS * FRAMES):
            message = await server.recv()
            by, number = message.meta["by"], message.meta["number"]
            assert message.parts[0].tobytes() == content(by, number, message.nbytes)
            found.append((by, number))
        return found

    receiving = in_loop(receive())
    for sending in [in_loop(send(sender)) for sender in range(LOOPS)]:
        sending.result()
    found = receiving.result()
    for sender in range(LOOPS):
        assert [number for by, number in found if by == sender] == [*range(FRAMES)]
    asyncio.run(close(client, server))
