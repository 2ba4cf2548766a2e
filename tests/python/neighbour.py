"""One of two processes of a host: it sends or receives messages, confined as it is told to be.

Run as a program, it prints what became of them as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import confined
from support import PATIENCE, is_open, pattern, until

import pinwire
import pinwire.blocking

SIZE = 3 << 20
"""Bytes of a message: enough that several threads copy it."""

UNSETTLED = ("untried", "the peer has not answered")
ATTEMPTS = 20


class Immediate:
    """A blocking channel whose calls are awaited, and run in the thread of whoever awaits them."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.stats = inner.stats

    async def send(self, *args: Any, **kwargs: Any) -> Any:
        return self._inner.send(*args, **kwargs)

    async def recv_into(self, *args: Any, **kwargs: Any) -> Any:
        return self._inner.recv_into(*args, **kwargs)

    async def close(self) -> None:
        self._inner.close()


def channel_over(face: str, sock: socket.socket) -> Any:
    if face == "blocking":
        return Immediate(pinwire.blocking.Channel(pinwire.blocking.Stream.from_socket(sock)))
    return pinwire.Channel(pinwire.Stream.from_socket(sock))


async def send(channel: Any, then: list[str]) -> dict[str, Any]:
    """Send until it is clear which way, be confined, and send some more."""
    await channel.recv_into(bytearray(5), timeout=PATIENCE)
    data = bytearray(SIZE)
    ways: list[str] = []
    meta: dict[str, Any] = {"then": False, "last": False}

    async def send_next(**changes: bool) -> None:
        number = len(ways)
        data[:] = pattern(SIZE, number)
        changed = {**meta, **changes, "number": number}
        assert await channel.send(data, meta=changed, timeout=PATIENCE) == SIZE
        ways.append(channel.stats().same_host)

    await send_next()
    while ways[-1] in UNSETTLED and len(ways) < ATTEMPTS:
        await send_next()
    await send_next(then=True)
    for way in then:
        confined.WAYS[way]()
    await send_next()
    await send_next(last=True)
    await channel.recv_into(bytearray(4), timeout=PATIENCE)
    data.append(0)  # nobody has it pinned
    return {"role": "send", "numbers": list(range(len(ways))), "ways": ways}


async def receive(channel: Any, then: list[str]) -> dict[str, Any]:
    """Receive until the last message, and be confined when it is said."""
    await channel.send(b"ready", timeout=PATIENCE)
    out = bytearray(SIZE)
    numbers = []
    meta: dict[str, Any] = {"last": False}
    while not meta["last"]:
        message = await channel.recv_into(out, timeout=PATIENCE)
        meta = message.meta
        numbers.append(meta["number"])
        assert out == pattern(SIZE, meta["number"]), meta
        del message
        if meta["then"]:
            for way in then:
                confined.WAYS[way]()
    await channel.send(b"done", timeout=PATIENCE)
    out.append(0)
    return {"role": "receive", "numbers": numbers}


async def take_part(role: str, face: str, sock: socket.socket, then: list[str]) -> dict[str, Any]:
    before = _descriptors()
    channel = channel_over(face, sock)
    outcome = await {"send": send, "receive": receive}[role](channel, then)
    stats = channel.stats()
    outcome |= {"offered": stats.bytes_offered, "pulled": stats.bytes_pulled}
    await channel.close()
    del channel
    # Where the other end may be another user's, a thread closes it.
    with contextlib.suppress(TimeoutError):
        await until(lambda: _descriptors() < before)
    return outcome | {"left": _descriptors() - before}


def _descriptors() -> int:
    """Those of this process but for what a loop and the workers keep to be woken by."""
    links = []
    for fd in filter(is_open, range(256)):
        with contextlib.suppress(PermissionError):  # one who is confined may be refused a look
            links.append(Path(f"/proc/self/fd/{fd}").readlink().name)
    return sum("[event" not in link for link in links)


def joined(where: str) -> socket.socket:
    """A connection: one that was inherited, or is made now."""
    how, _, target = where.partition(":")
    if how == "connect":
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(target)
        return sock
    sock = socket.socket(fileno=int(target))
    if how == "accept":
        with sock:
            return sock.accept()[0]
    return sock


def run(role: str, face: str, sock: socket.socket, then: list[str]) -> None:
    outcome = asyncio.run(take_part(role, face, sock, then))
    # At once: others may write to the same pipe.
    os.write(1, json.dumps(outcome).encode() + b"\n")


def import_all() -> None:
    """Import what is imported late, which another user may not be allowed to read."""
    _ = pinwire.Channel
    left, right = map(pinwire.blocking.Channel, pinwire.blocking.socketpair())
    with left, right:
        left.send(b"x")
        right.recv_into(bytearray(1))
        left.stats()


def main(role: str, face: str, where: str, first: str, then: str) -> None:
    import_all()
    for way in json.loads(first):
        try:
            confined.WAYS[way]()
        except OSError as error:
            print(json.dumps({"cannot": f"{way}: {error}"}))
            return
    run(role, face, joined(where), json.loads(then))


if __name__ == "__main__":
    main(*sys.argv[1:])
