"""Whatever exports memory travels whole, as `tobytes()` gives it, into whatever is writable."""

from __future__ import annotations

import asyncio
import itertools
import mmap
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest
from exporters import (
    DTYPES,
    LARGE,
    PATIENCE,
    READ_ONLY,
    WRITABLE,
    blocking_exchange,
    examples,
    exchange,
    noise,
    noise_array,
    plain,
)
from hypothesis import given
from hypothesis import strategies as st
from producers import Counting

import pinwire.blocking

# Each loop and each transport, without their product: that is test_stream's.
ASYNC = pytest.mark.parametrize(
    ("run", "transport"),
    [("asyncio", "tcp"), ("uvloop", "unix"), ("asyncio", "socketpair")],
    indirect=True,
)
SOCKETPAIR = pytest.mark.parametrize("transport", ["socketpair"], indirect=True)
SENDABLE = WRITABLE | READ_ONLY

SCALARS = {
    "float16": np.float16(1.5),
    "longdouble": np.longdouble("1.25"),
    "complex": np.complex64(1 + 2j),
    "bool": np.bool_(True),
    "bytes": np.bytes_(b"wire"),
    "datetime64": np.datetime64("2026-11-21T02:00", "ns"),
    "void": noise_array((1,), DTYPES["struct"])[0],
    **{f"0d-{name}": noise_array((), dtype) for name, dtype in DTYPES.items()},
}
EMPTY = {
    "bytes": b"",
    "memoryview": memoryview(b"abc")[1:1],
    "0": np.empty(0),
    "0x5": np.empty((0, 5), "M8[s]"),
    "5x0": np.empty((5, 0), "i2"),
    "2x0x3": np.empty((2, 0, 3), "c16"),
    "0-stepped": np.empty((4, 0, 6))[::2, :, ::-3],
    "0-of-huge": np.empty((0, 2**40, 2**20), "u1"),
    "itemsize-0": np.empty(7, "V0"),
}


@pytest.fixture
def shared_memory():
    memory = SharedMemory(create=True, size=LARGE)
    yield memory
    memory.close()
    memory.unlink()


@ASYNC
@pytest.mark.parametrize("name", SENDABLE)
def test_send_buffer_when_any_exporter_then_its_bytes_arrive(run, pair, name):
    sent = SENDABLE[name](noise(LARGE))
    got = bytearray(len(plain(sent)))

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, got)
            assert streams[0].stats().system_calls > 1  # it was cut into pieces

    run(main())
    assert got == plain(sent)


@pytest.mark.parametrize("name", SENDABLE)
def test_blocking_send_buffer_when_any_exporter_then_its_bytes_arrive(blocking_pair, name):
    sent = SENDABLE[name](noise(LARGE))
    got = bytearray(len(plain(sent)))
    blocking_exchange(blocking_pair, sent, got)
    assert got == plain(sent)


@ASYNC
@pytest.mark.parametrize("name", WRITABLE)
def test_recv_exactly_into_when_any_exporter_then_it_holds_the_bytes(run, pair, name):
    target = WRITABLE[name](noise(LARGE, seed=2))
    sent = noise(len(plain(target)), seed=3)

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, target)

    run(main())
    assert plain(target) == sent


@pytest.mark.parametrize("name", WRITABLE)
def test_blocking_recv_exactly_into_when_any_exporter_then_it_holds_the_bytes(blocking_pair, name):
    target = WRITABLE[name](noise(LARGE, seed=2))
    sent = noise(len(plain(target)), seed=3)
    blocking_exchange(blocking_pair, sent, target)
    assert plain(target) == sent


@ASYNC
@pytest.mark.parametrize("name", WRITABLE)
def test_recv_into_when_any_exporter_then_its_first_bytes_change_only(run, pair, name):
    target = WRITABLE[name](noise(LARGE, seed=2))
    before = plain(target)

    async def main():
        async with pair() as (client, server):
            await client.send_buffer(b"eleven byte")
            assert await server.recv_into(target, nbytes=7) == 7

    run(main())
    assert plain(target) == b"eleven " + before[7:]


@ASYNC
@pytest.mark.parametrize("name", DTYPES)
def test_exchange_when_any_dtype_then_every_bit_arrives(run, pair, name):
    sent = noise_array((40, 50), DTYPES[name], seed=4)
    got = noise_array((40, 50), DTYPES[name], seed=5)

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, got)
            assert [s.stats().packed_bytes for s in streams] == [0, 0]

    run(main())
    assert got.tobytes() == sent.tobytes()


@SOCKETPAIR
@pytest.mark.parametrize("name", SCALARS)
def test_send_buffer_when_scalar_or_0d_then_one_item_arrives(blocking_pair, name):
    sent = SCALARS[name]
    got = bytearray(len(sent.tobytes()))
    blocking_exchange(blocking_pair, sent, got)
    assert got == sent.tobytes()


