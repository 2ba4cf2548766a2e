"""The hostile peers of a siege: plain sockets that are silent, lie, promise and flood."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import struct
import sys
from collections import Counter

MAGIC = b"\x89PWIRE\r\n"
HELLO = MAGIC + struct.pack("<BBHIQ", 2, 2, 0, 0, 1 << 40)
MIB = 1 << 20
PAUSE = 0.2
"""Seconds until a peer that was thrown out comes back."""


def header(nbytes: int) -> bytes:
    part = struct.pack("<IcBH", 1, b"C", 1, 3) + b"|u1" + struct.pack("<Q", nbytes)
    return struct.pack("<IIIIQ", 1, 1, len(part), 0, nbytes) + part


EMPTY = header(0)


def silent(_: random.Random) -> bytes:
    return b""


def half_open(chance: random.Random) -> bytes:
    return HELLO[: chance.randrange(1, len(HELLO))]


def idle(_: random.Random) -> bytes:
    return HELLO


def promising(chance: random.Random) -> bytes:
    return HELLO + header(chance.randrange(32 * MIB, 64 * MIB))


def stalling(chance: random.Random) -> bytes:
    nbytes = chance.randrange(MIB, 48 * MIB)
    return HELLO + header(nbytes) + bytes(chance.randrange(min(nbytes, 4 * MIB)))


def describing(chance: random.Random) -> bytes:
    """A large header that never ends."""
    return HELLO + struct.pack("<IIIIQ", 1, 60_000, 4 * MIB, 0, 0) + bytes(chance.randrange(MIB))


def flooding(_: random.Random) -> bytes:
    """Empty messages, of whose answers none is read."""
    return HELLO + EMPTY * 2_000


def lying(chance: random.Random) -> bytes:
    return HELLO + chance.randbytes(200)


def other(_: random.Random) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


KINDS = [silent, half_open, idle, promising, stalling, describing, flooding, lying, other]


async def peer(host: str, port: int, seed: str, counts: Counter[str]) -> None:
    """Come, say it, stay until it is thrown out, and come again."""
    chance = random.Random(seed)
    while True:
        kind = chance.choice(KINDS)
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port, limit=1)
            try:
                counts[kind.__name__] += 1
                writer.write(kind(chance))
                await writer.drain()
                if kind is not flooding:
                    while await reader.read(65536):
                        pass
                else:
                    await writer.wait_closed()
            finally:
                writer.transport.abort()
        await asyncio.sleep(PAUSE * (0.5 + chance.random()))


async def main() -> None:
    address, peers, seed = sys.argv[1:]
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, int(peers) + 64), hard))
    counts: Counter[str] = Counter()
    tasks = [
        asyncio.create_task(peer(host, int(port), f"{seed} {number}", counts))
        for number in range(int(peers))
    ]
    while counts.total() < int(peers) // 2:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    print("at it", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()))


if __name__ == "__main__":
    asyncio.run(main())
