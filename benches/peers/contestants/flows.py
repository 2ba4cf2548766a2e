"""The two sides of every workload, for contestants with a loop."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..contestant import (
    HOST_BULK,
    PINGS,
    Result,
    Workload,
    gather_buffers,
    landing,
    measured,
    poison,
    small_arrays,
)
from ..pattern import Bytes, fill_parts, parts_match, small_pages
from . import beside, many, objects
from .kit import Buffer, FreshWire, Kit, Wire, carried

GO, ACK = b"g", b"a"

# Kinds whose messages are arrays, not just bytes.
OF_ARRAYS = HOST_BULK | {"message-parts", "same-host-memory"}

Flow: TypeAlias = Callable[[Any, Workload], Awaitable[Result]]


@dataclass(frozen=True)
class LoopContestant:
    """A contestant made of a kit: what it takes is what its kinds say."""

    name: str
    family: str
    settings: str
    kit: Kit
    kinds: frozenset[str] = frozenset({"ping", "bulk", "gather", "many", "beside"})
    sets_buffers: bool = False
    fresh: bool = False
    """Receives into memory that is made for each message."""

    def takes(self, workload: Workload) -> bool:
        return workload.kind in self.kinds and (self.sets_buffers or workload.sockbuf is None)

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        result: Result = {}

        async def main() -> None:
            async with self.kit.listen(workload) as (address, accept):
                ready(address)
                if workload.kind == "many":
                    result.update(await many.serve(self.kit, workload, accept))
                elif workload.kind == "beside":
                    result.update(await beside.serve(self.kit, workload, accept))
                else:
                    wire = await accept()
                    result.update(await self._server(workload)(wire, workload))
                    await wire.close()

        self.kit.run(main)
        return result

    def drive(self, workload: Workload, address: str) -> Result:
        result: Result = {}

        async def main() -> None:
            if workload.kind == "many":
                result.update(await many.drive(self.kit, workload, address))
            elif workload.kind == "beside":
                result.update(await beside.drive(self.kit, workload, address))
            else:
                wire = await self.kit.connect(workload, address)
                result.update(await _client(workload)(wire, workload) | carried(wire))
                await wire.close()

        self.kit.run(main)
        return result

    def _server(self, workload: Workload) -> Flow:
        if workload.kind in PINGS:
            return serve_ping
        if workload.kind == "message-object":
            return objects.serve
        return serve_fresh if self.fresh else serve_messages


def _client(workload: Workload) -> Flow:
    if workload.kind in PINGS:
        return drive_ping
    return objects.drive if workload.kind == "message-object" else drive_messages


async def serve_ping(wire: Wire, workload: Workload) -> Result:
    memory = memoryview(bytearray(workload.size))
    with measured():
        for _ in range(workload.count):
            await wire.recv(memory)
            await wire.send(memory)
    return {"verified": True}


async def drive_ping(wire: Wire, workload: Workload) -> Result:
    sent, came = bytearray(workload.size), bytearray(workload.size)
    out, back = memoryview(sent), memoryview(came)
    clock, latencies, verified = time.perf_counter_ns, [], True
    with measured():
        for number in range(workload.count):
            out[:8] = number.to_bytes(8, "little")
            began = clock()
            await wire.send(out)
            await wire.recv(back)
            latencies.append(clock() - began)
            verified &= sent == came
    return {"latencies_ns": latencies, "verified": verified}


async def serve_messages(wire: Wire, workload: Workload) -> Result:
    parts = parts_of(workload)

    async def receive(number: int) -> bool:
        poison(*parts)
        await wire.send(GO)
        if len(parts) == 1:
            await wire.recv(parts[0])
        else:
            await wire.recv_parts(parts)
        await wire.send(ACK)
        return parts_match(parts, number)

    verified = [await receive(number) for number in workload.warming]
    with measured():
        verified += [await receive(number) for number in workload.counted]
    return {"verified": all(verified)}


async def serve_fresh(wire: FreshWire, workload: Workload) -> Result:
    verified = True
    with measured(workload.size):
        for number in range(workload.count):
            await wire.send(GO)
            parts = (await wire.recv_fresh()).parts
            await wire.send(ACK)
            verified &= whole(parts, number, workload)
            # Memory that is given back may come again; and not two messages in it at once.
            poison(*parts)
            del parts
    return {"verified": verified}


async def drive_messages(wire: Wire, workload: Workload) -> Result:
    parts, sign = parts_of(workload), memoryview(bytearray(1))

    async def send(number: int) -> float:
        fill_parts(parts, number)
        await wire.recv(sign)
        began = time.perf_counter()
        if len(parts) == 1:
            await wire.send(parts[0])
        else:
            await wire.send_parts(parts)
        await wire.recv(sign)
        return time.perf_counter() - began

    for number in workload.warming:
        await send(number)
    with measured():
        seconds = [await send(number) for number in workload.counted]
    return {"seconds": seconds}


def parts_of(workload: Workload) -> Sequence[Buffer]:
    """The pieces of memory one message is made of, as every library takes them."""
    arrays = arrays_of(workload)
    return arrays if workload.kind in OF_ARRAYS else [memoryview(each) for each in arrays]


def arrays_of(workload: Workload) -> list[Bytes]:
    """The same as arrays."""
    match workload.kind:
        case "gather":
            return gather_buffers()
        case "message-parts":
            return small_arrays()
        case "same-host-pages":
            return [small_pages(workload.size)]
        case _:
            return [landing(workload.size)]


def whole(parts: Sequence[Buffer], number: int, workload: Workload) -> bool:
    """Whether `parts`, in memory that is not ours, are message `number` and all of it."""
    nbytes = sum(memoryview(part).nbytes for part in parts)
    return nbytes == workload.size and parts_match(parts, number)
