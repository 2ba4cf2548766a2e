"""Whatever exports memory, with any item, format, number of dimensions and strides."""

from __future__ import annotations

import array
import ctypes
import importlib
import mmap
import pickle
from typing import TYPE_CHECKING, Any

from ._bytes import carry
from ._check import Section
from ._flight import results
from ._outcome import ClauseError, expect_bytes, expect_equal
from ._pair import pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._pair import Pair

section = Section("exporters")


class Point(ctypes.BigEndianStructure):
    """Items of several types, with padding, of the other byte order."""

    _fields_ = (("x", ctypes.c_int8), ("y", ctypes.c_double), ("tag", ctypes.c_char * 3))


async def carry_each(pair: Pair, exporters: dict[str, Any], **options: Any) -> None:
    """Send each, and say which one it was that went wrong."""
    for name, exporter in exporters.items():
        try:
            await carry(pair, "send_buffer", exporter, _content(exporter), **options)
        except Exception as error:
            error.add_note(f"the exporter was: {name}")
            raise


def _content(exporter: Any) -> bytes:
    """Its bytes in C order, as somebody else tells them."""
    if hasattr(exporter, "tobytes"):
        return bytes(exporter.tobytes())
    return memoryview(exporter).tobytes()


def _mapped(content: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(content))
    memory[:] = content
    return memory


@section.clause()
async def any_type_of_item_is_sent(pair: Pair) -> None:
    """Arrays of any item, file maps, views of any format and read-only memory are sent as
    `memoryview.tobytes()` gives them; the count is in bytes."""
    content = pattern(840)
    await carry_each(
        pair,
        {
            "bytes": content,
            "mmap": _mapped(content),
            "a read-only view": memoryview(bytearray(content)).toreadonly(),
            "a view of doubles": memoryview(content).cast("d"),
            "a view of three dimensions": memoryview(content).cast("h", (3, 7, 20)),
            "pickle.PickleBuffer": pickle.PickleBuffer(content),
            **{f"array.array({code!r})": array.array(code, content) for code in "bBhHiIlLqQfd"},
        },
    )


@section.clause()
async def ctypes_are_sent(pair: Pair) -> None:
    """ctypes objects export formats of their own, also without dimensions (0-d), and are sent as
    they lie in memory."""
    content = bytearray(pattern(480))
    await carry_each(
        pair,
        {
            "an array": (ctypes.c_int * 120).from_buffer(content),
            "an array of arrays": ((ctypes.c_double * 5) * 12).from_buffer(content),
            "a number": ctypes.c_double.from_buffer(content),
            "a structure of the other byte order": Point.from_buffer(content),
            "an array of structures": (Point * 20).from_buffer(content),
        },
    )


