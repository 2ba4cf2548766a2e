"""Options reach the socket: each test sees another value without them first."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct

import pytest
from support import ABSTRACT, SMALL, Call, pattern, received, sleeping

import pinwire
import pinwire.blocking

SNDBUF = socket.SOL_SOCKET, socket.SO_SNDBUF
RCVBUF = socket.SOL_SOCKET, socket.SO_RCVBUF
NODELAY = socket.IPPROTO_TCP, socket.TCP_NODELAY
KEEPALIVE = socket.SOL_SOCKET, socket.SO_KEEPALIVE
KEEPIDLE = socket.IPPROTO_TCP, socket.TCP_KEEPIDLE


@contextlib.contextmanager
def connected(options, listener_options):
    with pinwire.blocking.listen("tcp://127.0.0.1:0", **listener_options) as listener:
        client = pinwire.blocking.connect(listener.address, **options)
        with client, listener.accept() as server:
            yield client, server


@contextlib.contextmanager
def adopted(options, other_options):
    server = socket.create_server(("127.0.0.1", 0))
    with server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    take = pinwire.blocking.Stream.from_socket
    with take(client, **options) as one, take(accepted, **other_options) as other:
        yield one, other


@contextlib.contextmanager
def paired(options, other_options):
    with contextlib.ExitStack() as stack:
        pairs = [pinwire.blocking.socketpair(**it) for it in (options, other_options)]
        streams = [[stack.enter_context(it) for it in pair] for pair in pairs]
        yield streams[0][0], streams[1][0]


WAYS = {"connect_and_accept": connected, "from_socket": adopted, "socketpair": paired}

# What is given, the option of the kernel, and its value without and with it.
TCP_OPTIONS = [
    ({"nodelay": False}, NODELAY, 1, 0),
    ({"keepalive": True}, KEEPALIVE, 0, 1),
    ({"keepalive": 77}, KEEPALIVE, 0, 1),
    ({"keepalive": 77}, KEEPIDLE, 7200, 77),
    ({"keepalive": 76.5}, KEEPIDLE, 7200, 77),
]
OPTIONS = [
    ({"send_buffer_size": 8192}, SNDBUF, None, 16384),
    ({"recv_buffer_size": 8192}, RCVBUF, None, 16384),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("options", "name", "initial", "new"), OPTIONS + TCP_OPTIONS, ids=str)
def test_option_when_given_then_the_socket_has_it_and_the_others_do_not(
    way, options, name, initial, new
):
    if way == "socketpair" and (options, name, initial, new) in TCP_OPTIONS:
        pytest.skip("an option of TCP")
    with WAYS[way](options, {}) as (changed, other), WAYS[way]({}, options) as (plain, also):
        if initial is None:
            initial = plain.getsockopt(*name)
        assert other.getsockopt(*name) == plain.getsockopt(*name) == initial != new
        assert changed.getsockopt(*name) == also.getsockopt(*name) == new


def test_option_when_given_on_a_loop_then_both_ends_have_it(run):
    async def main():
        async with pinwire.listen("tcp://127.0.0.1:0", nodelay=False, keepalive=55) as listener:
            client = await pinwire.connect(listener.address, recv_buffer_size=8192)
            server = await listener.accept()
            async with client, server:
                assert (client.getsockopt(*NODELAY), server.getsockopt(*NODELAY)) == (1, 0)
                assert (client.getsockopt(*KEEPALIVE), server.getsockopt(*KEEPALIVE)) == (0, 1)
                assert server.getsockopt(*KEEPIDLE) == 55
                assert client.getsockopt(*RCVBUF) == 16384 != server.getsockopt(*RCVBUF)

    run(main())


def test_tcp_option_when_given_for_a_unix_socket_then_it_is_ignored(run):
    async def main():
        async with pinwire.listen(ABSTRACT, nodelay=True, keepalive=9) as listener:
            client = await pinwire.connect(listener.address, nodelay=False, keepalive=9)
            async with client, await listener.accept():
                pass

    run(main())


def test_keepalive_when_false_for_an_adopted_socket_then_it_stays_as_it_was():
    left, right = socket.socketpair()
    left.setsockopt(*KEEPALIVE, 1)
    with right, pinwire.blocking.Stream.from_socket(left, keepalive=False) as stream:
        assert stream.getsockopt(*KEEPALIVE) == 1


def test_reuse_port_when_given_then_two_listeners_share_a_port():
    listen = pinwire.blocking.listen
    with listen("tcp://127.0.0.1:0") as alone, pytest.raises(OSError, match="in use"):
        listen(alone.address, reuse_port=True)
    with listen("tcp://127.0.0.1:0", reuse_port=True) as one:
        with pytest.raises(OSError, match="in use"):
            listen(one.address)
        with listen(one.address, reuse_port=True) as other:
            assert one.address == other.address


def test_dualstack_when_off_then_ipv4_can_have_the_same_port():
    listen = pinwire.blocking.listen
    with listen("tcp://[::]:0") as both:
        port = both.address.rpartition(":")[2]
        with pytest.raises(OSError, match="in use"):
            listen(f"tcp://0.0.0.0:{port}")
    with listen("tcp://[::]:0", dualstack_ipv6=False) as one:
        port = one.address.rpartition(":")[2]
        with listen(f"tcp://0.0.0.0:{port}") as other:
            assert other.address == f"tcp://0.0.0.0:{port}"


def test_backlog_when_small_then_connections_beyond_it_wait():
    with pinwire.blocking.listen(ABSTRACT, backlog=1) as listener:
        queued = [pinwire.blocking.connect(listener.address, timeout=5) for _ in range(2)]
        with pytest.raises(pinwire.TransferTimeoutError):
            pinwire.blocking.connect(listener.address, timeout=0)
        third = sleeping(pinwire.blocking.connect, listener.address)
        accepted = [listener.accept() for _ in range(3)]
        for stream in [*queued, *accepted, third.result()]:
            stream.close()


def test_busy_poll_when_given_then_transfers_work(run):
    async def main():
        client, server = pinwire.socketpair(busy_poll=0.01, **SMALL)
        async with server:
            echo = Call(_echo, client.detach())
            for i in range(20):
                await server.send_buffer(pattern(10, i))
                assert await received(server, 10) == pattern(10, i)
            await server.send_eof()
            echo.result()

    run(main())


def _echo(number):
    with socket.socket(fileno=number) as sock:
        while data := sock.recv(100):
            sock.sendall(data)


def test_busy_poll_when_nothing_comes_then_it_retries_instead_of_sleeping_until_the_timeout(run):
    async def main():
        for seconds, spins in ((0, False), (3600, True)):
            client, server = pinwire.socketpair(busy_poll=seconds)
            async with client, server:
                with pytest.raises(pinwire.TransferTimeoutError):
                    await server.recv_into(bytearray(1), timeout=0.01)
                stats = server.stats()
            assert (stats.system_calls > 4) is spins

    run(main())


def test_blocking_busy_poll_when_nothing_comes_then_it_retries_until_the_timeout():
    for seconds, spins in ((0, False), (3600, True)):
        client, server = pinwire.blocking.socketpair(busy_poll=seconds)
        with client, server:
            with pytest.raises(pinwire.TransferTimeoutError):
                server.recv_into(bytearray(1), timeout=0.01)
            stats = server.stats()
        assert (stats.system_calls > 4) is spins


def test_blocking_busy_poll_when_another_thread_closes_then_the_spinning_call_ends():
    client, server = pinwire.blocking.socketpair(busy_poll=3600)
    with client:
        call = Call(server.recv_into, bytearray(1))
        while server.stats().system_calls < 10:
            pass
        server.close()
        assert isinstance(call.error(), pinwire.ClosedError)


BAD = [
    ({"unknown": 1}, TypeError),
    ({"send_buffer_size": 0}, ValueError),
    ({"send_buffer_size": -1}, ValueError),
    ({"recv_buffer_size": 2**31}, ValueError),
    ({"recv_buffer_size": "4096"}, TypeError),
    ({"keepalive": 0}, ValueError),
    ({"keepalive": -1}, ValueError),
    ({"keepalive": math.nan}, ValueError),
    ({"keepalive": "yes"}, TypeError),
    ({"busy_poll": -1}, ValueError),
    ({"busy_poll": math.nan}, ValueError),
    ({"busy_poll": None}, TypeError),
    ({"backlog": "many"}, TypeError),
    ({"backlog": -1}, ValueError),
    ({"backlog": 2**31}, ValueError),
]


@pytest.mark.parametrize(("options", "error"), BAD, ids=str)
def test_option_when_bad_then_every_call_refuses_it(options, error):
    listening = "backlog" in options

    async def main():
        with pytest.raises(error):
            await pinwire.listen(ABSTRACT, **options)

    asyncio.run(main())
    with pytest.raises(error):
        pinwire.blocking.listen(ABSTRACT, **options)
    left, right = socket.socketpair()
    with left, right:
        for call in (
            lambda: pinwire.connect("unix:@nobody", **options),
            lambda: pinwire.blocking.connect("unix:@nobody", **options),
            lambda: pinwire.socketpair(**options),
            lambda: pinwire.blocking.socketpair(**options),
            lambda: pinwire.Stream.from_socket(left, **options),
        ):
            with pytest.raises(TypeError if listening else error):
                call()
        assert left.fileno() >= 0


@pytest.mark.parametrize("option", ["backlog", "reuse_port", "dualstack_ipv6"])
def test_option_of_listeners_when_given_for_a_stream_then_the_error_says_so(option):
    with pytest.raises(TypeError, match=f"{option} is an option of listen"):
        pinwire.socketpair(**{option: 1})


def test_socket_options_when_used_as_in_socket_then_they_mean_the_same():
    client, server = pinwire.blocking.socketpair()
    with client, server:
        assert client.getsockopt(*KEEPALIVE) == 0
        client.setsockopt(*KEEPALIVE, 1)
        assert client.getsockopt(*KEEPALIVE) == 1
        client.setsockopt(*KEEPALIVE, struct.pack("i", 0))
        assert client.getsockopt(*KEEPALIVE, 4) == struct.pack("i", 0)
        linger = socket.SOL_SOCKET, socket.SO_LINGER
        client.setsockopt(*linger, bytearray(struct.pack("ii", 1, 7)))
        assert client.getsockopt(*linger, 8) == struct.pack("ii", 1, 7)
        for args in ((*KEEPALIVE,), (*KEEPALIVE, None), (*KEEPALIVE, "1"), (*KEEPALIVE, 1, 4)):
            with pytest.raises(TypeError):
                client.setsockopt(*args)
        for buflen in (-1, 1025):
            with pytest.raises((ValueError, OSError)):
                client.getsockopt(*KEEPALIVE, buflen)
