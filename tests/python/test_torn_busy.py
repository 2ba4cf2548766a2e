"""One transfer a direction: a second one is refused and disturbs nothing. Torn streams."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading

import pytest
from support import (
    BIG,
    SMALL,
    Call,
    cancelled,
    fill,
    pattern,
    received,
    received_blocking,
    sleeping,
    waiting,
)

import pinwire
import pinwire.blocking


def receives(stream):
    return [
        lambda: stream.recv_into(bytearray(4)),
        lambda: stream.recv_exactly_into(bytearray(4)),
        lambda: stream.recv_buffers_into([bytearray(4)]),
    ]


def sends(stream):
    return [
        lambda: stream.send_buffer(b"other"),
        lambda: stream.send_buffers([b"other"]),
        lambda: stream.send_buffer(b""),
    ]


def test_receive_when_another_is_in_flight_then_busy_error_and_the_first_goes_on(run, pair):
    async def main():
        async with pair() as (client, server):
            memory = bytearray(4)
            first = await waiting(server, server.recv_exactly_into(memory))
            for second in receives(server):
                with pytest.raises(pinwire.BusyError) as caught:
                    await second()
                assert (caught.value.transferred, caught.value.nbytes) == (0, 0)
            await client.send_buffer(b"data")
            assert (await first, memory) == (4, b"data")
            await client.send_buffer(b"more")
            assert await received(server, 4) == b"more"

    run(main())


def test_send_when_another_is_in_flight_then_busy_error_and_the_bytes_do_not_interleave(run, pair):
    payload = pattern(BIG * 8)

    async def main():
        async with pair() as (client, server):
            first = await waiting(client, client.send_buffer(payload))
            for second in sends(client):
                with pytest.raises(pinwire.BusyError):
                    await second()
            with pytest.raises(pinwire.BusyError):
                await client.send_eof()
            assert await received(server, len(payload)) == payload
            assert await first == len(payload)
            await client.send_buffer(b"more")
            assert await received(server, 4) == b"more"

    run(main())


def test_blocking_receive_when_another_is_in_flight_then_busy_error_and_the_first_goes_on(
    blocking_pair,
):
    client, server = blocking_pair
    memory = bytearray(4)
    first = sleeping(server.recv_exactly_into, memory)
    for second in receives(server):
        with pytest.raises(pinwire.BusyError):
            second()
    client.send_buffer(b"data")
    assert (first.result(), memory) == (4, b"data")


def test_blocking_send_when_another_is_in_flight_then_busy_error_and_no_interleaving(
    blocking_pair,
):
    client, server = blocking_pair
    payload = pattern(BIG * 8)
    first = sleeping(client.send_buffer, payload)
    for second in sends(client):
        with pytest.raises(pinwire.BusyError):
            second()
    with pytest.raises(pinwire.BusyError):
        client.send_eof()
    assert received_blocking(server, len(payload)) == payload
    assert first.result() == len(payload)


def test_blocking_sends_when_many_threads_race_then_each_one_arrives_whole_or_not_at_all():
    client, server = pinwire.blocking.socketpair(**SMALL)
    start = threading.Barrier(5)

    def send(letter):
        start.wait()
        sent = 0
        for _ in range(50):
            try:
                client.send_buffer(letter * 5000)
            except pinwire.BusyError:
                continue
            sent += 1
        return sent

    def receive():
        got = bytearray()
        while n := server.recv_into(memory := bytearray(5000)):
            got += memory[:n]
        return bytes(got)

    with client, server:
        reader = Call(receive)
        senders = [Call(send, bytes([letter])) for letter in b"abcd"]
        start.wait()
        counts = [sender.result() for sender in senders]
        client.send_eof()
        got = reader.result()
    pieces = [got[i : i + 5000] for i in range(0, len(got), 5000)]
    assert all(len(set(piece)) == 1 for piece in pieces)
    assert [got.count(letter) // 5000 for letter in b"abcd"] == counts


def test_receive_when_a_send_is_in_flight_then_both_directions_work_at_once(run, pair):
    payload = pattern(BIG)

    async def main():
        async with pair() as (client, server):
            counts = await asyncio.gather(
                client.send_buffer(payload),
                server.send_buffer(payload[::-1]),
                client.recv_exactly_into(first := bytearray(BIG)),
                server.recv_exactly_into(second := bytearray(BIG)),
            )
            assert counts == [BIG] * 4
            assert (first, second) == (payload[::-1], payload)

    run(main())


def test_blocking_receive_when_a_send_is_in_flight_then_both_directions_work_at_once(
    blocking_pair,
):
    client, server = blocking_pair
    payload = pattern(BIG)
    calls = [Call(stream.send_buffer, payload) for stream in blocking_pair]
    receivers = [Call(received_blocking, stream, BIG) for stream in (client, server)]
    assert [call.result() for call in calls] == [BIG, BIG]
    assert [call.result() for call in receivers] == [payload, payload]


def test_detach_when_a_transfer_is_in_flight_then_busy_error_and_it_goes_on(run, pair):
    async def main():
        async with pair() as (client, server):
            memory = bytearray(4)
            task = await waiting(server, server.recv_exactly_into(memory))
            with pytest.raises(pinwire.BusyError):
                server.detach()
            await client.send_buffer(b"data")
            assert (await task, memory) == (4, b"data")
            task = await waiting(client, client.send_buffer(pattern(BIG * 8)))
            with pytest.raises(pinwire.BusyError):
                client.detach()
            assert await received(server, BIG * 8) == pattern(BIG * 8)
            await task

    run(main())


def test_blocking_detach_when_a_call_is_in_flight_then_busy_error_and_it_goes_on(blocking_pair):
    client, server = blocking_pair
    call = sleeping(server.recv_exactly_into, bytearray(4))
    with pytest.raises(pinwire.BusyError):
        server.detach()
    client.send_buffer(b"data")
    assert call.result() == 4


def test_busy_error_when_raised_then_it_is_a_runtime_error_and_says_what_to_do(run):
    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            task = await waiting(server, server.recv_into(bytearray(4)))
            with pytest.raises(RuntimeError, match="another receive is in flight"):
                await server.recv_into(bytearray(4))
            await cancelled(task)

    run(main())


def test_torn_stream_error_when_raised_then_it_is_a_connection_error_that_says_how_far(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            error = await cancelled(await waiting(client, client.send_buffer(bytes(BIG))))
            for send in [*sends(client), lambda: client.send_buffer(bytes(10))]:
                with pytest.raises(ConnectionError, match=f"after {error.transferred} of") as torn:
                    await send()
                assert type(torn.value) is pinwire.TornStreamError
                assert torn.value.errno == errno.EPIPE
                assert (torn.value.transferred, torn.value.nbytes) == (error.transferred, BIG)

    run(main())


def test_torn_stream_when_it_was_adopted_again_then_only_the_new_object_may_send(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with server:
            error = await cancelled(await waiting(client, client.send_buffer(bytes(BIG))))
            number = client.detach()  # the caller knows what it does
            async with pinwire.Stream.from_socket(socket.socket(fileno=number)) as again:
                await received(server, error.transferred)
                await again.send_buffer(b"more")
                assert await received(server, 4) == b"more"

    run(main())


def test_send_of_nothing_when_interrupted_then_the_stream_is_whole(run):
    async def main():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            filled = fill(client)
            assert await client.send_buffer(b"", timeout=0) == 0
            for _ in range(3):
                with pytest.raises(pinwire.TransferTimeoutError):
                    await client.send_buffers([b"", b"x"], timeout=0)
            await received(server, filled)
            await client.send_buffer(b"later")
            assert await received(server, 5) == b"later"

    run(main())
