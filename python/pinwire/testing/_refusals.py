"""What is refused, before a byte moves."""

from __future__ import annotations

import ctypes
import io
from typing import TYPE_CHECKING, Any

from ._check import Section
from ._exporters import OnlyDLPack, numpy
from ._outcome import expect_bytes

if TYPE_CHECKING:
    from ._pair import Pair

section = Section("refusals")


async def refuse_each(
    pair: Pair, method: str, objects: dict[str, Any], error: type[Exception]
) -> None:
    """Expect an error for each, and that nothing has moved afterwards."""
    client, server = pair
    end = server if method.startswith("recv") else client
    for name, wrong in objects.items():
        try:
            await end.start(method, wrong).failure(error)
        except Exception as failure:
            failure.add_note(f"the object was: {name}")
            raise
    await client.say(b"later")
    expect_bytes(await server.read(5), b"later", "what was sent afterwards")


@section.clause()
async def what_exports_no_memory_is_not_sent(pair: Pair) -> None:
    """Text, lists, files in memory and other objects without memory of their own raise TypeError,
    and nothing moves."""
    objects = {"str": "text", "list": [1, 2], "BytesIO": io.BytesIO(b"x"), "None": None, "int": 7}
    await refuse_each(pair, "send_buffer", objects, TypeError)


@section.clause()
async def what_exports_no_memory_is_no_target(pair: Pair) -> None:
    """A receive into an object without memory of its own raises TypeError and takes nothing."""
    objects = {"str": "text", "list": [1, 2], "None": None, "int": 7}
    await refuse_each(pair, "recv_into", objects, TypeError)


@section.clause()
async def read_only_memory_is_no_target(pair: Pair) -> None:
    """A receive into read-only memory raises BufferError and takes nothing."""
    objects = {"bytes": b"12345", "a read-only view": memoryview(bytearray(5)).toreadonly()}
    await refuse_each(pair, "recv_into", objects, BufferError)


@section.clause("send_buffers")
async def one_wrong_part_refuses_all(pair: Pair) -> None:
    """If one of several buffers cannot be sent, none is, and the others are let go."""
    good = bytearray(b"good")
    await refuse_each(pair, "send_buffers", {"good, then text": [good, "text"]}, TypeError)
    good.append(0)


def _two_pointers() -> Any:
    return (ctypes.py_object * 2)()


@section.clause()
async def pointers_of_ctypes_never_travel(pair: Pair) -> None:
    """Memory that holds pointers to Python objects raises TypeError, as a source and as a target:
    a peer could write pointers."""
    objects = {"py_object": ctypes.py_object("x"), "an array": _two_pointers()}
    await refuse_each(pair, "send_buffer", objects, TypeError)
    await refuse_each(pair, "recv_into", objects, TypeError)


@section.clause("numpy")
async def pointers_of_numpy_never_travel(pair: Pair) -> None:
    """Arrays of objects, structs that hold objects and strings by reference (StringDType) raise
    TypeError, as a source and as a target."""
    np = numpy()
    struct = np.dtype([("i", "i4"), ("o", "O")])
    objects: dict[str, Any] = {
        "objects": np.array([None, "x"]),
        "no objects": np.empty((0, 3), object),
        "structs": np.zeros(3, struct),
        "structs beside dates": np.zeros(3, [("t", "M8[s]"), ("o", "O")]),
        "a view": memoryview(np.array([None])),
    }
    if hasattr(np, "dtypes") and hasattr(np.dtypes, "StringDType"):
        objects["strings"] = np.array(["a", "b" * 50], np.dtypes.StringDType())
    await refuse_each(pair, "send_buffer", objects, TypeError)
    await refuse_each(pair, "recv_into", objects, TypeError)


@section.clause("numpy")
async def memory_of_a_device_is_refused(pair: Pair) -> None:
    """A tensor that is not on the CPU raises BufferError, and nothing moves."""
    np = numpy()
    objects = {"a tensor of CUDA": OnlyDLPack(np.zeros(5), device=(2, 0))}
    await refuse_each(pair, "send_buffer", objects, BufferError)
    await refuse_each(pair, "recv_into", objects, BufferError)
