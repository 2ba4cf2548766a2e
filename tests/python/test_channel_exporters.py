"""Whatever exports memory may be sent over a channel, and what is none is refused."""

from __future__ import annotations

import array
import ctypes
import mmap
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from channels import exchange
from exporters import POINTERS, READ_ONLY, WRITABLE, Point, cleared, noise, plain
from PIL import Image
from producers import Counting, Handmade, LegacyTensor, Tensor

import pinwire

SIZE = 24_000
EXPORTERS = WRITABLE | READ_ONLY


def pages(content):
    memory = mmap.mmap(-1, len(content))
    memory[:] = content
    return memory


# What arrives from exporters that have no dtype: name -> (exporter, dtype, shape).
TYPED = {
    "bytes": (b"abc", "u1", (3,)),
    "bytes-empty": (b"", "u1", (0,)),
    "bytearray": (bytearray(b"abc"), "u1", (3,)),
    "memoryview": (memoryview(b"abc"), "u1", (3,)),
    "memoryview-of-chars": (memoryview(b"abc").cast("c"), "S1", (3,)),
    "memoryview-of-doubles": (memoryview(bytes(16)).cast("d"), "f8", (2,)),
    "memoryview-2-d": (memoryview(bytes(24)).cast("h", (3, 4)), "i2", (3, 4)),
    "memoryview-0-d": (memoryview(bytes(4)).cast("f", ()), "f4", ()),
    "memoryview-stepped": (memoryview(bytes(24)).cast("i")[::-2], "i4", (3,)),
    "memoryview-of-bools": (memoryview(bytes(3)).cast("?"), "?", (3,)),
    "array": (array.array("d", [1, 2]), "f8", (2,)),
    "array-of-longs": (array.array("l", [1, -2]), "i8", (2,)),
    "array-empty": (array.array("h"), "i2", (0,)),
    "mmap": (pages(b"abcd"), "u1", (4,)),
    "ctypes": ((ctypes.c_int * 3)(1, 2, 3), "i4", (3,)),
    "ctypes-2-d": (((ctypes.c_double * 2) * 3)(), "f8", (3, 2)),
    "ctypes-scalar": (ctypes.c_float(1.5), "f4", ()),
    "ctypes-structs": ((Point * 2)(), np.dtype(Point), (2,)),
    "ctypes-struct": (Point(), np.dtype(Point), ()),
    "ctypes-big-endian": ((ctypes.c_int16.__ctype_be__ * 3)(1, 2, 3), ">i2", (3,)),
    "pyarrow-buffer": (pa.py_buffer(b"abcd"), "i1", (4,)),
    "pyarrow-buffer-of-array": (pa.array([1, 2], pa.int32()).buffers()[1], "i1", (8,)),
    "pyarrow-array": (pa.array([1.5, 2.5, 3.5]), "f8", (3,)),
    "pandas-column": (pd.DataFrame({"x": [1, 2], "y": [3, 4]})["y"].to_numpy(), "i8", (2,)),
    "pillow": (np.asarray(Image.new("RGB", (3, 2), "red")), "u1", (2, 3, 3)),
    "records": (np.rec.array([(1, 2.0)], "u2,f4"), np.dtype("u2,f4"), (1,)),
    "masked-data": (np.ma.array([1, 2, 3], mask=[0, 1, 0]).data, "i8", (3,)),
    "matrix": (np.arange(6).reshape(2, 3).view(np.recarray), "i8", (2, 3)),
    "tensor": (Tensor(np.arange(6, dtype="f4").reshape(2, 3)), "f4", (2, 3)),
    "tensor-stepped": (Tensor(np.arange(6, dtype="f4")[::2]), "f4", (3,)),
    "tensor-without-arguments": (LegacyTensor(np.arange(6, dtype="c8")), "c8", (6,)),
}


@pytest.mark.parametrize("name", TYPED)
def test_exporter_when_sent_then_an_array_of_its_type_and_shape_arrives(name, face):
    exporter, dtype, shape = TYPED[name]

    async def main():
        async with face.pair() as (client, server):
            (got,) = (await exchange(client, server, exporter)).parts
            assert (got.dtype, got.shape) == (np.dtype(dtype), shape)
            is_tensor = isinstance(exporter, (Tensor, LegacyTensor, pa.Array))
            assert got.tobytes() == plain(np.from_dlpack(exporter) if is_tensor else exporter)

    face.run(main())


