"""Arrays of every dtype and layout come out of a channel as they went in."""

from __future__ import annotations

import asyncio

import ml_dtypes
import numpy as np
import pytest
from channels import exchange
from exporters import DTYPES, cleared, noise_array, voids

ALL_DTYPES = DTYPES | {
    "S1": np.dtype("S1"),
    "U1": np.dtype("U1"),
    "m8": np.dtype("m8"),
    "M8[25s]": np.dtype("M8[25s]"),
    "struct-padded": np.dtype(
        {"names": ["b", "a"], "formats": [">u2", "f8"], "offsets": [3, 8], "itemsize": 21}
    ),
    "struct-overlapping": np.dtype(
        {"names": ["whole", "low"], "formats": ["<u4", "<u2"], "offsets": [0, 0]}
    ),
    "struct-subarray": np.dtype([("m", "f4", (2, 3)), ("s", "S2", (1,))]),
    "struct-of-ml": np.dtype([("x", ml_dtypes.bfloat16), ("y", "i1")]),
    "struct-odd-names": np.dtype([("", "i4"), ("ü:{O}\n", "i2")]),
    **{
        name: np.dtype(getattr(ml_dtypes, name))
        for name in ml_dtypes.__all__
        if isinstance(getattr(ml_dtypes, name), type) and name not in ("finfo", "iinfo")
    },
}

SHAPE = (6, 5, 7)
LAYOUTS = {
    "c": lambda a: a,
    "fortran": np.asfortranarray,
    "transposed": lambda a: a.T,
    "axes-exchanged": lambda a: a.transpose(1, 0, 2),
    "stepped": lambda a: a[::2, :, ::3],
    "reversed": lambda a: a[::-1],
    "reversed-all": lambda a: a[::-1, ::-1, ::-2],
    "column": lambda a: a[:, 2, 3],
    "columns": lambda a: a[:, 1:3, 2],
    "fortran-block": lambda a: a.T[1:3],
    "broadcast": lambda a: np.broadcast_to(a[:1], SHAPE),
    "broadcast-items": lambda a: np.broadcast_to(a[:, :, :1], SHAPE),
    "0-d": lambda a: a[1, 2, 3, ...],
    "one-item": lambda a: a[1:2, 2:3, 3:4],
    "new-axes": lambda a: a[None, :, None, ::2],
    "empty": lambda a: a[:0],
    "empty-inside": lambda a: a[:, :0],
    "empty-fortran": lambda a: a[:, :, :0].T,
}
SCALARS = {
    "bool": np.True_,
    "int": np.int16(-5),
    "uint": np.uint64(2**64 - 1),
    "float": np.float16(1.5),
    "longdouble": np.longdouble("1.1"),
    "complex": np.complex64(1 - 2j),
    "datetime": np.datetime64("2026-11-21T08:00:00.5"),
    "timedelta": np.timedelta64(5, "D"),
    "struct": np.zeros(1, [("a", "i4"), ("b", "M8[s]")])[0],
    "void": np.void(b"abc"),
}


def same(got: np.ndarray, sent: np.ndarray) -> None:
    """It is that array again, in memory of its own."""
    assert type(got) is np.ndarray
    assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
    assert voids(got).tobytes() == cleared(sent)
    assert got.flags.writeable
    assert got.flags.aligned
    assert not np.may_share_memory(got, sent)
    is_fortran = sent.flags.f_contiguous and not sent.flags.c_contiguous
    assert got.flags.f_contiguous if is_fortran else got.flags.c_contiguous


@pytest.mark.parametrize("layout", LAYOUTS)
def test_array_when_of_any_dtype_and_layout_then_it_arrives_as_it_was(layout, channels):
    async def main():
        async with channels.pair() as (client, server):
            for seed, dtype in enumerate(ALL_DTYPES.values()):
                sent = LAYOUTS[layout](noise_array(SHAPE, dtype, seed))
                message = await exchange(client, server, sent)
                (got,) = message.parts
                same(got, sent)
                assert (message.meta, message.nbytes) == ({}, sent.nbytes)

    channels.run(main())


@pytest.mark.parametrize("layout", ["c", "transposed", "axes-exchanged", "reversed-all", "column"])
def test_array_when_larger_than_every_buffer_then_it_arrives_as_it_was(layout, channels):
    async def main():
        async with channels.pair() as (client, server):
            for dtype in ("u1", ">i2", "f8", "S7", ALL_DTYPES["struct-nested"]):
                whole = noise_array((40, 30, 70), dtype)
                same(
                    (await exchange(client, server, LAYOUTS[layout](whole))).parts[0],
                    LAYOUTS[layout](whole),
                )

    channels.run(main())


