"""How channels begin and end: hello, two receives at once, the end of a peer, closing."""

from __future__ import annotations

import asyncio
import gc
import warnings

import numpy as np
import pytest
from channels import HELLO_LEN, about_socket, frame, hello, taken
from exporters import noise_array
from support import BIG, cancelled, pattern, until

import pinwire

FRAME = frame(pattern(30))


@about_socket
def test_channel_when_made_then_it_says_hello_at_once(face):
    async def main():
        async with face.raw(max_message_bytes=1234, allow_pickle=True) as (sock, _):
            assert sock.recv(100) == hello(max_message_bytes=1234, objects=True)

    face.run(main())


def test_handshake_when_the_hello_has_come_then_it_is_done_and_takes_nothing(channels):
    async def main():
        async with channels.raw() as (sock, channel):
            with pytest.raises(pinwire.TransferTimeoutError):
                await channel.handshake(timeout=0)
            sock.sendall(hello() + FRAME)
            for _ in range(3):
                assert await channel.handshake() is None
            assert (await channel.recv()).parts[0].tobytes() == pattern(30)

    channels.run(main())


def test_handshake_when_the_peer_ends_before_its_hello_then_it_tells(channels):
    async def main():
        for count in (0, 1, HELLO_LEN - 1):
            async with channels.raw() as (sock, channel):
                sock.sendall(hello()[:count])
                sock.shutdown(1)
                for call in (channel.handshake, channel.recv):
                    with pytest.raises(pinwire.IncompleteTransferError):
                        await call()

    channels.run(main())


RECEIVES = {
    "recv": lambda channel: channel.recv(),
    "recv_into": lambda channel: channel.recv_into(bytearray(30)),
    "recv_header": lambda channel: channel.recv_header(),
    "recv_object": lambda channel: channel.recv_object(),
    "handshake": lambda channel: channel.handshake(),
    "iteration": lambda channel: anext(channel),
}


@pytest.mark.parametrize("first", RECEIVES)
@pytest.mark.parametrize("greeted", [False, True])
def test_receive_when_another_is_under_way_then_busy_error_and_the_first_goes_on(
    first, greeted, aio
):
    async def main():
        async with aio.raw(allow_pickle=True) as (sock, channel):
            start = (hello() if greeted else hello()[:5]) + FRAME[: 40 if greeted else 0]
            if greeted and first in ("handshake", "recv_object"):
                return  # it would have come
            sock.sendall(start)
            task = asyncio.ensure_future(RECEIVES[first](channel))
            await taken(channel, len(start), task)
            for second in RECEIVES.values():
                with pytest.raises(pinwire.BusyError):
                    await second(channel)
            sock.sendall((hello() + FRAME)[len(start) :])
            if first == "recv_object":
                with pytest.raises(pinwire.MessageRefusedError):
                    await task
            else:
                await task
            if first in ("recv_header", "handshake", "recv_object"):
                assert (await channel.recv()).nbytes == 30

    aio.run(main())


@pytest.mark.parametrize("count", [0, 1, 24, 40, len(FRAME) - 1])
def test_receive_when_the_channel_is_closed_under_it_then_closed_error(count, channels):
    async def main():
        async with channels.raw() as (sock, channel):
            sock.sendall(hello() + FRAME[:count])
            receiving = asyncio.ensure_future(channel.recv())
            await until(lambda: channel.stream.stats().bytes_received == HELLO_LEN + count)
            await until(lambda: channel.stream.stats().waits)
            await channel.close()
            with pytest.raises(pinwire.ClosedError):
                await receiving
            for call in (channel.recv, lambda: channel.send(b"x"), channel.recv_header):
                with pytest.raises(pinwire.ClosedError):
                    await call()

    channels.run(main())


def test_receive_when_closed_with_a_message_read_ahead_then_closed_error(channels):
    async def main():
        async with channels.raw() as (sock, channel):
            sock.sendall(hello() + FRAME + FRAME)
            header = await channel.recv_header()
            await channel.close()
            for call in (channel.recv, header.read, header.skip, lambda: anext(channel)):
                with pytest.raises(pinwire.ClosedError):
                    await call()

    channels.run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_channel_when_closed_twice_then_nothing_happens(how, face):
    async def main():
        async with face.pair() as (client, server):
            await client.close() if how == "close" else client.abort()
            await client.close()
            client.abort()
            assert "closed" in repr(client)
            with pytest.raises((pinwire.IncompleteTransferError, ConnectionResetError)):
                await server.recv()

    face.run(main())


@pytest.mark.parametrize("count", [1, 24, 40, len(FRAME) - 1])
def test_recv_when_the_peer_ends_in_a_message_then_incomplete_error(count, channels):
    async def main():
        async with channels.raw() as (sock, channel):
            sock.sendall(hello() + FRAME + FRAME[:count])
            sock.shutdown(1)
            assert (await channel.recv()).nbytes == 30
            for _ in range(2):
                with pytest.raises(pinwire.IncompleteTransferError, match=r"middle|before all"):
                    await channel.recv()
            with pytest.raises(pinwire.IncompleteTransferError):
                await anext(channel)
            # It has only stopped sending.
            await channel.send(b"still there?")

    channels.run(main())


@pytest.mark.parametrize("name", ["recv", "recv_into", "recv_header", "recv_object"])
def test_receive_when_the_peer_ends_between_messages_then_incomplete_error(name, channels):
    async def main():
        async with channels.raw(allow_pickle=True) as (sock, channel):
            sock.sendall(hello() + FRAME)
            sock.shutdown(1)
            assert (await channel.recv()).nbytes == 30
            for _ in range(2):
                with pytest.raises(pinwire.IncompleteTransferError) as caught:
                    await RECEIVES[name](channel)
                assert isinstance(caught.value, EOFError)

    channels.run(main())


