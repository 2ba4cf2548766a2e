"""`from_socket` takes a socket over as it is; `detach` gives it back."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import struct

import pytest
from support import BIG, Call, is_open, pattern, received, received_blocking, wait_until, waiting

import pinwire
import pinwire.blocking

TAKE = {"asyncio": pinwire.Stream.from_socket, "blocking": pinwire.blocking.Stream.from_socket}


@pytest.fixture(params=["unix", "tcp"])
def sockets(request):
    """Two connected sockets of the stdlib."""
    if request.param == "unix":
        left, right = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            left = socket.create_connection(server.getsockname())
            right, _ = server.accept()
    with left, right:
        yield left, right


@pytest.fixture(params=TAKE)
def take(request):
    return TAKE[request.param]


@pytest.mark.parametrize("timeout", [None, 0, 5])
def test_from_socket_when_it_succeeds_then_sock_is_detached_and_its_flags_stay(
    sockets, take, timeout
):
    left, _ = sockets
    left.settimeout(timeout)
    number, is_blocking = left.fileno(), os.get_blocking(left.fileno())
    assert is_blocking is (timeout is None)
    stream = take(left)
    assert (left.fileno(), stream.fileno()) == (-1, number)
    assert os.get_blocking(number) is is_blocking
    assert not os.get_inheritable(number)
    again = stream.detach()
    assert (again, os.get_blocking(number)) == (number, is_blocking)
    os.close(number)


@pytest.mark.parametrize("timeout", [None, 0, 5])
def test_from_socket_when_in_any_mode_then_the_loop_is_never_blocked(run, sockets, timeout):
    left, right = sockets
    left.settimeout(timeout)
    right.settimeout(timeout)
    payload = pattern(BIG * 8)

    async def main():
        one, other = pinwire.Stream.from_socket(left), pinwire.Stream.from_socket(right)
        async with one, other:
            receive = await waiting(other, other.recv_exactly_into(got := bytearray(BIG * 8)))
            assert not receive.done()
            send = await waiting(one, one.send_buffer(payload))
            assert await asyncio.gather(send, receive) == [BIG * 8, BIG * 8]
            assert got == payload

    run(main())


@pytest.mark.parametrize("timeout", [None, 0, 5])
def test_blocking_from_socket_when_in_any_mode_then_timeouts_hold(sockets, timeout):
    left, _ = sockets
    left.settimeout(timeout)
    with pinwire.blocking.Stream.from_socket(left, send_buffer_size=4096) as stream:
        with pytest.raises(pinwire.TransferTimeoutError):
            stream.recv_into(bytearray(1), timeout=0.01)
        with pytest.raises(pinwire.TransferTimeoutError):
            stream.send_buffer(bytes(BIG * 64), timeout=0.01)


def test_stream_when_the_peer_is_a_socket_of_the_stdlib_then_both_understand(run, sockets):
    left, right = sockets
    payload = pattern(BIG)

    def serve():
        got = bytearray()
        while len(got) < BIG:
            got += right.recv(BIG)
        right.sendall(got[::-1])
        right.shutdown(socket.SHUT_WR)
        return bytes(got)

    async def main():
        async with pinwire.Stream.from_socket(left, send_buffer_size=4096) as stream:
            server = Call(serve)
            await stream.send_buffer(payload)
            assert await received(stream, BIG) == payload[::-1]
            assert await stream.recv_into(bytearray(1)) == 0
            assert server.result() == payload

    run(main())


def test_detach_when_pinwire_opened_it_then_the_stdlib_can_block_on_it(run, pair):
    async def main():
        async with pair() as (client, server):
            task = await waiting(client, client.recv_into(bytearray(4)))  # the loop watches it
            await server.send_buffer(b"1234")
            await task
            number = client.detach()
            assert os.get_blocking(number)
            assert (client.fileno(), is_open(number)) == (-1, True)
            with socket.socket(fileno=number) as sock:
                assert sock.gettimeout() is None
                reading = Call(sock.recv, 4)
                await server.send_buffer(b"data")
                assert await asyncio.to_thread(reading.result) == b"data"
                sock.sendall(b"back")
                assert await received(server, 4) == b"back"
            assert await server.recv_into(bytearray(1)) == 0

    run(main())


def test_detach_when_done_then_the_old_object_is_closed_and_does_not_warn(blocking_pair):
    client, server = blocking_pair
    client.send_buffer(b"data")
    number = client.detach()
    for call in (client.detach, lambda: client.send_buffer(b"x"), client.send_eof):
        with pytest.raises(pinwire.ClosedError):
            call()
    client.close()
    client.abort()
    assert is_open(number)
    assert received_blocking(server, 4) == b"data"
    os.close(number)


def test_detach_when_taken_over_again_then_bytes_in_the_kernel_are_still_there(run, sockets):
    left, right = sockets

    async def main():
        stream = pinwire.Stream.from_socket(left)
        right.sendall(b"early")
        async with pinwire.Stream.from_socket(socket.socket(fileno=stream.detach())) as again:
            assert await received(again, 5) == b"early"

    run(main())


def test_detach_when_the_streams_loop_runs_elsewhere_then_the_descriptor_stays_usable():
    client, server = pinwire.socketpair()

    async def wait_once():
        task = await waiting(server, server.recv_into(bytearray(1)))
        await client.send_buffer(b"x")
        await task
        number = await asyncio.to_thread(server.detach)
        with socket.socket(fileno=number) as sock:
            await client.send_buffer(b"data")
            assert sock.recv(4) == b"data"
        await client.close()

    asyncio.run(wait_once())


def udp():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", 9))
    return sock


def unix_datagram():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0]


def seqpacket():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0]


def tls():
    left, right = socket.socketpair()
    right.close()
    context = ssl.create_default_context()
    return context.wrap_socket(left, server_hostname="x", do_handshake_on_connect=False)


def listening():
    return socket.create_server(("127.0.0.1", 0))


def closed():
    sock = socket.socket()
    sock.close()
    return sock


REFUSED = {
    udp: (ValueError, "stream sockets"),
    unix_datagram: (ValueError, "stream sockets"),
    seqpacket: (ValueError, "stream sockets"),
    tls: (TypeError, "TLS"),
    closed: (ValueError, "closed"),
    listening: (OSError, os.strerror(errno.ENOTCONN)),
    socket.socket: (OSError, os.strerror(errno.ENOTCONN)),
    (lambda: socket.socket(socket.AF_UNIX)): (OSError, os.strerror(errno.ENOTCONN)),
}


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_from_socket_when_it_is_no_connected_stream_then_it_is_refused_and_untouched(make, take):
    error, text = REFUSED[make]
    with contextlib.closing(make()) as sock:
        before = sock.fileno()
        with pytest.raises(error, match=text):
            take(sock)
        assert sock.fileno() == before


def test_from_socket_when_an_option_is_bad_then_the_socket_is_untouched(sockets, take):
    left, right = sockets
    with pytest.raises(ValueError, match="send_buffer_size"):
        take(left, send_buffer_size=-1)
    left.sendall(b"x")
    assert right.recv(1) == b"x"


@pytest.mark.parametrize("thing", [3, None, "socket", object()])
def test_from_socket_when_it_is_no_socket_then_type_error(thing, take):
    with pytest.raises(TypeError):
        take(thing)


def test_from_socket_when_a_subclass_is_given_then_it_is_taken(take):
    class Mine(socket.socket):
        pass

    left, right = socket.socketpair()
    with right, Mine(fileno=left.detach()) as mine:
        stream = take(mine)
        assert mine.fileno() == -1
        stream.abort()
        assert right.recv(1) == b""


def test_from_socket_when_taken_over_then_addresses_are_the_sockets(take):
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = socket.create_connection(server.getsockname())
        local, peer = ("tcp://{}:{}".format(*it) for it in (sock.getsockname(), sock.getpeername()))
        stream = take(sock)
        assert (stream.local_address, stream.peer_address) == (local, peer)
        assert stream.peer_credentials is None
        stream.abort()


@pytest.fixture(params=["127.0.0.1", "::1"])
def reset_after(request):
    """A socket to which its peer has sent these bytes, and then a reset."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as server:

        def make(data):
            with socket.create_connection(server.getsockname()[:2]) as peer:
                sock, _ = server.accept()
                peer.sendall(data)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wait_until(lambda: is_reset(sock))
            return sock

        yield make


