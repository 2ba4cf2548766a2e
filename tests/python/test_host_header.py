"""A header of a message that is offered: read it, read it into memory, refuse it, or skip it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from exporters import noise_array
from host_pairs import LARGE
from support import PATIENCE

import pinwire


def sent_once(number=1):
    return noise_array((LARGE // 8,), "f8", number)


async def refusal(transfer):
    with pytest.raises(pinwire.MessageRefusedError) as caught:
        await transfer
    return str(caught.value)


def test_header_when_received_then_nothing_has_been_read_and_the_send_waits(host):
    async def main():
        async with host.warm() as (client, server):
            pulled = server.stats().bytes_pulled
            memory = bytearray(LARGE)
            sending = asyncio.ensure_future(client.send(memory, meta={"step": 7}))
            header = await server.recv_header()
            assert (header.nbytes, header.meta, header.kind) == (LARGE, {"step": 7}, "arrays")
            assert (header.parts[0].shape, header.parts[0].dtype) == ((LARGE,), np.dtype("u1"))
            again = await server.recv_header()
            assert not sending.done()
            assert server.stats().bytes_pulled == pulled
            with pytest.raises(BufferError):
                memory.append(0)
            message = await again.read()
            assert (message.parts[0].tobytes(), message.meta) == (bytes(LARGE), {"step": 7})
            assert await sending == LARGE
            memory.append(0)
            assert server.stats().bytes_pulled == pulled + LARGE
            assert "already" in await refusal(header.read())

    host.run(main())


def test_header_when_read_into_memory_then_that_is_filled(host):
    async def main():
        async with host.warm() as (client, server):
            sent = sent_once()
            for out in (np.zeros(sent.shape), np.zeros(2 * sent.size)[::2], bytearray(LARGE)):
                sending = asyncio.ensure_future(client.send(sent))
                header = await server.recv_header()
                message = await header.read_into(out)
                assert message.parts[0] is out
                assert (out.tobytes() if isinstance(out, np.ndarray) else out) == sent.tobytes()
                await sending

    host.run(main())


def test_header_when_skipped_then_the_send_returns_and_nothing_is_read(host):
    async def main():
        async with host.warm() as (client, server):
            before = server.stats()
            parts = [b"tiny", sent_once(), b"more", sent_once(2), b""]
            sending = asyncio.ensure_future(client.send(parts))
            header = await server.recv_header()
            assert await header.skip() is None
            assert await asyncio.wait_for(sending, PATIENCE) == 2 * LARGE + 8
            client.post(sent_once(3))
            assert (await server.recv()).parts[0].tobytes() == sent_once(3).tobytes()
            after = server.stats()
            assert after.bytes_pulled == before.bytes_pulled + LARGE
            assert after.messages_skipped == before.messages_skipped + 1
            await client.drain()

    host.run(main())


def test_headers_when_every_second_is_skipped_then_the_others_arrive(host):
    async def main():
        async with host.warm() as (client, server):
            sizes = [0, 10, LARGE, LARGE + 1, 5, 2 * LARGE]
            sent = [noise_array((sizes[i % 6],), "u1", i) for i in range(24)]

            async def send():
                for part in sent:
                    await client.send(part)

            sending = asyncio.ensure_future(send())
            for i, part in enumerate(sent):
                header = await server.recv_header()
                if i % 4 in (1, 2):
                    await header.skip()
                else:
                    assert (await header.read()).parts[0].tobytes() == part.tobytes()
            await sending

    host.run(main())


def test_message_when_memory_is_of_another_type_then_it_stays_until_it_fits(host):
    async def main():
        async with host.warm() as (client, server):
            sent = sent_once()
            pulled = server.stats().bytes_pulled
            sending = asyncio.ensure_future(client.send(sent))
            for wrong in (
                np.zeros(sent.shape, "i8"),
                np.zeros(5),
                bytearray(5),
                [bytearray(LARGE)] * 2,
            ):
                assert await refusal(server.recv_into(wrong))
            header = await server.recv_header()
            assert await refusal(header.read_into(np.zeros(sent.shape, "i8")))
            assert not sending.done()
            assert server.stats().bytes_pulled == pulled
            out = np.zeros(sent.shape)
            await header.read_into(out)
            assert out.tobytes() == sent.tobytes()
            await sending

    host.run(main())


def test_message_when_over_the_receivers_limit_then_it_is_refused_and_can_be_had_otherwise(host):
    async def main():
        async with host.warm(theirs={"max_message_bytes": LARGE}) as (client, server):
            # The sender knows the limit by now, and so this is a message of the other direction.
            assert "at most" in await refusal(client.send(bytes(LARGE + 1)))
            sent = sent_once()
            client.post(sent)
            assert (await server.recv()).parts[0].tobytes() == sent.tobytes()
            await client.drain()

    host.run(main())


def test_header_when_its_message_was_received_otherwise_then_it_is_stale(host):
    async def main():
        async with host.warm() as (client, server):
            sent = sent_once()
            sending = asyncio.ensure_future(client.send(sent))
            header = await server.recv_header()
            assert (await server.recv()).parts[0].tobytes() == sent.tobytes()
            await sending
            for call in (header.read, header.skip, lambda: header.read_into(np.zeros(sent.shape))):
                assert "already" in await refusal(call())

    host.run(main())
