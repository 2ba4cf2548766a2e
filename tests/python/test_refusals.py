"""What cannot travel is refused at the call: nothing moves, nothing stays pinned."""

from __future__ import annotations

import asyncio
import io
import mmap
import sys
import types
from multiprocessing.shared_memory import SharedMemory

import ml_dtypes
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from exporters import (
    HIDDEN_POINTERS,
    O_IN_NAMES,
    POINTERS,
    blocking_exchange,
    exchange,
    noise,
    plain,
)
from exporters import READ_ONLY as SEND_ONLY
from PIL import Image
from producers import Counting, Raw
from support import program

import pinwire
import pinwire.blocking

SOCKETPAIR = pytest.mark.parametrize("transport", ["socketpair"], indirect=True)
SENDS = ["send_buffer", "send_buffers"]
RECEIVES = ["recv_into", "recv_exactly_into", "recv_buffers_into"]
CALLS = pytest.mark.parametrize("call", SENDS + RECEIVES)


TYPED = r"\.to_numpy\(dtype=.*Channel\.send_object"


class Rows:
    """What a file of arrays gives: an array to NumPy, and rows to whoever iterates."""

    def __array__(self, dtype=None, copy=None):
        return np.zeros((2, 2), dtype)

    def __iter__(self):
        return iter(np.zeros((2, 2)))


# name -> how to make it, and what the TypeError has to name.
NO_EXPORTERS = {
    "str": (lambda: "text", r"\.encode\(\)"),
    "np.str_": (lambda: np.str_("text"), r"\.encode\(\)"),
    "list": (lambda: [1, 2], r"numpy.asarray.*Channel\.send .*Stream\.send_buffers"),
    "tuple": (lambda: (b"a", b"b"), r"numpy.asarray.*Channel\.send .*Stream\.send_buffers"),
    "object": (object, "buffer protocol"),
    "dict": (lambda: {"a": 1}, "list of its values.*meta"),
    "mapping": (lambda: types.MappingProxyType({b"a": b"b"}), "list of its values.*meta"),
    "set": (lambda: {b"a"}, "no order"),
    "frozenset": (lambda: frozenset([b"a"]), "no order"),
    "keys": (lambda: {b"a": 1}.keys(), "no order"),
    "series": (lambda: pd.Series([1.0]), r"\.to_numpy\(\)"),
    "index": (lambda: pd.RangeIndex(3), r"\.to_numpy\(\)"),
    "series-of-objects": (lambda: pd.Series(["a"], dtype=object), TYPED),
    "series-of-text": (lambda: pd.Series(["a"], dtype="string"), TYPED),
    "series-of-categories": (lambda: pd.Series(["a"], dtype="category"), TYPED),
    "polars-series": (lambda: pl.Series([1.5]), r"\.to_numpy\(\)"),
    "polars-series-of-text": (lambda: pl.Series(["a"]), r"\.cast\(\).*Channel\.send_object"),
    "index-of-objects": (lambda: pd.Index([1, "a"]), TYPED),
    "extension-array": (lambda: pd.array([1, None]), TYPED),
    "frame": (lambda: pd.DataFrame({"a": [1]}), r"to_numpy.*Channel\.send_object$"),
    "arrow-table": (lambda: pa.table({"a": [1]}), r"Channel\.send_object$"),
    "arrow-batch": (lambda: pa.record_batch({"a": [1]}), r"Channel\.send_object$"),
    "arrow-chunks": (lambda: pa.chunked_array([[1], [2]]), "to_numpy"),
    "bytes-io": (lambda: io.BytesIO(b"abc"), r"\.getbuffer\(\)"),
    "image": (lambda: Image.new("L", (3, 3)), "numpy.asarray"),
    "rows": (Rows, "numpy.asarray"),
    "lines": (lambda: io.TextIOWrapper(io.BytesIO(b"a")), "send_file"),
}
# Arrays whose memory is not all there is to them.
MASKED = {
    "array": lambda: np.ma.array([1.0, 2.0], mask=[True, False]),
    "no-mask": lambda: np.ma.array([1.0, 2.0]),
    "records": lambda: np.ma.array([(1, 2)], dtype="i4,i4", mask=[(True, False)]),
    "record": lambda: np.ma.array([(1, 2)], dtype="i4,i4", mask=[(True, False)])[0],
    "constant": lambda: np.ma.masked,
    "subclass": lambda: np.ma.array([1.0]).view(type("Mine", (np.ma.MaskedArray,), {})),
}
READ_ONLY = {name: lambda make=make: make(noise(600)) for name, make in SEND_ONLY.items()} | {
    "strided": lambda: np.frombuffer(b"abcdefgh", "u1")[::2],
    "broadcast": lambda: np.broadcast_to(np.arange(4), (3, 4)),
    "datetime64": lambda: np.frombuffer(b"abcdefgh", "M8[s]"),
    "bfloat16": lambda: np.frombuffer(b"abcdefgh", ml_dtypes.bfloat16),
    "scalar": lambda: np.float64(1.5),
    "pandas-column": lambda: pd.Series([1.5, 2.5]).to_numpy(),
    "mmap": lambda: mmap.mmap(-1, 100, access=mmap.ACCESS_READ),
    "arrow-buffer": lambda: pa.py_buffer(b"abcd"),
}


