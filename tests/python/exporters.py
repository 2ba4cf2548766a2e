"""Objects that export memory, in every way there is, and how to send them to a peer."""

from __future__ import annotations

import array
import asyncio
import ctypes
import mmap
import pickle
import platform
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hypothesis
import ml_dtypes
import numpy as np
import pandas as pd
from PIL import Image
from producers import Raw

# Seconds after which a transfer that should have ended is an error. No test waits for it.
PATIENCE = 20
# Several times what the small socket buffers of conftest hold, in any dtype used here.
LARGE = 60_000

examples = hypothesis.settings(
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


def noise(nbytes: int, seed: int = 1) -> bytearray:
    return bytearray(np.random.default_rng(seed).bytes(nbytes))


IS_X87 = platform.machine() in ("x86_64", "i686")


def fields_of(dtype: np.dtype[Any]) -> np.ndarray:
    """Which bytes of an item are part of a value."""
    mask = np.zeros(dtype.itemsize, bool)
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        mask[:] = np.tile(fields_of(base), int(np.prod(shape)))
    elif dtype.names is not None:
        for name in dtype.names:
            field, offset = dtype.fields[name][:2]  # type: ignore[index]
            mask[offset : offset + field.itemsize] |= fields_of(field)
    elif dtype.type in (np.longdouble, np.clongdouble) and IS_X87:
        mask.reshape(-1, 16)[:, slice(10) if dtype.isnative else slice(6, 16)] = True
    else:
        mask[:] = True
    return mask


def cleared(array: np.ndarray, order: Any = "C") -> bytes:
    """The bytes of an array, with zeros for those of no field."""
    items = np.frombuffer(array.tobytes(order), "u1").reshape(array.size, array.itemsize)
    return np.where(fields_of(array.dtype), items, 0).astype("u1").tobytes()


def noise_array(shape: tuple[int, ...], dtype: Any, seed: int = 1) -> np.ndarray:
    """An array of random bytes: not values, so that every bit of every item is tried.

    Bytes of no field are zeros, as they are in what a channel sends.
    """
    made = np.empty(shape, dtype)
    raw = np.ndarray((made.nbytes,), "u1", buffer=noise(made.nbytes, seed))
    fields = fields_of(made.dtype)
    if not fields.all():
        raw.reshape(made.size, made.itemsize)[:, ~fields] = 0
    return np.ndarray(shape, dtype, buffer=raw)


def voids(array: np.ndarray) -> np.ndarray:
    """The same memory as items that NumPy copies whole, the padding of structs too."""
    return array.view(f"V{array.itemsize}")


def plain(exporter: Any) -> bytes:
    """Its bytes in C order, as somebody else than pinwire tells them."""
    if hasattr(exporter, "tobytes"):
        return exporter.tobytes()
    return memoryview(exporter).tobytes()


async def exchange(streams: Any, send: Any, into: Any, **options: Any) -> None:
    """Send all of one object while all of the other is filled."""
    client, server = streams
    counts = await asyncio.gather(
        client.send_buffer(send, timeout=PATIENCE, **options),
        server.recv_exactly_into(into, timeout=PATIENCE, **options),
    )
    assert counts[0] == counts[1]


def blocking_exchange(streams: Any, send: Any, into: Any, **options: Any) -> None:
    client, server = streams
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.send_buffer, send, timeout=PATIENCE, **options)
        # A send that failed must not leave the receiver waiting.
        sending.add_done_callback(lambda sending: sending.exception() and client.abort())
        count = server.recv_exactly_into(into, timeout=PATIENCE, **options)
        assert sending.result() == count


_CODES = [*"?bBhHiIlLqQefdgFDG", ">i2", ">u4", ">i8", ">f4", ">f8", ">c16"]
_CODES += ["S7", "U5", ">U3", "V9", "M8[ns]", "M8[D]", ">M8[s]", "m8[us]"]
DTYPES = {code: np.dtype(code) for code in _CODES} | {
    "struct": np.dtype([("a", "u1"), ("b", ">i4"), ("c", "f8")]),
    "struct-aligned": np.dtype([("a", "u1"), ("b", "f8"), ("c", "i2")], align=True),
    "struct-nested": np.dtype([("t", "M8[ns]"), ("p", [("x", "f4"), ("y", "S3")], (2,))]),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
}


