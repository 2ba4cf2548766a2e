"""Messages go straight into memory that the receiver has chosen, or stay if they do not fit."""

from __future__ import annotations

import array
import asyncio
import mmap

import ml_dtypes
import numpy as np
import pytest
from channels import exchange
from exporters import DTYPES, noise_array, voids
from support import PATIENCE

import pinwire

ROWS, COLUMNS = 90, 70


async def exchange_into(sender, receiver, data, out, **options):
    """Send one message while it is received into memory; what that returns."""
    sending = asyncio.ensure_future(sender.send(data))
    try:
        return await receiver.recv_into(out, timeout=PATIENCE, **options)
    finally:
        await sending


def sample(dtype="f4"):
    return noise_array((ROWS, COLUMNS), dtype)


# A target for a message of ROWS x COLUMNS float32: name -> (base, the part of it that is filled).
TARGETS = {
    "c": lambda: (base := np.zeros((ROWS, COLUMNS), "f4"), base),
    "fortran": lambda: (base := np.zeros((ROWS, COLUMNS), "f4", "F"), base),
    "rows": lambda: (base := np.zeros((2 * ROWS, COLUMNS), "f4"), base[::2]),
    "reversed": lambda: (base := np.zeros((ROWS, COLUMNS), "f4"), base[::-1]),
    "columns": lambda: (base := np.zeros((ROWS, 3 * COLUMNS), "f4"), base[:, 1::3]),
    "block": lambda: (base := np.zeros((ROWS + 4, COLUMNS + 4), "f4"), base[2:-2, 2:-2]),
    "inner-of-3-d": lambda: (base := np.zeros((ROWS, COLUMNS, 2), "f4"), base[:, :, 1]),
    "transposed": lambda: (base := np.zeros((COLUMNS, ROWS), "f4"), base.T),
    "memoryview": lambda: (
        base := np.zeros((ROWS, COLUMNS), "f4"),
        memoryview(bytearray(base.nbytes)).cast("f", (ROWS, COLUMNS)),
    ),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", TARGETS)
def test_message_when_the_target_has_any_layout_then_it_is_filled(name, order, channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = np.asarray(sample(), order=order)
            base, target = TARGETS[name]()
            message = await exchange_into(client, server, sent, target)
            assert message.parts[0] is target
            assert np.asarray(target).tobytes() == sent.tobytes()
            if isinstance(target, np.ndarray):
                # What lies beside it is as it was.
                target[...] = 0
                assert not base.any()

    channels.run(main())


def test_message_when_of_any_dtype_then_a_target_like_it_is_filled(channels):
    async def main():
        async with channels.pair() as (client, server):
            for dtype in DTYPES.values():
                sent = noise_array((3, 40), dtype)
                out = np.zeros((3, 40), dtype)
                message = await exchange_into(client, server, sent, out)
                assert message.parts[0] is out
                assert voids(out).tobytes() == voids(sent).tobytes()

    channels.run(main())


RAW = {
    "bytearray": bytearray,
    "mmap": lambda size: mmap.mmap(-1, size),
    "memoryview": lambda size: memoryview(bytearray(size)),
    "memoryview-slice": lambda size: memoryview(bytearray(size + 5))[2:-3],
    "array-of-bytes": lambda size: array.array("B", bytes(size)),
}


@pytest.mark.parametrize("name", RAW)
def test_message_when_the_target_has_no_type_then_it_takes_any_of_its_size(name, channels):
    async def main():
        async with channels.pair() as (client, server):
            for sent in (sample(), sample("c16").T, sample("S7"), sample(ml_dtypes.bfloat16)):
                out = RAW[name](sent.nbytes)
                message = await exchange_into(client, server, sent, out)
                assert message.parts[0] is out
                # In the order of the memory it came from: there is no shape to put it in.
                assert bytes(out) == voids(sent).tobytes(order="A")

    channels.run(main())


def test_message_when_of_several_parts_then_a_list_of_targets_is_filled(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = [sample(), np.empty(0), sample(">i8")[::2], np.float32(1.5), b"tail"]
            outs = [
                np.zeros((COLUMNS, ROWS), "f4").T,
                np.empty(0),
                np.zeros((ROWS, COLUMNS), ">i8")[::2],
                np.zeros((), "f4"),
                bytearray(4),
            ]
            for given in (outs, tuple(outs), iter(outs)):
                message = await exchange_into(client, server, sent, given)
                assert all(a is b for a, b in zip(message.parts, outs, strict=True))
                for out, part in zip(outs[:4], sent[:4], strict=True):
                    assert out.tobytes() == part.tobytes()
                assert outs[4] == b"tail"

    channels.run(main())


def test_message_when_it_has_no_parts_then_an_empty_list_takes_it(channels):
    async def main():
        async with channels.pair() as (client, server):
            await client.send([], meta={"a": 1})
            assert (await server.recv_into([])).meta == {"a": 1}

    channels.run(main())


REFUSALS = {
    "dtype": lambda: np.zeros((ROWS, COLUMNS), "i4"),
    "byte-order": lambda: np.zeros((ROWS, COLUMNS), ">f4"),
    "shape": lambda: np.zeros((COLUMNS, ROWS), "f4"),
    "flat": lambda: np.zeros(ROWS * COLUMNS, "f4"),
    "new-axis": lambda: np.zeros((1, ROWS, COLUMNS), "f4"),
    "smaller": lambda: np.zeros((ROWS - 1, COLUMNS), "f4"),
    "larger": lambda: np.zeros((ROWS + 1, COLUMNS), "f4"),
    "bytes-of-numpy": lambda: np.zeros(ROWS * COLUMNS * 4, "u1"),
    "smaller-bytes": lambda: bytearray(ROWS * COLUMNS * 4 - 1),
    "larger-bytes": lambda: bytearray(ROWS * COLUMNS * 4 + 1),
    "typed-view": lambda: memoryview(bytearray(ROWS * COLUMNS * 4)).cast("f"),
    "none": list,
    "two": lambda: [np.zeros((ROWS, COLUMNS), "f4"), bytearray(1)],
}
WRONG_CALLS = {
    "read-only": (lambda: np.broadcast_to(np.float32(0), (ROWS, COLUMNS)), BufferError),
    "bytes": (lambda: bytes(ROWS * COLUMNS * 4), BufferError),
    "one-read-only": (lambda: [bytearray(4), b"abcd"], BufferError),
    "str": (lambda: "text", TypeError),
    "int": (lambda: 4, TypeError),
    "none": (lambda: None, TypeError),
    "objects": (lambda: np.empty((ROWS, COLUMNS), object), TypeError),
    "short-runs-without-copies": (
        lambda: np.zeros((ROWS, 3 * COLUMNS), "f4")[:, ::3],
        BufferError,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_message_when_it_does_not_fit_then_it_is_refused_and_stays(name, channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = sample()
            sending = asyncio.ensure_future(client.send([sent]))
            for _ in range(2):
                with pytest.raises(pinwire.MessageRefusedError) as caught:
                    await server.recv_into(REFUSALS[name]())
                assert caught.value.transferred == 0
            assert ((await server.recv()).parts[0].tobytes()) == sent.tobytes()
            await sending
            assert (await exchange(client, server, b"next")).parts[0].tobytes() == b"next"

    channels.run(main())


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_target_when_it_cannot_be_filled_then_the_message_stays(name, channels):
    make, error = WRONG_CALLS[name]

    async def main():
        async with channels.pair() as (client, server):
            sent = sample()
            sending = asyncio.ensure_future(client.send(sent))
            for _ in range(2):
                with pytest.raises(error):
                    await server.recv_into(make(), copy=False)
            assert ((await server.recv()).parts[0].tobytes()) == sent.tobytes()
            await sending
            assert (await exchange(client, server, b"next")).parts[0].tobytes() == b"next"

    channels.run(main())


def test_target_when_short_runs_may_not_be_copied_then_a_message_that_has_come_stays(channels):
    async def main():
        async with channels.pair() as (client, server):
            sent = np.arange(60, dtype="f4").reshape(6, 10)
            await client.send([sent, sent], meta={"a": 1})
            await server.recv_header()
            outs = [np.zeros((6, 10), "f4"), np.zeros((6, 20), "f4")[:, ::2]]
            with pytest.raises(BufferError, match="copy=False"):
                await server.recv_into(outs, copy=False)
            await server.recv_into(outs, copy=True)
            assert (outs[0] == sent).all()
            assert (outs[1] == sent).all()
            await exchange(client, server, b"next")

    channels.run(main())


def test_object_when_received_into_memory_then_it_is_refused_and_stays(channels):
    async def main():
        async with channels.pair(allow_pickle=True) as (client, server):
            await client.send_object({"a": 1})
            for out in (bytearray(5), [bytearray(5)], []):
                with pytest.raises(pinwire.MessageRefusedError, match="object"):
                    await server.recv_into(out)
            assert await server.recv_object() == {"a": 1}

    channels.run(main())


def test_targets_when_one_does_not_fit_then_none_of_them_is_touched(channels):
    async def main():
        async with channels.pair() as (client, server):
            await client.send([b"abcd", b"efgh"])
            outs = [bytearray(4), bytearray(5)]
            with pytest.raises(pinwire.MessageRefusedError, match="part 1"):
                await server.recv_into(outs)
            assert outs == [bytes(4), bytes(5)]
            assert (await server.recv()).parts[1].tobytes() == b"efgh"

    channels.run(main())
