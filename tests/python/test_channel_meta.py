"""The small mapping that travels beside the arrays of a message."""

from __future__ import annotations

import collections
import enum
import math
import types

import numpy as np
import pandas as pd
import pytest
from channels import exchange

import pinwire


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


METAS = {
    "empty": {},
    "none": {"a": None},
    "bools": {"t": True, "f": False},
    "ints": {"i": [0, 1, -1, 127, 128, 255, 256, -129, 2**31, 2**63 - 1, -(2**63), 2**64 - 1]},
    "floats": {"f": [0.0, -0.0, 1.5, 1e308, 5e-324, math.inf, -math.inf, math.pi]},
    "texts": {"s": ["", "a", "ü\N{SNOWMAN}\U0001f40d", "\0", "x" * 300]},
    "bytes": {"b": [b"", b"\xff\0", bytes(300)]},
    "nested": {"a": {"b": [{"c": [[], {}, [None]]}]}},
    "keys": {1: "int", False: "bool", "": "empty", b"x": "bytes", 2.5: "float", None: "none"},
    "unicode-key": {"schlüssel": 1},
    "many": {str(i): i for i in range(2000)},
}
SAME_AS = {
    "tuple": ({"a": (1, (2,))}, {"a": [1, [2]]}),
    "bytearray": ({"a": bytearray(b"x")}, {"a": b"x"}),
    "enum": ({"a": Level.LOW}, {"a": 1}),
    "str-subclass": ({Text("k"): Text("v")}, {"k": "v"}),
    "mapping": (types.MappingProxyType({"a": 1}), {"a": 1}),
    "ordered": (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "inner-mapping": ({"a": types.MappingProxyType({"b": 1})}, {"a": {"b": 1}}),
    "numpy-int": ({"a": np.int8(-3), "b": np.uint64(2**64 - 1)}, {"a": -3, "b": 2**64 - 1}),
    "numpy-float": ({"a": np.float32(0.5), "b": np.float64(0.1)}, {"a": 0.5, "b": 0.1}),
    "numpy-bool": ({"a": np.True_}, {"a": True}),
    "numpy-str": ({"a": np.str_("x"), "b": np.bytes_(b"y")}, {"a": "x", "b": b"y"}),
    "numpy-0d": ({"a": np.array(1.5), "b": np.array(7)}, {"a": 1.5, "b": 7}),
    "numpy-key": ({np.int64(5): 1}, {5: 1}),
}
REFUSED = {
    "list": [1],
    "str": "a",
    "int": 1,
    "pairs": [("a", 1)],
    "object": {"a": object()},
    "set": {"a": {1}},
    "complex": {"a": 1j},
    "array": {"a": np.arange(3)},
    "array-of-one": {"a": np.ones(1)},
    "array-of-one-in-two-dimensions": {"a": [np.ones((1, 1))]},
    "array-of-none": {"a": np.ones(0)},
    "array-as-key": {"a": {"b": np.ones(1, "i4")}},
    "series-of-one": {"a": pd.Series([1.5])},
    "masked": {"a": np.ma.masked},
    "masked-item": {"a": np.ma.array(1.5, mask=True)},
    "long-double": {"a": np.longdouble(1.5)},
    "datetime": {"a": np.datetime64("2026-01-01")},
    "type": {"a": int},
    "container-as-key": {(1, 2): 1},
    "function": {"a": print},
}


def nested(depth):
    meta = {}
    for _ in range(depth):
        meta = {"a": meta}
    return meta


@pytest.mark.parametrize("name", METAS)
def test_meta_when_of_plain_values_then_it_arrives_equal(name, face):
    async def main():
        async with face.pair() as (client, server):
            message = await exchange(client, server, np.arange(3), METAS[name])
            assert message.meta == METAS[name]
            assert repr(message.meta) == repr(METAS[name])
            assert message.parts[0].tolist() == [0, 1, 2]

    face.run(main())


@pytest.mark.parametrize("name", SAME_AS)
def test_meta_when_of_values_like_plain_ones_then_plain_ones_arrive(name, face):
    sent, expected = SAME_AS[name]

    async def main():
        async with face.pair() as (client, server):
            message = await exchange(client, server, [], sent)
            assert repr(message.meta) == repr(expected)

    face.run(main())


def test_meta_when_not_a_number_then_it_arrives_as_one(face):
    async def main():
        async with face.pair() as (client, server):
            assert math.isnan((await exchange(client, server, [], {"a": math.nan})).meta["a"])

    face.run(main())


@pytest.mark.parametrize("name", REFUSED)
def test_meta_when_of_other_values_then_type_error_and_nothing_moves(name, face):
    async def main():
        async with face.pair() as (client, server):
            with pytest.raises((TypeError, ValueError)):
                await client.send(b"x", meta=REFUSED[name])
            with pytest.raises((TypeError, ValueError)):
                client.post(b"x", meta=REFUSED[name])
            assert (await exchange(client, server, b"next", {"n": 1})).meta == {"n": 1}

    face.run(main())


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**30])
def test_meta_when_an_int_has_more_than_64_bits_then_value_error(value, face):
    async def main():
        async with face.pair() as (client, server):
            with pytest.raises(ValueError, match="64 bits"):
                await client.send(b"x", meta={"a": value})
            await exchange(client, server, b"next")

    face.run(main())