def test_iteration_when_the_peer_ends_between_messages_then_it_ends(channels):
    async def main():
        async with channels.pair() as (client, server):

            async def send():
                async with client:
                    for i in range(5):
                        await client.send(np.full(9000, i))
                        await client.send([], meta={"i": i})

            sending = asyncio.ensure_future(send())
            got = [message async for message in server]
            assert [message.meta for message in got[1::2]] == [{"i": i} for i in range(5)]
            assert [int(message.parts[0][-1]) for message in got[::2]] == list(range(5))
            assert [message async for message in server] == []
            await sending

    channels.run(main())


def test_iteration_when_left_then_the_next_message_is_still_there(channels):
    async def main():
        async with channels.pair() as (client, server):
            await client.send(b"one")
            await client.send(b"two")
            async for message in server:
                assert message.parts[0].tobytes() == b"one"
                break
            assert (await server.recv()).parts[0].tobytes() == b"two"

    channels.run(main())


@pytest.mark.parametrize("size", [0, 10, BIG])
def test_close_when_right_after_a_send_then_nothing_is_lost(size, channels):
    async def main():
        stream, other = await channels.streams(send_buffer_size=None, recv_buffer_size=None)
        sent = noise_array((size,), "u1")

        async def send():
            async with channels.over(stream) as client:
                await client.send(sent)

        sending = asyncio.ensure_future(send())
        # The peer makes its channel, and so says hello, when all that fits has been sent.
        await until(lambda: stream.stats().bytes_sent > min(size, 1000))
        async with channels.over(other) as server:
            assert (await server.recv()).parts[0].tobytes() == sent.tobytes()
            with pytest.raises(pinwire.IncompleteTransferError):
                await server.recv()
        await sending

    channels.run(main())


@about_socket
def test_close_when_the_peer_never_says_hello_then_it_waits_a_while_only(channels, monkeypatch):
    for module in ("_channel", "_blocking_channel"):
        monkeypatch.setattr(f"pinwire.{module}.LINGER", 0.05)

    async def main():
        async with channels.raw() as (sock, channel):
            await channel.send(b"abc")
            await channel.close()
            expected = hello() + frame(b"abc")
            assert sock.recv(1000) == expected
            assert sock.recv(1000) == b""

    channels.run(main())


def test_close_when_a_receive_is_under_way_then_it_waits_for_no_hello(aio):
    async def main():
        async with aio.raw() as (_, channel):
            await channel.send(b"abc")
            receiving = asyncio.ensure_future(channel.recv())
            await taken(channel, 0, receiving)
            await channel.close()
            with pytest.raises(pinwire.ClosedError):
                await receiving

    aio.run(main())


def test_close_when_cancelled_while_it_waits_for_the_hello_then_it_is_closed(aio):
    async def main():
        async with aio.raw() as (_, channel):
            await channel.send(b"abc")
            waits = channel.stream.stats().waits
            closing = asyncio.ensure_future(channel.close())
            await until(lambda: channel.stream.stats().waits > waits)
            await cancelled(closing)
            assert channel.stream.fileno() == -1

    aio.run(main())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_channel_when_dropped_open_then_a_resource_warning_says_so(face):
    async def main():
        stream, other = await face.streams()
        channel = face.over(stream)
        with warnings.catch_warnings(record=True, action="always") as caught:
            del channel, stream
            gc.collect()
        assert any("unclosed" in str(warning.message) for warning in caught)
        other.abort()

    face.run(main())


def test_channel_when_in_a_cycle_then_it_is_collected(face):
    class Own(pinwire.Channel if not face.is_blocking else pinwire.blocking.Channel):
        pass

    async def main():
        stream, other = await face.streams()
        gone, holder = [], []
        own = Own(stream, allocator=lambda *_, holder=holder: holder)
        holder.append(own)
        own.self, own.tell = own, type("Tell", (), {"__del__": lambda _: gone.append(1)})()
        own.abort()
        del own, holder, stream
        gc.collect()
        other.abort()
        return gone

    assert face.run(main()) == [1]


def test_peer_closed_when_messages_are_left_then_not_before_they_are_received(channels):
    async def main():
        async with channels.pair() as (client, server):
            assert not server.peer_closed
            await client.send(b"first")
            await client.send(b"second")  # read ahead with the first
            await client.close()
            await until(lambda: server.stream.peer_closed)
            for expected in (b"first", b"second"):
                assert not server.peer_closed
                assert bytes((await server.recv()).parts[0]) == expected
            assert server.peer_closed
            await server.close()
            assert server.peer_closed

    channels.run(main())


def test_peer_closed_when_a_receive_is_under_way_then_that_finds_out(channels):
    async def main():
        async with channels.pair() as (client, server):
            await client.send(b"hello")
            await server.recv()
            waits = server.stream.stats().waits
            receiving = asyncio.create_task(server.recv())
            await until(lambda: server.stream.stats().waits > waits)
            await client.close()
            assert channels.is_blocking or not server.peer_closed  # a thread may be done already
            with pytest.raises(pinwire.IncompleteTransferError):
                await receiving
            assert server.peer_closed

    channels.run(main())


def test_peer_closed_when_a_header_has_come_then_its_payload_is_left(channels):
    async def main():
        async with channels.pair() as (client, server):
            await client.send(b"payload")
            header = await server.recv_header()
            await client.close()
            await until(lambda: server.stream.peer_closed)
            assert not server.peer_closed
            await header.skip()
            assert server.peer_closed

    channels.run(main())
