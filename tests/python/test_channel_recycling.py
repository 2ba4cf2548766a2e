"""The memory of a large message that nobody uses any more is kept for the next one."""

from __future__ import annotations

import gc
import os

import numpy as np
from channels import exchange, run_between
from support import finish, pattern, start_program

LARGE = 8 * 2**20
"""Bytes of an array that has pages of its own."""


def content(number):
    return np.frombuffer(pattern(LARGE, start=7 * number), "u1")


async def received(client, server, number):
    """The array of a message with known content."""
    message = await exchange(client, server, content(number))
    assert np.array_equal(message.parts[0], content(number))
    return message.parts[0]


# All channels of a process share what is kept, so these have one of their own.
PRELUDE = """
import asyncio, gc, threading
from pathlib import Path
import numpy as np
import pinwire
from pinwire import blocking

LARGE = 8 * 2**20

def address(array):
    return array.__array_interface__["data"][0]

def received(client, server):
    thread = threading.Thread(target=client.send, args=(np.ones(LARGE, "u1"),))
    thread.start()
    array = server.recv().parts[0]
    thread.join()
    return array

def channels():
    return [blocking.Channel(stream) for stream in blocking.socketpair()]

def mapped():
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096
"""


def check(code):
    # One arena: a thread that gets one of its own maps 64 MiB for it.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
    process = start_program(PRELUDE + code, env=environment)
    assert finish(process) == (0, "True\n", "")


def test_memory_when_an_array_was_dropped_then_the_next_one_has_it_on_asyncio():
    check("""
async def main():
    left, right = pinwire.socketpair()
    found = []
    async with pinwire.Channel(left) as client, pinwire.Channel(right) as server:
        for _ in range(2):
            sending = asyncio.create_task(client.send(np.ones(LARGE, "u1")))
            found.append(address((await server.recv()).parts[0]))
            await sending
            gc.collect()
    print(found[0] == found[1])

asyncio.run(main())
""")


def test_memory_when_an_array_was_dropped_then_the_next_one_has_it_on_threads():
    check("""
client, server = channels()
with client, server:
    print(address(received(client, server)) == address(received(client, server)))
""")


def test_memory_when_an_array_was_dropped_then_another_channel_may_have_it():
    check("""
client, server = channels()
with client, server:
    first = address(received(client, server))
    other_client, other_server = channels()
    with other_client, other_server:
        print(address(received(other_client, other_server)) == first)
""")


def test_memory_when_more_is_dropped_than_a_message_had_then_no_more_is_kept():
    check("""
client, server = channels()
with client, server:
    kept = [received(client, server) for _ in range(12)]
    before = mapped()
    kept.clear()
    gc.collect()
    print(10 * LARGE < before - mapped() < 12 * LARGE)
""")


def test_memory_when_it_is_too_small_then_it_is_given_back_before_more_is_made():
    check("""
client, server = channels()
with client, server:
    received(client, server)
    gc.collect()
    before = mapped()
    LARGE *= 4
    array = received(client, server)
    print(mapped() - before < LARGE)
""")


def test_memory_when_the_last_channel_is_gone_then_it_is_given_back():
    check("""
client, server = channels()
with client, server:
    received(client, server)
    gc.collect()
    before = mapped()
del client, server
gc.collect()
print(before - mapped() >= LARGE)
""")


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
