"""Messages that are posted: lined up, pinned, and sent in their turn."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from channels import PART, Channels, about_socket, jammed, message, numbers
from support import cancelled, until

import pinwire
import pinwire.blocking


@about_socket
def test_post_when_the_kernel_takes_it_then_it_has_gone_at_once(face):
    async def main():
        async with face.pair() as (client, server):
            memory = bytearray(b"abc")
            assert client.post(memory, meta={"a": 1}) is None
            memory.append(1)
            assert client.stats().messages_sent == 1
            got = await server.recv()
            assert (got.parts[0].tobytes(), got.meta) == (b"abc", {"a": 1})
            await client.drain()

    face.run(main())


def test_post_when_others_send_then_the_order_of_the_calls_holds(aio):
    async def main():
        async with jammed(aio) as (client, server, first):
            client.post(message(1))
            second = asyncio.ensure_future(client.send(message(2)))
            await asyncio.sleep(0)
            client.post(message(3))
            assert await numbers(server, 4) == [0, 1, 2, 3]
            assert await asyncio.gather(first, second) == [PART, PART]

    aio.run(main())


def test_posts_when_many_then_they_arrive_in_order(channels):
    async def main():
        async with channels.pair() as (client, server):
            for i in range(40):
                client.post(message(i))
            assert await numbers(server, 40) == list(range(40))
            await client.drain()
            assert client.stats().messages_sent == 40

    channels.run(main())


def test_post_when_it_waits_then_its_memory_is_pinned_until_it_is_sent(channels):
    async def main():
        async with jammed(channels) as (client, server, first):
            memory = bytearray(PART)
            client.post(memory)
            with pytest.raises(BufferError):
                memory.append(1)
            assert await numbers(server, 2) == [0, 0]
            await client.drain()
            memory.append(1)
            await first

    channels.run(main())


def test_post_when_the_water_is_high_then_it_is_refused_until_there_is_room(channels):
    async def main():
        async with jammed(channels, high_water=2 * PART) as (client, server, first):
            client.post(message(1))
            client.post(message(2))  # over the mark only now
            memory = bytearray(PART)
            with pytest.raises(pinwire.QueueFullError, match="100000 bytes") as caught:
                client.post(memory)
            assert isinstance(caught.value, BlockingIOError)
            assert caught.value.errno
            memory.append(1)
            # Others are not concerned.
            last = asyncio.ensure_future(client.send(message(3)))
            assert await numbers(server, 4) == [0, 1, 2, 3]
            await client.drain()
            client.post(message(4))
            assert await numbers(server, 1) == [4]
            await asyncio.gather(first, last)

    channels.run(main())


def test_post_when_it_waits_for_room_then_it_is_admitted_in_order(face):
    async def main():
        async with jammed(face, high_water=PART) as (client, server, first):
            client.post(message(1))
            waiting = []
            for i in range(2, 9):
                waiting.append(asyncio.ensure_future(client.post(message(i), wait=True)))
                await entered(face, client, len(waiting))
            assert not any(task.done() for task in waiting)
            assert await numbers(server, 9) == list(range(9))
            assert await asyncio.gather(*waiting) == [None] * 7
            await first

    face.run(main())


async def entered(face, client, count):
    """Wait until so many posts wait for room."""
    posted = (client.inner if face.is_blocking else client)._posted
    await until(lambda: len(posted._waiters) == count)


def test_post_when_others_wait_for_room_then_it_does_not_overtake_them(face):
    async def main():
        async with jammed(face, high_water=PART) as (client, server, first):
            client.post(message(1))
            waiting = asyncio.ensure_future(client.post(message(2), wait=True))
            await entered(face, client, 1)
            await numbers(server, 1)
            await first
            # There may be room by now, but it is spoken for.
            overtook = True
            try:
                client.post(message(3))
            except pinwire.QueueFullError:
                overtook = False
            found = await numbers(server, 2 + overtook)
            assert found == [1, 2, 3][: 2 + overtook]
            await waiting

    face.run(main())


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_face(request):
    return Channels(request.param, "unix")


def test_post_when_cancelled_while_it_waits_for_room_then_it_leaves_no_trace(loop_face):
    async def main():
        async with jammed(loop_face, high_water=PART) as (client, server, first):
            client.post(message(1))
            waiting = [asyncio.ensure_future(client.post(message(i), wait=True)) for i in (2, 3, 4)]
            await entered(loop_face, client, 3)
            await cancelled(waiting.pop(1))
            assert await numbers(server, 4) == [0, 1, 2, 4]
            await asyncio.gather(first, *waiting)

    loop_face.run(main())


def test_post_when_cancelled_as_it_is_admitted_then_the_next_one_is(loop_face):
    async def main():
        async with jammed(loop_face, high_water=PART) as (client, server, first):
            client.post(message(1))
            waiting = [asyncio.ensure_future(client.post(message(i), wait=True)) for i in (2, 3)]
            await entered(loop_face, client, 2)
            receiving = asyncio.ensure_future(numbers(server, 3))
            # Its task hears of it in the loop's next turn only.
            admitted = client._posted._waiters[0]
            await until(admitted.done)
            await cancelled(waiting[0])
            assert await receiving == [0, 1, 3]
            await asyncio.gather(first, waiting[1])

    loop_face.run(main())


def test_posts_when_one_that_waits_fails_then_the_next_is_admitted(face):
    async def main():
        async with jammed(face, high_water=PART) as (client, server, first):
            client.post(message(1))
            wrong = asyncio.ensure_future(client.post("text", wait=True))
            await entered(face, client, 1)
            right = asyncio.ensure_future(client.post(message(2), wait=True))
            await entered(face, client, 2)
            assert await numbers(server, 3) == [0, 1, 2]
            with pytest.raises(TypeError):
                await wrong
            assert (await right, await first) == (None, PART)

    face.run(main())


def test_drain_when_the_time_passes_then_what_waits_goes_on(channels):
    async def main():
        async with jammed(channels) as (client, server, first):
            client.post(message(1))
            with pytest.raises(pinwire.TransferTimeoutError):
                await client.drain(timeout=0.01)
            draining = asyncio.ensure_future(client.drain())
            assert await numbers(server, 2) == [0, 1]
            assert (await draining, await first) == (None, PART)

    channels.run(main())


@pytest.mark.parametrize("tell", ["send", "post", "send_object", "send_file", "drain"])
def test_post_when_it_fails_later_then_the_next_call_that_sends_tells(tell, face, tmp_path):
    (tmp_path / "file").write_bytes(b"abc")

    async def main():
        async with jammed(face, allow_pickle=True) as (client, server, first):
            client.post(message(1))
            client.post(message(2))
            server.abort()
            with pytest.raises(OSError) as caught:
                await first
            raw = client.inner if face.is_blocking else client
            with (tmp_path / "file").open("rb") as file:
                calls = {
                    "send": lambda: client.send(b"x"),
                    "post": lambda: client.post(b"x", wait=True),
                    "send_object": lambda: client.send_object(1),
                    "send_file": lambda: client.send_file(file),
                    "drain": client.drain,
                }
                if face.is_blocking:
                    await until(lambda: not raw._posted._has_thread)
                else:
                    await until(lambda: not raw._posted._tasks)
                with pytest.raises((BrokenPipeError, ConnectionResetError)):
                    await calls[tell]()
            # Said once; what follows has an error of its own.
            await client.drain()
            assert caught.value.errno

    face.run(main())


def test_posts_when_the_block_ends_then_they_are_sent_before_it_closes(channels):
    async def main():
        stream, other = await channels.streams()
        async with channels.over(other) as server:
            receiving = asyncio.ensure_future(numbers(server, 5))
            async with channels.over(stream) as client:
                for i in range(5):
                    client.post(message(i))
            assert client.stream.fileno() == -1
            assert await receiving == [0, 1, 2, 3, 4]
            with pytest.raises(pinwire.IncompleteTransferError):
                await server.recv()

    channels.run(main())


def test_posts_when_the_block_ends_by_an_error_then_they_are_dropped(face):
    async def main():
        stream, other = await face.streams()
        async with face.over(other) as server:
            await server.send(b"hello")
            memory = bytearray(PART)
            with pytest.raises(ZeroDivisionError):
                async with face.over(stream) as client:
                    client.post(memory)
                    await client.recv()
                    raise ZeroDivisionError
            with pytest.raises(pinwire.IncompleteTransferError):
                await server.recv()
            await until(lambda: resizes(memory))

    face.run(main())


def resizes(memory):
    with contextlib.suppress(BufferError):
        memory.append(1)
        return True
    return False


def test_close_when_posts_wait_then_their_memory_is_free_again(face):
    async def main():
        async with jammed(face) as (client, server, first):
            memory = bytearray(PART)
            client.post(memory)
            await server.send(b"")
            await client.recv()
            await client.close()
            with pytest.raises(pinwire.ClosedError):
                await first
            await until(lambda: resizes(memory))
            with pytest.raises(pinwire.ClosedError):
                await client.drain()

    face.run(main())
