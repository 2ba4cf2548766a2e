"""Everything that needs nothing else: run by `installs.py` where only the wheel is installed."""

from __future__ import annotations

import array
import asyncio
import importlib
import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import pinwire
import pinwire.testing
from pinwire import blocking

SIZE = 3_000_000


def pattern(size: int) -> bytes:
    """Bytes of which a lost, doubled or exchanged one is seen."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


PAYLOADS = {
    "bytearray": bytearray(pattern(SIZE)),
    "memoryview": memoryview(pattern(2 * SIZE))[::2],
    "array.array": array.array("d", pattern(SIZE)),
}


async def over_asyncio(payload: Any, expected: bytes) -> None:
    client, server = pinwire.socketpair()
    async with client, server:
        out = bytearray(len(expected))
        counts = await asyncio.gather(client.send_buffer(payload), server.recv_exactly_into(out))
    assert (counts, out) == ([len(expected)] * 2, expected)


async def over_threads(payload: Any, expected: bytes) -> None:
    client, server = blocking.socketpair()
    with client, server:
        out = bytearray(len(expected))
        sending = asyncio.to_thread(client.send_buffer, payload)
        receiving = asyncio.to_thread(server.recv_exactly_into, out)
        counts = await asyncio.gather(sending, receiving)
    assert (counts, out) == ([len(expected)] * 2, expected)


async def as_a_message(payload: Any, expected: bytes) -> None:
    left, right = pinwire.socketpair()
    async with pinwire.Channel(left) as client, pinwire.Channel(right) as server:
        sending = client.send(payload, meta={"step": 7})
        _, message = await asyncio.gather(sending, server.recv())
        (part,) = message.parts
        assert (type(part), part.tobytes(), message.meta) == (memoryview, expected, {"step": 7})


async def transfers() -> None:
    for payload in PAYLOADS.values():
        expected = memoryview(payload).tobytes()
        for move in (over_asyncio, over_threads, as_a_message):
            await move(payload, expected)
    print(f"  {', '.join(PAYLOADS)}: every byte, by asyncio, by threads and as messages")


async def contract() -> None:
    for face in (pinwire, blocking):
        report = await pinwire.testing.check_streams(face.socketpair)
        assert len(report.passed) > 30
        print(f"  the contract of {face.__name__}: {len(report.passed)} checks passed")
        for reason in sorted(set(report.not_checked.values())):
            names = [name for name, why in report.not_checked.items() if why == reason]
            print(f"    not made, as {reason}: {len(names)}")


def dask_says_what_to_install() -> None:
    try:
        importlib.import_module("pinwire.dask")
    except ImportError as error:
        assert "pip install 'pinwire[dask]'" in str(error), error
        print(f"  pinwire.dask: {error}")
    else:
        raise AssertionError("Dask is not installed, and pinwire.dask does not mind")


async def use() -> None:
    # In debug mode a busy machine is complained about.
    asyncio.get_running_loop().slow_callback_duration = math.inf
    await transfers()
    await contract()


def main() -> None:
    here = Path(pinwire.__file__).resolve()
    assert here.is_relative_to(Path(sys.prefix).resolve()), f"not what was installed: {here}"
    for name in ("numpy", "distributed", "rich"):
        assert importlib.util.find_spec(name) is None, f"{name} is installed"
    asyncio.run(use())
    dask_says_what_to_install()


if __name__ == "__main__":
    main()
