"""Bulk, a small echo and a ticker on one loop, on both sides."""

import time

from ..contestant import Result, Workload, fill, landing, matches
from .kit import Accept, Kit

IDLE_SECONDS = 0.5
BULK_SECONDS = 1.5
ECHO_BYTES = 64
ECHO_PAUSE = 0.002
TICK = 0.001

ECHO, LAST = b"e" * ECHO_BYTES, b"l" * ECHO_BYTES
MORE, END, ACK = b"m", b"e", b"a"


class Phase:
    over = False


async def serve(kit: Kit, workload: Workload, accept: Accept) -> Result:
    """The echo's connection comes first, the bulk's when the idle phase is over."""
    memory, received, late = memoryview(landing(workload.size)), 0, []
    phase = Phase()
    small = await accept()

    async def echo() -> None:
        message = memoryview(bytearray(ECHO_BYTES))
        while message != LAST:
            await small.recv(message)
            await small.send(message)

    async def receive() -> None:
        nonlocal received
        bulk = await accept()

        async def messages() -> None:
            nonlocal received
            sign = memoryview(bytearray(1))
            await bulk.recv(sign)
            while sign == MORE:
                await bulk.recv(memory)
                received += memory.nbytes
                await bulk.recv(sign)
            await bulk.send(ACK)
            phase.over = True

        await kit.together([messages, lambda: tick(kit, phase, late)])
        await bulk.close()

    await kit.together([echo, receive])
    await small.close()
    verified = received > 0 and matches(memory, 0)
    return {"verified": verified, "bytes": received, "ticker_late_ns": late}


async def drive(kit: Kit, workload: Workload, address: str) -> Result:
    memory = memoryview(landing(workload.size))
    fill(memory, 0)
    small = await kit.connect(workload, address)
    result: Result = {"bytes": 0}

    async def measure(prefix: str, phase: Phase) -> None:
        echoes, late = result.setdefault(f"{prefix}echo_ns", []), []
        result[f"{prefix}ticker_late_ns"] = late

        async def echo() -> None:
            back = memoryview(bytearray(ECHO_BYTES))
            while not phase.over:
                await kit.sleep(ECHO_PAUSE)
                began = time.perf_counter_ns()
                await small.send(ECHO)
                await small.recv(back)
                echoes.append(time.perf_counter_ns() - began)

        await kit.together([echo, lambda: tick(kit, phase, late)])

    idle, busy = Phase(), Phase()

    async def wait() -> None:
        await kit.sleep(IDLE_SECONDS)
        idle.over = True

    async def send() -> None:
        bulk = await kit.connect(workload, address)
        until = time.perf_counter() + BULK_SECONDS
        while time.perf_counter() < until:
            await bulk.send(MORE)
            await bulk.send(memory)
            result["bytes"] += memory.nbytes
        await bulk.send(END)
        await bulk.recv(memoryview(bytearray(1)))
        busy.over = True
        await bulk.close()

    await kit.together([wait, lambda: measure("idle_", idle)])
    await kit.together([send, lambda: measure("", busy)])
    await small.send(LAST)
    await small.recv(memoryview(bytearray(ECHO_BYTES)))
    await small.close()
    return result


async def tick(kit: Kit, phase: Phase, late: list[int]) -> None:
    """How much later than asked a sleep of a millisecond ends, until the phase is over."""
    while not phase.over:
        due = time.perf_counter_ns() + int(TICK * 1e9)
        await kit.sleep(TICK)
        late.append(max(0, time.perf_counter_ns() - due))
