"""Dask's connections over pinwire, both ends in one loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import dask.config
import numpy as np
from distributed.comm import connect, listen
from distributed.protocol import to_serialize
from support import PATIENCE, waiting

from pinwire.dask import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from pinwire.dask import Comm

HERE = "pinwire://127.0.0.1"

MESSAGE = {"op": "compute", "keys": ("a", 1), "data": b"\x00\xff", "none": None, "half": 0.5}
"""A message without arrays."""

OFFERED = 1 << 20
"""Bytes of an array that goes past the socket where it may."""

JAM = 32 << 20
"""Bytes that the kernel does not take without a reader."""


def settings(**options: Any) -> Any:
    """Dask's configuration with these settings of the backend, for a while."""
    prefix = "distributed.comm.pinwire."
    return dask.config.set({prefix + name.replace("_", "-"): options[name] for name in options})


@contextlib.asynccontextmanager
async def listening(handler: Any, where: str = HERE, **options: Any) -> AsyncIterator[Listener]:
    """A listener; connections that are still saying hello end with it."""
    async with listen(where, handler, **options) as listener:
        assert isinstance(listener, Listener)
        yield listener
    listener.abort_handshaking_comms()


@contextlib.asynccontextmanager
async def connected(
    *, deserialize: bool = True, same_host: str = "off", **options: Any
) -> AsyncIterator[tuple[Comm, Comm]]:
    """The end that connected and the one that was accepted. `deserialize` is for the second."""
    accepted = asyncio.get_running_loop().create_future()
    with settings(same_host=same_host, **options):
        async with listening(accepted.set_result, deserialize=deserialize) as listener:
            client = await connect(listener.contact_address)
            server = await accepted
    try:
        yield client, server
    finally:
        client.abort()
        server.abort()


@contextlib.asynccontextmanager
async def warm() -> AsyncIterator[tuple[Comm, Comm]]:
    """Two ends, the first of which sends large arrays past the socket."""
    async with connected(same_host="auto") as (client, server):
        async with asyncio.timeout(PATIENCE):
            while client.stats().same_host != "in use":
                await passed(client, server, to_serialize(np.zeros(OFFERED, "u1")))
        yield client, server


async def passed(sender: Comm, receiver: Comm, message: Any) -> Any:
    """What arrives."""
    await sender.write(message)
    return await receiver.read()


def stream(comm: Comm) -> Any:
    return comm._channel.stream


async def asleep(comm: Comm, call: Awaitable[Any]) -> asyncio.Task[Any]:
    """A task of a read that has come to wait for the socket."""
    return await waiting(stream(comm), call)


async def jam(comm: Comm) -> None:
    """Write what is not sent before the peer reads."""
    await comm.write(to_serialize(np.ones(JAM, "u1")))


async def stays(call: Awaitable[Any]) -> asyncio.Task[Any]:
    """A task of a call that does not end by itself."""
    task = asyncio.ensure_future(call)
    assert await stuck(task)
    return task


async def stuck(task: asyncio.Task[Any]) -> bool:
    """Whether it has not ended after some turns of the loop."""
    for _ in range(20):
        await asyncio.sleep(0)
    return not task.done()
