"""Objects: pickles with their buffers out of band, only where both ends have agreed to them."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
import threading

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
import scipy.sparse
from channels import exchange
from exporters import noise_array
from support import PATIENCE

import pinwire


@dataclasses.dataclass
class Sample:
    name: str
    values: np.ndarray


class Failing:
    """Its pickle cannot be loaded."""

    def __reduce__(self):
        return (fail, (np.arange(3000),))


def fail(values):
    raise ZeroDivisionError(f"{len(values)} values")


async def exchange_object(sender, receiver, obj):
    sending = asyncio.ensure_future(sender.send_object(obj))
    try:
        return await receiver.recv_object(timeout=PATIENCE)
    finally:
        await sending


PLAIN = {
    "none": None,
    "int": 7,
    "text": "x" * 70_000,
    "bytes": b"x" * 70_000,
    "bytearray": bytearray(b"x" * 70_000),
    "nested": {"a": [1, {"b": (2.5, "c", None)}], ("k",): {1, 2}},
    "empty": [],
}


@pytest.mark.parametrize("name", PLAIN)
def test_object_when_plain_then_it_arrives_equal(name, channels):
    async def main():
        async with channels.pair(allow_pickle=True) as (client, server):
            got = await exchange_object(client, server, PLAIN[name])
            assert (type(got), got) == (type(PLAIN[name]), PLAIN[name])

    channels.run(main())


def test_arrays_when_within_an_object_then_they_arrive_writable(channels):
    async def main():
        async with channels.pair(allow_pickle=True) as (client, server):
            sent = {
                "small": np.arange(5),
                "fortran": noise_array((50, 60), "f4").T,
                "strided": noise_array((90, 30), "i2")[::2, ::3],
                "empty": np.empty((0, 3)),
                "struct": noise_array((300,), [("a", "i4"), ("b", "S5")]),
                "scalar": np.float32(1.5),
                "list": [Sample("a", noise_array((3000,), "u1")), (noise_array((20,), "c16"),)],
            }
            got = await exchange_object(client, server, sent)
            assert list(got) == list(sent)
            for name in ("small", "fortran", "strided", "empty", "struct"):
                assert (got[name].dtype, got[name].shape) == (sent[name].dtype, sent[name].shape)
                assert got[name].tobytes() == sent[name].tobytes()
                assert got[name].flags.writeable
                got[name].view("u1" if got[name].flags.c_contiguous else got[name].dtype).fill(0)
            assert got["fortran"].flags.f_contiguous
            assert got["scalar"] == sent["scalar"]
            assert got["list"][0].values.tobytes() == sent["list"][0].values.tobytes()
            assert got["list"][1][0].tobytes() == sent["list"][1][0].tobytes()

    channels.run(main())


def test_arrays_when_read_only_at_the_sender_then_they_arrive_so(face):
    async def main():
        async with face.pair(allow_pickle=True) as (client, server):
            sent = noise_array((3000,), "u1")
            sent.flags.writeable = False
            got, writable = await exchange_object(client, server, [sent, sent.copy()])
            assert got.tobytes() == writable.tobytes() == sent.tobytes()
            assert (got.flags.writeable, writable.flags.writeable) == (False, True)

    face.run(main())


def test_array_of_pyarrow_when_its_pickle_lies_about_the_size_then_pyarrow_believes_it():
    # The page on security says so: nothing of ours can tell.
    buffers = []
    pickled = pickle.dumps(pa.array(range(1000)), protocol=5, buffer_callback=buffers.append)
    array = pickle.loads(pickled, buffers=[bytes(8) for _ in buffers])
    assert (len(array), array.buffers()[1].size) == (1000, 8)


# Around the sizes at which the memory of buffers is made in another way.
@pytest.mark.parametrize("nbytes", [0, 1, 16383, 16384, 16385, 4 * 2**20 - 1, 4 * 2**20])
def test_array_when_of_any_size_within_an_object_then_it_arrives_writable(nbytes, face):
    async def main():
        async with face.pair(allow_pickle=True) as (client, server):
            sent = noise_array((nbytes,), "u1")
            first, second = await exchange_object(client, server, [sent, sent[::-1].copy()])
            assert first.tobytes() == sent.tobytes()
            assert second.tobytes() == sent[::-1].tobytes()
            first += 1
            assert (first == sent + np.uint8(1)).all()

    face.run(main())


def frame():
    return pd.DataFrame(
        {
            "i": range(2000),
            "f": np.linspace(0, 1, 2000),
            "text": [f"row {i}" for i in range(2000)],
            "kind": pd.Categorical(["a", "b"] * 1000),
            "when": pd.date_range("2026-01-01", periods=2000, freq="h", tz="UTC"),
            "maybe": pd.array([1, None] * 1000, "Int64"),
        },
        index=pd.date_range("2026-01-01", periods=2000, freq="s", name="at"),
    )


def test_frame_when_of_pandas_then_it_arrives_equal_and_can_be_edited(channels):
    async def main():
        async with channels.pair(allow_pickle=True) as (client, server):
            sent = frame()
            got = await exchange_object(client, server, sent)
            pd.testing.assert_frame_equal(got, sent)
            got.loc[got.index[3], "f"] = -1.0
            got["i"] += 1
            got.iloc[0, 0] = 99
            got["text"] = got["text"].str.upper()
            got["new"] = got["i"] * 2
            assert got["new"].iloc[0] == 198
            pd.testing.assert_frame_equal(sent, frame())

    channels.run(main())


TABLES = {
    "pyarrow-table": lambda: pa.table({"a": list(range(3000)), "s": ["x", None, "yz"] * 1000}),
    "pyarrow-batch": lambda: pa.RecordBatch.from_pydict({"a": [1.5, None, 2.5]}),
    "pyarrow-sliced": lambda: pa.table({"a": list(range(3000))}).slice(10, 20),
    "pyarrow-empty": lambda: pa.table({"a": pa.array([], "f4")}),
    "pyarrow-dictionary": lambda: pa.table({"d": pa.array(["a", "b"] * 500).dictionary_encode()}),
}


@pytest.mark.parametrize("name", TABLES)
def test_table_when_of_pyarrow_then_it_arrives_equal(name, face):
    async def main():
        async with face.pair(allow_pickle=True) as (client, server):
            got = await exchange_object(client, server, TABLES[name]())
            assert got.equals(TABLES[name]())
            got.validate(full=True)

    face.run(main())


def test_frame_when_of_polars_then_it_arrives_equal(face):
    async def main():
        async with face.pair(allow_pickle=True) as (client, server):
            sent = pl.DataFrame({"a": range(3000), "s": ["x", None, "yz"] * 1000})
            polars.testing.assert_frame_equal(await exchange_object(client, server, sent), sent)

    face.run(main())


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr"])
def test_matrix_when_sparse_then_it_arrives_equal_and_can_be_edited(form, face):
    async def main():
        async with face.pair(allow_pickle=True) as (client, server):
            sent = scipy.sparse.random_array((300, 200), density=0.1, format=form, rng=1)
            got = await exchange_object(client, server, sent)
            assert (got.format, got.shape) == (form, sent.shape)
            assert (got.toarray() == sent.toarray()).all()
            got.data *= 2
            assert (got.toarray() == 2 * sent.toarray()).all()

    face.run(main())


@pytest.mark.parametrize("size", [0, 1])
def test_buffers_when_hundreds_of_tiny_ones_then_they_go_in_few_calls(size, face):
    async def main():
        stream, other = await face.streams(send_buffer_size=None, recv_buffer_size=None)
        client, server = face.over(stream, allow_pickle=True), face.over(other, allow_pickle=True)
        async with client, server:
            sent = [np.full(size, i % 200, "u1") for i in range(500)]
            await exchange_object(client, server, sent)
            before = [channel.stream.stats().system_calls for channel in (client, server)]
            got = await exchange_object(client, server, sent)
            assert all((a == b).all() for a, b in zip(got, sent, strict=True))
            after = [channel.stream.stats().system_calls for channel in (client, server)]
            # One writes it all; reads are of 16 KiB and more, of which some find nothing.
            assert after[0] - before[0] == 1
            assert after[1] - before[1] <= 6

    face.run(main())


def test_object_when_not_allowed_here_then_it_is_refused(face):
    async def main():
        async with face.pair() as (client, server):
            with pytest.raises(pinwire.MessageRefusedError, match="allow_pickle=True"):
                await client.send_object(1)
            with pytest.raises(pinwire.MessageRefusedError, match="allow_pickle=True"):
                await client.recv_object()
            await exchange(client, server, b"next")
            await exchange(server, client, b"next")

    face.run(main())


def test_object_when_the_peer_takes_none_then_the_sender_is_told(face):
    async def main():
        async with face.pair(theirs={"allow_pickle": False}, allow_pickle=True) as (client, server):
            await client.handshake()
            with pytest.raises(pinwire.MessageRefusedError, match="peer takes no objects"):
                await client.send_object(1)
            await exchange(client, server, b"next")

    face.run(main())


def test_object_when_it_comes_where_none_is_taken_then_it_is_refused_and_can_be_skipped(face):
    async def main():
        async with face.pair(theirs={"allow_pickle": False}, allow_pickle=True) as (client, server):
            await client.send_object([np.arange(9)])  # before their hello has come
            with pytest.raises(pinwire.MessageRefusedError, match="allow_pickle=True"):
                await server.recv_object()
            with pytest.raises(pinwire.MessageRefusedError, match="object"):
                await server.recv()
            await (await server.recv_header()).skip()
            await exchange(client, server, b"next")

    face.run(main())


def test_arrays_when_received_as_an_object_then_they_are_refused_and_stay(face):
    async def main():
        async with face.pair(allow_pickle=True) as (client, server):
            await client.send(b"abc")
            with pytest.raises(pinwire.MessageRefusedError, match="arrays"):
                await server.recv_object()
            assert (await server.recv()).parts[0].tobytes() == b"abc"

    face.run(main())


@pytest.mark.parametrize("obj", [threading.Lock(), lambda: None], ids=["lock", "lambda"])
def test_object_when_it_does_not_pickle_then_the_error_of_pickle_and_nothing_moves(obj, face):
    async def main():
        async with face.pair(allow_pickle=True) as (client, server):
            with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
                await client.send_object([np.arange(9), obj])
            assert await exchange_object(client, server, "next") == "next"

    face.run(main())


def test_object_when_it_does_not_load_then_its_error_and_the_channel_goes_on(channels):
    async def main():
        async with channels.pair(allow_pickle=True) as (client, server):
            with pytest.raises(ZeroDivisionError, match="3000 values"):
                await exchange_object(client, server, Failing())
            assert await exchange_object(client, server, "next") == "next"
            assert server.stats().messages_received == 2

    channels.run(main())


def test_object_when_too_large_then_it_is_refused_and_stays(face):
    async def main():
        options = {"allow_pickle": True, "max_message_bytes": 500}
        async with face.pair(theirs=options, allow_pickle=True) as (client, server):
            await client.send_object(bytes(600))
            with pytest.raises(pinwire.MessageRefusedError, match="max_message_bytes"):
                await server.recv_object()
            await (await server.recv_header()).skip()
            with pytest.raises(pinwire.MessageRefusedError, match="at most 500"):
                await client.handshake()
                await client.send_object(bytes(600))
            assert await exchange_object(client, server, bytes(400)) == bytes(400)

    face.run(main())
