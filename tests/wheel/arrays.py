"""Arrays of whatever NumPy is there: run by `installs.py`."""

from __future__ import annotations

import asyncio
import math
import threading

import numpy as np

import pinwire
from pinwire import blocking

CUBE = np.arange(60_000, dtype="f8").reshape(20, 30, 100)
RECORD = np.dtype([("number", ">i2"), ("pair", "f4", (2,))])
ARRAYS = [
    CUBE,
    CUBE[::2, ::-1],
    np.asfortranarray(CUBE),
    np.array("2026-11-21T12:00", "M8[s]"),
    np.zeros((0, 3), "c16"),
    np.array([(i, (i, -i)) for i in range(1000)], RECORD),
    np.full(3_000_000, 7, "f4"),
]


async def streams() -> None:
    client, server = pinwire.socketpair()
    async with client, server:
        for array in ARRAYS:
            out = np.empty(array.shape, array.dtype)
            await asyncio.gather(client.send_buffer(array), server.recv_exactly_into(out))
            assert np.array_equal(out, array)


async def messages() -> None:
    left, right = pinwire.socketpair()
    async with pinwire.Channel(left) as client, pinwire.Channel(right) as server:
        _, message = await asyncio.gather(client.send(ARRAYS, meta={"a": 1}), server.recv())
    assert message.meta == {"a": 1}
    for part, array in zip(message.parts, ARRAYS, strict=True):
        assert (part.dtype, part.shape) == (array.dtype, array.shape)
        assert np.array_equal(part, array)


def threads() -> None:
    client, server = blocking.socketpair()
    with client, server:
        for array in ARRAYS:
            out = np.empty(array.shape, array.dtype)
            sender = threading.Thread(target=client.send_buffer, args=(array,))
            sender.start()
            server.recv_exactly_into(out)
            sender.join()
            assert np.array_equal(out, array)


async def loop() -> None:
    # In debug mode a busy machine is complained about.
    asyncio.get_running_loop().slow_callback_duration = math.inf
    await streams()
    await messages()


asyncio.run(loop())
threads()
print(f"  numpy {np.__version__}: {len(ARRAYS)} arrays, by asyncio, by threads and as a message")
