"""The main job: every byte, in order, into memory of the receiver's."""

from __future__ import annotations

import asyncio
import threading

import numpy as np


def test_send_buffer_when_array_is_large_then_it_arrives_whole(run, pair):
    sent = np.random.default_rng(1).random((300, 100))
    got = np.zeros_like(sent)

    async def main():
        async with pair() as (client, server):
            counts = await asyncio.gather(client.send_buffer(sent), server.recv_exactly_into(got))
            assert counts == [sent.nbytes, sent.nbytes]

    run(main())
    assert (got == sent).all()


def test_blocking_send_when_array_is_large_then_it_arrives_whole(blocking_pair):
    client, server = blocking_pair
    sent = np.random.default_rng(1).random((300, 100))
    got = np.zeros_like(sent)
    sender = threading.Thread(target=client.send_buffer, args=(sent,))
    sender.start()
    assert server.recv_exactly_into(got) == sent.nbytes
    sender.join()
    assert (got == sent).all()
