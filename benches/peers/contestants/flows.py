"""The two sides of every workload, for contestants with a loop."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..contestant import Result, Workload, gather_buffers, landing, measured, poison
from ..pattern import fill_parts, parts_match
from . import beside, many
from .kit import Kit, Wire

GO, ACK = b"g", b"a"


@dataclass(frozen=True)
class LoopContestant:
    """A contestant made of a kit: what it takes is what its kinds say."""

    name: str
    family: str
    settings: str
    kit: Kit
    kinds: frozenset[str] = frozenset({"ping", "bulk", "gather", "many", "beside"})
    sets_buffers: bool = False

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
                    serve = serve_ping if workload.kind == "ping" else serve_messages
                    result.update(await serve(wire, workload))
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
                drive = drive_ping if workload.kind == "ping" else drive_messages
                result.update(await drive(wire, workload))
                await wire.close()

        self.kit.run(main)
        return result


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
    parts, verified = parts_of(workload), True
    with measured():
        for number in range(workload.count):
            poison(*parts)
            await wire.send(GO)
            if len(parts) == 1:
                await wire.recv(parts[0])
            else:
                await wire.recv_parts(parts)
            await wire.send(ACK)
            verified &= parts_match(parts, number)
    return {"verified": verified}


async def drive_messages(wire: Wire, workload: Workload) -> Result:
    parts, seconds = parts_of(workload), []
    sign = memoryview(bytearray(1))
    with measured():
        for number in range(workload.count):
            fill_parts(parts, number)
            await wire.recv(sign)
            began = time.perf_counter()
            if len(parts) == 1:
                await wire.send(parts[0])
            else:
                await wire.send_parts(parts)
            await wire.recv(sign)
            seconds.append(time.perf_counter() - began)
    return {"seconds": seconds}


def parts_of(workload: Workload) -> Sequence[memoryview]:
    """The pieces of memory one message is made of."""
    gathers = workload.kind == "gather"
    arrays = gather_buffers() if gathers else [landing(workload.size)]
    return [memoryview(array) for array in arrays]