@section.clause()
async def strided_memory_is_sent_in_order(pair: Pair) -> None:
    """Views with steps, backwards ones too, are sent in C order, not as their memory lies."""
    content = pattern(pair.settings.payload // 8)
    await carry_each(
        pair,
        {
            "every third byte": memoryview(content)[::3],
            "backwards": memoryview(content)[::-1],
            "every other double": memoryview(content[: len(content) // 8 * 8]).cast("d")[::2],
            "nothing of it": memoryview(content)[5:5:2],
        },
    )


@section.clause()
async def typed_targets_are_filled_by_bytes(pair: Pair) -> None:
    """A receive goes into memory of any type: its size, and the count, are in bytes."""
    client, server = pair
    targets: dict[str, Any] = {
        "array.array('d')": array.array("d", bytes(48)),
        "a view of two dimensions": memoryview(bytearray(48)).cast("B").cast("i", (3, 4)),
        "mmap": mmap.mmap(-1, 48),
        "a ctypes array": (ctypes.c_double * 6)(),
        "ctypes structures": (Point * 2)(),
    }
    for name, target in targets.items():
        content = pattern(memoryview(target).nbytes)
        await client.say(content)
        count = await server.call("recv_into", target)
        expect_equal(count, len(content), f"bytes received into {name}")
        expect_bytes(memoryview(target).tobytes(), content, f"received into {name}")


@section.clause("recv_exactly_into")
async def strided_targets_are_scattered_into(pair: Pair) -> None:
    """A receive into a view with steps fills its items in C order, and what lies between them stays
    as it was."""
    client, server = pair
    for step in (2, -3):
        memory = bytearray(b"." * 3000)
        target = memoryview(memory)[::step]
        content = pattern(len(target))
        expected = bytearray(memory)
        expected[::step] = content
        receiving = server.start("recv_exactly_into", target)
        counts = await results(client.start("send_buffer", content), receiving)
        expect_equal(counts, [len(content)] * 2, "bytes sent and received")
        expect_bytes(memory, bytes(expected), f"the memory of a view with step {step}")


@section.clause("copy=")
async def packing_can_be_forbidden(pair: Pair) -> None:
    """`copy=False` raises BufferError instead of packing short runs, and nothing moves; contiguous
    memory is sent. This is the convention of the array API."""
    client, server = pair
    await client.start("send_buffer", memoryview(b"abcdef")[::2], copy=False).failure(BufferError)
    scattered = memoryview(bytearray(6))[::2]
    await server.start("recv_into", scattered, copy=False).failure(BufferError)
    expect_equal(await client.call("send_buffer", b"together", copy=False), 8, "bytes sent")
    expect_bytes(await server.read(8), b"together", "sent")


def numpy() -> Any:
    """The module, which nothing but some checks needs."""
    return importlib.import_module("numpy")


def _arrays() -> dict[str, Any]:
    np = numpy()
    raw = np.frombuffer(pattern(1680), "u1")
    codes = ("?", "<f2", ">i4", ">f8", "c16", "S7", ">U3", "V5", "M8[ns]", ">m8[us]")
    record = np.dtype([("day", "M8[D]"), ("at", ">f4", (2,)), ("tag", "S4")])
    return {
        **{f"dtype {code}": raw.view(code) for code in codes},
        "a structured array": raw[: 24 * 70].view(record),
        "a scalar": np.float64(1.5),
        "an array without dimensions": np.array(7, ">i2"),
        "an empty array": np.empty((0, 3), "f4"),
        "Fortran order": np.asfortranarray(raw.reshape(40, 42)),
        "transposed": raw.reshape(4, 10, 42).transpose(2, 0, 1),
        "a column": raw.view("f4").reshape(42, 10)[:, 3],
        "backwards in both axes": raw.reshape(40, 42)[::-2, ::-3],
        "broadcast": np.broadcast_to(raw[:9].reshape(1, 9), (50, 9)),
        "a read-only array": raw,
    }


@section.clause("numpy")
async def numpy_arrays_of_any_dtype_and_layout_are_sent(pair: Pair) -> None:
    """NumPy arrays of any dtype (big-endian, structured, datetime64, float16), scalars, 0-d and
    empty arrays, and those of any layout, are sent as `tobytes()` gives them."""
    await carry_each(pair, _arrays())


@section.clause("numpy", "recv_exactly_into")
async def numpy_arrays_of_any_layout_are_filled(pair: Pair) -> None:
    """A receive into a transposed array, a column or a block fills its items in C order and touches
    nothing else."""
    np = numpy()
    client, server = pair
    layouts: dict[str, Callable[[Any], Any]] = {
        "Fortran order": lambda a: a.T,
        "a column": lambda a: a[:, 3],
        "a block": lambda a: a[2:9, 1:7],
        "backwards": lambda a: a[::-1, ::-2],
        "datetimes": lambda a: a.view("M8[ns]"),
    }
    for name, take in layouts.items():
        got = np.full((20, 10), -1, "i8")
        expected, target = got.copy(), take(got)
        values = np.arange(target.size, dtype="i8").reshape(target.shape)
        take(expected)[...] = values.view(target.dtype)
        receiving = server.start("recv_exactly_into", target)
        await results(client.start("send_buffer", values), receiving)
        if not (got == expected).all():
            raise ClauseError(f"received into {name}: items are wrong, or others were touched")


class OnlyDLPack:
    """A tensor that lends its memory by DLPack and not by the buffer protocol."""

    def __init__(self, array: Any, device: tuple[int, int] = (1, 0)) -> None:
        self._array, self._device = array, device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device

    def __dlpack__(self, *, max_version: tuple[int, int] | None = None, **_: object) -> Any:
        return self._array.__dlpack__(max_version=max_version)


@section.clause("numpy", "recv_exactly_into")
async def tensors_lend_their_memory_by_dlpack(pair: Pair) -> None:
    """What has no buffer but `__dlpack__` on the CPU is sent and received into (DLPack 1.0)."""
    np = numpy()
    sent, got = np.arange(30.0).reshape(5, 6), np.zeros((5, 6))
    client, server = pair
    receiving = server.start("recv_exactly_into", OnlyDLPack(got))
    await results(client.start("send_buffer", OnlyDLPack(sent.T)), receiving)
    expect_bytes(got.tobytes(), sent.T.tobytes(), "received")
