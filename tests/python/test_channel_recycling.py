"""The memory of a large message that nobody uses any more is kept for the next one."""

from __future__ import annotations

import gc
import resource
import threading
from pathlib import Path

import numpy as np
from channels import exchange, run_between
from support import pattern

import pinwire
from pinwire import blocking

LARGE = 8 * 2**20
"""Bytes of an array that has pages of its own."""


def address(array):
    return array.__array_interface__["data"][0]


def mapped():
    """Bytes of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def content(number):
    return np.frombuffer(pattern(LARGE, start=7 * number), "u1")


async def received(client, server, number):
    """The array of a message with known content."""
    message = await exchange(client, server, content(number))
    assert np.array_equal(message.parts[0], content(number))
    return message.parts[0]


def test_memory_when_an_array_was_dropped_then_the_next_one_has_it_on_asyncio():
    async def main(client, server):
        first = address(await received(client, server, 1))
        gc.collect()
        assert address(await received(client, server, 2)) == first

    run_between(main)


def test_memory_when_an_array_was_dropped_then_the_next_one_has_it_on_threads():
    left, right = blocking.socketpair()
    found = []
    with blocking.Channel(left) as client, blocking.Channel(right) as server:
        for number in (1, 2):
            thread = threading.Thread(target=client.send, args=(content(number),))
            thread.start()
            found.append(address(server.recv().parts[0]))
            thread.join()
    assert found[0] == found[1]


def test_memory_when_an_array_was_dropped_then_another_channel_may_have_it():
    async def main(client, server):
        first = address(await received(client, server, 1))
        gc.collect()
        left, right = pinwire.socketpair()
        async with pinwire.Channel(left) as other_client, pinwire.Channel(right) as other_server:
            assert address(await received(other_client, other_server, 2)) == first

    run_between(main)


def test_memory_when_more_is_dropped_than_a_message_had_then_no_more_is_kept():
    async def main(client, server):
        kept = [await received(client, server, number) for number in range(12)]
        before = mapped()
        kept.clear()
        gc.collect()
        assert before - mapped() >= 11 * LARGE

    run_between(main)


def test_memory_when_the_last_channel_is_gone_then_it_is_given_back():
    while_open = 0

    async def main(client, server):
        nonlocal while_open
        await received(client, server, 1)
        gc.collect()
        while_open = mapped()

    run_between(main)
    gc.collect()
    assert while_open - mapped() >= LARGE


def test_memory_when_a_view_of_it_is_alive_then_it_is_left_alone():
    async def main(client, server):
        view = (await received(client, server, 1))[100:200]
        gc.collect()
        second = await received(client, server, 2)
        assert not np.shares_memory(view, second)
        assert np.array_equal(view, content(1)[100:200])
        assert np.array_equal(second, content(2))

    run_between(main)


def test_array_when_its_channel_is_gone_then_it_stays():
    kept = []

    async def main(client, server):
        kept.append(await received(client, server, 1))

    run_between(main)
    gc.collect()
    assert np.array_equal(kept[0], content(1))


def test_memory_when_messages_are_of_several_sizes_then_all_is_right():
    async def main(client, server):
        kept = []
        for number in range(12):
            size = LARGE // (1 + number % 3)
            sent = [content(number)[:size], content(number + 1)[: size // 2]]
            got = (await exchange(client, server, sent)).parts
            kept = [*kept[-2:], (sent, got)]
            for was, arrays in kept:
                assert all(map(np.array_equal, arrays, was))

    run_between(main)
