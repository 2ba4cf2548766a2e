"""Strides: bytes travel in C order, long runs where they lie, short ones packed once."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from exporters import (
    DTYPES,
    LAYOUTS,
    PATIENCE,
    blocking_exchange,
    examples,
    exchange,
    filled,
    noise,
    noise_array,
    view,
    voids,
)
from hypothesis import given
from hypothesis import strategies as st

ASYNC = pytest.mark.parametrize(
    ("run", "transport"),
    [("asyncio", "tcp"), ("uvloop", "unix"), ("asyncio", "socketpair")],
    indirect=True,
)
SOCKETPAIR = pytest.mark.parametrize("transport", ["socketpair"], indirect=True)
ASYNCIO_SOCKETPAIR = pytest.mark.parametrize(
    ("run", "transport"), [("asyncio", "socketpair")], indirect=True
)

# Views whose items share memory: they can be sent only.
SHARED = {
    "broadcast-row": np.broadcast_to(noise_array((70,), "f8"), (50, 70)),
    "broadcast-long-row": np.broadcast_to(noise_array((900,), "f8"), (20, 900)),
    "broadcast-column": np.broadcast_to(noise_array((70, 1), "f8"), (70, 50)),
    "broadcast-scalar": np.broadcast_to(np.complex64(1 + 2j), (30, 40)),
    "sliding-window": np.lib.stride_tricks.sliding_window_view(noise_array((900,), "i4"), 50),
    "diagonal": noise_array((900, 40), "f4").diagonal(),
}


@ASYNC
@pytest.mark.parametrize("layout", LAYOUTS)
def test_send_buffer_when_strided_then_bytes_come_in_c_order(run, pair, layout):
    _, sent = view(layout, "f8", seed=1)
    got = bytearray(sent.nbytes)

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, got)

    run(main())
    assert got == sent.tobytes()


@ASYNC
@pytest.mark.parametrize("layout", LAYOUTS)
def test_recv_exactly_into_when_strided_then_only_the_target_changes(run, pair, layout):
    base, target = view(layout, "f8", seed=2)
    sent = noise(target.nbytes, seed=3)
    expected = filled(base, layout, sent)

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, target)

    run(main())
    assert base.tobytes() == expected


@SOCKETPAIR
@pytest.mark.parametrize("dtype", DTYPES)
def test_blocking_send_when_any_dtype_is_strided_then_bytes_come_in_c_order(blocking_pair, dtype):
    for layout in LAYOUTS:
        _, sent = view(layout, DTYPES[dtype], seed=4)
        got = bytearray(sent.nbytes)
        blocking_exchange(blocking_pair, sent, got)
        assert got == voids(sent).tobytes(), layout


@SOCKETPAIR
@pytest.mark.parametrize("dtype", DTYPES)
def test_blocking_recv_when_any_dtype_is_strided_then_only_the_target_changes(blocking_pair, dtype):
    for layout in LAYOUTS:
        base, target = view(layout, DTYPES[dtype], seed=5)
        sent = noise(target.nbytes, seed=6)
        expected = filled(base, layout, sent)
        blocking_exchange(blocking_pair, sent, target)
        assert base.tobytes() == expected, layout


@ASYNC
@pytest.mark.parametrize("name", SHARED)
def test_send_buffer_when_items_share_memory_then_each_is_sent(run, pair, name):
    got = bytearray(SHARED[name].nbytes)

    async def main():
        async with pair() as streams:
            await exchange(streams, SHARED[name], got)

    run(main())
    assert got == SHARED[name].tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
@ASYNCIO_SOCKETPAIR
def test_stats_when_runs_are_short_then_they_alone_were_packed(run, pair, layout):
    _, sent = view(layout, "f8", seed=7)
    _, got = view(layout, "f8", seed=8)
    packed = sent.nbytes if layout.startswith("short") else 0

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, got)
            assert [s.stats().packed_bytes for s in streams] == [packed, packed]

    run(main())
    assert got.tobytes() == sent.tobytes()


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if not name.startswith("short")])
@ASYNC
def test_copy_false_when_runs_are_long_then_nothing_is_packed(run, pair, layout):
    _, sent = view(layout, "f8", seed=7)
    _, got = view(layout, "f8", seed=8)

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, got, copy=False)
            assert [s.stats().packed_bytes for s in streams] == [0, 0]

    run(main())
    assert got.tobytes() == sent.tobytes()


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name.startswith("short")])
@pytest.mark.parametrize("call", ["send_buffer", "recv_into", "recv_exactly_into"])
@SOCKETPAIR
def test_copy_false_when_runs_are_short_then_buffer_error_and_nothing_moves(
    blocking_pair, call, layout
):
    client, server = blocking_pair
    base, part = view(layout, "f8", seed=9)
    before = base.tobytes()
    server.send_buffer(b"abc")
    with pytest.raises(BufferError, match=r"contiguous.*copy=None"):
        getattr(client, call)(part, copy=False, timeout=PATIENCE)
    assert client.stats().system_calls == 0
    assert base.tobytes() == before
    got = bytearray(3)
    assert client.recv_exactly_into(got, copy=False) == 3
    assert got == b"abc"


@ASYNCIO_SOCKETPAIR
def test_copy_false_when_one_part_is_short_then_the_vector_is_refused(run, pair):
    owner, strided = bytearray(9), noise_array((9, 9), "u1").T

    async def main():
        async with pair() as (client, _):
            for call in (client.send_buffers, client.recv_buffers_into):
                with pytest.raises(BufferError, match="contiguous"):
                    call([owner, strided], copy=False)
                owner.append(1)  # not pinned any more
            assert client.stats().system_calls == 0

    run(main())


@ASYNC
@pytest.mark.parametrize("layout", LAYOUTS)
def test_copy_true_when_any_layout_then_all_is_packed(run, pair, layout):
    _, sent = view(layout, "f8", seed=10)
    base, target = view(layout, "f8", seed=11)
    expected = filled(base, layout, sent.tobytes())

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, target, copy=True)
            assert [s.stats().packed_bytes for s in streams] == [sent.nbytes] * 2

    run(main())
    assert base.tobytes() == expected


@ASYNC
def test_exchange_when_more_runs_than_iov_max_then_none_is_packed(run, pair):
    sent = noise_array((2500, 2000), "u1", seed=12)[:, 500:1530]
    base = noise_array((2500, 1040), "u1", seed=13)
    expected = base.copy()
    expected[:, 5:1035] = sent

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, base[:, 5:1035], copy=False)

    run(main())
    assert (base == expected).all()


@ASYNCIO_SOCKETPAIR
@pytest.mark.parametrize("kind", ["short", "long"])
def test_exchange_when_larger_than_the_staging_block_then_all_arrives(run, pair, kind):
    sent = noise_array((3, 200_000), "u1", seed=14)
    got = np.zeros((3, 200_001), "u1")
    sent, got = (sent.T, got[:, 1:].T) if kind == "short" else (sent[::-1], got[::-1, 1:])

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, got)

    run(main())
    assert (got == sent).all()


@ASYNCIO_SOCKETPAIR
@pytest.mark.parametrize("nbytes", [1, 7, 8, 100, 1000])
def test_recv_into_when_target_is_strided_then_nbytes_of_it_are_filled(run, pair, nbytes):
    base, target = view("short-3d", "f8", seed=15)
    content = bytearray(target.tobytes())
    content[:nbytes] = noise(nbytes, seed=16)
    expected = filled(base, "short-3d", content)

    async def main():
        async with pair() as (client, server):
            await client.send_buffer(content)
            assert await server.recv_into(target, nbytes=nbytes) == nbytes

    run(main())
    assert base.tobytes() == expected


@st.composite
def strided(draw):
    """A function that takes some part of an array of a shape, and that shape."""
    shape = tuple(draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)))
    axes = draw(st.permutations(range(len(shape))))
    slices = tuple(draw(st.slices(n)) for n in shape)
    return shape, lambda a: a[slices].transpose(axes)


@SOCKETPAIR
@examples
@given(
    layout=strided(),
    dtype=st.sampled_from(["u1", "u2", "f8", "V3", "S600"]),
    copy=st.sampled_from([None, True]),
)
def test_exchange_when_random_strides_then_as_numpy_assigns(blocking_pair, layout, dtype, copy):
    shape, take = layout
    shape = (*shape[:2], *(1 + n % 7 for n in shape[2:]))
    source, target = noise_array(shape, dtype, seed=17), noise_array(shape, dtype, seed=18)
    sent = take(source)
    expected = target.copy()
    take(expected)[...] = sent
    blocking_exchange(blocking_pair, sent, take(target), copy=copy)
    assert target.tobytes() == expected.tobytes()


@ASYNCIO_SOCKETPAIR
def test_recv_exactly_into_when_bytes_come_one_by_one_then_strides_are_followed(run, pair):
    base, target = view("short-4d-transposed", "u2", seed=19)
    sent = noise(target.nbytes, seed=20)
    expected = filled(base, "short-4d-transposed", sent)

    async def main():
        async with pair() as (client, server):
            filling = asyncio.create_task(server.recv_exactly_into(target))
            for i in range(len(sent)):
                await client.send_buffer(memoryview(sent)[i : i + 1])
                await asyncio.sleep(0)
            assert await filling == len(sent)

    run(main())
    assert base.tobytes() == expected
