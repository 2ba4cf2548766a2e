"""No layout that is accepted has a byte outside of its item, or ends the process that uses it.

Texts are made in the hundreds, most of them nearly right, and a child process receives an array of
each: it prints, copies, compares, converts, exports and pickles what comes, and each of its fields.
A signal ends the child, and the test; so does a text that is accepted and that NumPy refuses.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support import program

RECEIVE = """
import contextlib, json, pickle, socket, sys, warnings
sys.path.insert(0, sys.argv[2])
import numpy as np
from hostile import header, hello, part
from pinwire import ProtocolError, blocking

# NumPy warns of units that do not convert to one another, and of code points that are none.
warnings.simplefilter("ignore")


def check(dtype):
    for name in dtype.names or ():
        field, offset = dtype.fields[name][:2]
        assert 0 <= offset and offset + field.itemsize <= dtype.itemsize, dtype
        check(field)
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        assert np.prod(shape, dtype=object) * base.itemsize == dtype.itemsize, dtype
        check(base)


def has_dates(dtype):
    parts = [dtype.fields[name][0] for name in dtype.names or ()]
    parts += [dtype.subdtype[0]] if dtype.subdtype else []
    return dtype.kind in "mM" or any(map(has_dates, parts))


def as_objects(array):
    return array.astype(object)


def use(array):
    check(array.dtype)
    assert not array.dtype.hasobject, array.dtype
    for show in (str, repr, np.ndarray.tolist, as_objects):
        # A date without a unit has no text, and one of many years at a time has too large a number.
        excused = (ValueError, OverflowError) if has_dates(array.dtype) else ()
        with contextlib.suppress(*excused):
            show(array)
    copied = array.copy()
    for again in (copied, pickle.loads(pickle.dumps(array))):
        # What belongs to no field need not be copied, and items of no bytes get some.
        is_plain = array.dtype.names is None and array.dtype.itemsize > 0
        assert not is_plain or again.tobytes() == array.tobytes(), array.dtype
    # Not all types can be compared, and NumPy sorts no more than 32 dimensions.
    with contextlib.suppress(TypeError, ValueError, *[RuntimeError] * (array.ndim > 32)):
        array == copied, np.sort(array)
    if array.dtype.kind in "biufc" and array.dtype.isbuiltin == 1:
        assert memoryview(array).nbytes == array.nbytes
    else:
        # Some have no format in some order of bytes, or for their names.
        with contextlib.suppress(ValueError, BufferError):
            memoryview(array)
    for name in array.dtype.names or ():
        use(array[name])


taken = 0
for text, itemsize, shape in json.loads(sys.argv[1]):
    theirs, ours = socket.socketpair()
    nbytes = itemsize * int(np.prod(shape, dtype=object))
    if nbytes > 65536:
        shape, nbytes = [0], 0
    stream = blocking.Stream.from_socket(ours)
    with theirs, blocking.Channel(stream, same_host="off") as channel:
        frame = header(part(text.encode(), shape, itemsize), payload=nbytes)
        theirs.sendall(hello(flags=1) + frame + bytes(nbytes))
        try:
            head = channel.recv_header(timeout=10)
        except ProtocolError:
            continue
        (described,) = head.parts
        check(described.dtype)
        (array,) = head.read(timeout=10).parts
        assert array.dtype == described.dtype
        use(array)
        taken += 1
