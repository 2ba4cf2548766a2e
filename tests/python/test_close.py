"""Closing ends what is in flight; a number is given back only when nobody can use it any more."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket

import pytest
from support import BIG, SMALL, is_open, received, received_blocking, sleeping, until, waiting

import pinwire
import pinwire.blocking

ENDS = ["close", "abort"]


async def end(stream, how):
    if how == "close":
        await stream.close()
    else:
        stream.abort()


@pytest.mark.parametrize("how", ENDS)
def test_close_when_transfers_are_in_flight_then_they_end_with_closed_error(run, pair, how):
    async def main():
        async with pair() as (client, server):
            await server.send_buffer(b"12")
            send = client.send_buffer(bytes(BIG * 8))
            receive = client.recv_exactly_into(bytearray(10))
            tasks = [asyncio.create_task(send), asyncio.create_task(receive)]
            await until(lambda: client.stats().waits >= 2 and receive.transferred == 2)
            await end(client, how)
            sent, got = await asyncio.gather(*tasks, return_exceptions=True)
            assert (type(sent), type(got)) == (pinwire.ClosedError, pinwire.ClosedError)
            assert 0 < sent.transferred == send.transferred < sent.nbytes == BIG * 8
            assert (got.transferred, got.nbytes) == (2, 10)

    run(main())


@pytest.mark.parametrize("how", ENDS)
def test_blocking_close_when_threads_are_in_calls_then_they_end_with_closed_error(
    blocking_pair, how
):
    client, server = blocking_pair
    server.send_buffer(b"12")
    send = sleeping(client.send_buffer, bytes(BIG * 8))
    receive = sleeping(client.recv_exactly_into, bytearray(10))
    getattr(client, how)()
    sent, got = send.error(), receive.error()
    assert (type(sent), type(got)) == (pinwire.ClosedError, pinwire.ClosedError)
    assert 0 < sent.transferred < sent.nbytes == BIG * 8
    assert (got.transferred, got.nbytes) == (2, 10)


@pytest.mark.parametrize("how", ENDS)
def test_close_when_called_from_another_thread_then_the_loops_transfer_ends(run, pair, how):
    async def main():
        async with pair() as (_, server):
            task = await waiting(server, server.recv_into(bytearray(4)))
            await asyncio.to_thread(getattr(server, how))
            with pytest.raises(pinwire.ClosedError):
                await task

    run(main())


def test_close_when_it_has_ended_a_transfer_then_number_and_memory_are_free(run, pair):
    async def main():
        async with pair() as (_, server):
            memory, fd = bytearray(4), server.fileno()
            task = await waiting(server, server.recv_into(memory))
            await server.close()
            with pytest.raises(pinwire.ClosedError):
                await task
            memory.append(0)
            assert not is_open(fd)

    run(main())


def test_blocking_close_when_it_has_ended_a_transfer_then_number_and_memory_are_free(
    blocking_pair,
):
    _, server = blocking_pair
    memory, fd = bytearray(4), server.fileno()
    call = sleeping(server.recv_into, memory)
    server.close()
    assert isinstance(call.error(), pinwire.ClosedError)
    memory.append(0)
    assert not is_open(fd)


def test_close_when_the_number_is_used_again_at_once_then_the_old_transfer_takes_nothing(run):
    async def main():
        reused = 0
        client, server = pinwire.socketpair()
        for _ in range(20):
            fd, memory = server.fileno(), bytearray(4)
            task = await waiting(server, server.recv_into(memory))
            await server.close()
            await client.close()
            client, server = pinwire.socketpair()
            reused += fd in (client.fileno(), server.fileno())
            await client.send_buffer(b"data")
            await server.send_buffer(b"data")
            with pytest.raises(pinwire.ClosedError):
                await task
            assert memory == bytes(4)
            assert (await received(server, 4), await received(client, 4)) == (b"data", b"data")
        assert reused
        await client.close()
        await server.close()

    run(main())


def test_blocking_close_when_the_number_is_used_again_at_once_then_the_old_call_takes_nothing():
    for _ in range(50):
        client, server = pinwire.blocking.socketpair()
        memory = bytearray(4)
        call = sleeping(server.recv_into, memory)
        server.close()
        client.close()
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(it) for it in pinwire.blocking.socketpair()]
            for stream in streams:
                stream.send_buffer(b"data")
            assert isinstance(call.error(), pinwire.ClosedError)
            assert memory == bytes(4)
            assert [received_blocking(stream, 4) for stream in streams] == [b"data", b"data"]


def test_stream_when_closed_then_every_use_says_so(run, pair):
    async def main():
        async with pair() as (client, _):
            await client.close()
            for transfer in (
                client.send_buffer(b""),
                client.send_buffers([b"x"]),
                client.recv_into(bytearray(0)),
                client.recv_exactly_into(bytearray(1)),
                client.recv_buffers_into([]),
            ):
                with pytest.raises(pinwire.ClosedError):
                    await transfer
            for call in (
                client.send_eof,
                client.detach,
                lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE),
                lambda: client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            ):
                with pytest.raises(pinwire.ClosedError):
                    call()
            assert (client.fileno(), client.peer_closed) == (-1, True)
            assert "closed" in repr(client)

    run(main())


def test_blocking_stream_when_closed_then_every_use_says_so(blocking_pair):
    client, _ = blocking_pair
    client.close()
    for call in (
        lambda: client.send_buffer(b""),
        lambda: client.send_buffers([b"x"]),
        lambda: client.recv_into(bytearray(0)),
        lambda: client.recv_exactly_into(bytearray(1)),
        lambda: client.recv_buffers_into([]),
        client.send_eof,
        client.detach,
    ):
        with pytest.raises(pinwire.ClosedError):
            call()
    assert (client.fileno(), client.peer_closed) == (-1, True)


def test_close_when_repeated_in_any_order_then_it_is_allowed(run, pair):
    async def main():
        async with pair() as (client, _):
            for _ in range(2):
                await client.close()
                client.abort()
                client.close()

    run(main())


def test_close_when_not_awaited_then_it_acts_and_does_not_warn(run, pair):
    async def main():
        async with pair() as (client, server):
            fd = client.fileno()
            client.close()
            assert not is_open(fd)
            assert await server.recv_into(bytearray(1)) == 0

    run(main())


def test_close_when_bytes_were_sent_then_they_are_still_delivered(run, pair):
    async def main():
        async with pair() as (client, server):
            await client.send_buffer(b"last words")
            await client.close()
            assert await received(server, 10) == b"last words"
            assert await server.recv_into(bytearray(1)) == 0

    run(main())


def test_context_manager_when_left_by_an_exception_then_the_stream_is_closed(run):
    async def main():
        client, server = pinwire.socketpair()
        with pytest.raises(ZeroDivisionError):
            async with client, server:
                raise ZeroDivisionError
        assert (client.fileno(), server.fileno()) == (-1, -1)

    run(main())


def test_send_eof_when_called_then_the_peer_reads_the_end_and_can_answer(run, pair):
    async def main():
        async with pair() as (client, server):
            await client.send_buffer(b"ask")
            await client.send_eof()
            await client.send_eof()
            assert await received(server, 3) == b"ask"
            assert await server.recv_into(bytearray(1)) == 0
            await server.send_buffer(b"answer")
            assert await received(client, 6) == b"answer"
            with pytest.raises(BrokenPipeError) as caught:
                await client.send_buffer(b"more")
            assert (caught.value.errno, caught.value.transferred) == (errno.EPIPE, 0)

    run(main())


def test_blocking_send_eof_when_called_then_the_peer_reads_the_end_and_can_answer(blocking_pair):
    client, server = blocking_pair
    client.send_eof()
    assert server.recv_into(bytearray(1)) == 0
    server.send_buffer(b"answer")
    assert received_blocking(client, 6) == b"answer"
    with pytest.raises(BrokenPipeError):
        client.send_buffer(b"more")


def test_send_eof_when_not_awaited_then_it_acts(run, pair):
    async def main():
        async with pair() as (client, server):
            client.send_eof()
            assert await server.recv_into(bytearray(1)) == 0

    run(main())


@pytest.mark.parametrize("transport", ["tcp"])
def test_abort_when_over_tcp_then_the_peer_gets_a_reset(run, pair):
    async def main():
        async with pair() as (client, server):
            task = await waiting(server, server.recv_into(bytearray(1)))
            client.abort()
            with pytest.raises(ConnectionResetError) as caught:
                await task
            assert caught.value.errno == errno.ECONNRESET

    run(main())


@pytest.mark.parametrize("transport", ["tcp"])
def test_blocking_abort_when_a_thread_is_in_a_call_then_the_peer_gets_a_reset(blocking_pair):
    client, server = blocking_pair
    call = sleeping(client.recv_into, bytearray(1))
    client.abort()
    assert isinstance(call.error(), pinwire.ClosedError)
    with pytest.raises(ConnectionResetError):
        server.recv_into(bytearray(1))


@pytest.mark.parametrize("transport", ["unix", "socketpair"])
def test_abort_when_over_unix_then_the_peer_reads_the_end(run, pair):
    async def main():
        async with pair() as (client, server):
            client.abort()
            assert await server.recv_into(bytearray(1)) == 0

    run(main())


def test_blocking_abort_when_bytes_are_unread_over_unix_then_the_peer_gets_a_reset():
    client, server = pinwire.blocking.socketpair(**SMALL)
    with server:
        server.send_buffer(b"unread")
        client.abort()
        with pytest.raises(ConnectionResetError):
            server.recv_into(bytearray(1))