@pytest.mark.parametrize("name", EXPORTERS)
def test_exporter_when_larger_than_every_buffer_then_its_bytes_arrive(name, face):
    exporter = EXPORTERS[name](noise(SIZE))

    async def main():
        async with face.pair() as (client, server):
            message = await exchange(client, server, [b"before", exporter, b"behind"])
            assert [part.tobytes() for part in message.parts[::2]] == [b"before", b"behind"]
            # A structure of ctypes tells its own bytes by memoryview only, with its padding.
            is_padded = name == "ctypes-structs"
            content = cleared(np.frombuffer(exporter, Point)) if is_padded else plain(exporter)
            assert message.parts[1].tobytes() == content

    face.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688 is of Python 3.12")
def test_class_with_a_buffer_method_when_sent_then_it_is_released_once(face):
    async def main():
        async with face.pair() as (client, server):
            exporter = Counting(bytearray(noise(SIZE)))
            (got,) = (await exchange(client, server, exporter)).parts
            assert got.tobytes() == exporter.memory
            assert (exporter.gets, exporter.releases) == (1, 1)

    face.run(main())


HANDMADE = {
    "float": ({"code": 2, "bits": 32, "shape": (6,)}, "f4", (6,)),
    "2-d": ({"code": 0, "bits": 16, "ndim": 2, "shape": (3, 4), "strides": (4, 1)}, "i2", (3, 4)),
    "bool": ({"code": 6, "bits": 8, "shape": (24,)}, "?", (24,)),
    "bfloat16": ({"code": 4, "bits": 16, "shape": (12,)}, "bfloat16", (12,)),
    "float8": ({"code": 10, "bits": 8, "shape": (24,)}, "float8_e4m3fn", (24,)),
    "lanes": ({"code": 2, "bits": 32, "lanes": 2, "shape": (3,)}, "V8", (3,)),
    "offset": ({"code": 1, "bits": 8, "shape": (20,), "byte_offset": 4}, "u1", (20,)),
    "0-d": ({"code": 2, "bits": 64, "ndim": 0, "shape": None}, "f8", ()),
}


@pytest.mark.parametrize("name", HANDMADE)
def test_tensor_when_of_any_type_then_an_array_of_it_arrives(name, face):
    told, dtype, shape = HANDMADE[name]

    async def main():
        async with face.pair() as (client, server):
            memory = noise(24)
            tensor = Handmade(memory, **told)
            (got,) = (await exchange(client, server, tensor)).parts
            assert (got.dtype.name, got.shape) == (np.dtype(dtype).name, shape)
            start = told.get("byte_offset", 0)
            assert got.tobytes() == memory[start : start + got.nbytes]
            assert tensor.deleted == 1

    face.run(main())


REFUSED = {
    "str": lambda: "text",
    "numpy-str": lambda: np.str_("text"),
    "none": lambda: None,
    "int": lambda: 7,
    "list-of-ints": lambda: [1, 2],
    "list-of-lists": lambda: [[b"a"]],
    "dict": lambda: {"a": b"a"},
    "frame": lambda: pd.DataFrame({"a": [1]}),
    "series": lambda: pd.Series([1]),
    "table": lambda: pa.table({"a": [1]}),
    "second-part": lambda: [b"a", "text"],
    **POINTERS,
}


@pytest.mark.parametrize("name", REFUSED)
def test_object_when_it_exports_no_memory_then_type_error_and_nothing_moves(name, face):
    async def main():
        async with face.pair() as (client, server):
            with pytest.raises(TypeError):
                await client.send(REFUSED[name]())
            with pytest.raises(TypeError):
                client.post(REFUSED[name]())
            assert (await exchange(client, server, b"next")).parts[0].tobytes() == b"next"

    face.run(main())


def test_tensor_when_on_a_device_then_buffer_error(face):
    async def main():
        async with face.pair() as (client, server):
            with pytest.raises(BufferError, match="cpu"):
                await client.send(Tensor(np.arange(3), device=(2, 0)))
            await exchange(client, server, b"next")

    face.run(main())


def test_send_when_copies_are_forbidden_then_only_long_runs_go(face):
    async def main():
        async with face.pair() as (client, server):
            short, long = np.arange(2000).reshape(40, 50).T[::2], np.zeros((4, 900))[::2]
            with pytest.raises(BufferError, match="copy=False"):
                await client.send([b"first", short], copy=False)
            await client.send(np.arange(12).reshape(3, 4).T, copy=False)
            assert (await server.recv()).parts[0].flags.f_contiguous
            assert ((await exchange(client, server, long, copy=False)).parts[0] == long).all()
            assert ((await exchange(client, server, short, copy=True)).parts[0] == short).all()

    face.run(main())


def test_send_when_it_has_more_parts_than_the_format_allows_then_it_is_refused(face):
    async def main():
        async with face.pair() as (client, server):
            with pytest.raises(pinwire.MessageRefusedError, match="65536"):
                await client.send([b""] * (64 * 1024 + 1))
            await exchange(client, server, b"next")

    face.run(main())
