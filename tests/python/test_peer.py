"""What a peer can do: end, half-close, reset, fall silent, die."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import struct

import psutil
import pytest
from support import (
    BIG,
    finish,
    pattern,
    raw,
    received,
    received_blocking,
    sleeping,
    start_program,
    until,
    wait_until,
    waiting,
)

import pinwire
import pinwire.blocking


@pytest.mark.parametrize("came", [0, 1, 5, 9])
def test_exact_receive_when_the_peer_ends_early_then_it_says_how_much_came(run, pair, came):
    async def main():
        async with pair() as (client, server):
            await client.send_buffer(b"0123456789"[:came])
            await client.close()
            memory = bytearray(10)
            transfer = server.recv_exactly_into(memory)
            with pytest.raises(pinwire.IncompleteTransferError) as caught:
                await transfer
            assert isinstance(caught.value, EOFError)
            assert (caught.value.transferred, caught.value.nbytes) == (came, 10)
            assert (transfer.transferred, transfer.done()) == (came, True)
            assert memory == b"0123456789"[:came] + bytes(10 - came)
            assert await server.recv_into(bytearray(1)) == 0

    run(main())


@pytest.mark.parametrize("came", [0, 1, 5, 9])
def test_blocking_exact_receive_when_the_peer_ends_early_then_it_says_how_much_came(
    blocking_pair, came
):
    client, server = blocking_pair
    client.send_buffer(b"0123456789"[:came])
    client.close()
    memory = bytearray(10)
    with pytest.raises(pinwire.IncompleteTransferError) as caught:
        server.recv_exactly_into(memory)
    assert (caught.value.transferred, caught.value.nbytes) == (came, 10)
    assert memory == b"0123456789"[:came] + bytes(10 - came)


def test_scattered_receive_when_the_peer_ends_early_then_it_says_how_much_came(run, pair):
    async def main():
        async with pair() as (client, server):
            await client.send_buffer(b"01234")
            await client.close()
            first, second = bytearray(3), bytearray(3)
            with pytest.raises(pinwire.IncompleteTransferError) as caught:
                await server.recv_buffers_into([first, second])
            assert (caught.value.transferred, caught.value.nbytes) == (5, 6)
            assert (first, second) == (b"012", b"34\0")

    run(main())


def test_exact_receive_when_the_peer_ends_while_it_waits_then_it_says_how_much_came(run, pair):
    async def main():
        async with pair() as (client, server):
            transfer = server.recv_exactly_into(bytearray(10))
            task = asyncio.create_task(transfer)
            await client.send_buffer(b"012")
            await until(lambda: transfer.transferred == 3)
            await client.close()
            with pytest.raises(pinwire.IncompleteTransferError):
                await task

    run(main())


def test_exact_receive_of_nothing_when_the_peer_has_ended_then_it_succeeds(run, pair):
    async def main():
        async with pair() as (client, server):
            await client.close()
            assert await server.recv_exactly_into(bytearray()) == 0
            assert await server.recv_buffers_into([]) == 0

    run(main())


def test_recv_into_when_the_peer_has_ended_then_it_is_zero_again_and_again(run, pair):
    async def main():
        async with pair() as (client, server):
            await client.send_buffer(b"1")
            await client.close()
            memory = bytearray(4)
            assert [await server.recv_into(memory) for _ in range(3)] == [1, 0, 0]

    run(main())


def test_half_close_when_the_peer_has_ended_then_a_large_answer_still_arrives(run, pair):
    async def main():
        async with pair() as (client, server):
            await client.send_eof()
            assert await server.recv_into(bytearray(1)) == 0
            _, got = await asyncio.gather(server.send_buffer(pattern(BIG)), received(client, BIG))
            assert got == pattern(BIG)

    run(main())


@pytest.mark.parametrize("transport", ["tcp"])
def test_transfers_when_the_peer_resets_then_both_directions_say_so(run, pair):
    async def main():
        async with pair() as (client, server):
            send = await waiting(server, server.send_buffer(bytes(BIG * 8)))
            receive = await waiting(server, server.recv_exactly_into(bytearray(10)))
            client.abort()
            sent, got = await asyncio.gather(send, receive, return_exceptions=True)
            # The kernel tells of the reset once; a send that asks next hears of the consequence.
            kinds = {ConnectionResetError: errno.ECONNRESET, BrokenPipeError: errno.EPIPE}
            assert sent.errno == kinds[type(sent)]
            assert 0 < sent.transferred < sent.nbytes == BIG * 8
            assert (type(got), got.errno) == (ConnectionResetError, errno.ECONNRESET)
            assert (got.transferred, got.nbytes) == (0, 10)

    run(main())


@pytest.mark.parametrize("transport", ["tcp"])
def test_receive_when_the_peer_resets_then_connection_reset_error_with_errno_and_counts(run, pair):
    async def main():
        async with pair() as (client, server):
            await client.send_buffer(b"12")
            transfer = server.recv_exactly_into(bytearray(10))
            task = asyncio.create_task(transfer)
            await until(lambda: transfer.transferred == 2)
            client.abort()
            with pytest.raises(ConnectionResetError) as caught:
                await task
            assert caught.value.errno == errno.ECONNRESET
            assert (caught.value.transferred, caught.value.nbytes) == (2, 10)

    run(main())


@pytest.mark.parametrize("transport", ["tcp"])
def test_blocking_receive_when_the_peer_resets_then_connection_reset_error(blocking_pair):
    client, server = blocking_pair
    call = sleeping(server.recv_exactly_into, bytearray(10))
    client.abort()
    error = call.error()
    assert type(error) is ConnectionResetError
    assert (error.errno, error.transferred, error.nbytes) == (errno.ECONNRESET, 0, 10)


def test_send_when_the_peer_is_gone_then_broken_pipe_and_not_torn(run, pair):
    async def main():
        async with pair() as (client, server):
            task = await waiting(client, client.send_buffer(bytes(BIG * 8)))
            await server.close()
            with pytest.raises(ConnectionError) as caught:
                await task
            assert type(caught.value) in (BrokenPipeError, ConnectionResetError)
            assert 0 < caught.value.transferred < caught.value.nbytes == BIG * 8
            # The connection itself refuses what follows, not a torn stream.
            with pytest.raises(BrokenPipeError) as caught:
                await client.send_buffer(b"more")
            assert type(caught.value) is BrokenPipeError
            assert caught.value.errno == errno.EPIPE

    run(main())


def test_blocking_send_when_the_peer_is_gone_then_broken_pipe(blocking_pair):
    client, server = blocking_pair
    call = sleeping(client.send_buffer, bytes(BIG * 8))
    server.close()
    error = call.error()
    assert type(error) in (BrokenPipeError, ConnectionResetError)
    assert 0 < error.transferred < error.nbytes == BIG * 8
    with pytest.raises(BrokenPipeError):
        client.send_buffer(b"more")


def test_peer_closed_when_the_peer_closes_then_it_is_seen_without_reading(run, pair):
    async def main():
        async with pair() as (client, server):
            assert not server.peer_closed
            await client.send_buffer(b"unread")
            assert not server.peer_closed
            await client.close()
            await until(lambda: server.peer_closed)
            assert await received(server, 6) == b"unread"
            assert server.peer_closed

    run(main())


@pytest.mark.parametrize("how", ["send_eof", "close", "abort"])
def test_peer_closed_when_the_peer_ends_in_any_way_then_it_is_true(blocking_pair, how):
    client, server = blocking_pair
    assert not server.peer_closed
    getattr(client, how)()
    wait_until(lambda: server.peer_closed)
    assert client.peer_closed is (how != "send_eof")


def test_peer_closed_when_only_we_have_ended_then_it_is_false(blocking_pair):
    client, server = blocking_pair
    client.send_eof()
    assert not client.peer_closed
    server.close()
    wait_until(lambda: client.peer_closed)


PEER = """
import signal, socket, sys
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.sendall(b"12")
signal.pause()  # until it is killed, reading nothing
"""


def test_receive_when_the_peer_is_killed_then_it_ends_incomplete(run):
    async def main():
        async with pinwire.listen("tcp://127.0.0.1:0") as listener:
            peer = start_program(PEER, listener.address.rpartition(":")[2])
            async with await listener.accept() as stream:
                transfer = stream.recv_exactly_into(bytearray(10))
                task = asyncio.create_task(transfer)
                await until(lambda: transfer.transferred == 2)
                peer.send_signal(signal.SIGKILL)
                with pytest.raises(pinwire.IncompleteTransferError) as caught:
                    await task
                assert (caught.value.transferred, caught.value.nbytes) == (2, 10)
                assert stream.peer_closed
            finish(peer)

    run(main())


def test_blocking_send_when_the_peer_is_killed_then_a_connection_error():
    with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
        peer = start_program(PEER, listener.address.rpartition(":")[2])
        with listener.accept() as stream:
            assert received_blocking(stream, 2) == b"12"
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            call = sleeping(stream.send_buffer, bytes(BIG * 64))
            peer.send_signal(signal.SIGKILL)
            assert isinstance(call.error(), ConnectionError)
        finish(peer)


@pytest.mark.parametrize("transport", ["tcp"])
def test_receive_when_urgent_data_comes_then_it_does_not_disturb_the_stream(run, pair):
    async def main():
        async with pair() as (client, server):
            task = await waiting(server, server.recv_exactly_into(memory := bytearray(2)))
            with raw(client) as sock:
                sock.send(b"1")
                sock.send(b"!", socket.MSG_OOB)
                sock.send(b"2")
            assert (await task, memory) == (2, b"12")

    run(main())


def test_receive_when_descriptors_are_passed_then_they_are_not_leaked():
    left, right = socket.socketpair()
    with left, pinwire.blocking.Stream.from_socket(right) as stream, socket.socket() as passed:
        rights = struct.pack("i", passed.fileno())
        before = psutil.Process().num_fds()
        for memory in (bytearray(4), None):
            left.sendmsg([b"data"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            if memory is None:
                stream.recv_buffers_into([bytearray(2), bytearray(2)])
            else:
                stream.recv_exactly_into(memory)
        assert psutil.Process().num_fds() == before