@SOCKETPAIR
@pytest.mark.parametrize("name", DTYPES)
def test_recv_exactly_into_when_0d_array_then_it_is_filled(blocking_pair, name):
    target = noise_array((), DTYPES[name], seed=6)
    sent = noise(target.nbytes, seed=7)
    blocking_exchange(blocking_pair, sent, target)
    assert target.tobytes() == sent


@ASYNC
@pytest.mark.parametrize("name", EMPTY)
def test_transfers_when_empty_then_0_and_the_stream_goes_on(run, pair, name):
    empty = EMPTY[name]
    target = empty if isinstance(empty, np.ndarray) else bytearray()

    async def main():
        async with pair() as (client, server):
            assert await client.send_buffer(empty) == 0
            assert await server.recv_into(target) == 0
            assert await server.recv_exactly_into(target) == 0
            got = bytearray(3)
            await exchange((client, server), b"abc", got)
            assert got == b"abc"

    run(main())


@ASYNC
def test_exchange_when_shared_memory_then_its_buf_travels(run, pair, shared_memory):
    shared_memory.buf[:] = noise(len(shared_memory.buf))
    sent = bytes(shared_memory.buf)
    got = bytearray(len(sent))

    async def main():
        async with pair() as streams:
            await exchange(streams, shared_memory.buf, got)
            shared_memory.buf[:] = bytes(len(sent))
            await exchange(streams, got, shared_memory.buf)

    run(main())
    assert got == sent
    assert shared_memory.buf == sent


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688")
@ASYNC
def test_exchange_when_pep_688_class_then_its_memory_travels(run, pair):
    source = noise_array((100, 30), "f8")
    target = np.zeros((30, 100))
    sent, got = Counting(source[:, ::2]), Counting(target.T[:, 15:])

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, got)

    run(main())
    assert target.T[:, 15:].tobytes() == source[:, ::2].tobytes()
    assert not target.T[:, :15].any()


def test_blocking_send_buffer_when_more_than_2_gib_then_all_arrives():
    # Private, so that pages that are never written to take no memory.
    sent = mmap.mmap(-1, 2**31 + 4321, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    sent[-3:] = b"end"
    scratch, received = bytearray(2**22), 0
    client, server = pinwire.blocking.socketpair()
    with client, server, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.send_buffer, sent, timeout=PATIENCE)
        while received < len(sent):
            count = server.recv_into(scratch, timeout=PATIENCE)
            received += count
        assert sending.result() == received == len(sent)
    assert scratch[:count].endswith(b"end")


VECTOR = {
    "empty-parts": [b"", b"head", np.empty((0, 3)), bytearray(b"x"), memoryview(b"")],
    "only-empty": [b"", np.empty((3, 0))],
    "no-parts": [],
    "mixed": [
        b"header",
        noise_array((30, 40), "f8").T,
        noise_array((5000,), "u1"),
        np.float32(2),
        noise_array((60, 600), "u1")[::2, 20:],
        noise_array((99,), "M8[s]"),
    ],
    "more-than-iov-max": [bytes([i % 251]) * (i % 7) for i in range(3500)],
    "the-same-twice": [WRITABLE["mmap"](noise(30_000))] * 2,
}


@ASYNC
@pytest.mark.parametrize("container", [list, tuple, iter], ids=["list", "tuple", "iterator"])
@pytest.mark.parametrize("name", VECTOR)
def test_send_buffers_when_parts_differ_then_one_stream_of_bytes(run, pair, name, container):
    expected = b"".join(plain(part) for part in VECTOR[name])
    got = bytearray(len(expected))

    async def main():
        async with pair() as (client, server):
            sending = client.send_buffers(container(VECTOR[name]), timeout=PATIENCE)
            assert sending.nbytes == len(expected)
            counts = await asyncio.gather(sending, server.recv_exactly_into(got))
            assert counts == [len(expected)] * 2

    run(main())
    assert got == expected


def test_blocking_vectors_when_more_than_iov_max_then_each_is_filled(blocking_pair):
    client, server = blocking_pair
    content = noise(30_000)
    sent = [content[i : i + 9] for i in range(0, len(content), 9)]
    got = [bytearray(4) for _ in range(len(content) // 4)]
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.send_buffers, sent, timeout=PATIENCE)
        assert server.recv_buffers_into(iter(got), timeout=PATIENCE) == len(content)
        assert sending.result() == len(content)
    assert b"".join(got) == content


@SOCKETPAIR
@examples
@given(data=st.data())
def test_vectors_when_boundaries_mismatch_then_bytes_fall_in_place(blocking_pair, data):
    client, server = blocking_pair
    content = noise(data.draw(st.integers(0, 30_000)), seed=8)
    cuts = st.lists(st.integers(0, len(content)), max_size=30).map(sorted)
    ends = [[0, *data.draw(cuts), len(content)] for _ in range(2)]
    sent, got = ([content[a:b] for a, b in itertools.pairwise(e)] for e in ends)
    got = [bytearray(len(part)) for part in got]
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.send_buffers, sent, timeout=PATIENCE)
        server.recv_buffers_into(got, timeout=PATIENCE)
        sending.result()
    assert b"".join(got) == content