@pytest.fixture(params=[pinwire, pinwire.blocking], ids=["asyncio", "blocking"])
def refused(request):
    """Check that a call is refused, and that it left all as it was."""
    client, server = request.param.socketpair()

    def check(call, bad, error, match):
        owner = bytearray(b"first")
        before = sys.getrefcount(bad)
        with pytest.raises(error, match=match) as caught:
            getattr(client, call)([owner, bad] if "buffers" in call else bad, timeout=0)
        assert caught.type is error
        del caught
        assert sys.getrefcount(bad) == before
        owner.append(1)  # not pinned any more
        assert not any(client.stats())
        assert asyncio.run(follow_up()) == b"abc"

    async def follow_up():
        got = bytearray(3)
        for streams in [(client, server), (server, client)]:
            if request.param is pinwire:
                await exchange(streams, b"abc", got)
            else:
                blocking_exchange(streams, b"abc", got)
        return got

    yield check
    client.close()
    server.close()


@CALLS
@pytest.mark.parametrize("name", NO_EXPORTERS)
def test_transfer_when_object_exports_no_memory_then_type_error_names_the_way_out(
    refused, call, name
):
    make, way_out = NO_EXPORTERS[name]
    refused(call, make(), TypeError, way_out)


@CALLS
@pytest.mark.parametrize("name", MASKED)
def test_transfer_when_array_is_masked_then_type_error_names_the_ways(refused, call, name):
    refused(call, MASKED[name](), TypeError, r"\.filled\(\).*getmaskarray.*send_object.*\.data")


@SOCKETPAIR
def test_send_buffer_when_values_were_given_a_type_as_the_refusal_says_then_they_travel(
    blocking_pair,
):
    nan = float("nan")
    values = [
        (pd.Series(["ab", "c"], dtype=object).to_numpy(dtype="U16"), 128),
        (pd.array([1, None]).to_numpy(dtype="float64", na_value=nan), 16),
        (pd.Index([1, 2.5], dtype=object).to_numpy(dtype="float64"), 16),
    ]
    for array, nbytes in values:
        assert blocking_pair[0].send_buffer(array) == nbytes


@CALLS
def test_transfer_when_shared_memory_itself_then_type_error_names_its_buf(refused, call):
    memory = SharedMemory(create=True, size=10)
    try:
        refused(call, memory, TypeError, r"\.buf\b")
    finally:
        memory.close()
        memory.unlink()


@CALLS
@pytest.mark.parametrize("name", POINTERS)
def test_transfer_when_memory_holds_objects_then_type_error(refused, call, name):
    refused(call, POINTERS[name](), TypeError, "pointers")


@pytest.mark.parametrize("refused", [pinwire.blocking], indirect=True, ids=["blocking"])
@pytest.mark.parametrize("call", ["send_buffer", "recv_exactly_into"])
@pytest.mark.parametrize("name", HIDDEN_POINTERS)
def test_transfer_when_format_hides_objects_then_type_error(refused, call, name):
    refused(call, HIDDEN_POINTERS[name](), TypeError, "pointers")


def test_send_buffer_when_ctypes_struct_points_to_its_own_kind_then_accepted():
    # In a process of its own: looking for objects in it without end overflows the stack.
    code = """
        import ctypes, pinwire.blocking

        class Node(ctypes.Structure):
            pass

        Node._fields_ = [("next", ctypes.POINTER(Node)), ("value", ctypes.c_double)]
        client, server = pinwire.blocking.socketpair()
        with client, server:
            print(client.send_buffer(Node()))
    """
    assert program(code) == (0, "16\n", "")


@SOCKETPAIR
@pytest.mark.parametrize("name", O_IN_NAMES)
def test_exchange_when_only_field_names_have_an_o_then_accepted(blocking_pair, name):
    blocking_exchange(blocking_pair, O_IN_NAMES[name](), O_IN_NAMES[name]())
    assert blocking_pair[1].stats().bytes_received > 0


@pytest.mark.parametrize("call", RECEIVES)
@pytest.mark.parametrize("name", READ_ONLY)
def test_recv_when_memory_is_read_only_then_buffer_error_and_it_is_unchanged(refused, call, name):
    target = READ_ONLY[name]()
    before = plain(target)
    refused(call, target, BufferError, "(?i)read-?only|writ")
    assert plain(target) == before


@pytest.mark.parametrize(
    "buffers",
    ["text", b"abc", bytearray(b"abc"), memoryview(b"abc"), np.arange(4), np.zeros((2, 2)).T],
    ids=lambda buffers: type(buffers).__name__,
)
@pytest.mark.parametrize(
    ("call", "single"),
    [("send_buffers", "send_buffer"), ("recv_buffers_into", "recv_exactly_into")],
)
@SOCKETPAIR
def test_vector_when_given_one_buffer_then_type_error_names_the_single_call(
    blocking_pair, call, single, buffers
):
    with pytest.raises(TypeError, match=rf"\b{single}\b"):
        getattr(blocking_pair[0], call)(buffers, timeout=0)
    assert not any(blocking_pair[0].stats())


