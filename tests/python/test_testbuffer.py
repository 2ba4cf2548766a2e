"""Exporters made with CPython's own test module: every flag, indirection, owners that lie."""

from __future__ import annotations

import asyncio
import itertools
import math
import struct
import sys

import numpy as np
import pytest
from exporters import PATIENCE, blocking_exchange, examples, exchange, noise
from hypothesis import given
from hypothesis import strategies as st

tb = pytest.importorskip("_testbuffer")

SOCKETPAIR = pytest.mark.parametrize("transport", ["socketpair"], indirect=True)
ASYNCIO_SOCKETPAIR = pytest.mark.parametrize(
    ("run", "transport"), [("asyncio", "socketpair")], indirect=True
)
FORMATS = [
    "B",
    "b",
    "?",
    "c",
    "@H",
    "<i",
    ">q",
    "=L",
    "n",
    "P",
    "e",
    ">f",
    "d",
    "3s",
    "<hd3B",
    "@ci",
]
NOT_REQUESTS = ("PyBUF_READ", "PyBUF_WRITE")  # of PyMemoryView_FromMemory
REQUESTS = {
    name: getattr(tb, name)
    for name in dir(tb)
    if name.startswith("PyBUF_") and name not in NOT_REQUESTS
}
SLICES = (slice(1, None, 2), slice(None, None, -1), slice(0, 3))


def items_of(fmt, content):
    items = struct.iter_unpack(fmt, content)
    return [item[0] if len(item) == 1 else item for item in items]


def ndarray(shape, fmt="B", seed=1, **kwargs):
    """An array of random items; an item for each place in memory that its strides may reach."""
    room = kwargs.pop("room", max(1, math.prod(shape)))
    content = noise(room * struct.calcsize(fmt), seed)
    items = items_of(fmt, content) if shape else items_of(fmt, content)[0]
    return tb.ndarray(items, shape=shape, format=fmt, **kwargs)


