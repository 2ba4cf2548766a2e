"""What no message is made of: it is refused at the call, with an error that names the way."""

from __future__ import annotations

import io
import types

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from channels import exchange

A = np.arange(3.0)
PLAIN = np.dtype([("a", "u1"), ("b", "<f8")])
NOTED = np.dtype([("a", np.dtype("<f8", metadata={"unit": "m"}))])

# name -> how to make it, and what the TypeError has to name.
REFUSED = {
    "dict": (lambda: {"a": A}, "list of its values.*meta"),
    "dict-of-bytes": (lambda: {b"a": A}, "list of its values.*meta"),
    "mapping": (lambda: types.MappingProxyType({b"a": A}), "list of its values.*meta"),
    "set": (lambda: {b"a", b"b"}, "no order"),
    "keys": (lambda: {b"a": A}.keys(), "no order"),
    "batch": (lambda: pa.record_batch({"a": [1], "b": [2]}), r"columns.*meta.*send_object"),
    "table": (lambda: pa.table({"a": [1]}), r"columns.*meta.*send_object"),
    "frame": (lambda: pd.DataFrame({"a": [1]}), r"columns.*meta.*send_object"),
    "masked": (lambda: np.ma.array(A, mask=[1, 0, 0]), r"filled.*getmaskarray.*send_object"),
    "masked-in-list": (lambda: [A, np.ma.array(A)], r"filled.*getmaskarray.*send_object"),
    "lines": (lambda: io.BytesIO(b"a\nb"), r"\.getbuffer\(\)"),
    "nested": (lambda: [[A, A]], r"one list, which holds no other, to Channel\.send"),
    "nested-tuple": (lambda: [A, (A, A)], r"one list, which holds no other, to Channel\.send"),
    "metadata": (lambda: np.zeros(3, np.dtype("<f8", metadata={"unit": "m"})), "metadata.*view"),
    "metadata-of-field": (lambda: np.zeros(3, NOTED), r"metadata.*view.*send_object"),
    "titles": (lambda: np.zeros(3, [(("Title", "a"), "<f8")]), r"titles.*view.*send_object"),
    "titles-of-field": (
        lambda: np.zeros(3, [("x", [(("Title", "a"), "<f8")])]),
        r"titles.*view.*send_object",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_send_when_something_would_be_lost_then_type_error_names_the_way(name, face):
    make, way = REFUSED[name]

    async def main():
        async with face.pair() as (client, server):
            for send in (client.send, client.post):
                with pytest.raises(TypeError, match=way):
                    await send(make())
            assert (await exchange(client, server, A)).parts[0].tolist() == A.tolist()
            assert client.stats().messages_sent == 1

    face.run(main())


@pytest.mark.parametrize("name", ["dict", "keys", "set", "batch", "masked", "nested"])
def test_recv_into_when_given_no_list_then_type_error_and_the_message_stays(name, face):
    make, _ = REFUSED[name]

    async def main():
        async with face.pair() as (client, server):
            await client.send(A)
            with pytest.raises(TypeError):
                await server.recv_into(make())
            assert (await server.recv()).parts[0].tolist() == A.tolist()

    face.run(main())


def test_send_when_it_goes_the_way_of_the_refusal_then_all_arrives(face):
    noted = np.zeros(3, NOTED)
    batch = pa.record_batch({"a": [1], "b": [2]})
    masked = np.ma.array(A, mask=[1, 0, 0])

    async def main():
        async with face.pair() as (client, server):
            for data, meta, count in [
                (list({"a": A, "b": A}.values()), {"names": ["a", "b"]}, 2),
                ([column.to_numpy() for column in batch.columns], {"names": batch.schema.names}, 2),
                ([masked.data, np.ma.getmaskarray(masked)], None, 2),
                (noted.view([("a", "<f8")]), {"unit": "m"}, 1),
            ]:
                message = await exchange(client, server, data, meta)
                assert len(message.parts) == count
                assert message.meta == (meta or {})

    face.run(main())


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype([("a", "u1"), ("b", "<f8")], align=True),
        np.dtype([("x", np.dtype([("a", "u1"), ("b", "<f8")], align=True)), ("y", "u1")]),
        PLAIN,
    ],
    ids=["aligned", "aligned-within", "plain"],
)
def test_send_when_records_are_aligned_then_so_are_those_that_arrive(dtype, face):
    def flags(dtype):
        inner = [flags(field[0]) for field in (dtype.fields or {}).values()]
        return dtype.isalignedstruct, inner

    async def main():
        async with face.pair() as (client, server):
            part = (await exchange(client, server, np.zeros(3, dtype))).parts[0]
            assert part.dtype == dtype
            assert flags(part.dtype) == flags(dtype)

    face.run(main())
