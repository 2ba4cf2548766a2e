"""A peer made of a plain socket: frames, true ones and lies, and a channel that is told them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import uvloop
from support import PATIENCE, Call

import pinwire
import pinwire.blocking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAGIC = b"\x89PWIRE\r\n"
GIB4 = 1 << 32

MARGIN = 16 << 20
"""Bytes that the process may grow by between two looks, for reasons of its own."""

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def hello(
    lowest: int = 2,
    highest: int = 2,
    *,
    extensions: bytes = b"",
    flags: int = 0,
    max_message_bytes: int = 1 << 62,
) -> bytes:
    fixed = struct.pack("<BBHIQ", lowest, highest, len(extensions), flags, max_message_bytes)
    return MAGIC + fixed + extensions


def part(
    dtype: bytes | str = "<f8",
    shape: Iterable[int] = (1,),
    itemsize: int = 8,
    order: bytes = b"C",
) -> bytes:
    text = dtype.encode() if isinstance(dtype, str) else dtype
    shape = list(shape)
    fixed = struct.pack("<IcBH", itemsize, order, len(shape), len(text))
    return fixed + text + struct.pack(f"<{len(shape)}Q", *shape)


def prefix(count: int, descriptions: int, meta: int, payload: int, kind: int = 1) -> bytes:
    return struct.pack("<IIIIQ", kind, count, descriptions, meta, payload)


def header(*parts: bytes, payload: int, meta: bytes = b"", kind: int = 1) -> bytes:
    descriptions = b"".join(parts)
    return prefix(len(parts), len(descriptions), len(meta), payload, kind) + descriptions + meta


def floats(*values: float) -> bytes:
    """A whole message of one array."""
    return (
        header(part(shape=[len(values)]), payload=8 * len(values))
        + np.array(values, "<f8").tobytes()
    )


def rss() -> int:
    """Bytes of memory that this process has."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def rest(sock: socket.socket) -> bytes:
    """What comes until the connection ends, by whatever end."""
    came = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            came += data
    return came


def take(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer if the connection ends before."""
    came = b""
    while len(came) < size and (data := sock.recv(size - len(came))):
        came += data
    return came


def reset(sock: socket.socket) -> None:
    """Close it by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Told(NamedTuple):
    """What came of a channel that was sent something."""

    results: list[Any]
    """What the calls gave or raised, one after the other."""
    is_closed: bool


def told(face: str, data: bytes, *calls: Callable[[Any], Any], **options: Any) -> Told:
    """What calls of a channel give or raise to which a peer sends this, and nothing more."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        sending = Call(_send, theirs, hello(flags=1) + data)
        if face == "blocking":
            outcome = _tell_thread(ours, calls, options)
        else:
            with asyncio.Runner(loop_factory=LOOPS[face]) as runner:
                outcome = runner.run(_tell_task(ours, calls, options))
        sending.result()
    return outcome


def _send(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(data)


def _tell_thread(sock: socket.socket, calls: Any, options: Any) -> Told:
    stream = pinwire.blocking.Stream.from_socket(sock)
    channel = pinwire.blocking.Channel(stream, same_host="off", **options)
    results: list[Any] = []
    for call in calls:
        try:
            results.append(call(channel))
        except Exception as error:
            results.append(error)
    outcome = Told(results, stream.fileno() == -1)
    channel.close()
    return outcome


async def _tell_task(sock: socket.socket, calls: Any, options: Any) -> Told:
    stream = pinwire.Stream.from_socket(sock)
    channel = pinwire.Channel(stream, same_host="off", **options)
    results: list[Any] = []
    async with asyncio.timeout(PATIENCE):
        for call in calls:
            try:
                results.append(await call(channel))
            except Exception as error:
                results.append(error)
    outcome = Told(results, stream.fileno() == -1)
    await channel.close()
    return outcome
