"""`pinwire bench`: round trips and throughput to a `pinwire bench --serve`."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pinwire

from .bench_peer import LARGEST, machine, take
from .errors import LONGEST, origin, printable
from .wire import VERSION, field, hear, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from pinwire import Channel

SMALL = 64
"""Bytes of the message that goes there and back."""

SIZES = (64 << 10, 1 << 20, 16 << 20, LARGEST)

ROUND = 16 << 20
"""Bytes that are timed together, so that the last answer's way counts for little."""

FEWEST = 5
"""Samples, however long they take: fewer have no median worth the name."""

BATCH = 100
"""Messages for each request, at most."""


class Row(NamedTuple):
    what: str
    size: int
    seconds: Sequence[float]
    """For each message."""


class Once(Protocol):
    def __call__(self, channel: Channel, buffer: bytearray, /) -> Awaitable[list[float]]:
        """The seconds for each message of what is done once."""
        ...


async def measure(address: str, seconds: float) -> bool:
    """Measure for so many seconds a line, and print a table."""
    async with pinwire.connect_channel(address, max_message_bytes=LARGEST) as channel:
        await say(channel, "bench", version=VERSION)
        theirs = printable(field(await hear(channel, "peer"), "machine", str), LONGEST)
        rows = [await _row("round trip", SMALL, seconds, _echo, channel)]
        for what, once in (("to the peer", _up), ("from the peer", _down)):
            rows += [await _row(what, size, seconds, once, channel) for size in SIZES]
        await say(channel, "bye")
        print(table(rows))
        print(f"\n{channel.transport} to {origin(channel)}\nhere:  {machine()}\nthere: {theirs}")
    return True


def table(rows: Sequence[Row]) -> str:
    """Times are for one message; GB/s are those of the median and of the minimum."""
    head = ("", "bytes", "median us", "min us", "median GB/s", "best GB/s")
    lines = [head, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]).rstrip()
        for first, *rest in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    median, least = statistics.median(row.seconds), min(row.seconds)
    times = (row.what, f"{row.size:,}", f"{median * 1e6:,.1f}", f"{least * 1e6:,.1f}")
    if row.size == SMALL:
        return (*times, "", "")
    return (*times, f"{row.size / median / 1e9:.2f}", f"{row.size / least / 1e9:.2f}")


async def _row(what: str, size: int, seconds: float, once: Once, channel: Channel) -> Row:
    buffer = bytearray(size)
    await once(channel, buffer)  # untouched memory, buffers that the kernel still tunes
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while len(samples) < FEWEST or time.perf_counter() < end:
        samples += await once(channel, buffer)
    return Row(what, size, samples)


async def _echo(channel: Channel, buffer: bytearray) -> list[float]:
    await say(channel, "echo", size=len(buffer), count=BATCH)
    samples: list[float] = []
    for _ in range(BATCH):
        began = time.perf_counter()
        await channel.send(buffer)
        await take(channel, buffer)
        samples.append(time.perf_counter() - began)
    return samples


async def _up(channel: Channel, buffer: bytearray) -> list[float]:
    count = max(1, min(BATCH, ROUND // len(buffer)))
    await say(channel, "sink", size=len(buffer), count=count)
    began = time.perf_counter()
    for _ in range(count):
        await channel.send(buffer)
    await hear(channel, "ok")
    return [(time.perf_counter() - began) / count]


async def _down(channel: Channel, buffer: bytearray) -> list[float]:
    count = max(1, min(BATCH, ROUND // len(buffer)))
    began = time.perf_counter()
    await say(channel, "source", size=len(buffer), count=count)
    for _ in range(count):
        await take(channel, buffer)
    return [(time.perf_counter() - began) / count]
