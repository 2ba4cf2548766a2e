"""Objects whose arrays go past the socket, out of band."""

from __future__ import annotations

import asyncio

import numpy as np
from exporters import noise_array
from host_pairs import LARGE


def test_object_when_its_buffers_are_large_and_tiny_then_it_comes_back(echo):
    sent = {
        "large": noise_array((LARGE // 8,), "f8").view("i8"),
        "tiny": np.arange(5),
        "none": np.zeros((0, 4)),
        "fortran": noise_array((300, 500), "i8").T,
        "bytes": b"x" * LARGE,
    }

    async def main():
        async with echo.channel() as channel:
            for _ in range(2):
                before = channel.stats()
                await channel.send_object(sent)
                got = await channel.recv_object()
                after = channel.stats()
                for name in ("large", "tiny", "none", "fortran"):
                    assert np.array_equal(got[name], sent[name]), name
                    assert got[name].flags.writeable
                assert got["bytes"] == sent["bytes"]
                past = after.bytes_offered - before.bytes_offered
                assert past >= sent["large"].nbytes + sent["fortran"].nbytes
                assert after.bytes_pulled - before.bytes_pulled == past

    echo.run(main())


def test_object_when_it_comes_as_a_header_then_it_can_be_skipped(host):
    async def main():
        async with host.warm(allow_pickle=True) as (client, server):
            pulled = server.stats().bytes_pulled
            sending = asyncio.ensure_future(client.send_object([np.zeros(LARGE)]))
            header = await server.recv_header()
            assert header.kind == "object"
            await header.skip()
            await sending
            assert server.stats().bytes_pulled == pulled
            sending = asyncio.ensure_future(client.send_object(np.ones(LARGE)))
            assert (await server.recv_object() == 1).all()
            await sending

    host.run(main())
