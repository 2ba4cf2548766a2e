"""What a receiving channel says of a peer that lies about what it sends, on every face."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hostile import floats, header, part, told
from hypothesis import given, settings
from hypothesis import strategies as st

import pinwire
from pinwire import _dtypes

FACES = pytest.mark.parametrize("face", ["asyncio", "uvloop", "blocking"])


def structure(**changes: Any) -> str:
    fields = {"names": ["a"], "formats": ["<f8"], "offsets": [0], "itemsize": 8}
    return json.dumps(fields | changes)


def nested(levels: int) -> str:
    return '["<f8",[1]]' if levels == 1 else f"[{nested(levels - 1)},[1]]"


# Texts of types, each for items of 8 bytes, and what is said of them.
NO_DTYPES = {
    "": "is no type",
    "O": "is no type",
    "|O8": "is no type",
    "object": "is no type that ml_dtypes knows",
    "os": "is no type that ml_dtypes knows",
    "finfo": "holds pointers",
    "f8,O": "is no type",
    "=f8": "is no type",
    " <f8": "is no type",
    "<f8\0": "is no type",
    "<f3": "not understood",
    "|V9999999999": "not understood",
    "<U2147483647": "not understood",
    "<M8[xx]": "Invalid datetime unit",
    "{": "Expecting property name",
    "[" * 10_000: "recursion",
    '{"a":' * 3_000: "makes no sense",  # for one Python it is too deep, for another just cut
    nested(1): "is no type of an array's items",
    nested(17): "nests too deep",
    nested(500): "nests too deep",
    "[1]": "not enough values",
    "[NaN,[1]]": "float",
    "[" + "9" * 5_000 + ",[1]]": "Exceeds the limit",
    '["<f8",[-1]]': "is no shape",
    '["<f8",[1.0]]': "is no shape",
    '["|O8",[1]]': "is no type",
    structure(formats=["|O8"]): "is no type",
    structure(formats=[structure(formats=["O"])]): "is no type",
    structure(titles=["x"]): "is no structure",
    structure(offsets=[-8]): "cannot be negative",
    structure(offsets=[2**70]): "too large",
    structure(itemsize=-1): "requires 8 bytes",
    structure(names=[["t", "a"]]): "must be strings",
    structure(formats=None): "not iterable",
    "|u1": "whose items have another size",
    "bfloat16": "whose items have another size",
    structure(itemsize=16): "whose items have another size",
}

CALLS = [lambda channel: channel.recv(), lambda channel: channel.recv(share=True)]


@FACES
@pytest.mark.parametrize("text", NO_DTYPES, ids=lambda text: text[:16].replace("\0", "0"))
def test_a_dtype_when_it_makes_no_sense_then_the_peer_loses_its_connection(face, text):
    data = header(part(text), payload=8) + bytes(8) + floats(5)
    for call in CALLS:
        outcome = told(face, data, call, call)
        for error in outcome.results:
            assert type(error) is pinwire.ProtocolError
            assert NO_DTYPES[text] in str(error)
        assert outcome.is_closed


def test_a_dtype_when_it_is_no_text_then_the_peer_loses_its_connection():
    data = header(part(b"\xff\xfe"), payload=8) + bytes(8)
    outcome = told("asyncio", data, CALLS[0])
    assert type(outcome.results[0]) is pinwire.ProtocolError and outcome.is_closed


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=40)
    | st.text(max_size=20).map(str.encode)
    | st.recursive(
        st.sampled_from(["<f8", "|V3", "O", "x", 3, -1, None, True, 1e9, 2**80]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.fixed_dictionaries(
                dict.fromkeys(("names", "formats", "offsets", "itemsize"), inner)
            )
        ),
    ).map(lambda tree: json.dumps(tree).encode())
)
def test_a_text_when_it_is_loaded_then_it_is_a_plain_dtype_or_a_value_error(text):
    try:
        dtype = _dtypes.load(text)
    except ValueError:
        return
    assert not dtype.hasobject


@FACES
@pytest.mark.parametrize("dtype", ["|O8", "nonsense", "[" * 10_000])
def test_a_dtype_when_the_memory_is_given_then_nobody_looks_at_it(face, dtype):
    outcome = told(
        face,
        header(part(dtype), payload=8) + b"payload." + floats(5),
        lambda channel: channel.recv_into(np.zeros(1)),
        lambda channel: channel.recv_into(bytearray(8)),
        lambda channel: channel.recv(),
    )
    refused, raw, message = outcome.results
    assert type(refused) is pinwire.MessageRefusedError
    assert "the memory for it is <f8 of shape [1], 8 bytes" in str(refused)
    assert raw.parts == [b"payload."] and message.parts == [5.0]
    assert not outcome.is_closed


# Shapes that NumPy would make of another shape or size, or not at all.
NO_ARRAYS = {
    "endless-nothing": part("|V0", [1 << 62, 2], 0),
    "array-of-arrays": part('["<f8",[0]]', [1 << 40], 0),
}


@FACES
@pytest.mark.parametrize("name", NO_ARRAYS)
def test_an_array_when_numpy_has_none_such_then_the_peer_loses_its_connection(face, name):
    for call in CALLS:
        outcome = told(face, header(NO_ARRAYS[name], payload=0) + floats(5), call)
        assert type(outcome.results[0]) is pinwire.ProtocolError
        assert outcome.is_closed


class Intruder:
    """What runs when it is unpickled."""

    ran = 0

    def __reduce__(self) -> Any:
        return (intrude, ())


def intrude() -> str:
    Intruder.ran += 1
    return "intruded"


PICKLE = pickle.dumps(Intruder(), protocol=5)
OBJECT = header(part("|u1", [len(PICKLE)], 1), payload=len(PICKLE), kind=2) + PICKLE


@FACES
def test_an_object_when_pickles_are_not_allowed_then_it_is_not_loaded_and_can_be_skipped(face):
    room = bytearray(len(PICKLE))
    before = Intruder.ran
    outcome = told(
        face,
        OBJECT + floats(5) + OBJECT,
        lambda channel: channel.recv(),
        lambda channel: channel.recv_into(room),
        lambda channel: channel.recv_object(),
        lambda channel: channel.recv_header(),
        lambda channel: channel.recv(share=True),
    )
    *refused, own, head, last = outcome.results
    for error in (*refused, last):
        assert type(error) is pinwire.MessageRefusedError
        assert str(error) == "this message is an object: receive it by recv_object"
    assert type(own) is pinwire.MessageRefusedError and "allow_pickle=True" in str(own)
    assert (head.kind, head.nbytes) == ("object", len(PICKLE))
    assert Intruder.ran == before and not any(room)
    assert not outcome.is_closed


async def _skipped(channel: Any) -> Any:
    head = await channel.recv_header()
    await head.skip()
    return await channel.recv()


def _skipped_blocking(channel: Any) -> Any:
    channel.recv_header().skip()
    return channel.recv()


@FACES
def test_an_object_when_it_is_skipped_then_the_channel_is_in_step(face):
    before = Intruder.ran
    outcome = told(face, OBJECT + floats(5), _skipped_blocking if face == "blocking" else _skipped)
    assert outcome.results[0].parts == [5.0]
    assert Intruder.ran == before


def test_an_object_when_pickles_are_allowed_then_it_is_loaded():
    # So that the tests above prove something.
    before = Intruder.ran
    outcome = told("asyncio", OBJECT, lambda channel: channel.recv_object(), allow_pickle=True)
    assert outcome.results == ["intruded"]
    assert Intruder.ran == before + 1


@FACES
def test_a_pickle_when_it_is_broken_then_the_channel_stays_in_step(face):
    broken = header(part("|u1", [4], 1), payload=4, kind=2) + b"abcd"
    calls = [lambda channel: channel.recv_object(), lambda channel: channel.recv()]
    outcome = told(face, broken + floats(5), *calls, allow_pickle=True)
    assert isinstance(outcome.results[0], pickle.UnpicklingError)
    assert outcome.results[1].parts == [5.0]
