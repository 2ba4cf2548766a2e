"""A channel keeps the memory of a large message that nobody uses any more, for the next one."""

from __future__ import annotations

import gc

import numpy as np
from channels import exchange
from support import pattern

LARGE = 8 * 2**20
"""Bytes of an array that has pages of its own."""


def address(array):
    return array.__array_interface__["data"][0]


def content(number):
    return np.frombuffer(pattern(LARGE, start=7 * number), "u1")


async def received(client, server, number):
    """The array of a message with known content."""
    message = await exchange(client, server, content(number))
    assert message.parts[0].tobytes() == content(number).tobytes()
    return message.parts[0]


def test_memory_when_an_array_was_dropped_then_the_next_one_has_it(channels):
    async def main():
        async with channels.pair() as (client, server):
            first = address(await received(client, server, 1))
            gc.collect()
            assert address(await received(client, server, 2)) == first

    channels.run(main())


def test_memory_when_a_view_of_it_is_alive_then_it_is_left_alone(channels):
    async def main():
        async with channels.pair() as (client, server):
            view = (await received(client, server, 1))[100:200]
            gc.collect()
            second = await received(client, server, 2)
            assert not np.shares_memory(view, second)
            assert view.tobytes() == content(1)[100:200].tobytes()
            assert second.tobytes() == content(2).tobytes()

    channels.run(main())


def test_array_when_its_channel_is_gone_then_it_stays(aio):
    async def main():
        async with aio.pair() as (client, server):
            kept = await received(client, server, 1)
        del client, server
        gc.collect()
        assert kept.tobytes() == content(1).tobytes()

    aio.run(main())


def test_memory_when_messages_are_of_several_sizes_then_all_is_right(aio):
    async def main():
        async with aio.pair() as (client, server):
            kept = []
            for number in range(12):
                size = LARGE // (1 + number % 3)
                sent = [content(number)[:size], content(number + 1)[: size // 2]]
                got = (await exchange(client, server, sent)).parts
                kept = [*kept[-2:], (sent, got)]
                for was, arrays in kept:
                    assert [a.tobytes() for a in arrays] == [a.tobytes() for a in was]

    aio.run(main())
