"""A proxy that spoils what it passes on: it knows nothing of pinwire, only sockets of asyncio.

Each direction of a connection has a plan of its own, and an account: how many bytes have been
passed on, and whether the end of them was the sender's or the proxy's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import struct
import sys
from typing import Any

ENDS = ["none", "none", "none", "cut", "reset"]
PACES = ["even", "even", "late", "trickle", "stall", "crumbs"]
PIECE = 65536


class Direction:
    """The bytes of one direction, and what is done to them."""

    def __init__(self, chance: random.Random, size: int) -> None:
        self.chance = chance
        self.pace = chance.choice(PACES)
        self.end = chance.choice(ENDS)
        self.ends_at = chance.randrange(max(1, size)) if self.end != "none" else None
        self.trickle_at = chance.randrange(max(1, size))
        self.passed = 0
        self.exact = True
        self.spoilt = False

    def piece(self) -> int:
        """Bytes to take next."""
        most = PIECE
        if self.pace == "crumbs":
            most = self.chance.choice([1, 7, 100, 1500, 20000])
        elif self.pace == "trickle" and self.trickle_at <= self.passed < self.trickle_at + 200:
            most = 1
        elif self.pace == "trickle" and self.passed < self.trickle_at:
            most = min(most, self.trickle_at - self.passed)
        return most if self.ends_at is None else max(0, min(most, self.ends_at - self.passed))

    async def pause(self) -> None:
        if self.pace == "late":
            await asyncio.sleep(self.chance.random() * 0.005)
        elif self.pace == "stall" and self.chance.random() < 0.02:
            await asyncio.sleep(0.3)


class Bridge:
    """A listening socket, and the connection that is passed on from it."""

    def __init__(self, number: int, to: str, sizes: tuple[int, int], seed: str) -> None:
        self.number, self._to = number, to
        chance = random.Random(f"{seed} proxy {number}")
        self.directions = [Direction(chance, size) for size in sizes]
        # Windows much smaller than the segments of a loopback have TCP wait for its timers.
        small = 4096 if to.startswith("unix:") else 131072
        self._buffer = chance.choice([None, small])
        self._listener, self.address = _listener(to)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        with self._listener:
            client, _ = await loop.sock_accept(self._listener)
        with client, _socket(self._to) as server:
            for sock in (client, server):
                sock.setblocking(False)
                if self._buffer is not None:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
            try:
                await loop.sock_connect(server, _target(self._to))
                await self._pass_both(client, server)
            except OSError:
                for direction in self.directions:
                    direction.spoilt = True
                # With nobody waiting for them any more: a close is a reset then.
                for sock in (client, server):
                    with contextlib.suppress(OSError):
                        linger = struct.pack("ii", 1, 0)
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async def _pass_both(self, client: socket.socket, server: socket.socket) -> None:
        there, back = self.directions
        tasks = [
            asyncio.ensure_future(_pass_on(client, server, there)),
            asyncio.ensure_future(_pass_on(server, client, back)),
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def account(self) -> dict[str, Any]:
        names = ("passed", "exact", "spoilt", "pace", "end")
        told = [{name: getattr(one, name) for name in names} for one in self.directions]
        return {"flow": self.number, "directions": told}


async def _pass_on(source: socket.socket, to: socket.socket, plan: Direction) -> None:
    """Pass bytes on until the sender ends, or the plan does; OSError if it is a reset."""
    loop = asyncio.get_running_loop()
    while wanted := plan.piece():
        data = await loop.sock_recv(source, wanted)
        await plan.pause()
        if not data:
            to.shutdown(socket.SHUT_WR)
            return
        plan.passed += len(data)
        plan.exact = False
        await loop.sock_sendall(to, data)
        plan.exact = True
    plan.spoilt = True
    if plan.end == "reset":
        raise ConnectionResetError
    to.shutdown(socket.SHUT_WR)
    while await loop.sock_recv(source, PIECE):
        pass


def _socket(address: str) -> socket.socket:
    return socket.socket(socket.AF_UNIX if address.startswith("unix:") else socket.AF_INET)


def _target(address: str) -> Any:
    if address.startswith("unix:@"):
        return "\0" + address.removeprefix("unix:@")
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def _listener(to: str) -> tuple[socket.socket, str]:
    """Of the same kind as where it leads to."""
    sock = _socket(to)
    if to.startswith("unix:"):
        address = f"{to}-proxy"
        sock.bind(_target(address))
    else:
        sock.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
    sock.listen()
    sock.setblocking(False)
    return sock, address


async def serve(commands: asyncio.Queue[dict[str, Any]]) -> None:
    """Make bridges for a round, and tell what they did when it is over."""
    bridges: list[Bridge] = []
    running: list[asyncio.Future[None]] = []
    while True:
        command = await commands.get()
        if command["do"] == "open":
            bridges = [Bridge(**bridge, seed=command["seed"]) for bridge in command["bridges"]]
            running = [asyncio.ensure_future(bridge.run()) for bridge in bridges]
            _say({"done": [bridge.address for bridge in bridges]})
        else:
            for task in running:
                task.cancel()
            ended = await asyncio.gather(*running, return_exceptions=True)
            broken = [repr(error) for error in ended if isinstance(error, Exception)]
            _say({"done": {"accounts": [one.account() for one in bridges], "wrong": broken}})


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


async def main() -> None:
    commands: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    serving = asyncio.ensure_future(serve(commands))
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        commands.put_nowait(json.loads(line))
    serving.cancel()


if __name__ == "__main__":
    asyncio.run(main())
