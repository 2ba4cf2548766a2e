"""Where a receiver wants what it reads from the sender's memory: in any memory it chooses."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from exporters import noise_array
from host_pairs import LARGE, there_and_back
from producers import Tensor

import pinwire

SHAPE = (600, 300)
DTYPE = np.dtype("f8")
NBYTES = 600 * 300 * 8

# name -> memory, and what of it is to be filled. Rows have 2,400 bytes, so they are not packed.
TYPED = {
    "c": ((600, 300), lambda a: a),
    "fortran": ((300, 600), lambda a: a.T),
    "rows": ((1200, 300), lambda a: a[::2]),
    "reversed-rows": ((600, 300), lambda a: a[::-1]),
    "block": ((620, 500), lambda a: a[10:610, 100:400]),
    "columns": ((600, 900), lambda a: a[:, ::3]),
    "reversed-both": ((600, 300), lambda a: a[::-1, ::-1]),
    "transposed-steps": ((600, 1200), lambda a: a.T[::4].T),
    "axes-of-another": ((300, 2, 600), lambda a: a[:, 1].T),
}


@pytest.mark.parametrize("order", ["C", "F"])
def test_recv_into_when_of_any_layout_then_only_its_items_are_written(order, echo):
    sent = np.asarray(noise_array(SHAPE, DTYPE), order=order)

    async def main():
        async with echo.channel() as channel:
            for name, (shape, take) in TYPED.items():
                base = noise_array(shape, DTYPE, 2)
                expected = base.copy()
                take(expected).view("V8")[...] = sent.view("V8")
                out = take(base)
                receive = lambda out=out, **options: channel.recv_into(out, **options)  # noqa: E731
                message, _, pulled = await there_and_back(channel, sent, receive)
                assert message.parts[0] is out
                assert base.tobytes() == expected.tobytes(), name
                assert pulled == NBYTES, name

    echo.run(main())


UNTYPED = {
    "bytearray": lambda: bytearray(NBYTES),
    "mmap": lambda: mmap.mmap(-1, NBYTES),
    "memoryview": lambda: memoryview(bytearray(NBYTES)),
}


@pytest.mark.parametrize("order", ["C", "F"])
def test_recv_into_when_memory_has_no_type_then_it_takes_the_bytes_as_they_lie(order, echo):
    sent = np.asarray(noise_array(SHAPE, DTYPE), order=order)

    async def main():
        async with echo.channel() as channel:
            for name, make in UNTYPED.items():
                out = make()
                receive = lambda out=out, **options: channel.recv_into(out, **options)  # noqa: E731
                _, _, pulled = await there_and_back(channel, sent, receive)
                assert bytes(out) == sent.tobytes("A"), name
                assert pulled == NBYTES, name

    echo.run(main())


def test_recv_into_when_there_are_several_parts_then_each_gets_its_own(echo):
    async def main():
        async with echo.channel() as channel:
            large, tiny, none = noise_array(SHAPE, DTYPE), noise_array((7,), "i2"), np.zeros((0, 2))
            sent = [large, tiny, large.T, none, large[:, ::2], large]
            outs = [
                np.zeros((600, 600))[:, ::2],
                bytearray(14),
                np.zeros((300, 600)),
                np.zeros((0, 2)),
                np.zeros((600, 150)),
                Tensor(np.zeros(SHAPE)),
            ]
            receive = lambda **options: channel.recv_into(outs, **options)  # noqa: E731
            message, offered, pulled = await there_and_back(channel, sent, receive)
            filled = [*outs[:5], outs[5].array]
            for part, out in zip(sent, filled, strict=True):
                assert np.asarray(out).tobytes() == part.tobytes()
            assert all(map(lambda a, b: a is b, message.parts, outs))
            assert offered == 3 * NBYTES
            assert pulled == 3 * NBYTES + NBYTES // 2

    echo.run(main())


def test_recv_into_when_both_ends_have_many_runs_then_each_lands_in_its_place(echo):
    async def main():
        async with echo.channel() as channel:
            # More than the kernel takes at once (IOV_MAX), which begin and end at other places.
            sent = noise_array((3000, 1300), "u1")[:, :1200]
            base = np.zeros((2250, 2, 1700), "u1")
            out = base[:, 0, :1600]
            flat = sent.reshape(out.shape)  # a copy, in one run
            receive = lambda **options: channel.recv_into(out, **options)  # noqa: E731
            with pytest.raises(pinwire.MessageRefusedError):
                await there_and_back(channel, sent, receive)
            message = await channel.recv()
            assert message.parts[0].tobytes() == sent.tobytes()
            await there_and_back(channel, flat, receive)
            assert out.tobytes() == sent.tobytes()
            assert not base[:, 1].any() and not base[:, 0, 1600:].any()

    echo.run(main())


def test_recv_into_when_nothing_may_be_packed_then_short_runs_are_refused(host):
    async def main():
        async with host.warm() as (client, server):
            sent = noise_array(SHAPE, DTYPE)
            client.post(sent)
            with pytest.raises(BufferError):
                await server.recv_into(np.zeros((600, 600))[:, ::2], copy=False)
            out = np.zeros((1200, 300))[::2]
            await server.recv_into(out, copy=False)
            assert out.tobytes() == sent.tobytes()
            await client.drain()

    host.run(main())


def test_recv_when_it_has_an_allocator_then_what_is_read_lands_there(echo):
    made = []

    def allocator(shape, dtype, order):
        made.append((shape, dtype, order))
        return np.full(shape, 99, dtype, order)

    async def main():
        async with echo.channel() as channel:
            sent = [noise_array(SHAPE, DTYPE), noise_array((5,), "i2"), noise_array(SHAPE, "f4").T]
            receive = lambda **options: channel.recv(allocator=allocator, **options)  # noqa: E731
            message, _, pulled = await there_and_back(channel, sent, receive)
            assert made == [
                (SHAPE, DTYPE, "C"),
                ((5,), np.dtype("i2"), "C"),
                ((300, 600), "f4", "F"),
            ]
            assert [part.tobytes() for part in message.parts] == [part.tobytes() for part in sent]
            assert pulled == message.nbytes - 10

    echo.run(main())


def test_recv_when_an_allocator_fails_then_the_message_stays(host):
    def fail(*_):
        raise ZeroDivisionError

    async def main():
        async with host.warm() as (client, server):
            client.post([noise_array((LARGE,), "u1"), noise_array(SHAPE, DTYPE)])
            with pytest.raises(ZeroDivisionError):
                await server.recv(allocator=fail)
            with pytest.raises(ValueError, match="allocator gave"):
                await server.recv(allocator=lambda *_: bytearray(5))
            message = await server.recv()
            assert message.parts[0].tobytes() == noise_array((LARGE,), "u1").tobytes()
            assert message.parts[1].tobytes() == noise_array(SHAPE, DTYPE).tobytes()
            await client.drain()

    host.run(main())


def test_recv_when_shared_then_parts_of_a_dtype_lie_beside_each_other(echo):
    async def main():
        async with echo.channel() as channel:
            sent = [noise_array((LARGE // 8,), "f8", i) for i in range(3)]
            sent.insert(1, noise_array((3,), "f8", 9))
            receive = lambda **options: channel.recv(share=True, **options)  # noqa: E731
            message, _, pulled = await there_and_back(channel, sent, receive)
            assert [part.tobytes() for part in message.parts] == [part.tobytes() for part in sent]
            starts = [part.__array_interface__["data"][0] for part in message.parts]
            ends = [start + part.nbytes for start, part in zip(starts, sent, strict=True)]
            assert starts[1:] == ends[:-1]
            assert pulled == 3 * LARGE

    echo.run(main())


def test_recv_when_it_has_got_a_message_then_it_is_the_receivers_own(host):
    async def main():
        async with host.warm() as (client, server):
            sent = noise_array((LARGE,), "u1")
            client.post(sent)
            message = await server.recv()
            await client.drain()
            content = sent.tobytes()
            message.parts[0][:] = 0
            assert sent.tobytes() == content
            client.post(sent)
            again = await server.recv()
            sent[:] = 0
            assert again.parts[0].tobytes() == content
            await client.drain()

    host.run(main())
