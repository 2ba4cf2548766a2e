"""Listening: no connection is lost, and closing ends everyone who waits."""

from __future__ import annotations

import asyncio
import random
import socket
import struct

import pytest
from support import ABSTRACT, is_open, program, received, received_blocking, sleeping, wait_until

import pinwire
import pinwire.blocking

ADDRESSES = {"tcp": "tcp://127.0.0.1:0", "unix": ABSTRACT}


@pytest.fixture(params=ADDRESSES)
def address(request):
    return ADDRESSES[request.param]


async def turns():
    """Enough turns of the loop for a task to come to wait."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_async_for_when_the_listener_closes_then_the_loop_ends(run, address):
    async def serve(listener):
        served = 0
        async for stream in listener:
            served += 1
            await stream.close()
        return served

    async def main():
        listener = await pinwire.listen(address)
        server = asyncio.create_task(serve(listener))
        for _ in range(5):
            async with pinwire.connect(listener.address) as client:
                assert await client.recv_into(bytearray(1)) == 0
        await listener.close()
        assert await server == 5
        assert [stream async for stream in listener] == []

    run(main())


def test_blocking_for_when_the_listener_closes_then_the_loop_ends(address):
    def serve():
        served = 0
        for stream in listener:
            served += 1
            stream.close()
        return served

    listener = pinwire.blocking.listen(address)
    server = sleeping(serve)
    for _ in range(5):
        with pinwire.blocking.connect(listener.address) as client:
            assert client.recv_into(bytearray(1)) == 0
    wait_until(server.sleeps)
    listener.close()
    assert server.result() == 5
    assert list(listener) == []


def test_accept_when_the_listener_closes_then_closed_error(run, address):
    async def main():
        listener = await pinwire.listen(address)
        fd = listener.fileno()
        task = asyncio.ensure_future(listener.accept())
        await turns()
        assert not task.done()
        listener.close()
        with pytest.raises(pinwire.ClosedError):
            await task
        with pytest.raises(pinwire.ClosedError):
            await listener.accept()
        await listener.close()
        assert (listener.fileno(), is_open(fd)) == (-1, False)
        with pytest.raises(ConnectionRefusedError):
            await pinwire.connect(listener.address)

    run(main())


def test_blocking_accept_when_the_listener_closes_then_every_thread_gets_closed_error(address):
    listener = pinwire.blocking.listen(address)
    fd = listener.fileno()
    calls = [sleeping(listener.accept) for _ in range(3)]
    listener.close()
    for call in calls:
        assert isinstance(call.error(), pinwire.ClosedError)
    with pytest.raises(pinwire.ClosedError):
        listener.accept()
    listener.close()
    assert (listener.fileno(), is_open(fd)) == (-1, False)


def test_accept_when_another_task_is_in_it_then_busy_error_and_the_first_goes_on(run, address):
    async def main():
        async with pinwire.listen(address) as listener:
            first = asyncio.ensure_future(listener.accept())
            await turns()
            for second in (listener.accept(), anext(listener)):
                with pytest.raises(pinwire.BusyError):
                    await second
            async with pinwire.connect(listener.address), await first:
                pass
            async with pinwire.connect(listener.address), await listener.accept():
                pass

    run(main())


def test_accept_when_many_connect_at_once_then_each_is_accepted_once(run, address):
    async def echo(listener):
        async for stream in listener:
            async with stream:
                await stream.send_buffer(await received(stream, 8))

    async def ask(address, i):
        async with pinwire.connect(address) as stream:
            await stream.send_buffer(i.to_bytes(8))
            return int.from_bytes(await received(stream, 8))

    async def main():
        async with pinwire.listen(address) as listener:
            server = asyncio.create_task(echo(listener))
            asked = [ask(listener.address, i) for i in range(200)]
            assert await asyncio.gather(*asked) == list(range(200))
        await server

    run(main())


def test_blocking_accept_when_several_threads_are_in_it_then_each_connection_has_one(address):
    def serve():
        served = []
        for stream in listener:
            with stream:
                served.append(received_blocking(stream, 1))
        return served

    with pinwire.blocking.listen(address) as listener:
        servers = [sleeping(serve) for _ in range(4)]
        for i in range(100):
            with pinwire.blocking.connect(listener.address) as client:
                client.send_buffer(bytes([i]))
                assert client.recv_into(bytearray(1)) == 0
    served = [byte for server in servers for byte in server.result()]
    assert sorted(served) == [bytes([i]) for i in range(100)]


def test_accept_when_cancels_race_with_connections_then_none_is_lost(run, address):
    chance = random.Random(3)

    async def main():
        async with pinwire.listen(address) as listener:
            clients, servers, cancels = [], [], 0
            while len(servers) < 100:
                task = asyncio.ensure_future(listener.accept())
                if len(clients) < 100 and chance.random() < 0.5:
                    clients.append(asyncio.ensure_future(_connect(listener.address)))
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    servers.append(await task)
                except asyncio.CancelledError:
                    cancels += 1
            assert cancels > 10
            streams = await asyncio.gather(*clients)
            assert {it.local_address for it in streams} == {it.peer_address for it in servers}
            for stream in [*streams, *servers]:
                await stream.close()

    run(main())


async def _connect(address):
    return await pinwire.connect(address)


def test_accept_when_it_times_out_as_a_client_comes_then_the_client_is_not_lost(run, address):
    async def main():
        async with pinwire.listen(address) as listener:
            for i in range(50):
                client = asyncio.ensure_future(_connect(listener.address))
                server = None
                while server is None:
                    try:
                        server = await listener.accept(timeout=i / 100_000)
                    except pinwire.TransferTimeoutError:
                        await asyncio.sleep(0)
                async with await client as stream, server:
                    await stream.send_buffer(b"x")
                    assert await received(server, 1) == b"x"

    run(main())


def test_accept_when_never_awaited_then_it_warns(run):
    async def main():
        async with pinwire.listen("tcp://127.0.0.1:0") as listener:
            with pytest.warns(RuntimeWarning, match="Listener.accept was never awaited"):
                listener.accept()

    run(main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "blocking"])
def test_accept_when_out_of_descriptors_then_oserror_and_the_connection_is_accepted_later(loop):
    code = """