def test_meta_when_a_text_has_lone_surrogates_then_value_error(face):
    async def main():
        async with face.pair() as (client, server):
            with pytest.raises(UnicodeEncodeError):
                await client.send(b"x", meta={"a": "\ud800"})
            await exchange(client, server, b"next")

    face.run(main())


def test_meta_when_nested_16_deep_then_it_arrives(face):
    async def main():
        async with face.pair() as (client, server):
            assert (await exchange(client, server, [], nested(16))).meta == nested(16)
            lists = {"a": [[[[[[[[[[[[[[[7]]]]]]]]]]]]]]]}
            assert (await exchange(client, server, [], lists)).meta == lists

    face.run(main())


@pytest.mark.parametrize("depth", [17, 18, 1000])
def test_meta_when_nested_deeper_then_value_error(depth, face):
    async def main():
        async with face.pair() as (client, server):
            with pytest.raises(ValueError, match="16"):
                await client.send(b"x", meta=nested(depth))
            await exchange(client, server, b"next")

    face.run(main())


def test_meta_when_it_holds_itself_then_value_error(face):
    async def main():
        async with face.pair() as (client, server):
            meta = {}
            meta["self"] = [meta]
            with pytest.raises(ValueError, match="16"):
                await client.send(b"x", meta=meta)
            await exchange(client, server, b"next")

    face.run(main())


def test_meta_when_of_64_kib_then_it_arrives(face):
    # A map of one entry, a key of one letter, and five bytes of the value's own.
    most = bytes(64 * 1024 - 1 - 2 - 3)

    async def main():
        async with face.pair() as (client, server):
            assert (await exchange(client, server, b"x", {"a": most})).meta == {"a": most}

    face.run(main())


def test_meta_when_larger_then_it_is_refused(face):
    async def main():
        async with face.pair() as (client, server):
            with pytest.raises(pinwire.MessageRefusedError, match="65536"):
                await client.send(b"x", meta={"a": bytes(64 * 1024 - 5)})
            await exchange(client, server, b"next")

    face.run(main())


def test_meta_when_received_twice_then_each_has_its_own(face):
    async def main():
        async with face.pair() as (client, server):
            await client.send(b"x", meta={"a": [1]})
            header = await server.recv_header()
            header.meta["a"].append(2)
            message = await header.read()
            assert message.meta == {"a": [1]}
            message.meta["b"] = 1
            assert message.meta == {"a": [1], "b": 1}
            assert (await exchange(client, server, [])).meta == {}

    face.run(main())
