"""What is too short for two processes: a send that need not wait, and importing pinwire."""

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pinwire

from .contestants import c_loop

SEND_BYTES = 64
# Of 64 bytes: a few hundred such messages fill a unix socket's default send buffer (socket(7)).
BATCH = 100
BATCHES = 200


def ready_sends(rounds: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Nanoseconds of a 64 B send that never waits: medians of the batches, one of each round."""
    result: dict[str, Any] = {}
    for transport in ("tcp", "unix"):
        figures: dict[str, list[float]] = {"C send": [], "socket.send": [], "pinwire await": []}
        for number in range(rounds):
            report(f"ready sends {transport}, round {number + 1}")
            c_batches = c_loop.ready_sends(transport, SEND_BYTES, BATCH, BATCHES)
            figures["C send"].append(statistics.median(c_batches))
            figures["socket.send"].append(statistics.median(_socket_sends(transport)))
            figures["pinwire await"].append(
                statistics.median(asyncio.run(_pinwire_sends(transport)))
            )
        result[transport] = figures
    return result


def imports(rounds: int, report: Callable[[str], None]) -> dict[str, list[float]]:
    """Seconds of whole interpreters, interleaved."""
    programs = {"bare": "pass", "asyncio": "import asyncio", "pinwire": "import pinwire"}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds):
        report(f"import time, round {number + 1}")
        for name, program in programs.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            seconds[name].append(time.perf_counter() - began)
    return seconds


def _socket_sends(transport: str) -> list[float]:
    message, sink = memoryview(bytes(SEND_BYTES)), bytearray(BATCH * SEND_BYTES)
    out, peer = _connected(transport)
    batches = []
    with out, peer:
        for _ in range(BATCHES):
            began = time.perf_counter_ns()
            for _ in range(BATCH):
                out.send(message)
            batches.append((time.perf_counter_ns() - began) / BATCH)
            peer.recv_into(sink, flags=socket.MSG_WAITALL)
    return batches


async def _pinwire_sends(transport: str) -> list[float]:
    message, sink = memoryview(bytes(SEND_BYTES)), bytearray(BATCH * SEND_BYTES)
    out, peer = _connected(transport)
    batches = []
    with peer:
        async with pinwire.Stream.from_socket(out) as stream:
            for _ in range(BATCHES):
                began = time.perf_counter_ns()
                for _ in range(BATCH):
                    await stream.send_buffer(message)
                batches.append((time.perf_counter_ns() - began) / BATCH)
                peer.recv_into(sink, flags=socket.MSG_WAITALL)
            if stream.stats().waits:
                raise RuntimeError("a send that was to be ready has waited")
    return batches


def _connected(transport: str) -> tuple[socket.socket, socket.socket]:
    if transport == "unix":
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server:
        out = socket.create_connection(server.getsockname())
        out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return out, server.accept()[0]
