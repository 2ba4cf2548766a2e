"""What belongs to no field of an item does not leave the process, nor is it overwritten."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from exporters import IS_X87, cleared, fields_of
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PATIENCE, Call

from pinwire import blocking

if TYPE_CHECKING:
    from collections.abc import Callable

POISON = 0xEE


def poisoned(shape: Any, dtype: Any) -> np.ndarray:
    """An array of fours in memory that somebody else has used before."""
    dtype = np.dtype(dtype)
    memory = np.full(int(np.prod(shape)) * dtype.itemsize, POISON, "u1")
    array = np.ndarray(shape, dtype, memory)
    array[...] = np.zeros((), dtype)
    memory.reshape(array.size, -1)[:, ~fields_of(dtype)] = POISON
    return array


def on_the_wire(array: np.ndarray, **options: Any) -> tuple[bytes, int]:
    """The payload that an array becomes, and how many bytes of it were copied."""
    left, right = (blocking.Channel(end, same_host="off") for end in blocking.socketpair())
    with left, right:
        sending = Call(left.send, array, timeout=PATIENCE, **options)
        room = bytearray(array.nbytes)
        right.recv_into(room, timeout=PATIENCE)
        sending.result()
        return bytes(room), left.stream.stats().packed_bytes


ALIGNED = np.dtype([("id", "u1"), ("xy", "<f8", (2,)), ("flag", "?")], align=True)
TABLE = np.dtype([("id", "<u4"), ("name", "S12"), ("password", "S16")])
WITHIN = np.dtype([("id", "<u2"), ("pairs", ALIGNED, (3,)), ("end", "u1")])


class Reading(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_uint8), ("value", ctypes.c_double))


# name -> an array with gaps, in memory that has been used.
GAPS: dict[str, Callable[[], np.ndarray]] = {
    "aligned": lambda: poisoned(5, ALIGNED),
    "one item": lambda: poisoned((), ALIGNED),
    "large": lambda: poisoned(20_000, ALIGNED),
    "larger than the staging block": lambda: poisoned(
        2, {"names": ["a", "b"], "formats": ["u1", ("<f4", 100_000)], "offsets": [60_000, 60_004]}
    ),
    "every second": lambda: poisoned(9, ALIGNED)[::2],
    "reversed": lambda: poisoned((40, 30), ALIGNED)[::-1, ::-3],
    "fortran": lambda: poisoned((6, 7), ALIGNED).T,
    "transposed": lambda: poisoned((4, 5, 6), ALIGNED).transpose(1, 0, 2),
    "array of structures": lambda: poisoned(7, WITHIN),
    "array of many structures": lambda: poisoned(7, [("a", "u1"), ("b", ALIGNED, (9, 11))])[::2],
    "one byte of many": lambda: poisoned(
        10, {"names": ["a"], "formats": ["u1"], "offsets": [30_000], "itemsize": 60_000}
    ),
    "no fields": lambda: np.full(24, POISON, "u1").view(
        {"names": [], "formats": [], "offsets": [], "itemsize": 8}
    ),
    "dates": lambda: poisoned(5, np.dtype([("a", "u1"), ("t", "<M8[s]")], align=True)),
    "ctypes": lambda: poisoned(5, np.dtype(Reading)),
    "fields that share bytes": lambda: poisoned(
        5, {"names": ["a", "b"], "formats": [ALIGNED, "<u8"], "offsets": [0, 4], "itemsize": 40}
    ),
}
if IS_X87:
    GAPS["long double"] = lambda: poisoned(1000, "<f16")
    GAPS["big-endian"] = lambda: poisoned(5, ">f16")
    GAPS["complex"] = lambda: poisoned(5, "<c32")[::2]


@pytest.mark.parametrize("name", GAPS)
def test_array_when_its_items_have_gaps_then_zeros_travel(name):
    array = GAPS[name]()
    order: Any = "F" if array.flags.fnc else "C"
    memory = array
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    assert memory.dtype == "u1" and POISON in memory
    sent, packed = on_the_wire(array)
    assert sent == cleared(array, order)
    assert packed == array.nbytes


@pytest.mark.parametrize("name", GAPS)
def test_array_when_its_items_have_gaps_then_they_are_copied_or_refused(name):
    left, right = blocking.socketpair()
    with left, blocking.Channel(right, same_host="off") as channel:
        with pytest.raises(BufferError, match=r"copy=False.* bytes that belong to no field"):
            channel.send(GAPS[name](), copy=False)
        assert channel.stats().messages_sent == 0


def test_view_when_it_has_some_fields_of_a_table_then_the_others_stay_at_home():
    users = np.array([(1, b"ann", b"swordfish"), (2, b"bob", b"hunter2")], TABLE)
    sent, _ = on_the_wire(users[["id", "name"]])
    assert b"bob" in sent and b"swordfish" not in sent and b"hunter2" not in sent
    assert (np.frombuffer(sent, TABLE)["password"] == b"").all()


@pytest.mark.parametrize(
    "dtype", [TABLE, "<f8", "V7", [("a", "u1", (0,)), ("b", "<f8")], [("a", WITHIN["id"], (3,))]]
)
def test_array_when_its_items_have_no_gaps_then_it_is_not_copied(dtype):
    array = np.frombuffer(bytes(range(240)) * np.dtype(dtype).itemsize, dtype)
    assert on_the_wire(array, copy=False) == (array.tobytes(), 0)


@pytest.mark.parametrize("name", GAPS)
def test_receive_when_the_memory_has_gaps_then_they_stay_as_they_are(name):
    array = GAPS[name]()
    memory = np.ndarray(array.shape, array.dtype, bytearray(b"\x55" * array.nbytes))
    left, right = (blocking.Channel(end, same_host="off") for end in blocking.socketpair())
    with left, right:
        sending = Call(left.send, array, timeout=PATIENCE)
        right.recv_into(memory, timeout=PATIENCE)
        sending.result()
    mask = fields_of(array.dtype)
    got = np.frombuffer(memory.tobytes(), "u1").reshape(array.size, -1)
    want = np.frombuffer(array.tobytes(), "u1").reshape(array.size, -1)
    assert (got[:, mask] == want[:, mask]).all()
    assert (got[:, ~mask] == 0x55).all()


def test_receive_when_it_is_into_some_fields_of_a_table_then_the_others_stay():
    users = np.array([(1, b"ann", b"swordfish"), (2, b"bob", b"hunter2")], TABLE)
    news = np.array([(3, b"eve", b"1"), (4, b"joe", b"2")], TABLE)
    left, right = (blocking.Channel(end, same_host="off") for end in blocking.socketpair())
    with left, right:
        left.send(news[["id", "name"]], timeout=PATIENCE)
        right.recv_into(users[["id", "name"]], timeout=PATIENCE)
    assert users.tolist() == [(3, b"eve", b"swordfish"), (4, b"joe", b"hunter2")]


def test_stream_when_it_sends_a_buffer_then_all_of_its_memory_travels():
    array = GAPS["aligned"]()
    left, right = blocking.socketpair()
    with left, right:
        left.send_buffer(array, timeout=PATIENCE)
        room = bytearray(array.nbytes)
        right.recv_exactly_into(room, timeout=PATIENCE)
    assert room == array.tobytes() != cleared(array)


def structures(inner: Any) -> Any:
    """Structures of these at any offsets, which may share their bytes."""
    field = st.tuples(inner, st.integers(0, 40), st.lists(st.integers(1, 3), max_size=2))
    return st.builds(structure, st.lists(field, min_size=1, max_size=4), st.integers(0, 9))


def structure(fields: list[tuple[Any, int, list[int]]], behind: int) -> np.dtype[Any]:
    formats = [np.dtype((kind, tuple(shape))) for kind, _, shape in fields]
    offsets = [offset for _, offset, _ in fields]
    ends = [offset + field.itemsize for field, offset in zip(formats, offsets, strict=True)]
    names = [f"f{index}" for index in range(len(fields))]
    itemsize = max(ends) + behind
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


dtypes = st.recursive(
    st.sampled_from(["u1", ">u2", "<f8", "S3", "<f16", "<M8[s]"]), structures, max_leaves=6
)
VIEWS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda a: a,
    lambda a: a.T,
    lambda a: a[::2, ::-1],
    lambda a: a.transpose()[1:, 1:],
    lambda a: a[0, 0:0],
]


@settings(max_examples=60, deadline=None)
@given(dtypes, st.sampled_from(VIEWS), st.integers(0, 255))
def test_array_of_any_dtype_when_it_is_sent_then_only_its_fields_are(dtype, view, seed):
    dtype = np.dtype(dtype)
    random = np.random.default_rng(seed)
    memory = random.integers(1, 256, 5 * 3 * dtype.itemsize, "u1")
    array = view(np.ndarray((5, 3), dtype, memory))
    order: Any = "F" if array.flags.fnc else "C"
    assert on_the_wire(array)[0] == cleared(array, order)