@SOCKETPAIR
@pytest.mark.parametrize("call", ["send_buffers", "recv_buffers_into"])
@pytest.mark.parametrize(
    ("thing", "way_out"),
    [
        (pd.DataFrame({"a": [1.0]}), "to_numpy"),
        (pd.Series([1.0]), "to_numpy"),
        ({b"a": b"b"}, "list of its values"),
        ({b"a"}, "no order"),
        ({b"a": b"b"}.keys(), "no order"),
        (pa.record_batch({"a": [1]}), r"list of its columns.*Channel\.send_object"),
        (pa.table({"a": [1]}), r"list of its columns.*Channel\.send_object"),
        (Rows(), "numpy.asarray"),
        (io.BytesIO(b"a\nb"), r"\.getbuffer\(\)"),
    ],
    ids=["frame", "series", "dict", "set", "keys", "batch", "table", "rows", "lines"],
)
def test_vector_when_given_no_list_of_buffers_then_the_way_out_is_that_of_the_whole(
    blocking_pair, call, thing, way_out
):
    with pytest.raises(TypeError, match=way_out):
        getattr(blocking_pair[0], call)(thing, timeout=0)


@SOCKETPAIR
@pytest.mark.parametrize("call", ["send_buffers", "recv_buffers_into"])
def test_vector_when_its_iterator_raises_then_that_error_and_nothing_is_pinned(blocking_pair, call):
    owner = bytearray(3)

    def buffers():
        yield owner
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        getattr(blocking_pair[0], call)(buffers(), timeout=0)
    owner.append(1)
    assert not any(blocking_pair[0].stats())


@SOCKETPAIR
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"nbytes": -1}, ValueError),
        ({"nbytes": 9}, ValueError),
        ({"nbytes": 2**80}, OverflowError),
        ({"nbytes": "1"}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
    ],
    ids=str,
)
def test_recv_into_when_argument_is_impossible_then_nothing_is_taken(blocking_pair, options, error):
    client, server = blocking_pair
    client.send_buffer(b"abc")
    target = bytearray(8)
    with pytest.raises(error, match=next(iter(options)) if error is ValueError else None):
        server.recv_into(target, **options)
    assert target == bytes(8)
    target.append(1)
    assert server.recv_into(target) == 3


LIES = {
    "read-only": {"readonly": 1},
    "negative-length": {"len": -12, "shape": (12,)},
    "negative-itemsize": {"itemsize": -1, "len": 12},
    "no-address": {"buf": None},
    "dimensions-negative": {"ndim": -1},
    "dimensions-many": {"ndim": 65, "shape": (12,) + (1,) * 64},
    "shape-negative": {"ndim": 2, "shape": (-3, -4), "strides": (4, 1)},
    "shape-larger": {"shape": (13,)},
    "shape-smaller": {"shape": (11,)},
    "shape-overflows": {"ndim": 2, "shape": (2**62, 4), "strides": (4, 1)},
    "shape-empty": {"ndim": 2, "shape": (0, 12), "strides": (12, 1)},
    "itemsize-larger": {"itemsize": 8},
    "itemsize-0": {"itemsize": 0},
}


@pytest.mark.parametrize(
    ("name", "call"),
    [(n, c) for n in LIES for c in SENDS + RECEIVES if n != "read-only" or c in RECEIVES],
)
def test_transfer_when_exporter_lies_then_buffer_error_and_its_view_is_released(
    refused, call, name
):
    exporter = Raw(bytearray(12), **LIES[name])
    refused(call, exporter, BufferError, "the exporter's")
    assert exporter.gets == exporter.releases > 0
    assert exporter.content() == bytes(12)


@SOCKETPAIR
@pytest.mark.parametrize(
    "told",
    [
        {"shape": None},
        {"itemsize": 4, "shape": (3,), "strides": (4,), "suboffsets": (-1,), "format": b"i"},
        {"itemsize": 4, "ndim": 2, "shape": (3, 1)},
        {"ndim": 0, "itemsize": 12, "shape": None},
        {"ndim": 2, "itemsize": 3, "shape": (2, 2), "strides": (3, 6), "format": b"3x"},
    ],
    ids=["no-shape", "negative-suboffset", "no-strides", "scalar", "fortran"],
)
def test_exchange_when_exporter_is_odd_but_true_then_its_bytes_travel(blocking_pair, told):
    source, target = (Raw(bytearray(b), **told) for b in (b"0123456789ab", bytes(12)))
    blocking_exchange(blocking_pair, source, target)
    assert target.content() == source.content() == b"0123456789ab"
    assert (source.gets, target.gets) == (source.releases, target.releases)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688")
@CALLS
@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_transfer_when_dunder_buffer_raises_then_that_error(refused, call, error):
    class Raising(Counting):
        def __buffer__(self, flags):
            self.gets += 1
            raise error("mine")

    exporter = Raising(b"")
    refused(call, exporter, error, "^mine$")
    assert exporter.releases == 0
    assert exporter.gets == 1 or issubclass(error, Exception)
