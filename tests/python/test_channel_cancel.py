"""Receives that are interrupted, after any byte: nothing is lost, and nothing comes in pieces."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest
from channels import HELLO_LEN, frame, hello, taken
from exporters import noise_array
from support import PATIENCE, cancelled, pattern

import pinwire

PAYLOAD = pattern(30)
FRAME = frame(PAYLOAD)
BEFORE_PAYLOAD = len(FRAME) - len(PAYLOAD)
SHAPE = (30, 40)


def content(message):
    (part,) = message.parts
    return bytes(part)


async def read(channel):
    return await (await channel.recv_header()).read()


INTERRUPTED = {
    "recv": lambda channel: channel.recv(),
    "recv-shared": lambda channel: channel.recv(share=True),
    "recv_header": lambda channel: channel.recv_header(),
    "read": read,
    "iteration": anext,
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_recv_when_cancelled_after_any_byte_then_the_next_gets_the_message(name, aio):
    async def main():
        async with aio.raw() as (sock, channel):
            sock.sendall(hello())
            sent = HELLO_LEN
            for count in range(len(FRAME)):
                if name == "recv_header" and count >= BEFORE_PAYLOAD:
                    break  # it would have come
                sock.sendall(FRAME[:count])
                sent += count
                task = asyncio.ensure_future(INTERRUPTED[name](channel))
                await taken(channel, sent, task)
                await cancelled(task)
                sock.sendall(FRAME[count:])
                sent += len(FRAME) - count
                assert content(await channel.recv()) == PAYLOAD

    aio.run(main())


@pytest.mark.parametrize("call", ["recv", "handshake", "recv_header"])
def test_hello_when_cancelled_after_any_byte_then_it_goes_on(call, aio):
    async def main():
        for count in range(HELLO_LEN):
            async with aio.raw() as (sock, channel):
                sock.sendall(hello()[:count])
                task = asyncio.ensure_future(getattr(channel, call)())
                await taken(channel, count, task)
                await cancelled(task)
                sock.sendall(hello()[count:] + FRAME)
                assert content(await channel.recv()) == PAYLOAD

    aio.run(main())


def test_recv_into_when_cancelled_after_any_byte_then_it_goes_on_in_the_same_memory(aio):
    async def main():
        async with aio.raw() as (sock, channel):
            sock.sendall(hello())
            sent = HELLO_LEN
            for count in range(len(FRAME)):
                out = bytearray(len(PAYLOAD))
                sock.sendall(FRAME[:count])
                sent += count
                task = asyncio.ensure_future(channel.recv_into(out))
                await taken(channel, sent, task)
                error = await cancelled(task)
                assert error.transferred == max(0, count - BEFORE_PAYLOAD)
                out += b""  # not pinned meanwhile
                sock.sendall(FRAME[count:])
                sent += len(FRAME) - count
                message = await channel.recv_into(out)
                assert message.parts[0] is out
                assert out == PAYLOAD

    aio.run(main())


NEXT = {
    "recv": lambda channel: channel.recv(),
    "recv_into": lambda channel: channel.recv_into(bytearray(4)),
    "read": read,
    "iteration": anext,
}


@pytest.mark.parametrize("name", NEXT)
def test_recv_into_when_interrupted_in_the_payload_then_another_gets_the_next_message(name, aio):
    async def main():
        async with aio.raw() as (sock, channel):
            sock.sendall(hello())
            sent = HELLO_LEN
            for count in range(BEFORE_PAYLOAD + 1, len(FRAME), 4):
                sock.sendall(FRAME[:count])
                sent += count
                task = asyncio.ensure_future(channel.recv_into(bytearray(len(PAYLOAD))))
                await taken(channel, sent, task)
                await cancelled(task)
                # Whoever drops the rest may be interrupted in that as well.
                task = asyncio.ensure_future(NEXT[name](channel))
                await taken(channel, sent, task)
                await cancelled(task)
                rest = FRAME[count:]
                sock.sendall(rest[:1])
                task = asyncio.ensure_future(NEXT[name](channel))
                await taken(channel, sent + 1, task)
                await cancelled(task)
                last = frame(b"next")
                sock.sendall(rest[1:] + last)
                sent += len(rest) + len(last)
                assert content(await NEXT[name](channel)) == b"next"

    aio.run(main())


def test_recv_into_when_interrupted_then_another_view_of_the_same_memory_drops_the_message(aio):
    async def main():
        async with aio.raw() as (sock, channel):
            out = bytearray(len(PAYLOAD))
            view = memoryview(out)
            sock.sendall(hello() + FRAME[:-1])
            task = asyncio.ensure_future(channel.recv_into(view))
            await taken(channel, HELLO_LEN + len(FRAME) - 1, task)
            await cancelled(task)
            sock.sendall(FRAME[-1:] + FRAME)
            message = await channel.recv_into(memoryview(out))
            assert bytes(message.parts[0]) == PAYLOAD
            assert channel.stats().messages_skipped == 1

    aio.run(main())


@pytest.mark.parametrize("name", NEXT)
def test_recv_into_when_interrupted_before_the_payload_then_any_gets_the_message(name, aio):
    async def main():
        async with aio.raw() as (sock, channel):
            last = frame(b"next")
            sock.sendall(hello() + last[:-4])
            task = asyncio.ensure_future(channel.recv_into(bytearray(4)))
            await taken(channel, HELLO_LEN + len(last) - 4, task)
            await cancelled(task)
            sock.sendall(last[-4:])
            assert content(await NEXT[name](channel)) == b"next"
            assert channel.stats().messages_skipped == 0

    aio.run(main())


@pytest.mark.parametrize("count", [0, 1, 29])
def test_skip_when_cancelled_then_nobody_gets_what_is_left(count, aio):
    async def main():
        async with aio.raw() as (sock, channel):
            start = BEFORE_PAYLOAD + count
            sock.sendall(hello() + FRAME[:start])
            header = await channel.recv_header()
            task = asyncio.ensure_future(header.skip())
            await taken(channel, HELLO_LEN + start, task)
            await cancelled(task)
            sock.sendall(FRAME[start:] + frame(b"next"))
            if count:
                for call in (header.read, lambda: header.read_into(bytearray(30))):
                    with pytest.raises(pinwire.MessageRefusedError, match="skip"):
                        await call()
            else:
                assert content(await channel.recv()) == PAYLOAD
            assert content(await channel.recv()) == b"next"

    aio.run(main())


def test_skip_when_cancelled_then_it_can_be_finished(aio):
    async def main():
        async with aio.raw() as (sock, channel):
            sock.sendall(hello() + FRAME[:-5])
            header = await channel.recv_header()
            task = asyncio.ensure_future(header.skip())
            await taken(channel, HELLO_LEN + len(FRAME) - 5, task)
            await cancelled(task)
            sock.sendall(FRAME[-5:] + frame(b"next"))
            await header.skip()
            assert content(await channel.recv()) == b"next"

    aio.run(main())


# Where a recv goes on whose first bytes are in memory of its own.
OTHERS = {
    "c": lambda: np.zeros(SHAPE, "f4"),
    "fortran": lambda: np.zeros(SHAPE, "f4", "F"),
    "stepped": lambda: np.zeros((30, 120), "f4")[::-1, ::3],
    "bytes": lambda: bytearray(30 * 40 * 4),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", OTHERS)
def test_recv_when_cancelled_then_it_goes_on_in_memory_of_any_layout(name, order, aio):
    async def main():
        async with aio.raw() as (sock, channel):
            sent = np.asarray(noise_array(SHAPE, "f4"), order=order)
            data = hello() + frame(sent)
            pieces = [data[:801], data[801:1502], data[1502:3003], data[3003:]]
            count = 0
            for piece in pieces[:-1]:
                sock.sendall(piece)
                count += len(piece)
                task = asyncio.ensure_future(channel.recv())
                await taken(channel, count, task)
                await cancelled(task)
            sock.sendall(pieces[-1])
            out = OTHERS[name]()
            await channel.recv_into(out)
            assert (bytes(out) if name == "bytes" else out.tobytes()) == sent.tobytes(
                "A" if name == "bytes" else "C"
            )

    aio.run(main())


def test_recv_when_refused_after_it_was_cancelled_then_the_message_stays_whole(aio):
    async def main():
        async with aio.raw() as (sock, channel):
            sent = noise_array(SHAPE, "f4")
            sock.sendall(hello() + frame(sent)[:1000])
            task = asyncio.ensure_future(channel.recv())
            await taken(channel, HELLO_LEN + 1000, task)
            await cancelled(task)
            with pytest.raises(pinwire.MessageRefusedError):
                await channel.recv_into(np.zeros(SHAPE, "f8"))
            with pytest.raises(BufferError):
                await channel.recv_into(np.zeros((30, 80), "f4")[:, ::2], copy=False)
            assert (await channel.recv_header()).nbytes == sent.nbytes
            sock.sendall(frame(sent)[1000:])
            assert (await channel.recv()).parts[0].tobytes() == sent.tobytes()

    aio.run(main())


@pytest.mark.parametrize("seed", range(4))
def test_recvs_when_interrupted_at_random_then_each_message_arrives_once(seed, channels):
    chance = random.Random(seed)
    sent = [noise_array((chance.choice([0, 1, 700, 20_000]),), "f4", i) for i in range(25)]

    async def main():
        async with channels.pair() as (client, server):

            async def send():
                for part in sent:
                    await client.send(part)

            sending = asyncio.ensure_future(send())
            got = []
            while len(got) < len(sent):
                call = chance.choice([server.recv, lambda **options: read_within(server, options)])
                try:
                    got.append(await call(timeout=chance.choice([0, 0.0005, 0.002, PATIENCE])))
                except pinwire.TransferTimeoutError:
                    await asyncio.sleep(0)
            await sending
            for message, part in zip(got, sent, strict=True):
                assert message.parts[0].tobytes() == part.tobytes()
            assert server.stats()[:5] == (0, 25, 0, 0, sum(part.nbytes for part in sent))

    channels.run(main())


async def read_within(channel, options):
    return await (await channel.recv_header(**options)).read(**options)
