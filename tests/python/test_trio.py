"""trio is not supported yet: the first await says so, before a byte moves."""

from __future__ import annotations

import asyncio

import pytest
import trio

import pinwire
import pinwire.blocking

NAMES_WHAT_IS = r"a task of trio: .* asyncio and uvloop; elsewhere use pinwire\.blocking"


def refused(awaitable):
    async def main():
        with pytest.raises(RuntimeError, match=NAMES_WHAT_IS):
            await awaitable

    trio.run(main)


@pytest.fixture
def streams():
    one, two = pinwire.socketpair()
    yield one, two
    one.abort()
    two.abort()


@pytest.mark.parametrize("is_ready", [True, False])
def test_transfer_when_awaited_on_trio_then_it_is_refused_before_a_byte_moves(streams, is_ready):
    one, two = streams
    refused(one.send_buffer(bytes(3 if is_ready else 1 << 26)))
    assert one.stats().bytes_sent == 0
    refused(two.recv_into(bytearray(3)))


def test_transfer_when_the_thread_has_run_asyncio_before_then_it_is_refused_all_the_same(streams):
    one, two = streams

    async def main():
        for _ in range(3):
            assert await one.send_buffer(b"a") == 1
        assert await two.recv_exactly_into(bytearray(3)) == 3

    asyncio.run(main())
    refused(one.send_buffer(b"a"))
    asyncio.run(main())


def test_transfer_when_refused_on_trio_then_its_memory_is_free_and_nothing_warns(streams):
    memory = bytearray(3)
    sending = streams[0].send_buffer(memory)
    refused(sending)
    memory.append(1)
    assert sending.done()


@pytest.mark.parametrize(
    "open_it",
    [
        lambda: pinwire.connect("tcp://127.0.0.1:1"),
        lambda: pinwire.listen("tcp://127.0.0.1:0"),
        lambda: pinwire.connect_channel("tcp://127.0.0.1:1"),
        lambda: pinwire.serve_channels(print, "tcp://127.0.0.1:0"),
    ],
)
def test_open_when_awaited_on_trio_then_it_is_refused(open_it):
    refused(open_it())


def test_accept_when_awaited_on_trio_then_it_is_refused():
    listener = asyncio.run(_listen())
    refused(listener.accept())
    refused(anext(listener))
    asyncio.run(_close(listener))


def test_channel_when_awaited_on_trio_then_it_is_refused(streams):
    channel = pinwire.Channel(streams[0])
    for call in (channel.send(b"a"), channel.recv(), channel.handshake(), channel.drain()):
        refused(call)


def test_blocking_when_used_in_a_thread_of_trio_then_it_works():
    one, two = pinwire.blocking.socketpair()

    async def main():
        assert await trio.to_thread.run_sync(one.send_buffer, b"abc") == 3
        assert await trio.to_thread.run_sync(two.recv_exactly_into, bytearray(3)) == 3

    with one, two:
        trio.run(main)


def test_transfer_when_it_would_wait_without_a_loop_then_the_error_names_what_there_has_to_be(
    streams,
):
    receiving = streams[0].recv_into(bytearray(1))
    with pytest.raises(RuntimeError, match=r"no running event loop: .*asyncio and uvloop"):
        for _ in range(2):  # the first may only give the loop its turn, for what ran before here
            receiving.send(None)


async def _listen():
    return await pinwire.listen("tcp://127.0.0.1:0")


async def _close(listener):
    await listener.close()
