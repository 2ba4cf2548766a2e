"""The memory that a channel makes for what it receives, or lets others make."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from channels import exchange
from exporters import noise_array
from support import PATIENCE, program

import pinwire

HUGE_PAGE = 2 * 1024 * 1024
LARGE = 4 * 1024 * 1024


async def exchange_as(sender, receiver, data, **options):
    """Send one message, received with these options."""
    sending = asyncio.ensure_future(sender.send(data))
    try:
        return await receiver.recv(timeout=PATIENCE, **options)
    finally:
        await sending


def address(array):
    return array.__array_interface__["data"][0]


def test_message_when_too_large_then_it_is_refused_and_can_be_received_otherwise(channels):
    async def main():
        async with channels.pair(theirs={"max_message_bytes": 1000}) as (client, server):
            sent = np.arange(1001, dtype="u1")
            # Before the hello has come nobody tells the sender.
            await client.send(sent)
            for _ in range(2):
                with pytest.raises(pinwire.MessageRefusedError, match="max_message_bytes is 1000"):
                    await server.recv()
            header = await server.recv_header()
            with pytest.raises(pinwire.MessageRefusedError, match="max_message_bytes is 1000"):
                await header.read()
            out = np.empty_like(sent)
            await server.recv_into(out)
            assert (out == sent).all()

    channels.run(main())


@pytest.mark.parametrize("how", ["read_into", "skip"])
def test_message_when_too_large_then_its_header_gives_a_way_out(how, channels):
    async def main():
        async with channels.pair(theirs={"max_message_bytes": 1000}) as (client, server):
            await client.send(bytes(range(250)) * 5)
            header = await server.recv_header()
            if how == "skip":
                await header.skip()
            else:
                out = bytearray(header.nbytes)
                await header.read_into(out)
                assert out == bytes(range(250)) * 5
            assert (await exchange(client, server, b"next")).parts[0].tobytes() == b"next"

    channels.run(main())


def test_message_when_the_peer_has_said_it_is_too_large_then_the_sender_is_told(channels):
    async def main():
        async with channels.pair(theirs={"max_message_bytes": 1000}) as (client, server):
            await client.handshake()
            for call in (client.send, lambda data: client.post(data, wait=True)):
                with pytest.raises(pinwire.MessageRefusedError, match="at most 1000"):
                    await call([bytes(1000), b"x"])
            await exchange(client, server, bytes(1000))
            # In the other direction there is no such limit.
            await exchange(server, client, bytes(1001))
            assert client.stats().messages_sent == 1

    channels.run(main())


def test_allocator_when_given_then_it_makes_the_arrays(channels):
    calls, made = [], []

    def allocator(shape, dtype, order):
        calls.append((shape, dtype, order))
        made.append(np.empty(shape, dtype, order))
        return made[-1]

    async def main():
        async with channels.pair() as (client, server):
            sent = [noise_array((30, 400), "f4"), noise_array((9, 5), ">i2").T, np.float64(2)]
            message = await exchange_as(client, server, sent, allocator=allocator)
            assert [type(dtype) for _, dtype, _ in calls] == [type(part.dtype) for part in sent]
            assert calls == [
                ((30, 400), np.dtype("f4"), "C"),
                ((5, 9), np.dtype(">i2"), "F"),
                ((), np.dtype("f8"), "C"),
            ]
            for part, mine, theirs in zip(message.parts, made, sent, strict=True):
                assert part is mine
                assert part.tobytes() == theirs.tobytes()

    channels.run(main())


ALLOCATORS = {
    "numpy.empty": np.empty,
    "numpy.zeros": np.zeros,
    "fortran": lambda shape, dtype, order: np.empty(shape, dtype, "F"),
    "strided": lambda shape, dtype, order: np.empty((*shape[:-1], 2 * shape[-1]), dtype)[..., ::2],
    "bytearray": lambda shape, dtype, order: bytearray(int(np.prod(shape)) * dtype.itemsize),
    "other-dtype": lambda shape, dtype, order: np.empty(shape, f"V{dtype.itemsize}"),
    "pool": (lambda pool: lambda shape, dtype, order: np.ndarray(shape, dtype, pool, 8))(
        bytearray(HUGE_PAGE)
    ),
}


@pytest.mark.parametrize("name", ALLOCATORS)
def test_allocator_when_it_gives_any_memory_of_the_size_then_it_is_filled(name, channels):
    async def main():
        async with channels.pair(allocator=ALLOCATORS[name]) as (client, server):
            sent = noise_array((30, 400), "f4")
            (got,) = (await exchange(client, server, sent)).parts
            assert bytes(memoryview(got).tobytes()) == sent.tobytes()
            header = asyncio.ensure_future(server.recv_header())
            sending = asyncio.ensure_future(client.send(sent))
            (got,) = (await (await header).read(allocator=np.empty)).parts
            assert (type(got), got.tobytes()) == (np.ndarray, sent.tobytes())
            await sending

    channels.run(main())


def raising(shape, dtype, order):
    raise ZeroDivisionError("the allocator's own")


BROKEN = {
    "raising": (raising, ZeroDivisionError),
    "none": (lambda shape, dtype, order: None, TypeError),
    "smaller": (lambda shape, dtype, order: bytearray(39), ValueError),
    "larger": (lambda shape, dtype, order: bytearray(41), ValueError),
    "read-only": (lambda shape, dtype, order: bytes(40), BufferError),
    "objects": (lambda shape, dtype, order: np.empty(shape, object), TypeError),
    "no-arguments": (lambda: bytearray(40), TypeError),
}


@pytest.mark.parametrize("name", BROKEN)
def test_allocator_when_it_fails_then_its_error_comes_and_the_message_stays(name, channels):
    allocator, error = BROKEN[name]

    async def main():
        async with channels.pair() as (client, server):
            sent = np.arange(10, dtype="f4")
            await client.send(sent)
            for _ in range(2):
                with pytest.raises(error):
                    await server.recv(allocator=allocator)
            assert ((await server.recv()).parts[0] == sent).all()
            await exchange(client, server, b"next")

    channels.run(main())


def test_option_when_wrong_then_its_error_and_the_stream_is_as_it_was(face):
    async def main():
        async with face.pair() as (client, _):
            for option, value in (("same_host", "no"), ("high_water", 0), ("high_water", -1)):
                with pytest.raises(ValueError, match=option):
                    face.over(client.stream, **{option: value})
            with pytest.raises(ValueError, match="max_message_bytes"):
                face.over(client.stream, max_message_bytes=0)
            with pytest.raises(TypeError, match="allocator"):
                face.over(client.stream, allocator=5)
            with pytest.raises(TypeError):
                face.over(client)
            assert client.stream.fileno() >= 0

    face.run(main())


def test_parts_when_shared_then_they_lie_in_one_allocation(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = [noise_array((7, i + 1), "f4", i) for i in range(20)]
            message = await exchange_as(client, server, sent, share=True)
            bases = {id(part.base) for part in message.parts}
            assert len(bases) == 1
            for part, after in zip(message.parts, message.parts[1:], strict=False):
                assert address(part) + part.nbytes == address(after)
            merged = np.ndarray(sum(p.size for p in sent), "f4", message.parts[0].base)
            assert merged.tobytes() == b"".join(part.tobytes() for part in sent)
            merged[:] = 0
            assert not any(part.any() for part in message.parts)

    channels.run(main())


def test_parts_when_shared_and_of_several_types_then_each_is_aligned_and_right(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = [
                b"abc",
                np.arange(3.0),
                b"",
                noise_array((2,), "g"),
                noise_array((5, 3), "V12").T,
            ]
            message = await exchange_as(client, server, sent, share=True)
            for part, expected in zip(message.parts, sent, strict=True):
                assert part.flags.aligned
                assert part.flags.writeable
                assert part.tobytes() == bytes(memoryview(expected).tobytes())
            assert address(message.parts[0]) % HUGE_PAGE == 0
            for nothing in ([], [b""], np.empty((3, 0))):
                message = await exchange_as(client, server, nothing, share=True)
                assert message.nbytes == 0
            message = await exchange_as(client, server, np.arange(3), share=True)
            assert message.parts[0].tolist() == [0, 1, 2]

    channels.run(main())


def test_array_when_large_then_it_begins_at_a_huge_page(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = noise_array((LARGE // 4,), "f4")
            each = (sent, sent[:-1], sent.reshape(2, -1).T)
            got = [await exchange(client, server, part) for part in each]
            whole, less, fortran = (message.parts[0] for message in got)
            assert address(whole) % HUGE_PAGE == address(fortran) % HUGE_PAGE == 0
            assert whole.tobytes() == sent.tobytes()
            assert less.tobytes() == sent[:-1].tobytes()
            assert (fortran.shape, fortran.flags.f_contiguous) == ((LARGE // 8, 2), True)

    channels.run(main())


def test_shared_memory_when_an_allocator_is_given_too_then_it_is_refused(channels):
    async def main():
        async with channels.pair() as (_, server):
            with pytest.raises(TypeError, match=r"share=True .* pass one of them"):
                await server.recv(allocator=np.empty, share=True)

    channels.run(main())


def test_shared_memory_when_the_channel_has_an_allocator_then_it_is_asked_for_all(channels):
    async def main():
        async with channels.pair(theirs={"allocator": np.zeros}) as (client, server):
            got = await exchange_as(client, server, [np.arange(3), np.arange(2)], share=True)
            first, second = got.parts
            assert address(second) - address(first) == first.nbytes

    channels.run(main())


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
import array, ctypes, threading
import pinwire, pinwire.blocking

def exchange(data, meta=None, **options):
    client, server = map(pinwire.blocking.Channel, pinwire.blocking.socketpair())
    with client, server:
        sending = threading.Thread(target=client.send, args=(data,), kwargs={"meta": meta})
        sending.start()
        message = server.recv(**options)
        sending.join()
    return message

for options in ({}, {"share": True}):
    for code in "bBhHiIqQfd":
        (got,) = exchange(array.array(code, [1, 2, 3]), **options).parts
        assert type(got) is memoryview and not got.readonly
        assert (got.format, got.shape, got.tolist()) == (code, (3,), [1, 2, 3]), code
    (got,) = exchange(memoryview(bytes(range(24))).cast("h", (3, 4)), **options).parts
    assert (got.format, got.shape) == ("h", (3, 4)) and got.tobytes() == bytes(range(24))
    (got,) = exchange(memoryview(array.array("d", [2.5])).cast("B").cast("d", ()), **options).parts
    assert (got.format, got.shape, got.tolist()) == ("d", (), 2.5)
    (got,) = exchange(b"", **options).parts
    assert (got.format, got.shape) == ("B", (0,))
    # What a memoryview cannot be comes as bytes.
    (got,) = exchange((ctypes.c_int16.__ctype_be__ * 2)(1, 2), **options).parts
    assert got.tobytes() == b"\\0\\1\\0\\2"
    first, second = exchange([b"ab", array.array("f", [1.5])], {"a": [1]}, **options).parts
    assert (first.tobytes(), second.tolist()) == (b"ab", [1.5])

large = bytes(range(256)) * 20_000
(got,) = exchange(large).parts
assert got == large and not got.readonly
shapes = []
def allocator(shape, dtype, order):
    shapes.append((shape, dtype, order))
    return bytearray(8)
(got,) = exchange(array.array("i", [1, 2]), allocator=allocator).parts
assert got == array.array("i", [1, 2]).tobytes()
assert shapes == [((2,), "<i4", "C")]

client, server = map(pinwire.blocking.Channel, pinwire.blocking.socketpair())
with client, server:
    client.send(array.array("i", [1, 2]))
    part, = server.recv_header().parts
    assert (part.dtype, part.shape, part.order, part.nbytes) == ("<i4", (2,), "C", 8)
    out = array.array("i", [0, 0])
    server.recv_into(out)
    assert out.tolist() == [1, 2]
assert "numpy.core" not in sys.modules
print("done")
"""


def test_array_when_there_is_no_numpy_then_a_memoryview_arrives():
    assert program(WITHOUT_NUMPY, options=("-W", "error")) == (0, "done\n", "")
