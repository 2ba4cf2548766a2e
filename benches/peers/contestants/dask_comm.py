"""Dask's own TCP comm, which its workers and scheduler speak."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import dask
from distributed.comm import connect, listen
from distributed.protocol import to_serialize

from ..contestant import Contestant, Result, Workload, gather_buffers, landing, measured
from ..pattern import fill_parts, parts_match


class DaskComm:
    name = "Dask comm"
    family = "messages"
    settings = (
        "distributed.comm over tornado's IOStream, arrays by to_serialize, no compression, no"
        " offload to threads; lands in arrays that the comm allocates"
    )

    def takes(self, workload: Workload) -> bool:
        kinds = {"ping", "bulk", "gather"}
        return workload.kind in kinds and workload.transport == "tcp" and workload.sockbuf is None

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        with dask.config.set({"distributed.comm.compression": None}):
            return asyncio.run(_serve(workload, ready))

    def drive(self, workload: Workload, address: str) -> Result:
        with dask.config.set({"distributed.comm.compression": None}):
            return asyncio.run(_drive(workload, address))


async def _serve(workload: Workload, ready: Callable[[str], None]) -> Result:
    outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def handle(comm: Any) -> None:
        comm.allow_offload = False
        try:
            verified = await (_echo if workload.kind == "ping" else _receive)(comm, workload.count)
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(verified)
        finally:
            await comm.close()

    async with listen("tcp://127.0.0.1:0", handle) as listener:
        ready(listener.contact_address)
        return {"verified": await outcome}


async def _echo(comm: Any, count: int) -> bool:
    for _ in range(count):
        await comm.write(await comm.read())
    return True


async def _receive(comm: Any, count: int) -> bool:
    verified = True
    for number in range(count):
        await comm.write("go")
        landed = await comm.read()
        await comm.write("ack")
        verified &= parts_match(landed, number)
        # Not two messages in memory at once.
        del landed
    return verified


async def _drive(workload: Workload, address: str) -> Result:
    comm = await connect(address)
    comm.allow_offload = False
    try:
        return await (_ping if workload.kind == "ping" else _send)(comm, workload)
    finally:
        await comm.close()


async def _ping(comm: Any, workload: Workload) -> Result:
    message, latencies = bytes(workload.size), []
    with measured():
        for _ in range(workload.count):
            begin = time.perf_counter_ns()
            await comm.write(message)
            await comm.read()
            latencies.append(time.perf_counter_ns() - begin)
    return {"latencies_ns": latencies}


async def _send(comm: Any, workload: Workload) -> Result:
    source = gather_buffers() if workload.kind == "gather" else [landing(workload.size)]
    seconds = []
    with measured():
        for number in range(workload.count):
            fill_parts(source, number)
            await comm.read()
            start = time.perf_counter()
            # As one object: a to_serialize for each of 101 arrays takes twice the time.
            await comm.write(to_serialize(source))
            await comm.read()
            seconds.append(time.perf_counter() - start)
    return {"seconds": seconds}


CONTESTANTS: tuple[Contestant, ...] = (DaskComm(),)
