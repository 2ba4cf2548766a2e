"""Many connections on one loop: a request, an acknowledgement of one byte, and again."""

import functools
import time
from typing import TypeAlias

from ..contestant import Result, Workload, fill, landing, matches, measured
from ..pattern import number_in
from .kit import Accept, Kit, Wire

Row: TypeAlias = list[memoryview]

ACK = b"a"


async def serve(kit: Kit, workload: Workload, accept: Accept) -> Result:
    """Every request lands in memory of its own, so that all of them can be compared after."""
    rows = _rows(workload)

    async def receive(wire: Wire, row: Row) -> None:
        for request in row:
            await wire.recv(request)
            await wire.send(ACK)

    with measured():
        wires = [await accept() for _ in rows]
        await kit.together(
            [functools.partial(receive, *pair) for pair in zip(wires, rows, strict=True)]
        )
    for wire in wires:
        await wire.close()
    return {"verified": _verified(rows, workload)}


async def drive(kit: Kit, workload: Workload, address: str) -> Result:
    """All are connected before any begins; each one's seconds count from that moment."""
    rows, per_connection = _rows(workload), []
    for index, row in enumerate(rows):
        for number, request in enumerate(row):
            fill(request, index * workload.count + number)

    async def request_all(wire: Wire, row: Row) -> None:
        sign = memoryview(bytearray(1))
        for request in row:
            await wire.send(request)
            await wire.recv(sign)
        per_connection.append(time.perf_counter() - began)

    with measured():
        wires = [await kit.connect(workload, address) for _ in rows]
        began = time.perf_counter()
        await kit.together(
            [functools.partial(request_all, *pair) for pair in zip(wires, rows, strict=True)]
        )
        seconds = time.perf_counter() - began
    for wire in wires:
        await wire.close()
    return {"seconds": seconds, "per_connection": per_connection}


def _rows(workload: Workload) -> list[Row]:
    """A row of requests for each connection."""
    nbytes = workload.connections * workload.count * workload.size
    cube = landing(nbytes).reshape(workload.connections, workload.count, workload.size)
    return [[memoryview(request) for request in row] for row in cube]


def _verified(rows: list[Row], workload: Workload) -> bool:
    # Connections are accepted in any order: the first request of each says which it is.
    first = [number_in(row[0]) for row in rows]
    if sorted(first) != [index * workload.count for index in range(workload.connections)]:
        return False
    return all(
        matches(request, number + index)
        for row, number in zip(rows, first, strict=True)
        for index, request in enumerate(row)
    )
