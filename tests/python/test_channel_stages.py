"""Memory for a message of many large parts is made as their bytes come."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from channels import about_socket, run_between
from support import until

from pinwire import blocking

MIB = 2**20
SIZES = [3 * MIB, 0, 20 * MIB, 20 * MIB, 40 * MIB, 5, 0]
"""Bytes; in stages of at most 32 MiB and one part."""


def message():
    return [np.full(size, index + 1, "u1") for index, size in enumerate(SIZES)]


def check(parts):
    assert [part.nbytes for part in parts] == SIZES
    assert all((part == index + 1).all() for index, part in enumerate(parts))


class Allocator:
    """Notes how far the message had come when each array was made."""

    def __init__(self):
        self.made, self.come, self.transfer = [], [], None

    def __call__(self, shape, dtype, order):
        self.made.append(shape[0])
        self.come.append(self.transfer.transferred if self.transfer else 0)
        return np.empty(shape, dtype, order)


@about_socket
def test_parts_when_they_are_large_then_all_arrive_on_asyncio():
    async def main(a, b):
        sending = asyncio.ensure_future(a.send(message()))
        check((await b.recv()).parts)
        await sending
        await a.send(np.arange(3))
        assert (await b.recv()).parts[0].tolist() == [0, 1, 2]

    run_between(main)


def test_parts_when_they_are_large_then_all_arrive_on_threads():
    left, right = blocking.socketpair()
    with blocking.Channel(left) as a, blocking.Channel(right) as b:
        thread = threading.Thread(target=a.send, args=(message(),))
        thread.start()
        check(b.recv().parts)
        thread.join()


def test_memory_when_parts_are_large_then_it_is_made_as_they_come():
    async def main(a, b):
        sending = asyncio.ensure_future(a.send(message()))
        allocator = Allocator()
        allocator.transfer = b.recv(allocator=allocator)
        check((await allocator.transfer).parts)
        await sending
        assert allocator.made == SIZES
        first = sum(SIZES[:4])
        assert allocator.come == [0, 0, 0, 0, first, sum(SIZES[:5]), sum(SIZES[:5])]

    run_between(main)


@pytest.mark.parametrize("come", [10 * MIB, 30 * MIB, 50 * MIB])
def test_receive_when_cancelled_in_a_stage_then_the_next_one_goes_on(come):
    async def main(a, b):
        sending = asyncio.ensure_future(a.send(message()))
        receive = b.recv()
        task = asyncio.ensure_future(receive)
        await until(lambda: receive.transferred >= come)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        check((await b.recv()).parts)
        await sending

    run_between(main)


def test_receive_into_when_a_receive_was_cancelled_in_a_stage_then_nothing_is_lost():
    async def main(a, b):
        sending = asyncio.ensure_future(a.send(message()))
        receive = b.recv()
        task = asyncio.ensure_future(receive)
        await until(lambda: receive.transferred >= 30 * MIB)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        out = [np.zeros(size, "u1") for size in SIZES]
        check((await b.recv_into(out)).parts)
        await sending

    run_between(main)
