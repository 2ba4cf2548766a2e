"""A reset of which the kernel has told a send: no receive takes it for the end of the stream."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct

import pytest
from support import PATIENCE, Call, program, received, until, waiting

import pinwire
import pinwire.blocking


def reset(sock):
    """Close it in such a way that the peer gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def connected(face=pinwire):
    """A stream, and the plain socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    return face.Stream.from_socket(ours), theirs


async def told_by_a_send(stream, peer):
    peer.sendall(b"all there is")
    reset(peer)
    await until(lambda: stream.peer_closed)
    with pytest.raises(ConnectionResetError):
        await stream.send_buffer(b"x")


def test_receive_when_a_send_was_told_of_a_reset_then_it_says_so_instead_of_the_end(run):
    async def main():
        stream, peer = connected()
        async with stream:
            await told_by_a_send(stream, peer)
            out = bytearray(12)
            assert await stream.recv_into(out) == 12 and out == b"all there is"
            for _ in range(2):
                with pytest.raises(ConnectionResetError) as caught:
                    await stream.recv_into(bytearray(10))
                assert caught.value.errno == errno.ECONNRESET
            with pytest.raises(ConnectionResetError):
                await stream.recv_exactly_into(bytearray(10))

    run(main())


def test_messages_when_a_send_was_told_of_a_reset_then_they_do_not_just_end(run):
    async def main():
        stream, peer = connected()
        channel = pinwire.Channel(stream)
        # A hello of the format's, and not one message.
        peer.sendall(b"\x89PWIRE\r\n" + struct.pack("<BBHIQ", 2, 2, 0, 0, 1 << 20))
        reset(peer)
        await until(lambda: stream.peer_closed)
        with pytest.raises(ConnectionResetError):
            await channel.send(b"x")
        with pytest.raises(ConnectionResetError):
            async for _ in channel:
                pass
        await channel.close()

    run(main())


def test_receive_when_the_peer_has_ended_before_it_went_then_it_is_the_end(run):
    async def main():
        stream, peer = connected()
        async with stream:
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: stream.peer_closed)
            reset(peer)
            with pytest.raises(BrokenPipeError):
                while True:
                    await stream.send_buffer(b"x")
            assert await stream.recv_into(bytearray(10)) == 0

    run(main())


@pytest.mark.parametrize("transport", ["tcp"])
def test_receive_when_a_send_of_a_file_was_told_of_a_reset_then_it_says_so(run, pair, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(32 << 20))

    async def main():
        async with pair() as (client, server):
            await server.send_buffer(b"all there is")
            with path.open("rb") as file:
                sending = await waiting(client, client.send_file(file))
                await received(server, 1 << 20)
                server.abort()
                # sendfile(2) keeps it to itself if it has moved some of the bytes before.
                with pytest.raises((ConnectionResetError, BrokenPipeError)):
                    await sending
            out = bytearray(12)
            assert await client.recv_into(out) == 12 and out == b"all there is"
            with pytest.raises(ConnectionResetError):
                await client.recv_into(bytearray(10))

    run(main())


def test_blocking_receive_when_a_reset_comes_to_both_directions_then_it_never_is_the_end(run):
    async def main():
        for _ in range(50):
            stream, peer = connected(pinwire.blocking)
            with stream:
                sending = Call(stream.send_buffer, bytes(32 << 20))
                receiving = Call(stream.recv_into, bytearray(10), timeout=PATIENCE)
                await until(sending.sleeps)
                await until(receiving.sleeps)
                reset(peer)
                await asyncio.to_thread(sending.error)
                error = await asyncio.to_thread(receiving.error)
                assert type(error) is ConnectionResetError

    run(main())


def test_receive_when_only_a_part_came_before_a_reset_then_it_hears_of_that_too(run):
    async def main():
        for size in range(300):
            stream, peer = connected()
            async with stream:
                # The writer is told of the reset as well, and the loop need not tell it twice.
                sending = asyncio.ensure_future(stream.send_buffer(bytes(200_000)))
                receive = stream.recv_exactly_into(bytearray(100_000))
                receiving = asyncio.ensure_future(receive)
                await asyncio.sleep(0)
                peer.sendall(bytes(size * 10))
                reset(peer)
                async with asyncio.timeout(PATIENCE):
                    errors = await asyncio.gather(sending, receiving, return_exceptions=True)
                assert isinstance(errors[1], ConnectionResetError)

    run(main())


def test_receive_in_a_child_when_it_was_forked_in_a_send_then_it_still_ends():
    code = """
import os, signal, socket, threading, pinwire.blocking

ours, theirs = socket.socketpair()
stream = pinwire.blocking.Stream.from_socket(ours)
stop = threading.Event()

def send():
    while not stop.is_set():
        stream.send_buffer(bytes(1 << 20))

def drain():
    while theirs.recv(1 << 20):
        pass

threads = [threading.Thread(target=work) for work in (send, drain)]
for thread in threads:
    thread.start()
children = []
for _ in range(60):
    if not (child := os.fork()):
        signal.alarm(4)
        theirs.close()
        stream.recv_into(bytearray(1))
        os._exit(0)
    children.append(child)
stop.set()
threads[0].join()
theirs.shutdown(socket.SHUT_WR)
stream.send_eof()
threads[1].join()
print(sum(os.waitpid(child, 0)[1] for child in children))
"""
    assert program(code, options=("-W", "ignore")) == (0, "0\n", "")