@pytest.mark.parametrize("name", SCALARS)
def test_scalar_when_sent_then_an_array_without_dimensions_arrives(name, channels):
    async def main():
        async with channels.pair() as (client, server):
            (got,) = (await exchange(client, server, SCALARS[name])).parts
            assert type(got) is np.ndarray
            assert (got.dtype, got.shape) == (SCALARS[name].dtype, ())
            assert got[()] == SCALARS[name]

    channels.run(main())


def test_array_when_read_only_then_what_arrives_is_writable(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = np.arange(5000.0)
            sent.flags.writeable = False
            (got,) = (await exchange(client, server, sent)).parts
            got += 1
            assert (got == sent + 1).all()
            assert got.flags.owndata

    channels.run(main())


def test_array_when_of_64_dimensions_then_it_arrives_as_it_was(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = np.arange(8).reshape((1,) * 30 + (2,) * 3 + (1,) * 31)
            (got,) = (await exchange(client, server, sent)).parts
            same(got, sent)

    channels.run(main())


def test_array_when_its_items_have_no_bytes_then_its_shape_arrives(channels):
    async def main():
        async with channels.pair() as (client, server):
            (got,) = (await exchange(client, server, np.empty((3, 2), "V0"))).parts
            assert (got.dtype, got.shape) == (np.dtype("V0"), (3, 2))

    channels.run(main())


def test_array_when_empty_beside_a_huge_extent_then_its_shape_arrives(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = np.empty((0, 2**40, 3), "f4")
            (got,) = (await exchange(client, server, sent)).parts
            same(got, sent)

    channels.run(main())


@pytest.mark.parametrize("count", [1, 2, 1000, 5000])
def test_parts_when_many_then_each_arrives_in_its_place(count, channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = [np.full(i % 7, i, "<u4") for i in range(count)]
            message = await exchange(client, server, sent)
            assert len(message.parts) == count
            assert message.nbytes == sum(part.nbytes for part in sent)
            assert all(a.shape == b.shape for a, b in zip(message.parts, sent, strict=True))
            assert (np.concatenate(message.parts) == np.concatenate(sent)).all()

    channels.run(main())


def test_parts_when_of_all_dtypes_and_layouts_at_once_then_each_arrives_as_it_was(channels):
    async def main():
        async with channels.pair() as (client, server):
            takes = list(LAYOUTS.values())
            sent = [
                takes[i % len(takes)](noise_array(SHAPE, dtype, i))
                for i, dtype in enumerate(ALL_DTYPES.values())
            ]
            message = await exchange(client, server, tuple(sent))
            for got, expected in zip(message.parts, sent, strict=True):
                same(got, expected)

    channels.run(main())


def test_parts_when_there_are_none_then_meta_arrives_alone(channels):
    async def main():
        async with channels.pair() as (client, server):
            message = await exchange(client, server, [], {"step": 7})
            assert (message.parts, message.meta, message.nbytes) == ([], {"step": 7}, 0)
            message = await exchange(client, server, ())
            assert (message.parts, message.meta, message.nbytes) == ([], {}, 0)

    channels.run(main())


def test_parts_when_given_by_an_iterator_then_they_are_a_list(channels):
    async def main():
        async with channels.pair() as (client, server):
            message = await exchange(client, server, (np.arange(i) for i in range(1, 4)))
            assert [part.tolist() for part in message.parts] == [[0], [0, 1], [0, 1, 2]]

    channels.run(main())


def test_parts_when_the_same_array_twice_then_two_arrive(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = np.arange(9000)
            first, second = (await exchange(client, server, [sent, sent])).parts
            first[:] = 0
            assert (second == sent).all()

    channels.run(main())


def test_message_when_empty_after_empty_then_none_is_lost(channels):
    async def main():
        async with channels.pair() as (client, server):
            for _ in range(3):
                await client.send([])
                await client.send(b"")
            for _ in range(3):
                assert (await server.recv()).parts == []
                assert (await server.recv()).parts[0].shape == (0,)
            assert client.stats()[:5] == (6, 0, 0, 0, 0)
            assert server.stats()[:5] == (0, 6, 0, 0, 0)

    channels.run(main())


def test_message_when_both_ends_send_at_once_then_both_arrive(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = noise_array((40, 3000), "f4")
            here = exchange(client, server, sent)
            there = exchange(server, client, sent.T)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(here), group.create_task(there)]
            same(tasks[0].result().parts[0], sent)
            same(tasks[1].result().parts[0], sent.T)
            assert client.transport in (channels.transport, "same-host")

    channels.run(main())