@st.composite
def structures(draw):
    """Shape, strides and offset in items, and how many items of memory they span."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    strides = [draw(st.integers(-9, 9)) for _ in shape]
    steps = [stride * (n - 1) for stride, n in zip(strides, shape, strict=True)]
    before, after = -sum(min(0, s) for s in steps), sum(max(0, s) for s in steps)
    margin = draw(st.integers(0, 3))
    return shape, strides, before + margin, before + after + margin + 1


@SOCKETPAIR
@examples
@given(
    structure=structures(),
    fmt=st.sampled_from(FORMATS),
    flags=st.sampled_from([0, tb.ND_PIL, tb.ND_WRITABLE, tb.ND_WRITABLE | tb.ND_PIL]),
    copy=st.sampled_from([None, True]),
)
def test_send_buffer_when_random_structure_then_as_tobytes(
    blocking_pair, structure, fmt, flags, copy
):
    shape, strides, offset, room = structure
    size = struct.calcsize(fmt)
    sent = ndarray(
        shape,
        fmt,
        room=room,
        strides=[stride * size for stride in strides],
        offset=offset * size,
        flags=flags,
    )
    got = bytearray(len(sent.tobytes()))
    blocking_exchange(blocking_pair, sent, got, copy=copy)
    assert got == sent.tobytes()


@SOCKETPAIR
@examples
@given(
    shape=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    fmt=st.sampled_from(FORMATS),
    flags=st.sampled_from([0, tb.ND_PIL, tb.ND_FORTRAN]),
    data=st.data(),
)
def test_exchange_when_random_slices_then_only_they_change(blocking_pair, shape, fmt, flags, data):
    slices = tuple(data.draw(st.slices(n)) for n in shape)
    source = ndarray(shape, fmt, seed=2, flags=flags)
    target = ndarray(shape, fmt, seed=3, flags=flags | tb.ND_WRITABLE)
    size = struct.calcsize(fmt)
    expected, new = (
        np.frombuffer(array.tobytes(), f"V{size}").reshape(shape).copy()
        for array in (target, source)
    )
    expected[slices] = new[slices]
    blocking_exchange(blocking_pair, source[slices], target[slices])
    assert target.tobytes() == expected.tobytes()


@SOCKETPAIR
@pytest.mark.parametrize("flags", [0, tb.ND_PIL], ids=["direct", "indirect"])
@pytest.mark.parametrize("columns", [100, 3000])
def test_stats_when_rows_are_reached_by_pointers_then_only_short_ones_are_packed(
    blocking_pair, flags, columns
):
    sent = ndarray([20, columns], flags=flags)[::-1]
    got = ndarray([20, columns], seed=2, flags=flags | tb.ND_WRITABLE)[::-1]
    blocking_exchange(blocking_pair, sent, got)
    packed = sent.nbytes if columns == 100 else 0
    assert [s.stats().packed_bytes for s in blocking_pair] == [packed, packed]
    assert got.tobytes() == sent.tobytes()


@ASYNCIO_SOCKETPAIR
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("flags", [0, tb.ND_PIL, tb.ND_FORTRAN], ids=["c", "pil", "fortran"])
def test_exchange_when_indirect_and_large_then_it_survives_partial_writes(run, pair, fmt, flags):
    sent = ndarray([30, 20, 25], fmt, flags=flags)[SLICES]
    got = ndarray([30, 20, 25], fmt, seed=2, flags=flags | tb.ND_WRITABLE)[SLICES]

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, got)

    run(main())
    assert got.tobytes() == sent.tobytes()


BASES = {
    "c": {"shape": [4, 3], "flags": 0},
    "fortran": {"shape": [4, 3], "flags": tb.ND_FORTRAN},
    "strided": {"shape": [4, 3], "strides": [-8, 2], "offset": 24, "room": 32, "flags": 0},
    "pil": {"shape": [4, 3], "flags": tb.ND_PIL},
    "0d": {"shape": [], "flags": 0},
}


def re_export(kind, request, redirect):
    """An array, and an exporter whose view of it has what a request flag brings."""
    made = BASES[kind]
    base = ndarray(**made | {"flags": made["flags"] | tb.ND_WRITABLE})
    flags = tb.ND_REDIRECT if redirect else 0
    return base, tb.ndarray(base, getbuf=REQUESTS[request], flags=flags)


def possible(*args):
    try:
        return bool(re_export(*args))
    except BufferError:
        return False


RE_EXPORTS = pytest.mark.parametrize(
    ("kind", "request_flag", "redirect"),
    [args for args in itertools.product(BASES, REQUESTS, [False, True]) if possible(*args)],
)


@SOCKETPAIR
@RE_EXPORTS
def test_send_buffer_when_view_lacks_fields_then_its_bytes_arrive(
    blocking_pair, kind, request_flag, redirect
):
    base, exporter = re_export(kind, request_flag, redirect)
    got = bytearray(len(base.tobytes()))
    blocking_exchange(blocking_pair, exporter, got)
    assert got == base.tobytes()


@SOCKETPAIR
@RE_EXPORTS
def test_recv_exactly_into_when_view_lacks_fields_then_it_is_filled(
    blocking_pair, kind, request_flag, redirect
):
    base, exporter = re_export(kind, request_flag, redirect)
    sent = noise(len(base.tobytes()), seed=4)
    blocking_exchange(blocking_pair, sent, exporter)
    assert base.tobytes() == sent


@SOCKETPAIR
@pytest.mark.parametrize("flags", [0, tb.ND_GETBUF_UNDEFINED], ids=["null", "undefined"])
@pytest.mark.parametrize("call", ["send_buffer", "recv_into", "recv_exactly_into"])
def test_transfer_when_getbuffer_fails_then_its_error_and_nothing_moves(blocking_pair, call, flags):
    client, _ = blocking_pair
    failing = ndarray([3], flags=tb.ND_WRITABLE | tb.ND_GETBUF_FAIL | flags)
    with pytest.raises(BufferError, match="ND_GETBUF_FAIL"):
        getattr(client, call)(failing, timeout=PATIENCE)
    assert client.stats().system_calls == 0


@SOCKETPAIR
@pytest.mark.parametrize("legacy", [False, True], ids=["owner", "no-owner"])
def test_send_buffer_when_static_array_then_its_bytes_arrive(blocking_pair, legacy):
    got = bytearray(12)
    blocking_exchange(blocking_pair, tb.staticarray(legacy_mode=legacy), got)
    assert got == bytes(range(12))


@ASYNCIO_SOCKETPAIR
@pytest.mark.parametrize("legacy", [False, True], ids=["owner", "no-owner"])
def test_pin_when_view_names_no_owner_then_the_exporter_is_kept_alive(run, pair, legacy):
    exporter = tb.staticarray(legacy_mode=legacy)
    before = sys.getrefcount(exporter)

    async def main():
        async with pair() as (client, _):
            sending = client.send_buffer(exporter)
            assert sys.getrefcount(exporter) > before
            assert await sending == 12

    run(main())
    assert sys.getrefcount(exporter) == before


@ASYNCIO_SOCKETPAIR
def test_pin_when_layout_is_changed_meanwhile_then_the_one_of_the_call_is_sent(run, pair):
    exporter = ndarray([5000], strides=[-2], offset=9999, room=10_000, flags=tb.ND_VAREXPORT)
    expected = exporter.tobytes()
    got = bytearray(len(expected))

    async def main():
        async with pair() as (client, server):
            sending = asyncio.create_task(client.send_buffer(exporter))
            await asyncio.sleep(0)
            exporter.push([1, 2, 3], shape=[3])
            await server.recv_exactly_into(got)
            await sending

    run(main())
    assert got == expected


@ASYNCIO_SOCKETPAIR
def test_pin_when_transfer_ends_then_the_structure_may_change(run, pair):
    exporter = ndarray([10_000])

    async def main():
        async with pair() as (client, server):
            sending = client.send_buffer(exporter)
            with pytest.raises(BufferError):
                exporter.push([1], shape=[1])
            await asyncio.gather(sending, server.recv_exactly_into(bytearray(10_000)))
            exporter.push([1], shape=[1])

    run(main())


@SOCKETPAIR
def test_send_buffer_when_64_dimensions_then_sent_and_more_refused(blocking_pair):
    sent = ndarray(
        [1] * 30 + [2] + [1] * 32 + [3], strides=[0] * 30 + [-3] + [0] * 32 + [1], offset=3
    )
    got = bytearray(6)
    blocking_exchange(blocking_pair, sent, got)
    assert got == sent.tobytes()
    with pytest.raises(BufferError, match="dimensions"):
        blocking_pair[0].send_buffer(ndarray([1] * 65))
