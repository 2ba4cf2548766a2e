"""Two processes, one array: over TCP, and past it, by the same calls."""

import asyncio
import contextlib
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any, Literal, TypeAlias

import numpy as np

import pinwire
from benches.delivery.case import LIMIT

from .report import GB

MIB = 2**20
SIZE = 64 * MIB
ROUNDS = 9

Way: TypeAlias = Literal["off", "auto"]
WAYS: tuple[Way, Way] = ("off", "auto")


def run() -> tuple[str, bool]:
    """What came of it in a line, and whether every array arrived as it was."""
    context = multiprocessing.get_context("spawn")
    control, far_end = context.Pipe()
    process = context.Process(target=serve, args=(far_end,), daemon=True)
    process.start()
    far_end.close()
    try:
        seconds, transports = asyncio.run(_measure(control.recv()))
        exact = control.recv()
    finally:
        control.close()
        process.join(timeout=LIMIT)
        process.kill()
    tcp, host = (statistics.median(seconds[way]) for way in WAYS)
    ratio = statistics.median(a / b for a, b in zip(seconds["off"], seconds["auto"], strict=True))
    line = (
        f"One array of {SIZE // MIB} MiB, process to process, {ROUNDS} times in turn: TCP "
        f"{SIZE / tcp / GB:.1f} GB/s, {transports['auto']} {SIZE / host / GB:.1f} GB/s: "
        f"{ratio:.1f} times as fast, {'byte-exact' if exact else 'NOT EXACT'}."
    )
    return line, exact


def serve(control: Connection) -> None:
    """The other process: it receives into its own array, and compares."""
    asyncio.run(_serve(control))


async def _serve(control: Connection) -> None:
    target = np.zeros(SIZE // 8, "u8")
    exact = True

    async def receive(stream: pinwire.Stream) -> None:
        nonlocal exact
        async with pinwire.Channel(stream) as channel:
            with contextlib.suppress(pinwire.IncompleteTransferError):
                while True:
                    message = await channel.recv_into(target)
                    await channel.send(b"here")
                    exact = exact and bool((target == message.meta["round"]).all())

    async with pinwire.listen("tcp://127.0.0.1:0") as listener:
        control.send(listener.address)
        async with asyncio.TaskGroup() as tasks:
            for _ in WAYS:
                tasks.create_task(receive(await listener.accept(timeout=LIMIT)))
    control.send(exact)


async def _measure(address: str) -> tuple[dict[Way, list[float]], dict[Way, str]]:
    array = np.zeros(SIZE // 8, "u8")
    seconds: dict[Way, list[float]] = {way: [] for way in WAYS}
    async with contextlib.AsyncExitStack() as stack:
        channels: dict[Way, Any] = {}
        for way in WAYS:
            opening = pinwire.connect_channel(address, same_host=way, timeout=LIMIT)
            channels[way] = await stack.enter_async_context(opening)
        for number in range(-1, ROUNDS):  # the first warms up
            for way, channel in channels.items():
                array[:] = number % 251
                started = time.perf_counter()
                await channel.send(array, meta={"round": number % 251}, timeout=LIMIT)
                await channel.recv(timeout=LIMIT)
                if number >= 0:
                    seconds[way].append(time.perf_counter() - started)
        return seconds, {way: channel.transport for way, channel in channels.items()}
