"""Servers of channels, on both faces."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest
from channels import hello
from serving import collect, echo, echo_of, handlers, serve
from support import cancelled, until

import pinwire
import pinwire.blocking


def test_server_when_many_clients_then_each_has_a_handler(channels):
    async def main():
        async def client(serving, number):
            async with await serving.connect() as channel:
                for i in range(3):
                    sent = np.full(3000 * number, i)
                    sending = asyncio.ensure_future(channel.send(sent, meta={"n": number}))
                    got = await channel.recv()
                    await sending
                    assert (got.meta, got.nbytes) == ({"n": number}, sent.nbytes)

        async with serve(channels, echo_of(channels)) as serving:
            await asyncio.gather(*(client(serving, number) for number in range(12)))

    channels.run(main())


def test_server_when_options_are_given_then_they_are_the_channels(face):
    async def main():
        async with (
            serve(face, echo_of(face), max_message_bytes=100, backlog=5) as serving,
            await serving.connect(allow_pickle=True, nodelay=True) as channel,
        ):
            await channel.handshake()
            assert channel.allow_pickle
            with pytest.raises(pinwire.MessageRefusedError, match="100"):
                await channel.send(bytes(101))
            with pytest.raises(pinwire.MessageRefusedError, match="objects"):
                await channel.send_object(1)

    face.run(main())


def test_server_when_a_handler_returns_then_its_channel_is_drained_and_closed(face):
    async def handler(channel):
        for i in range(5):
            channel.post(np.full(9000, i))

    def handler_blocking(channel):
        for i in range(5):
            channel.post(np.full(9000, i))

    async def main():
        chosen = handler_blocking if face.is_blocking else handler
        async with (
            serve(face, chosen, send_buffer_size=4096) as serving,
            await serving.connect(recv_buffer_size=4096) as channel,
        ):
            got = [int(message.parts[0][0]) async for message in channel]
            assert got == [0, 1, 2, 3, 4]

    face.run(main())


def test_server_when_a_handler_raises_then_it_is_reported_and_others_go_on(face, reports):
    def check(message):
        if message.nbytes == 0:
            raise ZeroDivisionError

    async def handler(channel):
        check(await channel.recv())
        await channel.send(b"fine")

    def handler_blocking(channel):
        check(channel.recv())
        channel.send(b"fine")

    async def main():
        collect(reports)
        chosen = handler_blocking if face.is_blocking else handler
        async with serve(face, chosen) as serving:
            good, bad = await serving.connect(), await serving.connect()
            async with good, bad:
                await bad.send(b"")
                with pytest.raises(pinwire.IncompleteTransferError):
                    await bad.recv()
                await good.send(b"x")
                assert (await good.recv()).parts[0].tobytes() == b"fine"
            await until(lambda: reports)
            assert [type(error) for error in reports] == [ZeroDivisionError]

    face.run(main())


def test_server_when_closed_then_handlers_end_and_their_peers_see_it(face):
    begun, ended = [], []

    async def handler(channel):
        begun.append(channel)
        try:
            await channel.recv()
        except asyncio.CancelledError:
            ended.append(channel)
            raise

    def handler_blocking(channel):
        begun.append(channel)
        try:
            channel.recv()
        except pinwire.ClosedError:
            ended.append(channel)
            raise

    async def main():
        chosen = handler_blocking if face.is_blocking else handler
        async with serve(face, chosen) as serving:
            clients = [await serving.connect() for _ in range(5)]
            await until(lambda: len(begun) == 5)
            await serving.close()
            await serving.close()
            assert handlers(serving) == 0
            with pytest.raises(ConnectionRefusedError):
                await serving.connect()
            for client in clients:
                with pytest.raises((pinwire.IncompleteTransferError, ConnectionResetError)):
                    await client.recv()
                await client.close()
            assert len(ended) == 5

    face.run(main())


def test_server_when_closed_as_clients_connect_then_nothing_is_left_open(channels):
    async def main():
        for clients in range(1, 8):
            async with serve(channels, echo_of(channels)) as serving:
                with contextlib.ExitStack() as stack:
                    socks = [stack.enter_context(serving.raw()) for _ in range(clients)]
                    await until(lambda: handlers(serving) or channels.is_blocking)
                    await serving.close()
                    for sock in socks:
                        with contextlib.suppress(ConnectionResetError):
                            while sock.recv(100):
                                pass

    channels.run(main())


@pytest.mark.parametrize(
    "said", [b"", hello()[:-1], b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "part", "other"]
)
def test_server_when_a_peer_says_no_hello_then_it_loses_its_connection(
    said, face, reports, monkeypatch
):
    for module in ("_server", "_blocking_door"):
        monkeypatch.setattr(f"pinwire.{module}.HANDSHAKE_TIMEOUT", 0.05)

    async def main():
        collect(reports)
        async with serve(face, echo_of(face)) as serving:
            with serving.raw() as sock:
                sock.sendall(said)
                with contextlib.suppress(ConnectionResetError):
                    while await asyncio.to_thread(sock.recv, 100):
                        pass
            async with await serving.connect() as channel:
                await channel.send(b"x")
                assert (await channel.recv()).parts[0].tobytes() == b"x"
        assert reports == []

    face.run(main())


def test_server_when_a_peer_breaks_the_format_then_that_is_reported(face, reports):
    async def main():
        collect(reports)
        async with serve(face, echo_of(face)) as serving:
            with serving.raw() as sock:
                sock.sendall(hello() + b"\xff" * 24)
                await until(lambda: reports)
            assert [type(error) for error in reports] == [pinwire.ProtocolError]

    face.run(main())


def test_server_when_closed_while_it_serves_forever_then_that_returns(face):
    async def main():
        async with serve(face, echo_of(face)) as serving:
            if face.is_blocking:
                forever = asyncio.ensure_future(asyncio.to_thread(serving.server.serve_forever))
            else:
                forever = asyncio.ensure_future(serving.server.serve_forever())
            async with await serving.connect() as channel:
                await channel.handshake()
            await serving.close()
            assert await forever is None

    face.run(main())


def test_server_when_serving_forever_is_cancelled_then_it_closes(aio):
    async def main():
        async with serve(aio, echo) as serving:
            forever = asyncio.ensure_future(serving.server.serve_forever())
            await asyncio.sleep(0)
            await cancelled(forever)
            with pytest.raises(ConnectionRefusedError):
                await serving.connect()

    aio.run(main())


def test_server_when_a_handler_closes_it_then_it_closes(face):
    async def main():
        async def handler(channel):
            await channel.recv()
            await serving.server.close()

        def handler_blocking(channel):
            channel.recv()
            serving.server.close()

        async with serve(face, handler_blocking if face.is_blocking else handler) as serving:
            async with await serving.connect() as channel:
                await channel.send(b"stop")
                with pytest.raises((pinwire.IncompleteTransferError, ConnectionResetError)):
                    await channel.recv()
            await until(lambda: handlers(serving) == 0)

    face.run(main())


@pytest.mark.parametrize("face", [pinwire, pinwire.blocking])
@pytest.mark.parametrize("call", ["serve_channels", "connect_channel"])
def test_channels_when_their_options_are_wrong_then_the_call_says_so(face, call):
    arguments = [print, "tcp://127.0.0.1:0"][call == "connect_channel" :]
    with pytest.raises(TypeError, match="allocator must be a function"):
        getattr(face, call)(*arguments, allocator=5)
    with pytest.raises(ValueError, match="high_water must be positive"):
        getattr(face, call)(*arguments, high_water=0)