# name -> shape of a C array, and what is taken of it. Short runs for items of up to 56 bytes.
SHORT_RUNS = {
    "fortran": ((30, 20), lambda a: a.T),
    "transposed-3d": ((6, 7, 8), lambda a: a.transpose(2, 0, 1)),
    "transposed-last-kept": ((6, 7, 3), lambda a: a.transpose(1, 0, 2)),
    "stepped": ((900,), lambda a: a[::3]),
    "stepped-columns": ((20, 60), lambda a: a[:, ::3]),
    "stepped-rows": ((60, 5), lambda a: a[::2]),
    "reversed": ((500,), lambda a: a[::-1]),
    "reversed-rows": ((60, 5), lambda a: a[::-1]),
    "reversed-both-stepped": ((40, 40), lambda a: a[::-2, ::-3]),
    "block": ((30, 20), lambda a: a[5:25, 3:9]),
    "column": ((300, 4), lambda a: a[:, 2]),
    "column-kept": ((300, 4), lambda a: a[:, 2:3]),
    "new-axes": ((30, 20), lambda a: a[None, ::2, None, 1:7, None]),
    "3d": ((6, 20, 12), lambda a: a[::-1, 1:-1, ::2].transpose(1, 0, 2)),
    "4d": ((4, 3, 10, 8), lambda a: a[::-1, :, 2:8, 1:]),
    "4d-transposed": ((4, 3, 10, 8), lambda a: a[1:, ::-1, ::3, :].transpose(3, 1, 2, 0)),
}
# Runs of at least 2 KiB, for items of any size.
LONG_RUNS = {
    "rows": ((12, 2500), lambda a: a[::2]),
    "reversed-rows": ((6, 2500), lambda a: a[::-1]),
    "block": ((9, 2500), lambda a: a[2:7, 100:2300]),
    "3d": ((3, 4, 2500), lambda a: a[:, 1:3, :2200]),
    "3d-planes": ((5, 30, 100), lambda a: a[::-2]),
    "4d-transposed": ((2, 3, 2, 2200), lambda a: a[:, :, ::-1].transpose(2, 0, 1, 3)),
}
CONTIGUOUS = {
    "c": ((40, 30), lambda a: a),
    "rows-of-c": ((40, 30), lambda a: a[5:30]),
    "one-row": ((40, 30), lambda a: a[5, 2:9]),
    "one-item": ((40, 30), lambda a: a[5, 6, ...]),
    "none": ((40, 30), lambda a: a[:0, ::2]),
    "axes-of-1": ((40, 30), lambda a: a[:, None, :, None].transpose(1, 0, 3, 2)),
}
LAYOUTS = {
    f"{kind}-{name}": layout
    for kind, layouts in (("short", SHORT_RUNS), ("long", LONG_RUNS), ("together", CONTIGUOUS))
    for name, layout in layouts.items()
}


def view(layout, dtype, seed):
    """An array, and the part of it that a layout takes."""
    shape, take = LAYOUTS[layout]
    base = noise_array(shape, dtype, seed)
    return base, take(base)


def filled(base, layout, content):
    """What an array must be once the part that a layout takes was filled: the rest is as was."""
    expected = voids(base).copy()
    part = LAYOUTS[layout][1](expected)
    part[...] = np.frombuffer(content, expected.dtype).reshape(part.shape)
    return expected.tobytes()


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int8), ("y", ctypes.c_double), ("tag", ctypes.c_char * 3))


def _mmap(content: bytearray) -> mmap.mmap:
    memory = mmap.mmap(-1, len(content))
    memory[:] = content
    return memory


def _ctypes(type_: Any, content: bytearray) -> Any:
    return type_.from_buffer(content)


