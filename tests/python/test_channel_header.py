"""A header comes first, so that a receiver can choose where the payload goes."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from channels import about_socket
from exporters import noise_array
from support import PATIENCE

import pinwire

SIZE = 50_000


def test_header_when_received_then_it_tells_what_comes(face):
    async def main():
        async with face.pair() as (client, server):
            sent = [np.zeros((3, 4), ">f8"), np.zeros((3, 4), "i2").T, np.float32(1), b"abc"]
            await client.send(sent, meta={"step": 7})
            header = await server.recv_header()
            told = [
                (part.dtype, part.shape, part.order, part.itemsize, part.nbytes)
                for part in header.parts
            ]
            assert told == [
                (np.dtype(">f8"), (3, 4), "C", 8, 96),
                (np.dtype("i2"), (4, 3), "F", 2, 24),
                (np.dtype("f4"), (), "C", 4, 4),
                (np.dtype("u1"), (3,), "C", 1, 3),
            ]
            assert (header.kind, header.meta, header.nbytes) == ("arrays", {"step": 7}, 127)
            assert "127" in repr(header)
            assert "(3, 4)" in repr(header.parts[0]) or "[3, 4]" in repr(header.parts[0])

    face.run(main())


def test_header_when_of_an_object_then_its_kind_says_so(face):
    async def main():
        async with face.pair(allow_pickle=True) as (client, server):
            await client.send_object([1, 2])
            header = await server.recv_header()
            assert (header.kind, header.meta) == ("object", {})
            for call in (header.read, lambda: header.read_into(bytearray(header.nbytes))):
                with pytest.raises(pinwire.MessageRefusedError, match="recv_object"):
                    await call()
            assert await server.recv_object() == [1, 2]

    face.run(main())


@pytest.mark.parametrize("size", [0, 5, SIZE])
def test_header_when_read_then_the_message_comes(size, channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = noise_array((size,), "i2")
            for _ in range(3):
                sending = asyncio.ensure_future(client.send(sent, meta={"a": 1}))
                header = await server.recv_header(timeout=PATIENCE)
                message = await header.read(timeout=PATIENCE)
                assert (message.meta, message.nbytes) == ({"a": 1}, sent.nbytes)
                assert message.parts[0].tobytes() == sent.tobytes()
                await sending

    channels.run(main())


@pytest.mark.parametrize("size", [0, 5, SIZE])
def test_header_when_read_into_memory_then_that_is_filled(size, channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = noise_array((size,), "i2")
            sending = asyncio.ensure_future(client.send([sent, sent]))
            header = await server.recv_header()
            outs = [np.empty(part.shape, part.dtype) for part in header.parts]
            with pytest.raises(pinwire.MessageRefusedError):
                await header.read_into(outs[0])
            message = await header.read_into(outs)
            assert all(a is b for a, b in zip(message.parts, outs, strict=True))
            assert outs[0].tobytes() == outs[1].tobytes() == sent.tobytes()
            await sending

    channels.run(main())


@pytest.mark.parametrize("size", [0, 5, SIZE, 3 * 64 * 1024, 64 * 1024 + 17])
def test_header_when_skipped_then_the_next_message_comes(size, channels):
    async def main():
        async with channels.pair() as (client, server):
            both = asyncio.gather(client.send(bytes(size)), client.send(b"next"))
            header = await server.recv_header()
            assert await header.skip() is None
            assert (await server.recv()).parts[0].tobytes() == b"next"
            assert server.stats()[:5] == (0, 1, 1, 0, 4)
            await both

    channels.run(main())


def test_header_when_received_again_then_it_is_the_same_message(face):
    async def main():
        async with face.pair() as (client, server):
            await client.send(b"one", meta={"n": 1})
            await client.send(b"two", meta={"n": 2})
            first, again = await server.recv_header(), await server.recv_header()
            assert first.meta == again.meta == {"n": 1}
            assert (await again.read()).parts[0].tobytes() == b"one"
            with pytest.raises(pinwire.MessageRefusedError, match="already"):
                await first.read()
            assert (await server.recv()).parts[0].tobytes() == b"two"

    face.run(main())


@about_socket
def test_header_when_its_message_was_received_otherwise_then_it_is_stale(face):
    async def main():
        async with face.pair() as (client, server):
            await client.send(b"one")
            header = await server.recv_header()
            assert (await server.recv()).parts[0].tobytes() == b"one"
            # Also once the next message has come, which is left alone.
            for _ in range(2):
                calls = (header.read, lambda: header.read_into(bytearray(3)), header.skip)
                for call in calls:
                    with pytest.raises(pinwire.MessageRefusedError, match="already"):
                        await call()
                await client.send(b"two")
                assert (await server.recv_header()).nbytes == 3
            assert (await server.recv()).parts[0].tobytes() == b"two"
            assert header.nbytes == 3

    face.run(main())


def test_header_when_the_channel_is_closed_then_reading_tells(face):
    async def main():
        async with face.pair() as (client, server):
            sending = asyncio.ensure_future(client.send(bytes(SIZE)))
            header = await server.recv_header()
            await server.close()
            with pytest.raises(pinwire.ClosedError):
                await header.read()
            assert header.nbytes == SIZE
            with pytest.raises((pinwire.Error, OSError)):
                await sending

    face.run(main())


def test_header_when_dropped_then_recv_gets_the_message(face):
    async def main():
        async with face.pair() as (client, server):
            await client.send(b"one")
            await server.recv_header()
            assert (await server.recv()).parts[0].tobytes() == b"one"

    face.run(main())


def test_headers_when_every_second_is_skipped_then_the_others_arrive(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = [noise_array((i * 321,), "u1", i) for i in range(30)]

            async def send():
                for part in sent:
                    await client.send(part)

            sending = asyncio.ensure_future(send())
            for i, part in enumerate(sent):
                header = await server.recv_header()
                if i % 2:
                    await header.skip()
                else:
                    assert (await header.read()).parts[0].tobytes() == part.tobytes()
            await sending
            stats = server.stats()
            assert (stats.messages_received, stats.messages_skipped) == (15, 15)

    channels.run(main())
