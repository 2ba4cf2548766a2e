"""What a receiving channel says of a peer that lies about what it sends, on every face."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hostile import floats, header, part, told

import pinwire
import pinwire._dtypes

FACES = pytest.mark.parametrize("face", ["asyncio", "uvloop", "blocking"])


def structure(**changes: Any) -> str:
    fields = {"names": ["a"], "formats": ["<f8"], "offsets": [0], "itemsize": 8}
    return json.dumps(fields | changes)


def nested(levels: int) -> str:
    return '["<f8",[1]]' if levels == 1 else f"[{nested(levels - 1)},[1]]"


# Texts of types, each for items of 8 bytes, and what is said of them.
NO_DTYPES = {
    "": "it is no type",
    "O": "it is no type",
    "|O8": "it is no type",
    "object": "it is no type",
    "os": "it is no type",
    "finfo": "it is no type",
    "f8": "it is no type",
    "f8,O": "it is no type",
    "=f8": "it is no type",
    "|f8": "it is no type",
    "<u1": "it is no type",
    " <f8": "it is no type",
    "<f8\0": "it is no type",
    "<f08": "it is no type",
    "<f3": "it is no type",
    "<\u0556f8": "it is no type",
    "|V9999999999": "larger than 2 GiB",
    "<U2147483647": "larger than 2 GiB",
    "<M8[xx]": "unit is none of NumPy's",
    # numpy.dtype divides by zero in these, or by what overflows to it.
    "<M8[s/0]": "unit is none of NumPy's",
    "<M8[Y/0]": "unit is none of NumPy's",
    "<M8[0s]": "unit is none of NumPy's",
    "<M8[00s]": "unit is none of NumPy's",
    "<m8[s/4294967296]": "unit is none of NumPy's",
    "<m8[4294967296s]": "unit is none of NumPy's",
    "<M8[s": "unit is none of NumPy's",
    "{": "it is no JSON",
    "[" * 10_000: "it is no type",
    '{"a":' * 3_000: "it is no JSON",
    nested(1): "it is no type",
    structure(formats=[json.loads(nested(17))]): "nests too deep",
    structure(formats=[json.loads(nested(60))]): "nests too deep",
    structure(formats=[[1]]): "it is no array",
    structure(formats=[["<f8", [-1]]]): "its shape is none",
    structure(formats=[["<f8", [1.0]]]): "its shape is none",
    structure(formats=[["<f8", [1] * 65]]): "too many dimensions",
    structure(formats=[["<f8", [1 << 31]]]): "its shape is none",
    structure(formats=[["<f8", [1 << 28]]]): "larger than 2 GiB",
    structure(formats=[["|V0", [1 << 30]]]): "an array of items without a byte",
    structure(formats=[["|S0", [1]]]): "an array of items without a byte",
    structure(formats=[["<f8", [0, 1 << 30]]]): "larger than 2 GiB",
    structure(formats=[["<f8", [65, 0]]]): "too many items without a byte",
    structure(formats=[[["<f8", [1] * 16], [1] * 17]]): "too many dimensions",
    structure(formats=["|O8"]): "it is no type",
    structure(formats=[structure(formats=["O"])]): "it is no type",
    structure(titles=["x"]): "it is no structure",
    structure(aligned=False): "it is no structure",
    structure(aligned=[True]): "it is no structure",
    structure(names=["a", "b"]): "it is no structure",
    structure(names=["a", "a"], formats=["|u1"] * 2, offsets=[0, 1]): "a name twice",
    structure(offsets=[-8]): "it is no structure",
    structure(offsets=[2**70]): "it is no structure",
    structure(offsets=[1]): "outside of its item",
    # NumPy's sum of these wraps around.
    structure(offsets=[2147483641]): "outside of its item",
    structure(offsets=[2**64 - 8]): "outside of its item",
    structure(itemsize=-1): "it is no structure",
    structure(itemsize=7): "outside of its item",
    structure(itemsize=2_000_000_000): "more than 64 KiB",
    structure(names=[["t", "a"]]): "it is no structure",
    structure(names=["\ud800"]): "it is no JSON",
    structure(formats=None): "it is no structure",
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


def test_a_dtype_when_only_numpy_refuses_it_then_the_message_can_be_skipped(monkeypatch):
    def load(text: bytes) -> Any:
        raise ValueError(text.decode() + "\n")

    monkeypatch.setattr(pinwire._dtypes, "load", load)

    def look(channel: Any) -> Any:
        head = channel.recv_header()
        with pytest.raises(
            pinwire.MessageRefusedError, match=r"no type such as this: <M8\[77s\]\\n"
        ):
            print(head.parts[0].dtype)
        head.skip()
        monkeypatch.undo()
        return channel.recv()

    data = header(part("<M8[77s]"), payload=8) + bytes(8) + floats(5)
    outcome = told("blocking", data, CALLS[0], look)
    assert type(outcome.results[0]) is pinwire.MessageRefusedError
    assert outcome.results[1].parts == [5.0]
    assert not outcome.is_closed


# What `recv_into` has to find out as well: memory of the caller's takes no format from a peer.
INTO = [lambda channel: channel.recv_into(np.zeros(1)), lambda channel: channel.recv_header()]


@FACES
@pytest.mark.parametrize("text", ["|O8", "<M8[s/0]", "|u1", structure(itemsize=16)])
@pytest.mark.parametrize("call", INTO, ids=["recv_into", "recv_header"])
def test_a_dtype_when_the_memory_is_given_then_it_is_checked_all_the_same(face, text, call):
    data = header(part(text), payload=8) + bytes(8) + floats(5)
    outcome = told(face, data, call, INTO[0])
    for error in outcome.results:
        assert type(error) is pinwire.ProtocolError
        assert NO_DTYPES.get(text, "it is no type") in str(error)
    assert outcome.is_closed


@FACES
@pytest.mark.parametrize("itemsize", [1, 16])
def test_an_itemsize_when_it_is_not_that_of_the_dtype_then_nothing_is_filled(face, itemsize):
    out = np.full(8, 7.0)
    data = header(part("<f8", [8], itemsize), payload=8 * itemsize) + bytes(8 * itemsize)
    outcome = told(face, data, lambda channel: channel.recv_into(out))
    assert type(outcome.results[0]) is pinwire.ProtocolError
    assert outcome.is_closed and (out == 7.0).all()


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