import asyncio, errno, os, resource, socket, sys, uvloop, pinwire, pinwire.blocking

def exhaust():
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return taken

def check(error):
    assert (type(error), error.errno) == (OSError, errno.EMFILE), error
    seen.append(error)

seen = []

async def main():
    async with pinwire.listen("tcp://127.0.0.1:0") as listener:
        client = socket.create_connection(("127.0.0.1", int(listener.address.split(":")[-1])))
        taken = exhaust()
        for _ in range(3):
            try:
                await listener.accept(timeout=5)
            except OSError as error:
                check(error)
        for fd in taken:
            os.close(fd)
        async with await listener.accept(timeout=5) as stream:
            await stream.send_buffer(b"x")
        assert client.recv(1) == b"x"
        client.close()

def blocking():
    with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
        client = socket.create_connection(("127.0.0.1", int(listener.address.split(":")[-1])))
        taken = exhaust()
        for _ in range(3):
            try:
                listener.accept(timeout=5)
            except OSError as error:
                check(error)
        for fd in taken:
            os.close(fd)
        with listener.accept(timeout=5) as stream:
            stream.send_buffer(b"x")
        assert client.recv(1) == b"x"
        client.close()

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
if sys.argv[1] == "blocking":
    blocking()
else:
    factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[sys.argv[1]]
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
print(len(seen))
"""
    assert program(code, loop, options=("-W", "error")) == (0, "3\n", "")


def test_accept_when_one_peer_has_reset_then_the_next_is_served(run):
    async def main():
        async with pinwire.listen("tcp://127.0.0.1:0") as listener:
            host, port = listener.address.removeprefix("tcp://").split(":")
            with socket.create_connection((host, int(port))) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            async with pinwire.connect(listener.address) as client:
                gone, server = await listener.accept(), await listener.accept()
                async with gone, server:
                    assert gone.peer_closed
                    assert server.peer_address == client.local_address

    run(main())
