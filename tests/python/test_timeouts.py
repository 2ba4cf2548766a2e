"""`timeout=` bounds a transfer, a connection and an accept, and says how far they came."""

from __future__ import annotations

import asyncio
import errno
import math
import socket

import pytest
from support import (
    ABSTRACT,
    BIG,
    SMALL,
    fill,
    pattern,
    received,
    received_blocking,
    sleeping,
    waiting,
)

import pinwire
import pinwire.blocking

SHORT = 0.01

BAD = [-1, -0.001, math.nan, -math.inf]
FAR = [1e10, 1e300, math.inf, 2**40]


@pytest.fixture
def deaf():
    """The address of a listener whose queue is full: whoever connects gets no answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as first:
        first.connect(server.getsockname())
        yield server.getsockname()


def check(error, transferred, nbytes):
    assert isinstance(error, TimeoutError)
    assert error.errno == errno.ETIMEDOUT
    assert (error.transferred, error.nbytes) == (transferred, nbytes)


def test_recv_when_nothing_comes_then_it_times_out(run, pair):
    async def main():
        async with pair() as (_, server):
            for timeout in (0, SHORT):
                transfer = server.recv_into(bytearray(4), timeout=timeout)
                with pytest.raises(pinwire.TransferTimeoutError) as caught:
                    await transfer
                check(caught.value, 0, 4)
                assert transfer.done()

    run(main())


def test_blocking_recv_when_nothing_comes_then_it_times_out(blocking_pair):
    _, server = blocking_pair
    for timeout in (0, SHORT):
        with pytest.raises(pinwire.TransferTimeoutError) as caught:
            server.recv_into(bytearray(4), timeout=timeout)
        check(caught.value, 0, 4)


def test_exact_receive_when_some_came_then_the_timeout_leaves_it_in_the_buffer(run, pair):
    async def main():
        async with pair() as (client, server):
            out = bytearray(6)
            await client.send_buffer(b"data")
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                await server.recv_exactly_into(out, timeout=SHORT)
            check(caught.value, 4, 6)
            assert out == b"data\0\0"
            await client.send_buffer(b"more")
            assert await received(server, 4) == b"more"

    run(main())


def test_blocking_exact_receive_when_some_came_then_the_timeout_leaves_it_in_the_buffer(
    blocking_pair,
):
    client, server = blocking_pair
    out = bytearray(6)
    client.send_buffer(b"data")
    with pytest.raises(pinwire.TransferTimeoutError) as caught:
        server.recv_exactly_into(out, timeout=SHORT)
    check(caught.value, 4, 6)
    assert out == b"data\0\0"
    client.send_buffer(b"more")
    assert received_blocking(server, 4) == b"more"


def test_send_when_it_times_out_in_the_middle_then_the_stream_is_torn(run, pair):
    payload = pattern(BIG * 8)

    async def main():
        async with pair() as (client, server):
            transfer = client.send_buffer(payload, timeout=SHORT)
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                await transfer
            sent = transfer.transferred
            assert 0 < sent < len(payload)
            check(caught.value, sent, len(payload))
            with pytest.raises(pinwire.TornStreamError):
                await client.send_buffer(b"more")
            assert await received(server, sent) == payload[:sent]

    run(main())


def test_blocking_send_when_it_times_out_in_the_middle_then_the_stream_is_torn(blocking_pair):
    client, server = blocking_pair
    payload = pattern(BIG * 8)
    with pytest.raises(pinwire.TransferTimeoutError) as caught:
        client.send_buffer(payload, timeout=SHORT)
    sent = caught.value.transferred
    assert 0 < sent < len(payload)
    check(caught.value, sent, len(payload))
    with pytest.raises(pinwire.TornStreamError) as torn:
        client.send_buffer(b"more")
    assert (torn.value.transferred, torn.value.nbytes) == (sent, len(payload))
    assert received_blocking(server, sent) == payload[:sent]
    server.send_buffer(b"answer")
    assert received_blocking(client, 6) == b"answer"


@pytest.mark.parametrize("timeout", [0, SHORT])
def test_send_when_it_times_out_before_the_first_byte_then_the_stream_is_whole(run, timeout):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            filled = fill(client)
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                await client.send_buffer(b"never", timeout=timeout)
            check(caught.value, 0, 5)
            await received(server, filled)
            await client.send_buffer(b"later")
            assert await received(server, 5) == b"later"

    run(main())


@pytest.mark.parametrize("timeout", [0, SHORT])
def test_blocking_send_when_it_times_out_before_the_first_byte_then_the_stream_is_whole(timeout):
    client, server = pinwire.blocking.socketpair(**SMALL)
    with client, server:
        filled = fill(client)
        with pytest.raises(pinwire.TransferTimeoutError) as caught:
            client.send_buffer(b"never", timeout=timeout)
        check(caught.value, 0, 5)
        received_blocking(server, filled)
        client.send_buffer(b"later")
        assert received_blocking(server, 5) == b"later"


def test_timeout_when_zero_and_the_socket_is_ready_then_the_transfer_succeeds(run, pair):
    async def main():
        async with pair() as (client, server):
            assert await client.send_buffer(b"data", timeout=0) == 4
            assert await server.recv_exactly_into(bytearray(4), timeout=0) == 4

    run(main())


def test_timeout_when_zero_and_all_has_come_then_iov_max_does_not_matter(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            await client.send_buffer(pattern(8 * 5000))
            parts = [bytearray(8) for _ in range(5000)]
            assert await server.recv_buffers_into(parts, timeout=0) == 8 * 5000

    run(main())


def test_blocking_timeout_when_zero_and_all_has_come_then_iov_max_does_not_matter():
    client, server = pinwire.blocking.socketpair()
    with client, server:
        client.send_buffer(pattern(8 * 5000))
        parts = [bytearray(8) for _ in range(5000)]
        assert server.recv_buffers_into(parts, timeout=0) == 8 * 5000


def test_timeout_when_negative_or_nan_then_every_call_refuses_it():
    async def main():
        client, server = pinwire.socketpair()
        async with client, server, pinwire.listen(ABSTRACT) as listener:
            calls = [
                (client.send_buffer, b""),
                (client.send_buffers, []),
                (client.recv_into, bytearray(1)),
                (client.recv_exactly_into, bytearray(1)),
                (client.recv_buffers_into, []),
                (listener.accept,),
            ]
            for call, *args in calls:
                for timeout in BAD:
                    with pytest.raises(ValueError, match="timeout"):
                        call(*args, timeout=timeout)
            for timeout in BAD:
                with pytest.raises(ValueError, match="timeout"):
                    await pinwire.connect(listener.address, timeout=timeout)

    asyncio.run(main())


@pytest.mark.parametrize("timeout", BAD)
def test_blocking_timeout_when_negative_or_nan_then_it_is_refused(timeout):
    client, server = pinwire.blocking.socketpair()
    with client, server, pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
        for call in (
            lambda: client.recv_into(bytearray(1), timeout=timeout),
            lambda: listener.accept(timeout=timeout),
            lambda: pinwire.blocking.connect(listener.address, timeout=timeout),
        ):
            with pytest.raises(ValueError, match="timeout"):
                call()


@pytest.mark.parametrize("timeout", FAR)
def test_timeout_when_far_away_then_the_transfer_waits(run, timeout):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            task = await waiting(server, server.recv_into(bytearray(4), timeout=timeout))
            assert not task.done()
            await client.send_buffer(b"data")
            assert await task == 4

    run(main())


@pytest.mark.parametrize("timeout", FAR)
def test_blocking_timeout_when_far_away_then_the_transfer_waits(timeout):
    client, server = pinwire.blocking.socketpair()
    with client, server:
        call = sleeping(server.recv_into, bytearray(4), timeout=timeout)
        client.send_buffer(b"data")
        assert call.result() == 4


def test_timeout_when_passed_by_position_then_it_is_refused(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            with pytest.raises(TypeError):
                client.recv_into(bytearray(1), 1.0)

    run(main())


@pytest.mark.parametrize("timeout", [0, SHORT])
def test_connect_when_nobody_answers_then_it_times_out(run, deaf, timeout):
    async def main():
        with pytest.raises(pinwire.TransferTimeoutError) as caught:
            await pinwire.connect(deaf, timeout=timeout)
        check(caught.value, 0, 0)

    run(main())


@pytest.mark.parametrize("timeout", [0, SHORT])
def test_blocking_connect_when_nobody_answers_then_it_times_out(deaf, timeout):
    with pytest.raises(pinwire.TransferTimeoutError) as caught:
        pinwire.blocking.connect(deaf, timeout=timeout)
    check(caught.value, 0, 0)


@pytest.mark.parametrize("timeout", [0, SHORT])
def test_accept_when_nobody_connects_then_it_times_out(run, timeout):
    async def main():
        async with pinwire.listen("tcp://127.0.0.1:0") as listener:
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                await listener.accept(timeout=timeout)
            check(caught.value, 0, 0)
            async with pinwire.connect(listener.address), await listener.accept(timeout=5):
                pass

    run(main())


@pytest.mark.parametrize("timeout", [0, SHORT])
def test_blocking_accept_when_nobody_connects_then_it_times_out(timeout):
    with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
        with pytest.raises(pinwire.TransferTimeoutError) as caught:
            listener.accept(timeout=timeout)
        check(caught.value, 0, 0)
        with pinwire.blocking.connect(listener.address), listener.accept(timeout=0):
            pass
