"""`pinwire bench --serve`: what the one that measures is measured against.

It asks for `count` messages of `size` bytes, to be sent back one by one (`echo`), taken in and
answered by `ok` in the end (`sink`), or made (`source`).
"""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import pinwire

from .errors import CommandError, PeerError, complain, origin, reason
from .wire import check_version, field, hear, integer, say

if TYPE_CHECKING:
    from pinwire import Channel

LARGEST = 256 << 20
"""Bytes of a message: both ends keep one in memory."""

PATIENCE = 10
"""Seconds for whatever the peer has to say: whoever says nothing keeps the others waiting."""

SLOWEST = 1 << 20
"""Bytes a second that large messages have to come and go at, beside that."""

MOST = 1 << 20
"""Messages that one request may be for."""


async def serve(address: str) -> bool:
    """Serve until interrupted, one peer after the other: two would measure each other."""
    async with pinwire.listen(address) as listener:
        print(f"listening at {listener.address}", flush=True)
        async for stream in listener:
            channel = pinwire.Channel(stream, max_message_bytes=LARGEST)
            try:
                async with channel:
                    await channel.handshake(timeout=PATIENCE)
                    await serve_one(channel)
            except (CommandError, pinwire.Error, OSError) as error:
                complain(f"{reason(error)} (with {origin(channel)})")
    return True


async def serve_one(channel: Channel) -> None:
    check_version(await hear(channel, "bench", timeout=PATIENCE))
    await say(channel, "peer", machine=machine(), timeout=PATIENCE)
    buffer = bytearray()
    while True:
        request = await hear(channel, "echo", "sink", "source", "bye", timeout=PATIENCE)
        op = field(request, "op", str)
        if op == "bye":
            return
        size, count = integer(request, "size", LARGEST), integer(request, "count", MOST)
        if len(buffer) != size:
            buffer = bytearray(size)
        for _ in range(count):
            if op != "source":
                await take(channel, buffer)
            if op != "sink":
                await channel.send(buffer, timeout=seconds_for(size))
        if op == "sink":
            await say(channel, "ok", timeout=PATIENCE)


async def take(channel: Channel, buffer: bytearray) -> None:
    """A message that fills the buffer."""
    message = await channel.recv_into(buffer, timeout=seconds_for(len(buffer)))
    if message.nbytes != len(buffer):
        raise PeerError(f"the peer sent {message.nbytes} bytes where {len(buffer)} were due")


def seconds_for(size: int) -> float:
    return PATIENCE + size / SLOWEST


def machine() -> str:
    """What stands below a table: processor, kernel, versions, date."""
    kernel = f"{platform.system()} {platform.release()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    today = datetime.datetime.now(datetime.UTC).date()
    cpus = f"{_processor()} ({os.cpu_count()} CPUs)"
    return f"{cpus}, {kernel}, {python}, pinwire {pinwire.__version__}, {today}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()  # arm64 names none