print(taken)
"""

UNITS = ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "xx", ""]
NEARLY = [0, 1, 2, 3, 4, 7, 8, 9, 16, 255, 65535, 65536, 2**31 - 9, 2**31 - 1, 2**31, 2**32, 2**63]

numbers = st.sampled_from(NEARLY) | st.integers(0, 40)
plain = st.builds("{}{}{}".format, st.sampled_from("<>|"), st.sampled_from("biufcSUV"), numbers)
times = st.builds(
    "{}{}8[{}{}]".format,
    st.sampled_from("<>"),
    st.sampled_from("mM"),
    st.just("") | st.just("0") | st.just("00") | numbers.map(str),
    st.builds("{}{}".format, st.sampled_from(UNITS), st.sampled_from(["", "/0", "/1", "//3"])),
)
items = plain | times | st.sampled_from(["<M8", "bfloat16", "float8_e4m3fn", "O", "|O8", "<f8"])


def structures(inner: Any) -> Any:
    field = st.tuples(inner, numbers | st.just(-1))
    return st.builds(structure, st.lists(field, max_size=4), numbers)


def structure(fields: list[tuple[Any, int]], itemsize: int) -> dict[str, Any]:
    odd = ["", "a:b", "\0", "\u202e"]
    return {
        "names": odd[: len(fields)] if itemsize % 5 == 0 else [f"f{n}" for n in range(len(fields))],
        "formats": [kind for kind, _ in fields],
        "offsets": [offset for _, offset in fields],
        "itemsize": itemsize,
    }


def trees(inner: Any) -> Any:
    shapes = st.lists(numbers, max_size=3) | st.integers(0, 70).map(lambda ndim: [1] * ndim)
    arrays = st.tuples(inner, shapes).map(list)
    return structures(inner | arrays | st.tuples(arrays, shapes).map(list))


def text_of(tree: Any) -> str:
    return tree if isinstance(tree, str) else json.dumps(tree, separators=(",", ":"))


def size_of(tree: Any) -> int:
    """The itemsize to announce: the true one where that is plain to see."""
    if isinstance(tree, dict):
        return min(tree["itemsize"], 2**32 - 1)
    digits = "".join(filter(str.isdigit, tree[2:].partition("[")[0]))
    size = int(digits or 8) * (4 if tree[1:2] == "U" else 1)
    return min({"bfloat16": 2, "float8_e4m3fn": 1}.get(tree, size), 2**32 - 1)


def received(many: list[tuple[str, int, list[int]]]) -> tuple[int, str, str]:
    return program(RECEIVE, json.dumps(many), Path(__file__).parent)


words = st.builds(
    lambda tree, shape: (text_of(tree), size_of(tree), shape),
    st.recursive(items, trees, max_leaves=6),
    st.sampled_from([[], [1], [3], [0], [2, 2], [0, 2**20], [1] * 31, [1] * 64]),
)


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(words, min_size=80, max_size=120))
def test_array_when_its_layout_is_accepted_then_numpy_can_do_everything_with_it(many):
    returncode, printed, complaints = received(many)
    assert returncode == 0, complaints[-2000:]
    assert printed.strip().isdigit()


@pytest.mark.parametrize("text", ["<f8", "<M8[25s]", "<U3", "bfloat16"])
def test_array_when_its_layout_is_plain_then_it_is_accepted(text):
    # So that the test above proves something.
    assert received([(text, size_of(text), [3])])[:2] == (0, "1\n")


def test_array_when_its_fields_share_bytes_then_it_is_accepted():
    shared = structure([("<f8", 0), ("<u4", 4), (["<u2", [2, 2]], 8)], 24)
    assert received([(text_of(shared), 24, [3])])[:2] == (0, "1\n")


NOTHING = structure([("|V0", 0)], 0)


def deep(inner: Any, *levels: list[int]) -> str:
    for shape in levels:
        inner = structure([([inner, shape], 0)], inner["itemsize"])
    return text_of(inner)


# What NumPy accepts and then cannot use: each ended the process, kept it for ever, or was refused
# once it was accepted.
UNUSABLE = {
    "array of arrays": (text_of(structure([([["|u1", [1] * 64], [1]], 0)], 1)), 1, [1]),
    "array of structures": (deep(structure([(["|u1", [1] * 20], 0)], 1), [1] * 13), 1, [1]),
    "array of items": (text_of(structure([(["|u1", [1] * 32], 0)], 1)), 1, [1]),
    "printed for ever": (deep(NOTHING, *[[1000]] * 7), 0, [1]),
    "compared in memory": (deep(NOTHING, [2**9], [2**20]), 0, [1]),
    "arrays of nothing": (text_of(structure([(["<f8", [1000, 0]], 0)], 1)), 1, [1]),
    "text of nothing": (text_of(structure([(["|S0", [1]], 0)], 0)), 0, [4]),
    "void of nothing": (text_of(structure([(["|V0", [1]], 0)], 0)), 0, [4]),
    "characters of nothing": (text_of(structure([(["<U0", [1]], 0)], 0)), 0, [4]),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_array_when_numpy_cannot_use_it_then_it_is_refused(name):
    returncode, printed, complaints = received([UNUSABLE[name]])
    assert (returncode, printed) == (0, "0\n"), complaints[-2000:]


@pytest.mark.parametrize(
    "field",
    [["<f8", [0]], [["<u2", [2]], [3]], ["<u2", [1] * 31], "|S0"],
    ids=["flexible", "of-ctypes", "31-dimensions", "no-text"],
)
def test_array_when_its_fields_are_odd_but_sound_then_it_is_accepted(field):
    assert received([(text_of(structure([("<u4", 0), (field, 4)], 16)), 16, [3])])[:2] == (0, "1\n")
