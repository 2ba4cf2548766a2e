"""A Transfer is a coroutine: it starts when awaited, is awaited once, and tells how far it is."""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
import sys

import pytest
from support import BIG, PATIENCE, Call, pattern, received, until, waiting

import pinwire

ENDED = "was already awaited"


async def await_it(awaitable):
    return await awaitable


TAKERS = {
    "await": await_it,
    "create_task": lambda it: await_it(asyncio.create_task(it)),
    "ensure_future": lambda it: await_it(asyncio.ensure_future(it)),
    "gather": lambda it: first_of(asyncio.gather(it)),
    "wait_for": lambda it: asyncio.wait_for(it, PATIENCE),
    "wait_for_without_timeout": lambda it: asyncio.wait_for(it, None),
    "shield": lambda it: await_it(asyncio.shield(it)),
    "as_completed": lambda it: await_it(next(iter(asyncio.as_completed([it])))),
    "task_group": lambda it: in_group(it),
    "threadsafe": lambda it: by_another_thread(it),
}


async def first_of(future):
    return (await future)[0]


async def in_group(transfer):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(transfer)
    return task.result()


async def by_another_thread(transfer):
    loop = asyncio.get_running_loop()
    call = Call(lambda: asyncio.run_coroutine_threadsafe(transfer, loop).result(PATIENCE))
    return await asyncio.to_thread(call.result)


@pytest.mark.parametrize("taker", TAKERS)
def test_transfer_when_given_to_asyncio_then_it_is_taken_as_a_coroutine(run, taker):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            await client.send_buffer(b"at once")
            assert await TAKERS[taker](server.recv_exactly_into(bytearray(7))) == 7
            asyncio.get_running_loop().call_later(
                0.002, lambda: asyncio.ensure_future(server.send_buffer(b"late"))
            )
            assert await TAKERS[taker](client.recv_exactly_into(bytearray(4))) == 4

    run(main())


def test_transfer_when_given_to_asyncio_run_then_it_is_taken():
    client, server = pinwire.socketpair()
    assert asyncio.run(client.send_buffer(b"data")) == 4
    assert asyncio.run(server.recv_into(bytearray(4))) == 4
    asyncio.run(client.close())
    asyncio.run(server.close())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_transfer_when_in_an_eager_task_then_it_is_taken():
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        client, server = pinwire.socketpair()
        async with client, server:
            waits = asyncio.create_task(server.recv_into(bytearray(4)))
            sends = asyncio.create_task(client.send_buffer(b"data"))
            assert (await sends, await waits) == (4, 4)

    asyncio.run(main())


def test_transfer_when_looked_at_then_it_is_a_coroutine():
    client, server = pinwire.socketpair()
    transfer = client.send_buffer(b"data")
    assert isinstance(transfer, pinwire.Transfer)
    assert isinstance(transfer, collections.abc.Coroutine)
    assert inspect.isawaitable(transfer)
    assert asyncio.iscoroutine(transfer)
    assert (transfer.__name__, transfer.__qualname__) == ("send_buffer", "Stream.send_buffer")
    assert "send_buffer" in repr(transfer)
    transfer.close()
    client.abort()
    server.abort()


def test_transfer_when_not_awaited_then_nothing_moves(run, pair):
    async def main():
        async with pair() as (client, server):
            first, second = client.send_buffer(b"1"), client.send_buffer(b"2")
            waiting = server.recv_into(memory := bytearray(1))
            await asyncio.sleep(0)
            assert (first.transferred, first.nbytes, first.done()) == (0, 1, False)
            # The order of awaiting counts, not that of the calls.
            await second
            await first
            assert memory == b"\0"
            await waiting
            assert (memory, await received(server, 1)) == (b"2", b"1")

    run(main())


def test_transfer_when_never_awaited_then_it_warns_and_its_memory_is_unpinned():
    client, server = pinwire.socketpair()
    memory = bytearray(4)
    transfer = client.send_buffer(memory)
    with pytest.raises(BufferError):
        memory.append(0)
    with pytest.warns(RuntimeWarning, match="Stream.send_buffer was never awaited"):
        del transfer
    memory.append(0)
    client.abort()
    server.abort()