# What can be sent and received into: name -> from some bytes.
WRITABLE = {
    "bytearray": bytearray,
    "memoryview": memoryview,
    "memoryview-cast": lambda b: memoryview(b).cast("d"),
    "memoryview-sliced": lambda b: memoryview(b)[3:-5],
    "memoryview-stepped": lambda b: memoryview(b).cast("i")[::-3],
    "memoryview-2d": lambda b: memoryview(b).cast("B").cast("h", (2, len(b) // 4)),
    "memoryview-3d": lambda b: memoryview(b).cast("B").cast("q", (5, 3, len(b) // 120)),
    **{
        f"array-{code}": lambda b, code=code: array.array(code, bytes(b)) for code in "bBhHiIlLqQfd"
    },
    # "u" is deprecated where there is "w".
    "array-text": lambda b: array.array(
        "uw"["w" in array.typecodes], "pinned \N{SNOWMAN}" * (len(b) // 64)
    ),
    "mmap": _mmap,
    "ctypes-1d": lambda b: _ctypes(ctypes.c_int * (len(b) // 4), b),
    "ctypes-2d": lambda b: _ctypes((ctypes.c_double * 5) * (len(b) // 40), b),
    "ctypes-structs": lambda b: _ctypes(Point * (len(b) // 24), b),
    "ctypes-struct": lambda b: _ctypes(
        type("Big", (ctypes.Structure,), {"_fields_": [("a", ctypes.c_char * len(b))]}), b
    ),
    "pandas-column": lambda b: pd.DataFrame(
        {"x": np.frombuffer(b, "f8"), "y": np.frombuffer(b, "i8")}, copy=True
    )["y"].to_numpy(copy=True),
    "pickle-buffer": pickle.PickleBuffer,
    "numpy-records": lambda b: np.rec.array(np.frombuffer(b, "u2,f4,u2"), copy=True),
    "numpy-masked-data": lambda b: np.ma.array(np.frombuffer(b, "i4"), copy=True).data,
    "numpy-subclass": lambda b: np.frombuffer(b, "i4").reshape(5, -1).view(np.recarray),
}

# What can only be sent.
READ_ONLY = {
    "bytes": bytes,
    "memoryview-of-bytes": lambda b: memoryview(bytes(b)).cast("I"),
    "numpy-read-only": lambda b: np.frombuffer(bytes(b), ">f8"),
    "mmap-read-only": lambda b: memoryview(_mmap(b)).toreadonly(),
    "pickle-buffer-of-bytes": lambda b: pickle.PickleBuffer(bytes(b)),
    "pillow-asarray": lambda b: np.asarray(
        Image.frombytes("RGB", (100, len(b) // 300), bytes(b[: len(b) // 300 * 300]))
    ),
}


def structure(base: type = ctypes.Structure, **namespace: Any) -> Any:
    return type("Made", (base,), namespace)


HOLDER = structure(_fields_=[("i", ctypes.c_int), ("o", ctypes.py_object)])
OBJECTS = np.dtype([("i", "i4"), ("o", "O")])
STRINGS = np.dtypes.StringDType()

POINTERS = {
    "objects": lambda: np.array([None, "x"]),
    "objects-0d": lambda: np.array({}),
    "objects-empty": lambda: np.empty((0, 3), object),
    "objects-strided": lambda: np.array([[1, "x"], [None, 2]]).T[::-1],
    "object-column": lambda: pd.Series([1, "x"], dtype=object).to_numpy(copy=True),
    "object-struct": lambda: np.zeros(3, OBJECTS),
    "object-struct-nested": lambda: np.zeros(3, [("t", OBJECTS, (2,)), ("f", "f8")]),
    "object-struct-beside-datetime": lambda: np.zeros(3, [("t", "M8[s]"), ("o", "O")]),
    "object-field-after-a-colon": lambda: np.zeros(3, [("a:b", "i4"), ("o", "O")]),
    "object-memoryview": lambda: memoryview(np.array([None])),
    "object-pickle-buffer": lambda: pickle.PickleBuffer(np.array([None])),
    "strings": lambda: np.array(["a", "b" * 50], STRINGS),
    "strings-0d": lambda: np.array("a", STRINGS),
    "strings-strided": lambda: np.array(["a", "b", "c"], STRINGS)[::2],
    "ctypes": lambda: (ctypes.py_object * 2)(1, 2),
    "ctypes-one": lambda: ctypes.py_object("x"),
    "ctypes-struct": lambda: (HOLDER * 2)(),
    "ctypes-struct-nested": lambda: structure(_fields_=[("h", HOLDER * 2)])(),
    **{
        f"format {fmt}": lambda fmt=fmt: Raw(bytearray(8), itemsize=8, shape=(1,), format=fmt)
        for fmt in (b"O", b"=O", b"1O", b"T{O:a:}", b"T{(1)O:a:0i:b:}", b"T{T{O:x:}:y:}")
    },
}
# ctypes writes "B" for unions, before 3.12 for packed structs, and any name into its format.
HIDDEN_POINTERS = {
    "packed": lambda: structure(_pack_=1, _fields_=HOLDER._fields_)(),
    "union": lambda: structure(ctypes.Union, _fields_=HOLDER._fields_)(),
    "union-in-pickle-buffer": lambda: pickle.PickleBuffer(HIDDEN_POINTERS["union"]()),
    "colon": lambda: structure(_fields_=[("i:", ctypes.c_int), ("o", ctypes.py_object)])(),
}
O_IN_NAMES = {
    "numpy": lambda: np.ones(3, [("O", "i4"), ("xOx", "f8"), ("T", [("O", "u1")], (2,))]),
    "numpy-colons": lambda: np.ones(3, [("O:O", "i4"), (":O", "f8")]),
    "ctypes": lambda: structure(_fields_=[("O", ctypes.c_int), ("OO", ctypes.c_double)])(),
    "format": lambda: Raw(bytearray(8), itemsize=8, shape=(1,), format=b"T{T{i:O:}:O:i:NO:}"),
}