def is_reset(sock):
    """Whether the kernel does not say any more who its peer is."""
    try:
        sock.getpeername()
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


@pytest.mark.parametrize("data", [b"last words", b""])
def test_from_socket_when_the_peer_has_reset_it_then_what_it_sent_comes(run, reset_after, data):
    async def main():
        async with pinwire.Stream.from_socket(reset_after(data)) as stream:
            assert stream.peer_address in ("tcp://0.0.0.0:0", "tcp://[::]:0")
            assert await received(stream, len(data)) == data
            with pytest.raises(ConnectionResetError):
                await stream.recv_into(bytearray(1))

    run(main())


def test_blocking_from_socket_when_the_peer_has_reset_it_then_what_it_sent_comes(reset_after):
    with pinwire.blocking.Stream.from_socket(reset_after(b"last words")) as stream:
        assert received_blocking(stream, 10) == b"last words"
        with pytest.raises(ConnectionResetError):
            stream.recv_into(bytearray(1))


def test_from_socket_when_it_was_refused_then_it_is_not_connected(take):
    with socket.socket() as bound, socket.socket() as sock:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            sock.connect(bound.getsockname())
        with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)) as caught:
            take(sock)
        assert caught.value.errno == errno.ENOTCONN


def test_from_socket_when_the_name_has_another_class_meanwhile_then_older_sockets_are_taken(
    take, monkeypatch
):
    left, right = socket.socketpair()
    monkeypatch.setattr(socket, "socket", type("Mine", (socket.socket,), {}))
    with left, right:
        os.close(take(left).detach())