def test_progress_when_read_from_another_task_or_thread_then_it_is_live(run, pair):
    async def main():
        async with pair() as (client, server):
            transfer = client.send_buffer(pattern(BIG * 8))
            task = asyncio.create_task(transfer)
            seen = []
            for i in range(1, 9):
                await received(server, BIG)
                # Bytes are counted when their system call returns, when they may be there already.
                await until(lambda i=i: transfer.transferred >= BIG * i)
                seen.append(await asyncio.to_thread(getattr, transfer, "transferred"))
            assert seen == sorted(seen)
            assert BIG <= seen[0] < seen[-1] == transfer.nbytes == BIG * 8
            assert (await task, transfer.transferred, transfer.done()) == (BIG * 8, BIG * 8, True)

    run(main())


def test_transfer_when_awaited_again_after_its_end_then_it_is_an_error(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            transfer = client.send_buffer(b"data")
            await transfer
            for again in (transfer, asyncio.create_task(await_it(transfer))):
                with pytest.raises(RuntimeError, match=ENDED):
                    await again
            assert await received(server, 4) == b"data"

    run(main())


@pytest.mark.parametrize("how", [await_it, asyncio.ensure_future])
def test_transfer_when_awaited_by_a_second_task_then_that_one_fails_and_the_first_goes_on(run, how):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            memory = bytearray(4)
            transfer = server.recv_into(memory)
            first = await waiting(server, transfer)
            with pytest.raises(RuntimeError, match="already being awaited"):
                await asyncio.wait_for(how(transfer), PATIENCE)
            assert not first.done()
            await client.send_buffer(b"data")
            assert (await asyncio.wait_for(first, PATIENCE), memory) == (4, b"data")

    run(main())


def test_transfer_when_closed_from_outside_then_its_task_ends_and_the_direction_is_free(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            transfer = server.recv_into(bytearray(4))
            first = await waiting(server, transfer)
            transfer.close()
            second = await waiting(server, server.recv_into(bytearray(4)))
            with pytest.raises(RuntimeError, match=ENDED):
                await asyncio.wait_for(first, PATIENCE)
            await client.send_buffer(b"data")
            assert await asyncio.wait_for(second, PATIENCE) == 4

    run(main())


@pytest.mark.parametrize("suspended", [False, True])
def test_throw_when_called_then_it_raises_with_counts_and_ends_the_transfer(run, suspended):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            memory = bytearray(4)
            transfer = server.recv_into(memory)
            if suspended:
                transfer.send(None)
            with pytest.raises(ZeroDivisionError) as caught:
                transfer.throw(ZeroDivisionError("here"))
            assert (caught.value.transferred, caught.value.nbytes) == (0, 4)
            assert transfer.done()
            memory.append(0)
            with pytest.raises(RuntimeError, match=ENDED):
                transfer.throw(ZeroDivisionError)
            await client.send_buffer(b"data")
            assert await received(server, 4) == b"data"

    run(main())


@pytest.mark.parametrize("args", [(KeyError,), (KeyError, "x"), (KeyError, KeyError("x"), None)])
def test_throw_when_given_as_to_a_generator_then_it_raises_that(args):
    client, server = pinwire.socketpair()
    with pytest.raises(KeyError) as caught:
        server.recv_into(bytearray(1)).throw(*args)
    assert caught.value.args == (("x",) if args[1:] else ())
    client.abort()
    server.abort()


def test_close_when_called_at_any_time_then_it_ends_the_transfer_silently(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            fresh, suspended = server.recv_into(bytearray(1)), server.recv_into(bytearray(1))
            suspended.send(None)
            for transfer in (fresh, suspended):
                transfer.close()
                transfer.close()
                assert (transfer.done(), transfer.transferred) == (True, 0)
                with pytest.raises(RuntimeError, match=ENDED):
                    await transfer

    run(main())


def drive(transfer):
    """As a task does it, except that turns of the loop are not had. The result."""
    try:
        while transfer.send(None) is None:
            pass
    except StopIteration as stop:
        return stop.value
    return "it waits"


def test_stop_when_it_was_kept_then_the_next_transfer_raises_another():
    client, server = pinwire.socketpair()
    stops = []
    for data in (b"data", b"more", b"x"):
        for step in (next, lambda transfer: transfer.send(None)):
            transfer = client.send_buffer(data)
            with pytest.raises(StopIteration) as caught:
                while step(transfer) is None:
                    pass  # a turn of the loop
            stops.append(caught.value)
    assert [stop.value for stop in stops] == [4, 4, 4, 4, 1, 1]
    assert [stop.args for stop in stops] == [(4,)] * 4 + [(1,)] * 2
    assert len(set(map(id, stops))) == len(stops)
    client.abort()
    server.abort()


def test_stop_when_raised_again_then_it_has_no_trace_of_the_last_time():
    client, server = pinwire.socketpair()

    def depth():
        transfer = client.send_buffer(b"data")
        try:
            while next(transfer) is None:
                pass  # a turn of the loop
        except StopIteration as stop:
            frame, frames = stop.__traceback__, 0
            while frame is not None:
                frame, frames = frame.tb_next, frames + 1
            return frames

    assert [depth() for _ in range(3)] == [1, 1, 1]
    client.abort()
    server.abort()


def test_transfer_when_driven_by_hand_then_it_needs_a_loop_only_to_wait():
    client, server = pinwire.socketpair()
    assert drive(client.send_buffer(b"data")) == 4
    assert drive(server.recv_into(bytearray(4))) == 4
    with pytest.raises(RuntimeError, match="no running event loop"):
        drive(server.recv_into(bytearray(4)))
    client.abort()
    server.abort()


def test_transfer_when_forwarded_by_python_code_then_it_works(run):
    class Forwarded:
        def __init__(self, transfer):
            self._transfer = transfer

        def __await__(self):
            return (yield from self._transfer.__await__())

    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            task = await waiting(server, await_it(Forwarded(server.recv_into(bytearray(4)))))
            await client.send_buffer(b"data")
            assert await task == 4

    run(main())


def test_transfer_when_forwarded_by_python_code_then_a_close_meanwhile_ends_it(run):
    class Forwarded:
        """A wrapper that closes the stream between the transfer and the task."""

        def __init__(self, stream):
            self._stream = stream

        def __await__(self):
            transfer = self._stream.recv_into(bytearray(1))
            future = transfer.send(None)
            self._stream.abort()
            yield future
            transfer.send(None)

    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            with pytest.raises(pinwire.ClosedError):
                await asyncio.wait_for(await_it(Forwarded(server)), 2)

    run(main())


def end_of(transfer):
    """The exception that a transfer ends with, which somebody who drives it by hand gets."""
    try:
        while True:
            assert next(transfer) is None  # a turn of the loop, which goes without it here
    except StopIteration as stop:
        return stop


@pytest.mark.parametrize("change", ["value", "value-to-one-that-is-equal", "args", "kept"])
def test_await_when_somebody_changed_the_end_of_an_earlier_one_then_the_result_is_its_own(
    run, change
):
    async def main():
        one, two = pinwire.socketpair()
        async with one, two:
            kept = []
            for size in (3, 70_000):
                for _ in range(3):
                    stop = end_of(one.send_buffer(bytes(size)))
                    assert stop.value == size
                    if change == "args":
                        stop.args = ("poison",)
                    elif change == "kept":
                        kept.append(stop)
                    else:
                        stop.value = "poison" if change == "value" else float(size)
                    del stop
                    result = await one.send_buffer(bytes(size))
                    assert (type(result), result) == (int, size)
                    assert await two.recv_exactly_into(bytearray(2 * size)) == 2 * size
            assert all(stop.value in (3, 70_000) for stop in kept)

    run(main())
